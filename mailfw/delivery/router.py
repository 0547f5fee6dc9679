"""Finds the way of each recipient, while the sender still listens.

A recipient is resolved when it is named, so that an unknown one is refused there and nobody has to send a bounce to an address
that may be forged; so is one put off whose account is full. What cannot be brought to its end from here is refused at once, in
honest words: mail for other systems is, where nothing here sends any (a router without `Outbound`).

What was accepted is committed twice at most, each time for all recipients together: to the store, then to the queue, which gets
what leaves, what the store cannot take for the moment, and what the sender has to be told. Only when the queue cannot take it
either is the sender asked to try again, which may then duplicate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from attrs import evolve, field, frozen
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.delivery.bounce import Bouncer, Tidings
from mailfw.delivery.local import LocalDelivery, merged
from mailfw.delivery.policy import JUNK, decide, outcomeOf, permitted, refusalOf, tell
from mailfw.delivery.queue import Queue, QueuedMessage, Report, Submission
from mailfw.delivery.queue.queue import LOCAL_LANE
from mailfw.delivery.rates import Rates
from mailfw.delivery.schedule import Schedule
from mailfw.delivery.srs import SRS
from mailfw.delivery.verdict import statusOf
from mailfw.errors import NoRoute, NoSuchRecipient, Refusal, RelayDenied, Unavailable
from mailfw.interfaces import IDelivery, IDirectory, IHooks, IMailStore, IRoute, IRouter
from mailfw.message.dsn import Action, encodeXtext
from mailfw.stages import Accept, Client, Event, Stage
from mailfw.tally import Tally
from mailfw.values import Address, Envelope, Fate, MessageSource, Outcome, Peer, Recipient, Target


@frozen
class Outbound:
    """What a router needs so that mail can leave.

    :ivar srs: rewrites the sender of what an alias sends on; None: it stays.
    :ivar networks: hosts that may relay without a login.
    :ivar accepts: whether anybody may send to a domain that is not ours (one with a route of its own that ends there).
    :ivar schedule: when what the store could not take is tried again.
    """

    queue: Queue
    bouncer: Bouncer
    srs: SRS | None = None
    networks: Sequence[IPv4Network | IPv6Network] = ()
    accepts: Callable[[str], bool] = lambda domain: False
    schedule: Schedule = field(factory=Schedule)
    now: Callable[[], float] = time.time

    def mayRelay(self, envelope: Envelope, peer: Peer) -> bool:
        """Whether that sender may send anywhere."""
        if envelope.identity is not None:
            return True
        try:
            address = ip_address(peer.host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


@implementer(IRouter)
class Router:
    """Opens deliveries into our store for what the directory knows and, with `outbound`, to other systems.

    :param rates: how much one sender may send; None: any number.
    :param tally: where deliveries are counted.
    """

    def __init__(
        self,
        directory: IDirectory,
        store: IMailStore,
        outbound: Outbound | None = None,
        rates: Rates | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.directory = directory
        self.local = LocalDelivery(store, tally)
        self.outbound = outbound
        self._hooks: IHooks | None = None
        self.rates = rates

    @property
    def hooks(self) -> IHooks | None:
        """Who else has a say."""
        return self._hooks

    @hooks.setter
    def hooks(self, hooks: IHooks | None) -> None:
        self._hooks = self.local.hooks = hooks

    @property
    def isQueueing(self) -> bool:
        """Whether there is a queue."""
        return self.outbound is not None

    def begin(self, envelope: Envelope, peer: Peer) -> IDelivery:
        """A delivery for a message from `envelope.sender`."""
        return RoutedDelivery(self, envelope, peer)

    def sendingOn(self, sender: Address | None) -> Address | None:
        """The sender of a message that is sent on: one that we may send for."""
        srs = self.outbound.srs if self.outbound is not None else None
        return srs.forward(sender) if srs and sender and not self.directory.isLocalDomain(sender.domain) else sender


@implementer(IRoute)
class LocalRoute:
    """What waits in the queue for addresses of ours goes the way that it would go if it came now."""

    def __init__(self, router: Router) -> None:
        self.router = router

    def destination(self, domain: str) -> str:
        """One lane for all of it."""
        return LOCAL_LANE

    def begin(self, envelope: Envelope) -> IDelivery:
        """A delivery to addresses of ours."""
        return self.router.begin(envelope, Peer(""))


@frozen
class _Way:
    """Where one recipient's mail goes. :ivar leaving: with the sender that each is sent on from."""

    recipient: Recipient
    targets: tuple[Target, ...] = ()
    leaving: tuple[tuple[Address | None, Recipient], ...] = ()

    @property
    def isExpanded(self) -> bool:
        """Whether it leads to several, some of them elsewhere: who asked for it is told of success once, and here (RFC 3461
        §5.2.7.3)."""
        return bool(self.leaving) and len(self.targets) + len(self.leaving) > 1

    def passedOn(self, recipient: Recipient) -> Recipient:
        """A recipient that takes the place of this one."""
        return recipient.withoutSuccess if self.isExpanded else recipient


def _original(recipient: Recipient) -> str:
    """ORCPT for whoever gets it in the recipient's place."""
    if not recipient.original and recipient.address.isASCII and recipient.address.domain:
        return f"rfc822;{encodeXtext(str(recipient.address))}"
    return recipient.original


def _inPlaceOf(recipient: Recipient, to: Address) -> Recipient:
    """The recipient at that address of ours, which is its own unless an alias led there."""
    isAlias = str(to).lower() != str(recipient.address).lower()
    return evolve(recipient, address=to, original=_original(recipient) if isAlias else recipient.original)


def _together(recipient: Recipient, ways: Sequence[_Way]) -> _Way:
    """One way for a recipient in whose place hooks put others, or nobody."""
    targets = dict.fromkeys(target for way in ways for target in way.targets)
    return _Way(recipient, tuple(targets), tuple(leaving for way in ways for leaving in way.leaving))


@implementer(IDelivery)
class RoutedDelivery:
    """One message on its way to all its recipients."""

    log = Logger("mailfw.delivery")

    def __init__(self, router: Router, envelope: Envelope, peer: Peer) -> None:
        self._router = router
        self._envelope = envelope
        self._peer = peer
        self._ways: list[_Way] = []

    # --- Each recipient ----------------------------------------------------------------------------------------------

    async def recipient(self, recipient: Recipient) -> None:
        """:raises RateExceeded, NoSuchRecipient, RelayDenied, NoRoute, NoPermission, OverQuota, Unavailable:"""
        if self._router.rates is not None:
            self._router.rates.take(self._envelope, self._peer)
        hooks = self._router.hooks
        if hooks is None or Stage.RESOLVE_RECIPIENT not in hooks.stages:
            self._ways.append(await self._wayOf(recipient))
            return
        envelope = evolve(self._envelope, recipients=(recipient,))
        decision = await hooks.ask(Event(Stage.RESOLVE_RECIPIENT, envelope=envelope, recipient=recipient))
        if (refused := refusalOf(decision.result)) is not None:
            raise refused
        meant = (decision.event.envelope or envelope).recipients
        self._ways.append(_together(recipient, [await self._wayOf(each) for each in meant]))

    async def _wayOf(self, recipient: Recipient) -> _Way:
        """Where that recipient's mail goes."""
        outbound, sender = self._router.outbound, self._envelope.sender
        if outbound is not None and outbound.srs is not None and outbound.srs.isOne(recipient.address):
            if sender is not None:
                raise RelayDenied("only what could not be delivered goes back to that address")
            recipient = evolve(recipient, address=outbound.srs.reverse(recipient.address))
            return _Way(recipient, leaving=((None, recipient),))
        try:
            found = await self._router.directory.resolve(recipient.address)
        except RelayDenied:
            return await self._relay(recipient)
        if found.forwards or found.routed:
            self._mustLeave()
        elif not found.targets:
            raise NoSuchRecipient()
        await self._router.local.mustHaveRoom(found.targets)
        targets = found.targets
        if self._envelope.isQuarantined:
            targets = tuple(evolve(target, mailbox=JUNK) for target in targets)
        leaving = (
            *(self._forwarded(recipient, to) for to in found.forwards),
            *((sender, _inPlaceOf(recipient, to)) for to in found.routed),
        )
        return _Way(recipient, targets, leaving)

    async def _relay(self, recipient: Recipient) -> _Way:
        """Mail to another system's address. :raises RelayDenied: :raises NoRoute:"""
        way = _Way(recipient, leaving=((self._envelope.sender, recipient),))
        if self._router.outbound is None and self._envelope.identity is None:
            raise RelayDenied
        outbound = self._mustLeave()
        if self._router.hooks is not None and await self._isAuthorized(self._router.hooks, recipient):
            return way
        if not (outbound.mayRelay(self._envelope, self._peer) or outbound.accepts(recipient.address.domain)):
            raise RelayDenied
        return way

    async def _isAuthorized(self, hooks: IHooks, recipient: Recipient) -> bool:
        """Whether a hook says that this sender may send there; if not, that is open. :raises Refusal: a hook is against it."""
        client = Client("", "", self._peer, identity=self._envelope.identity)
        facts = {"client": client, "envelope": self._envelope, "recipient": recipient}
        decision = await decide(hooks, Stage.AUTHORIZE_RELAY, **facts)
        if decision is not None and (refused := refusalOf(decision.result)) is not None:
            raise refused
        return decision is not None and isinstance(decision.result, Accept)

    def _mustLeave(self) -> Outbound:
        """:raises NoRoute: nothing leaves from here."""
        if self._router.outbound is None:
            raise NoRoute("this system delivers no mail to other domains")
        return self._router.outbound

    def _forwarded(self, recipient: Recipient, to: Address) -> tuple[Address | None, Recipient]:
        """What an alias sends on: from a sender that we may send for, and with the address that was first meant."""
        return self._router.sendingOn(self._envelope.sender), Recipient(to, recipient.notify, _original(recipient))

    def abort(self) -> None:
        """Nothing was begun before `commit`, and whom the message would have gone to is not counted."""
        if self._router.rates is not None:
            self._router.rates.giveBack(self._envelope, self._peer, len(self._ways))

    # --- The message -------------------------------------------------------------------------------------------------

    async def commit(self, message: MessageSource) -> list[Outcome]:
        """Deliver to every accepted recipient, in their order."""
        hooks, accepted = self._router.hooks, len(self._ways)
        if hooks is None or Stage.REWRITE_ENVELOPE not in hooks.stages:
            return await self._commit(message)
        envelope = evolve(self._envelope, recipients=tuple(way.recipient for way in self._ways))
        decision = await hooks.ask(Event(Stage.REWRITE_ENVELOPE, envelope=envelope))
        if (outcome := outcomeOf(decision.result)) is not None:
            return [outcome] * accepted
        await self._rewrite(decision.event.envelope or envelope)
        return (await self._commit(message))[:accepted]

    async def _rewrite(self, wanted: Envelope) -> None:
        """Make the envelope that; whoever was accepted keeps a place, if only one that leads nowhere."""
        before, self._envelope = self._envelope, evolve(wanted, recipients=())
        addresses = {recipient.address for recipient in wanted.recipients}
        known = {way.recipient.address for way in self._ways}
        for number, way in enumerate(self._ways):
            leaving = tuple((wanted.sender if sender == before.sender else sender, to) for sender, to in way.leaving)
            isWanted = way.recipient.address in addresses
            self._ways[number] = evolve(way, leaving=leaving) if isWanted else _Way(way.recipient)
        for recipient in wanted.recipients:
            if recipient.address not in known:
                self._ways.append(await self._wayOf(recipient))

    async def _commit(self, message: MessageSource) -> list[Outcome]:
        groups = [way.targets for way in self._ways]
        outbound = self._router.outbound
        if outbound is not None and self._envelope.releaseAt > outbound.now():
            held = [[Outcome(Fate.DEFERRED)] * len(group) for group in groups]
            return await _Commitment(outbound, self._envelope, self._ways, held, True, self._router.hooks).commit(message)
        stored = await self._router.local.deliverEach(message, self._envelope.sender, groups)
        if outbound is None:
            return [merged(outcomes) for outcomes in stored]
        return await _Commitment(outbound, self._envelope, self._ways, stored, False, self._router.hooks).commit(message)


class _Commitment:
    """What is left to do once the store has said what it has: everything else goes into the queue in one step.

    :param isHeld: the store was not asked, because the sender wants all of it to wait (RFC 4865).
    """

    log = Logger("mailfw.delivery")

    def __init__(
        self,
        outbound: Outbound,
        envelope: Envelope,
        ways: Sequence[_Way],
        stored: Sequence[Sequence[Outcome]],
        isHeld: bool = False,
        hooks: IHooks | None = None,
    ) -> None:
        self._hooks = hooks
        self._isHeld = isHeld
        self._outbound = outbound
        self._envelope = envelope
        self._ways = ways
        self._stored = stored
        self._now = outbound.now()
        self._queued: list[int] = []

    async def commit(self, message: MessageSource) -> list[Outcome]:
        """One outcome for each recipient."""
        reports = await permitted(self._hooks, self._reports(message))
        submissions = [*self._leaving(), *self._waiting()]
        error: Refusal | None = None
        if submissions or reports:
            try:
                self._queued = await self._outbound.queue.enqueue(submissions, message, reports)
                for id, submission in zip(self._queued, submissions, strict=True):
                    tell(self._hooks, Stage.MESSAGE_QUEUED, envelope=submission.envelope, argument=str(id))
            except (Exception, SystemExit) as raised:
                if not isinstance(raised, Refusal):
                    self.log.failure("the queue failed to take a message")
                error = raised if isinstance(raised, Refusal) else Unavailable()
        return [self._outcome(way, outcomes, error) for way, outcomes in zip(self._ways, self._stored, strict=True)]

    def _leaving(self) -> list[Submission]:
        """Envelopes for other systems, one for each sender."""
        bySender: dict[Address | None, dict[Address, Recipient]] = {}
        for way in self._ways:
            for sender, recipient in way.leaving:
                bySender.setdefault(sender, {}).setdefault(recipient.address, way.passedOn(recipient))
        return [
            Submission(evolve(self._envelope, sender=sender, recipients=tuple(recipients.values())))
            for sender, recipients in bySender.items()
        ]

    def _waiting(self) -> list[Submission]:
        """What the store could not take for the moment, each place once."""
        places: dict[Target, tuple[Recipient, Outcome]] = {}
        for way, outcomes in zip(self._ways, self._stored, strict=True):
            for target, outcome in zip(way.targets, outcomes, strict=True):
                if outcome.fate is Fate.DEFERRED:
                    places.setdefault(target, (way.passedOn(way.recipient), outcome))
        if not places:
            return []
        envelope = evolve(self._envelope, recipients=tuple(recipient for recipient, _ in places.values()))
        if self._isHeld:
            return [Submission(envelope, dict(enumerate(places)))]
        why = next(iter(places.values()))[1]
        due = self._now + self._outbound.schedule.interval(1)
        return [Submission(envelope, dict(enumerate(places)), why, due)]

    @property
    def _isAnyTaken(self) -> bool:
        """Whether somebody will have the message, so that a refusal of all of it would not be true."""
        fates = {outcome.fate for outcomes in self._stored for outcome in outcomes}
        return bool(fates - {Fate.FAILED}) or any(way.leaving for way in self._ways)

    @property
    def _isToldByMail(self) -> bool:
        """Whether who failed is told of in a report, because others succeed and the answer is one for all."""
        return self._isAnyTaken and self._envelope.sender is not None and not self._envelope.isAnsweredEach

    def _reports(self, message: MessageSource) -> list[Report]:
        tidings = []
        for way, outcomes in zip(self._ways, self._stored, strict=True):
            failed = next((outcome for outcome in outcomes if outcome.fate is Fate.FAILED), None)
            if failed is not None and self._isToldByMail:
                reply = failed.remark or str(failed.refusal or "")
                tidings.append(Tidings(way.recipient, Action.FAILED, statusOf(failed), reply, tried=self._now))
            elif outcomes and not way.leaving and all(outcome.fate is Fate.DELIVERED for outcome in outcomes):
                tidings.append(Tidings(way.recipient, Action.DELIVERED, "2.0.0", tried=self._now))
            elif way.isExpanded:
                tidings.append(Tidings(way.recipient, Action.EXPANDED, "2.0.0", tried=self._now))
        about = QueuedMessage(0, self._envelope, self._now, message.size, 0)
        return self._outbound.bouncer.reports(about, tidings, message)

    def _outcome(self, way: _Way, outcomes: Sequence[Outcome], error: Refusal | None) -> Outcome:
        kinds = {outcome.fate for outcome in outcomes}
        if error is not None and (way.leaving or Fate.DEFERRED in kinds or (Fate.FAILED in kinds and self._isToldByMail)):
            return Outcome(Fate.DEFERRED if error.isTemporary else Fate.FAILED, error)
        if Fate.FAILED in kinds:
            failed = merged([outcome for outcome in outcomes if outcome.fate is Fate.FAILED])
            if not self._isToldByMail:
                return failed
            return Outcome(Fate.QUEUED, remark=f"refused, and the sender is told: {failed.refusal or failed.remark}")
        if way.leaving or Fate.DEFERRED in kinds:
            return Outcome(Fate.QUEUED, remark=f"queue {', '.join(map(str, self._queued))}")
        return merged(outcomes)
