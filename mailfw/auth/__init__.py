"""Who may log in: sources of accounts, and everything about passwords.

For whom: the protocols' sessions, through `sasl.exchange.Logins`; the directory (which accounts and aliases there
are); the administrator's command.

- `hashes`, `crypts`, `crammd5`: every way in which a password may be stored. Pure; they block.
- `hashing`: does that in threads, few at a time, and remembers for some minutes what was right.
- `accounts` (`accounts:`), `passwd` (`passwd:FILE`), `cred` (`cred:SPEC`): the sources. `chain`: several as one.
- `oauth` (`oauth:`), with `jwt`, `introspection`, `claims`, `web`; `certificate` (`certificate:`): sources without passwords.
- `guard`, `turns`: hold back who guesses, and write the line that fail2ban reads.

Invariants:

- No password is hashed in the reactor's thread, and none is logged, shown or kept in clear.
- An unknown user costs the same hash operations as a known one with a wrong password.
- A source raises nothing but Refusals for what a client may send.
"""
