"""What a test holds in its hands: the trap, its accounts, and what would have left. Its manual is `docs/trap.md`."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.python.threadable import isInIOThread

from mailfw.delivery.queue import QueuedMessage
from mailfw.errors import NoSuchMailbox
from mailfw.message.header import headerEnd, values
from mailfw.message.view import Message
from mailfw.trap.loop import Loop
from mailfw.trap.server import HOST, System, TrapServer
from mailfw.values import Identity

TIMEOUT = 5.0
"""Seconds after which what a test waits for will not come."""


class NothingArrived(AssertionError):
    """No such message came in time; the text says what did."""


class Endpoint(NamedTuple):
    """Where a service listens: `smtplib.SMTP(*mailfw.smtp)`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@frozen
class Wanted:
    """Which message a test waits for: all that is said has to be so.

    :ivar subject: :ivar text: is in the subject, or in the plain text (without one, in the HTML); or a compiled pattern that is.
    :ivar sender: of the envelope, :ivar recipient: one of the envelope's.
    """

    subject: str | re.Pattern[str] = ""
    text: str | re.Pattern[str] = ""
    sender: str = ""
    recipient: str = ""

    def fits(self, message: Message) -> bool:
        """Whether that is one."""
        return (
            _isIn(self.subject, message.subject)
            and _isIn(self.text, message.text or message.html)
            and self.sender.lower() in ("", message.sender.lower())
            and (not self.recipient or self.recipient.lower() in map(str.lower, message.recipients))
        )

    def __str__(self) -> str:
        said = {"subject": self.subject, "text": self.text, "sender": self.sender, "recipient": self.recipient}
        words = [f"{name}={getattr(value, 'pattern', value)!r}" for name, value in said.items() if value]
        return " with " + ", ".join(words) if words else ""


class Messages(Sequence[Message]):
    """Messages somewhere, the oldest first, as they are at the moment of asking; and waiting for more of them.

    A message is returned by `waitFor` once, so that a second call waits for a second message; looking does not count.
    """

    def __init__(self, what: str, system: System, loop: Loop) -> None:
        self._what = what
        self._system = system
        self._loop = loop
        self._taken: set[int] = set()
        self._known: dict[int, Message] = {}  # so that waiting for the thousandth message reads one

    async def _read(self) -> dict[int, Message]:
        """All of them by a number that is never another's."""
        raise NotImplementedError

    @property
    def messages(self) -> list[Message]:
        """All of them."""
        return list(self._loop.wait(self._read()).values())

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        return self.messages[index]

    def waitFor(
        self,
        subject: str | re.Pattern[str] = "",
        *,
        text: str | re.Pattern[str] = "",
        sender: str = "",
        recipient: str = "",
        timeout: float = TIMEOUT,
    ) -> Message:
        """The oldest message that is so and was not returned before; waits until it arrives. `Wanted` says what the words mean.

        :param timeout: seconds.
        :raises NothingArrived: none has come by then.
        """
        __tracebackhide__ = True  # what failed is the test, and not what is in here
        try:
            return self._loop.wait(self._arriving(Wanted(subject, text, sender, recipient), timeout))
        except NothingArrived as error:
            raise NothingArrived(str(error)) from None

    def whenReceived(
        self,
        subject: str | re.Pattern[str] = "",
        *,
        text: str | re.Pattern[str] = "",
        sender: str = "",
        recipient: str = "",
        timeout: float = TIMEOUT,
    ) -> Deferred[Message]:
        """The same for code that the reactor runs.

        :raises RuntimeError: the caller is in another thread, where a Deferred is of no use.
        """
        if not isInIOThread():  # type: ignore[no-untyped-call]
            raise RuntimeError(
                "the trap's reactor runs in a thread of its own: call waitFor(…), from asyncio in asyncio.to_thread"
            )
        return Deferred.fromCoroutine(self._arriving(Wanted(subject, text, sender, recipient), timeout))

    async def _arriving(self, wanted: Wanted, timeout: float) -> Message:
        rings: DeferredQueue[bool] = DeferredQueue()

        def ring() -> None:
            rings.put(False)

        timer = self._loop.reactor.callLater(timeout, rings.put, True)
        self._system.bells.append(ring)
        try:
            isLate = False
            while True:
                if self._system.isClosed:
                    raise NothingArrived(f"no message{wanted} came to {self._what} while the test ran that waited for it")
                found = await self._read()
                for number, message in found.items():
                    if number not in self._taken and wanted.fits(message):
                        self._taken.add(number)
                        return message
                if isLate:
                    problems = "".join(f"; {each}" for each in await self._system.problems())
                    raise NothingArrived(self._told(wanted, timeout, found) + problems)
                isLate = await rings.get()
        finally:
            if timer.active():
                timer.cancel()
            if ring in self._system.bells:
                self._system.bells.remove(ring)

    def _told(self, wanted: Wanted, timeout: float, found: dict[int, Message]) -> str:
        before = dict.fromkeys(self._taken, " (returned before)")
        each = [f"from <{one.sender}>: {one.subject!r}{before.get(number, '')}" for number, one in found.items()]
        others = "; ".join(each) or "nothing"
        return f"no message{wanted} came to {self._what} within {timeout:g} seconds; what is there: {others}"


class Mailbox(Messages):
    """A mailbox of an account."""

    def __init__(self, account: str, name: str, system: System, loop: Loop) -> None:
        super().__init__(f"{account}'s {name}", system, loop)
        self._account = account
        self._name = name

    async def _read(self) -> dict[int, Message]:
        account = await self._system.store.openAccount(Identity(self._account), self._account)
        try:
            mailbox = await account.open(self._name)
        except NoSuchMailbox:
            return {}
        uids = (await mailbox.snapshot()).uids
        known = self._known
        self._known = {uid: known.get(uid) or _delivered(await mailbox.read(uid), self._account) for uid in uids}
        return self._known


class Account(Mailbox):
    """Somebody whose mail ends in the trap; as a sequence, the messages in INBOX.

    :ivar address: which is also the name to log in with. :ivar password:
    """

    def __init__(self, address: str, password: str, system: System, loop: Loop) -> None:
        super().__init__(address, "INBOX", system, loop)
        self.address = address
        self.password = password

    def __repr__(self) -> str:
        return f"<account {self.address}>"

    def mailbox(self, name: str) -> Mailbox:
        """Another mailbox: `Junk`, or what a client has made."""
        return Mailbox(self.address, name, self._system, self._loop)


class Outbox(Messages):
    """What would have left: mail for addresses elsewhere, one message for each that was sent, held in the queue."""

    def __init__(self, system: System, loop: Loop) -> None:
        super().__init__("the outbox", system, loop)

    async def _read(self) -> dict[int, Message]:
        found: dict[int, QueuedMessage] = {}
        recipients: dict[int, list[str]] = {}
        after, isMore = 0, True
        while isMore:
            page = await self._system.queue.list(after=after)
            for entry in page.entries:
                if entry.target is None and not self._system.people.isRouted(entry.recipient.address):
                    found[entry.message.id] = entry.message
                    recipients.setdefault(entry.message.id, []).append(str(entry.recipient.address))
            after, isMore = page.next, page.next != 0
        known = self._known
        self._known = {id: known.get(id) or await self._held(each, recipients[id]) for id, each in found.items()}
        return self._known

    async def _held(self, message: QueuedMessage, recipients: list[str]) -> Message:
        content = await self._system.queue.content(message)
        return Message(content.read(), str(message.envelope.sender or ""), tuple(recipients))


class Trap:
    """The trap as one test has it: everything in it is empty when the test begins.

    :ivar smtp: :ivar submission: :ivar submissions: :ivar pop3: :ivar pop3s: :ivar imap: :ivar imaps: where they listen.
    :ivar certificate: path of the certificate, which is its own authority, for `localhost` and `127.0.0.1`.
    :ivar outbox: what would have left.
    """

    def __init__(self, server: TrapServer, loop: Loop) -> None:
        self._server = server
        self._loop = loop
        self._system = server.system
        self._accounts: dict[str, Account] = {}
        self.certificate = server.certificate
        self.smtp, self.submission, self.submissions = map(self._endpoint, ("smtp", "submission", "submissions"))
        self.pop3, self.pop3s, self.imap, self.imaps = map(self._endpoint, ("pop3", "pop3s", "imap", "imaps"))
        self.outbox = Outbox(self._system, loop)

    def _endpoint(self, service: str) -> Endpoint:
        return Endpoint(HOST, self._server.ports[service])

    @property
    def tls(self) -> ssl.SSLContext:
        """For clients: trusts the trap's certificate and nothing else."""
        return ssl.create_default_context(cafile=self.certificate)

    def account(self, name: str, password: str = "") -> Account:
        """The account of that address, made when it is first asked for. A name without a domain is of the trap's first domain.

        :param password: `mailfw` unless said.
        :raises ValueError: nothing can be called so.
        """

        async def add() -> tuple[str, str]:
            address = self._system.people.add(name, password)
            return address, self._system.people.passwords[address]

        address, known = self._loop.wait(add())
        account = self._accounts.setdefault(address, Account(address, known, self._system, self._loop))
        account.password = known
        return account

    @property
    def accounts(self) -> list[Account]:
        """All that there are, those that `catchAll` made too."""

        async def names() -> list[str]:
            return list(self._system.people.passwords)

        return [self.account(name) for name in self._loop.wait(names())]

    def catchAll(self) -> None:
        """Take mail for every address at every domain; each gets an account of its own when mail first comes for it."""

        async def catch() -> None:
            self._system.people.isCatchingAll = True

        self._loop.wait(catch())

    def load(self, *modules: str, path: str = "") -> None:
        """Let functions have their addresses that are in these modules (mail to code). Domains that their
        patterns spell out become the trap's.

        :param path: a directory in which they are looked for first; what is in it is imported anew for each test.
        :raises Exception: whatever a module raises.
        """

        async def begin() -> None:
            self._system.load(modules, path)

        self._loop.wait(begin())

    @property
    def problems(self) -> list[str]:
        """What functions failed with whose mail waits for another call: the address, and the exception in one line."""

        return self._loop.wait(self._system.problems())

    def failNext(self, reply: str, stage: str = "rcpt_to", times: int = 1, recipient: str = "") -> None:
        """Answer with an error where a message comes to a stage next; of several that fit, what was asked for first goes first.

        :param reply: as on the wire: `451 4.7.1 try again later`. 421 closes the connection, where the stage lets it.
        :param stage: `connect`, `ehlo`, `auth`, `mail_from`, `rcpt_to`, `data`, `end_of_message` …: `mailfw.stages.Stage`.
        :param times: how often. :param recipient: only about that one.
        :raises ValueError: that is no reply of an error, or nobody is answered at that stage.

        A test at whose end the server was never brought to say it fails.
        """

        async def ask() -> None:
            self._system.stages.failNext(reply, stage, times, recipient)

        self._loop.wait(ask())

    @property
    def unmet(self) -> list[str]:
        """Failures that were asked for and that nobody has come to yet, in words."""

        async def look() -> list[str]:
            return self._system.stages.unmet()

        return self._loop.wait(look())

    def forgetFailures(self) -> None:
        """Ask for no failure any more."""

        async def forget() -> None:
            self._system.stages.failures.clear()

        self._loop.wait(forget())


def _isIn(wanted: str | re.Pattern[str], text: str) -> bool:
    return wanted in text if isinstance(wanted, str) else wanted.search(text) is not None


def _delivered(content: bytes, account: str) -> Message:
    """A message in the store, whose envelope the trace fields tell."""
    paths = values(content[: headerEnd(content)], b"return-path")
    sender = paths[0].decode("utf-8", "replace").strip().strip("<>") if paths else ""
    return Message(content, sender, (account,))
