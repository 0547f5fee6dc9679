"""Mailboxes, implemented once: UIDs, MODSEQ, flags, keywords, the vanished log, subscriptions, names, counters, notification.

`engine` is the one implementation, over `sql`. What varies is where the octets are: `sqlite` and `memory` keep them in rows of
the same database; `simple` puts the engine beside any `ISimpleStore`.

Guarantees (`mailfw.testing.store` checks each on every store): see `interfaces.IMailStore`.
"""
