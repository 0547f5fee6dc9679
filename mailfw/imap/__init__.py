"""IMAP4rev1 (RFC 3501) and its extensions, as a server: a person's mailboxes, read and changed from many places at
once.

`grammar` turns octets into typed commands and results into octets, and knows nothing else. `reader` puts a command
together from lines and literals. `session` knows which command may come when, and runs each by the handler of its
family (`mailboxes`, `select`, `append`, `fetch`, `search`, `store`, `copy`, `idle`). `selected` keeps what the client
believes about the mailbox it looks at. `server` joins that to a connection.

Invariants of the whole room:

- Sequence numbers belong to the session. A store knows UIDs only.
- Commands of one connection run strictly one after another, so that pipelined commands whose meaning would depend on
  each other (RFC 3501 §5.5) simply mean what they say in the order in which they came.
- A client hears of changes before the tagged reply of a command, or in IDLE, and never of an EXPUNGE during FETCH,
  STORE or SEARCH.
- A capability is announced only where all of it is there.
"""
