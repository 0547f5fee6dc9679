"""The tests that `mailfw.testing.store.MailStoreContract` is made of, by subject. Authors of stores subclass that one."""
