"""`help`: what a prompt teaches. Every example works as it stands."""

from __future__ import annotations

import pydoc
from typing import Any

from mailfw.app.shell.page import Line, Page, Style

_START = """\
This is Python, inside the running server.

# sessions()        who is connected; sessions(live=True) goes on showing it
# trace("jsmith")   what the sessions of an account say, as they say it
# store             accounts, mailboxes and messages: store.account("jsmith")["INBOX"][-1]
# queue             mail that waits to leave: queue.retry(domain="example.com")
# services          where the server listens: services["imap"].stop()
# config            the configuration in use, as a tree
# watch(queue)      anything of these, again and again, until a key is pressed
# server            the whole server (mailfw.app.server.Server)

help(sessions), help(trace), help(store), help(queue), help(services), help(config), help(watch) and help("python") say more.
Tab completes names; the arrow keys and Ctrl-R find what you typed before; Ctrl-C gives up what is waiting; Ctrl-D leaves."""

_SESSIONS = """\
Who is connected: each session with its id, account, address, protocol, state and mailbox, octets and age.

>>> sessions()                      # all
>>> sessions("jsmith")              # of an account; an address, a protocol, a service or an id will do as well
>>> sessions("imap", "pop3")        # of either
>>> sessions(live=True)             # made anew every second, until a key is pressed
>>> sessions("jsmith").stop()       # let them end, each after its command under way
>>> [each.id for each in sessions]  # the connections themselves (mailfw.net.connection.Connection)"""

_TRACE = """\
The conversation of sessions, line by line: C: what the client says, S: what the server says. It goes on until a key is pressed.

>>> trace("jsmith")                 # of an account, from the greeting on where it is not logged in yet
>>> trace("imap-3")                 # of one session; sessions() names them
>>> trace("192.0.2.7", "smtp")      # of an address, and of a service
>>> trace("jsmith", seconds=2)      # ends by itself, too

Passwords, tokens and whatever AUTH and AUTHENTICATE exchange are shown as ***; messages are counted, not shown."""

_STORE = """\
Accounts, their mailboxes, and messages. Nothing is changed by looking; what is looked into is logged.

>>> store                                               # the accounts
>>> store.account("jsmith")                             # mailboxes
>>> store.account("jsmith").usage                       # and what they hold
>>> inbox = store.account("jsmith")["INBOX"]
>>> inbox                                               # the last messages
>>> inbox[2:5]                                          # messages 2 to 5; [-3:] are the last three
>>> inbox[5]                                            # message 5, as IMAP numbers them; inbox.uid(17) by its UID
>>> inbox[-1].headers                                   # .text, .structure, .flags and .raw likewise
>>> text = await inbox[-1].text                         # to go on with it
>>> [each.subject for each in await inbox[:] if "invoice" in each.subject.lower()]

What can be done to mail is `mailfw.interfaces.IMailStore`, which the store is as well:

>>> from mailfw.values import Identity
>>> account = await store.openAccount(Identity("jsmith@localhost"), "jsmith@localhost")
>>> await account.mailboxes()"""

_QUEUE = """\
Mail that waits to leave, with the verbs of `mailfw queue`.

>>> queue                                               # what waits
>>> queue.list(domain="example.com", olderThan=3600)    # chosen by recipient, domain, sender, reason, state, olderThan, newerThan
>>> queue.show(17)                                      # one message
>>> queue.retry(17)                                     # try it now; hold, release, cancel and bounce likewise
>>> queue.bounce(domain="example.com", text="that host is gone for good")
>>> queue.flush("example.com")                          # try everything at once that waits for a domain
>>> watch(queue)                                        # until a key is pressed"""

_SERVICES = """\
Where the server listens, and whether it lets clients in.

>>> services
>>> services["imap"].stop()     # new clients are told to come later; sessions that are there go on
>>> services["imap"].start()    # let them in again
>>> sessions("imap").stop()     # end those that are there

The socket stays the server's while a service is stopped, so starting works without root's rights too. A restart starts all."""

_CONFIG = """\
The configuration in use, with the words of the file; secrets are shown as ***. `mailfw check-config` finds mistakes in a file.

>>> config
>>> config.limits
>>> config.limits.messageSize
>>> server.reload()     # reads the file again"""

_WATCH = """\
Shows something again and again, in place of the screen, until a key is pressed.

>>> watch(sessions)
>>> watch(queue, every=5)
>>> watch(services)
>>> watch(lambda: server.system.context.sessions)"""

_PYTHON = """\
`await` works at the prompt, and what has to be awaited is, where its value is shown: Ctrl-C gives it up.

>>> await store.openAccount(__import__("mailfw.values").values.Identity("jsmith@localhost"), "jsmith@localhost")
>>> text = await store.account("jsmith")["INBOX"][-1].text
>>> _                   # what was shown last

The prompt runs in the server's own thread: what does not wait but works holds up everybody. You are told so when it took more
than a tenth of a second. Long work belongs in a thread:

>>> from twisted.internet.threads import deferToThread
>>> await deferToThread(sum, range(10_000_000))

All that is typed is logged with your name. A string that is given as a password is masked there, and its line is not kept in the
history."""

LESSONS = {
    "sessions": _SESSIONS,
    "trace": _TRACE,
    "store": _STORE,
    "queue": _QUEUE,
    "services": _SERVICES,
    "config": _CONFIG,
    "watch": _WATCH,
    "python": _PYTHON,
}


class Help:
    """`help`, which may be called or not.

    :param names: what a prompt starts with, by which things are known.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    def __call__(self, topic: Any = None) -> Page:
        """How something is used; without a topic, what there is."""
        if topic is None:
            return _page(_START)
        word = topic if isinstance(topic, str) else next((name for name, each in self._names.items() if each is topic), "")
        lesson = LESSONS.get(word.lower())
        if lesson is not None:
            return _page(lesson)
        if isinstance(topic, str):
            return Page([f'there is no lesson "{topic}"; there is {", ".join(LESSONS)}'])
        return Page([pydoc.plain(pydoc.render_doc(topic)).rstrip("\n")])

    def __repr__(self) -> str:
        return repr(self())


def _page(text: str) -> Page:
    """A lesson: examples stand out, what is said of them does not."""
    return Page(
        Line(line.removeprefix("# "), Style.CLIENT if line.startswith((">>> ", "# ")) else Style.PLAIN)
        for line in text.split("\n")
    )
