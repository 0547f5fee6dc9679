"""The client's half of IMAP, on the same grammar as the server.

    client = await connect(reactor, "imap.example.org")
    await client.logIn(user, password)
    inbox = await select(client, "INBOX")
    async for message in inbox.fetch(ALL, Attribute.UID, Attribute.ENVELOPE):
        …
    async with await idle(client) as news:
        async for answer in news:
            …
    await client.logOut()

`connecting` comes to a server, `connection` is octets on a Twisted transport, `session` is what is said and what belongs to
whom of what is answered, `mailbox` what can be asked of the selected mailbox, `view` what is known of it, `stream` what is taken
bit by bit, `idling` what comes by itself.

Invariants:

- A refusal of the server's is raised as the class of `mailfw.errors` that its code means; the end of the connection, in the
  middle of whatever, as a `ConnectionError`; what is not in the grammar as `GarbledAnswer`, by the commands that were under
  way, and the session goes on.
- Nothing that was said in the clear counts under TLS, and a password is shown to nobody who could not prove its name.
- What a server can make the client remember is bounded (`ResponseLimits`), and while only one command is under way whose answers
  are not taken, the server is not read.
- The view is changed before anybody is given the answer that changes it.
"""

from mailfw.imap.client.connecting import Security, clientTLS, connect, startTLS
from mailfw.imap.client.connection import Connection
from mailfw.imap.client.failure import GarbledAnswer, TLSFailed
from mailfw.imap.client.idling import Idling, idle
from mailfw.imap.client.mailbox import ALL, CopiedTo, Mailbox, select
from mailfw.imap.client.session import Appended, IMAPClient
from mailfw.imap.client.stream import Stream
from mailfw.imap.client.view import View

__all__ = [
    "ALL",
    "Appended",
    "Connection",
    "CopiedTo",
    "GarbledAnswer",
    "IMAPClient",
    "Idling",
    "Mailbox",
    "Security",
    "Stream",
    "TLSFailed",
    "View",
    "clientTLS",
    "connect",
    "idle",
    "select",
    "startTLS",
]
