"""What the source of accounts says that accounts may hold, remembered for a moment. For the reactor's thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from mailfw.storage.transaction import bounded
from mailfw.values import Append, Copy, Create, Operation, Quota, Rename

BELIEVED = 5.0  # seconds for which the source is not asked again

_GROWS = (Append, Copy, Create, Rename)  # renaming INBOX makes a mailbox


class Limits:
    """Asks a source.

    :param quotaOf: an account's limits, by its canonical name (`IQuotas.quotaOf`).
    """

    def __init__(self, quotaOf: Callable[[str], Awaitable[Quota]], now: Callable[[], float]) -> None:
        self._quotaOf = quotaOf
        self._now = now
        self._known: dict[str, tuple[Quota, float]] = {}

    async def of(self, account: str) -> Quota:
        """The limits of an account."""
        quota, until = self._known.get(account, (Quota(), 0.0))
        if self._now() >= until:
            quota = await self._quotaOf(account)
            bounded(self._known)
            self._known[account] = (quota, self._now() + BELIEVED)
        return quota

    def forget(self, account: str) -> None:
        """Ask the source the next time."""
        self._known.pop(account, None)

    async def forOperations(self, account: str, operations: Sequence[Operation]) -> Quota | None:
        """The same where the operations may make the account hold more, and None where they do not."""
        return await self.of(account) if any(isinstance(one, _GROWS) for one in operations) else None
