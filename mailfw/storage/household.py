"""What accounts have from their beginning, and what goes from them by itself: both are for an administrator to say.

Messages expire in mailboxes of a special use (`\\Trash`, `\\Junk`), whatever these are called: when they have been there for so
long, counted from when they came into that mailbox (SAVEDATE) and not from when they were sent. They are expunged as a client
would do it, so that sessions, logs and quotas know of it on every store.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.logger import Logger

from mailfw.errors import Refusal
from mailfw.interfaces import IStoreContext
from mailfw.sql import Connection
from mailfw.storage.rounds import Rounds
from mailfw.storage.transaction import OWN_WORK
from mailfw.values import FIRST_MAILBOXES, Create, Expunge, SpecialUse, UIDSet

if TYPE_CHECKING:
    from mailfw.storage.engine import Engine

INTERVAL = 3600.0  # seconds between rounds; the first comes after the first of them
PIECE = 500  # messages in one transaction
PAGE = 1000  # mailboxes looked at in one query

_MAILBOXES = """SELECT m.id, a.name, m.name, m.uid_validity, m.special_use FROM mailbox m JOIN account a ON a.id = m.account
    WHERE m.id > ? AND m.name IS NOT NULL AND m.special_use <> '' AND m.messages > 0 ORDER BY m.id LIMIT ?"""
_OLDEST = "SELECT uid, save_date FROM message WHERE mailbox = ? ORDER BY uid LIMIT ?"


@frozen
class Household:
    """:ivar mailboxes: what a new account has beside INBOX, subscribed to.
    :ivar expiry: seconds that a message stays in a mailbox of a use; what is not named stays.
    :ivar clock: IReactorTime, by which it expires; None: nothing does.
    """

    mailboxes: tuple[Create, ...] = FIRST_MAILBOXES
    expiry: Mapping[SpecialUse, float] = field(factory=dict)
    clock: Any = None  # an interface that is not typed upstream

    @classmethod
    def of(cls, context: IStoreContext) -> Household:
        """As a store is told when it is opened."""
        return cls(tuple(context.mailboxes), dict(context.expiry), context.reactor)


USUAL = Household()
"""The first mailboxes as they are where nobody says otherwise; nothing expires."""

_Mailbox = tuple[int, str, str, int, str]
"""Its key, the account's name, its own, UIDVALIDITY and uses."""


class Expiry:
    """Lets the messages of one engine expire."""

    log = Logger()

    def __init__(self, engine: Engine, household: Household) -> None:
        self._engine = engine
        self._periods = household.expiry
        self._clock = household.clock
        self._rounds = Rounds("letting messages expire", self._look, INTERVAL, household.clock)

    def start(self) -> None:
        """Begin, if anything expires."""
        if self._periods and self._clock is not None:
            self._rounds.start()

    async def stop(self) -> None:
        """End; a round that is under way comes to its end at the next mailbox."""
        await self._rounds.stop()

    async def _look(self) -> None:
        last, page = 0, PAGE
        while page == PAGE and self._rounds.isGoing:
            found: list[_Mailbox] = await self._engine.database.read(partial(_mailboxes, last))
            for mailbox in found:
                last = mailbox[0]
                periods = [self._periods[use] for use in map(SpecialUse, mailbox[4].split()) if use in self._periods]
                if periods and self._rounds.isGoing:
                    await self._clear(mailbox, self._engine.now() - min(periods))
            page = len(found)

    async def _clear(self, mailbox: _Mailbox, before: float) -> None:
        number, owner, name, uidValidity, _ = mailbox
        last = 0
        try:
            while uids := await self._engine.database.read(partial(_due, number, before)):
                if uids[0] <= last:
                    return  # it could not be removed, and is left for the next round
                last = uids[-1]
                account = await self._engine.account(owner)
                expunging = Expunge(name, UIDSet.fromUIDs(uids), onlyDeleted=False, uidValidity=uidValidity)
                await self._engine.apply(account, [expunging], OWN_WORK)
        except Refusal as refusal:
            self.log.info("messages of {owner} could not expire: {refusal}", owner=owner, refusal=refusal)


def _mailboxes(after: int, connection: Connection) -> list[_Mailbox]:
    return list(connection.execute(_MAILBOXES, (after, PAGE)))


def _due(mailbox: int, before: float, connection: Connection) -> list[int]:
    """The first messages that came before then. UIDs are in the order of coming, so the first that is not due ends them."""
    rows = connection.execute(_OLDEST, (mailbox, PIECE))
    return [uid for uid, _ in takewhile(lambda row: row[1] <= before, rows)]
