"""SASL (RFC 4422): each mechanism as pure challenge and response, and the one loop that drives them for every protocol.

For whom: the sessions of SMTP, POP3, IMAP (and later ManageSieve), which only carry octets; and for the clients.
A mechanism knows no database and no network: where it needs to know something it returns a step that says so
(`steps`), and `exchange.Exchange` asks the authenticator and goes on.

Invariants:

- No mechanism tells an unknown user from a wrong password, by words, by salt, or by the work it does.
- A message longer than `steps.MESSAGE_LIMIT` is refused unread.
- Nothing here imports Twisted or does I/O; the clock, the random source and the authenticator come in from outside.

Mechanisms: `plain` (PLAIN, LOGIN), `scram` (SCRAM-SHA-256, SCRAM-SHA-1 and their -PLUS forms), `bearer` (OAUTHBEARER,
XOAUTH2), `external` (EXTERNAL). One that is added later is a class with `start` and `respond`, and lines in `exchange`'s tables.
"""
