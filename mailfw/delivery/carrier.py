"""Brings one message to recipients of one destination, over as many hops, connections and transactions as that takes.

Invariants: a recipient gets at most one 250 on one attempt; a hop that says of a recipient that it failed is believed; whoever
nothing was said about is told to the next hop. `commit` raises Unreachable only when nobody said anything about the message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from attrs import evolve
from zope.interface import implementer

from mailfw.delivery.destination import Hop, Security
from mailfw.delivery.downgrade import fitted
from mailfw.delivery.sessions import Calling, Sessions
from mailfw.errors import NotSupported, TemporaryRefusal, Unreachable
from mailfw.interfaces import IDelivery
from mailfw.smtp.client import ClientSession, mustHaveTLS
from mailfw.values import Envelope, Fate, MessageSource, Outcome, Recipient

HOPS = 5
"""Hops that are tried in one attempt."""

TOO_MANY = "4.5.3"
"""The status of a recipient that was one too many for a transaction."""

_UNSAID = (NotSupported, Unreachable)
"""Refusals that are ours, where a hop said nothing."""

Hops = Callable[[], Awaitable[Sequence[Hop]]]
"""Where to try, in that order. Raises Unreachable."""


@implementer(IDelivery)
class Carrier:
    """One message on its way over SMTP or LMTP.

    :param hops: asked when the message is to be sent.
    """

    def __init__(self, envelope: Envelope, hops: Hops, sessions: Sessions, calling: Calling) -> None:
        self._envelope = envelope
        self._hops = hops
        self._sessions = sessions
        self._calling = calling
        self._recipients: list[Recipient] = []
        self._outcomes: list[Outcome | None] = []
        self._closings = 0

    async def recipient(self, recipient: Recipient) -> None:
        """One more."""
        self._recipients.append(recipient)

    def abort(self) -> None:
        """Nothing was begun before `commit`."""

    async def commit(self, message: MessageSource) -> list[Outcome]:
        """:raises Unreachable:"""
        self._outcomes = [None] * len(self._recipients)
        self._closings = self._sessions.closings
        troubles: list[Unreachable] = []
        passed: dict[int, Outcome] = {}
        for hop in (await self._hops())[:HOPS]:
            if mustHaveTLS(self._envelope):
                hop = evolve(hop, security=Security.VERIFIED)  # RFC 8689 §4.2.1
            try:
                await self._bring(message, hop)
            except Unreachable as error:
                troubles.append(error)
            passed |= {n: outcome for n, outcome in self._passedBy().items() if n not in passed or outcome.fate is Fate.DEFERRED}
            if None not in self._outcomes:
                break
        self._outcomes = [outcome or passed.get(number) for number, outcome in enumerate(self._outcomes)]
        if troubles and self._outcomes.count(None) == len(self._outcomes):
            raise next((error for error in troubles if error.isTemporary), troubles[-1])
        return [outcome or self._unsaid(troubles) for outcome in self._outcomes]

    def _passedBy(self) -> dict[int, Outcome]:
        """Take out the outcomes of those whom the hop said nothing of: because it lacks what the message needs, and was not asked
        (another one may have it, and has to be looked for, RFC 8689 §4.2.1), or because it has gone before it had the message."""
        found = {n: outcome for n, outcome in enumerate(self._outcomes) if outcome and isinstance(outcome.refusal, _UNSAID)}
        self._outcomes = [None if number in found else outcome for number, outcome in enumerate(self._outcomes)]
        return found

    def _unsaid(self, troubles: Sequence[Unreachable]) -> Outcome:
        """The outcome of a recipient that no hop said anything about, while one did about others."""
        trouble = troubles[-1] if troubles else Unreachable("too many recipients", status=TOO_MANY)
        return Outcome(Fate.DEFERRED, TemporaryRefusal(trouble.text), trouble.text, trouble.status, trouble.host)

    async def _bring(self, message: MessageSource, hop: Hop) -> None:
        """Tell one hop of whoever is left. :raises Unreachable: it ended early."""
        session = self._sessions.take(hop, self._calling)
        isUsed = session is not None
        while None in self._outcomes:
            if session is not None and not session.fitting(self._left()):
                self._sessions.end(session)
                session, isUsed = None, False
            if session is None:
                if self._sessions.closings != self._closings:
                    raise Unreachable("the message was on its way when this system was stopped", host=hop.host)
                session = await self._sessions.open(hop, self._calling)
            try:
                isGoingOn = await self._transact(message, session)
            except Unreachable:
                session, isUsed, wasUsed = None, False, isUsed
                if not wasUsed:
                    raise
                continue  # the server has closed a connection that waited; that says nothing of the server
            isUsed = False
            if not isGoingOn:
                break
            if not session.mayGoOn:
                self._sessions.end(session)
                session = None
        if session is not None:
            self._sessions.keep(hop, self._calling, session)

    def _left(self) -> list[Recipient]:
        return [recipient for recipient, outcome in zip(self._recipients, self._outcomes, strict=True) if outcome is None]

    async def _transact(self, message: MessageSource, session: ClientSession) -> bool:
        """One transaction with some of those who are left; whether another one makes sense.

        :raises Unreachable: it came to nothing.
        """
        left = [number for number, outcome in enumerate(self._outcomes) if outcome is None]
        some = left[: session.fitting(self._left())]
        envelope, fit, content = fitted(session.features, self._envelope, [self._recipients[n] for n in some], message)
        outcomes = await session.send(envelope, fit, content)
        isProgress = any(outcome.fate is Fate.DELIVERED for outcome in outcomes)
        for number, outcome in zip(some, outcomes, strict=True):
            if not (isProgress and outcome.status == TOO_MANY):
                self._outcomes[number] = outcome
        return isProgress or len(some) < len(left)
