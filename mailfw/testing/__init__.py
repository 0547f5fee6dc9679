"""For people who write plugins: contracts to run, conversations, fakes and a clock. Nothing in production imports this.

Public: `docs/testing.md` says what each module has, with examples. What begins with an underscore, and `promises`, whose tests
`store.MailStoreContract` gathers, may change.
"""
