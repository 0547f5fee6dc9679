"""Functions that mail is addressed to (`mailfw.mail`), called without a server, as the queue would call them.

>>> functions = Functions("tickets", path="etc/examples/tickets")
>>> handled = functions.send("ticket-17@example.org", subject="Printer", text="It is on fire.")
>>> handled.sent[0].recipients, handled.delivered[0].mailbox
(('shop@example.com',), 'Tickets/17')

Nothing waits: plain functions are called in the test's own thread, and time is `clock`, which stands still. A function that needs
a network is tested with the trap (`docs/trap.md`), or awaited on the real reactor: `Functions(…, reactor=reactor)`, `whenSent`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from email import policy
from email.message import EmailMessage
from types import ModuleType
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.code.delivery import Functions as Generation
from mailfw.code.delivery import Surroundings
from mailfw.code.loading import load
from mailfw.code.routing import ROUTES, Route, Table
from mailfw.code.running import Runner
from mailfw.delivery.schedule import parseInterval
from mailfw.errors import NoSuchRecipient, RelayDenied
from mailfw.message.view import Message
from mailfw.storage.flags import encode
from mailfw.storage.names import mailboxName
from mailfw.values import Address, Envelope, Fate, Identity, MessageSource, Outcome, Recipient, Resolution, Target, accountName

CONTENT = b"Received: from the test\r\n"
"""The trace field that whatever came in by SMTP begins with."""


@frozen
class Delivered:
    """A message that was put into a mailbox. :ivar account: its canonical name."""

    account: str
    mailbox: str
    flags: frozenset[str]
    message: Message


@frozen
class Handled:
    """What became of a message.

    :ivar delivered: into mailboxes. :ivar sent: to anybody, answers among them, with the sender and recipients of the envelope.
    :ivar rejected: status and words with which it goes back; empty: it does not.
    :ivar deferred: why the function is called again later: what it said, or the exception in one line; empty: it is not.
    :ivar after: seconds after which, where the function said so.
    """

    delivered: list[Delivered] = field(factory=list)
    sent: list[Message] = field(factory=list)
    rejected: str = ""
    deferred: str = ""
    after: float = 0.0
    _again: Any = field(default=None, repr=False, eq=False)  # calls the same once more

    @property
    def isDone(self) -> bool:
        """Whether the message is out of the queue, and nobody is told that it failed."""
        return not self.rejected and not self.deferred

    def again(self) -> Handled:
        """Call the function once more with the same message: as after a crash, or when it was deferred. `message.id` is the
        same."""
        handled: Handled = self._again()
        return handled


class Functions:
    """The functions of some modules.

    :param modules: by name, or imported. :param path: a directory in which names are looked for first; its modules are imported
        anew.
    :param domains: of the system, the first one first.
    :param accounts: that `Deliver` may name; None: all at the domains.
    :raises RouteError: patterns are not of these domains, or the same twice.
    """

    def __init__(
        self,
        *modules: str | ModuleType,
        path: str = "",
        domains: Collection[str] = ("example.org",),
        accounts: Collection[str] | None = None,
        reactor: Any = None,
    ) -> None:
        self.clock: Any = reactor if reactor is not None else Clock()
        self._domains = tuple(domains)
        self._accounts = None if accounts is None else {accountName(each, self._domains[0]) for each in accounts}
        self.table = Table(_routesOf(modules, path), self._domains)
        self._runner = Runner(self.clock)
        self._messages = 0
        self._generation = Generation(
            self.table,
            self._runner,
            Surroundings(
                hostname=f"mail.{self._domains[0]}",
                firstDomain=self._domains[0],
                now=time.time,
                resolve=self._resolve,
                sendingOn=lambda sender: sender,
                mailboxName=mailboxName,
                encodeFlags=encode,
                seconds=lambda span: float(span) if isinstance(span, int | float) else parseInterval(span)[0],
            ),
        )

    def send(
        self,
        to: str,
        content: bytes | EmailMessage | None = None,
        *,
        sender: str = "shop@example.com",
        subject: str = "",
        text: str = "",
        account: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Handled:
        """Let a message come for that address.

        :param content: the whole message; None: one of subject, text and headers, which may have a From or To of their own.
        :param sender: of the envelope; empty: `<>`. :param account: who logged in to send it; empty: nobody.
        :raises LookupError: the address belongs to no function: a client would be told so.
        :raises AssertionError: the function waits for something: see `whenSent`.
        """
        done: list[Any] = []
        sending = self.whenSent(to, content, sender=sender, subject=subject, text=text, account=account, headers=headers)
        sending.addBoth(done.append)
        return _finished(done)

    def whenSent(
        self,
        to: str,
        content: bytes | EmailMessage | None = None,
        *,
        sender: str = "shop@example.com",
        subject: str = "",
        text: str = "",
        account: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Deferred[Handled]:
        """The same for tests that the reactor runs, or that advance the clock."""
        address = Address.parse(to)
        if self.table.find(address) is None:
            raise LookupError(f"{to} belongs to no function: 550 5.1.1")
        if content is None:
            content = EmailMessage()
            content["From"], content["To"], content["Subject"] = sender or "<>", to, subject
            for name, value in (headers or {}).items():
                del content[name]  # what is there of our own
                content[name] = value
            content.set_content(text)
        octets = content if isinstance(content, bytes) else content.as_bytes(policy=policy.SMTPUTF8)
        self._messages += 1
        identity = Identity(accountName(account, self._domains[0])) if account else None
        envelope = Envelope(Address.parse(sender) if sender else None, identity=identity)
        return Deferred.fromCoroutine(self._handled(address, envelope, MessageSource(CONTENT + octets), self._messages))

    async def close(self) -> None:
        """Let go of threads, where there is a reactor."""
        await self._generation.close()
        self._runner.close()

    async def _handled(self, address: Address, envelope: Envelope, source: MessageSource, number: int) -> Handled:
        route = self._generation.find(address)
        assert route is not None
        delivery = route.beginQueued(envelope, number, 0.0)
        await delivery.recipient(Recipient(address))
        (outcome,) = await delivery.commit(source)

        def again() -> Handled:
            done: list[Any] = []
            Deferred.fromCoroutine(self._handled(address, envelope, source, number)).addBoth(done.append)
            return _finished(done)

        return _told(outcome, again)

    async def _resolve(self, address: Address) -> Resolution:
        if address.domain not in self._domains:
            raise RelayDenied
        name = accountName(str(address), self._domains[0])
        if self._accounts is not None and name in self._accounts:
            return Resolution((Target(name),))
        local, _, domain = name.rpartition("@")
        untagged = f"{local.partition('+')[0] or local}@{domain}"  # as a server does where nobody has the whole address
        if self._accounts is not None and untagged not in self._accounts:
            raise NoSuchRecipient
        return Resolution((Target(untagged),))


def _routesOf(modules: Collection[str | ModuleType], path: str) -> list[Route]:
    names = [each for each in modules if isinstance(each, str)]
    loaded = load(names, path)
    for failed in loaded.failures:
        raise failed.error
    return [*loaded.all, *(route for each in modules if isinstance(each, ModuleType) for route in getattr(each, ROUTES, ()))]


def _finished(done: list[Any]) -> Handled:
    """What a call came to that has nothing to wait for."""
    if not done:
        raise AssertionError("the function waits for something: advance the clock, or test it with the trap (docs/trap.md)")
    if not isinstance(done[0], Handled):
        done[0].raiseException()
    handled: Handled = done[0]
    return handled


def _told(outcome: Outcome, again: Any) -> Handled:
    if outcome.fate is Fate.FAILED:
        return Handled(rejected=f"{outcome.status} {outcome.remark}", again=again)
    if outcome.fate is Fate.DEFERRED:
        return Handled(deferred=outcome.detail.partition(": ")[2], after=outcome.after, again=again)
    handled = Handled(again=again)
    for consequence in outcome.consequences:
        for envelope, target in consequence.ways:
            recipients = tuple(str(recipient.address) for recipient in envelope.recipients)
            message = Message(consequence.message, str(envelope.sender or ""), recipients)
            if target is None:
                handled.sent.append(message)
            else:
                handled.delivered.append(Delivered(target.account, target.mailbox, target.flags, message))
    return handled
