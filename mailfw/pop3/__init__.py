"""POP3: RFC 1939 with the extensions of RFC 2449, 2595, 3206, 5034 and 6856.

A maildrop is an account's INBOX as it stood at login. `grammar` and `multiline` turn octets into values and back,
`maildrop` numbers the messages, `session` knows what each command means, `server` and `client` put both ends on a
transport.
"""
