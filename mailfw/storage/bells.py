"""Change notification: who watches an account is rung for after a commit. The log is the truth; a bell only wakes."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger
from zope.interface import Interface, implementer

Bell = Callable[[str], None]


class IChangeBus(Interface):
    """Carries hints that something changed; they may merge or get lost. For the reactor's thread."""

    def publish(account: str, mailboxId: str, modSeq: int) -> None:
        """Something changed in a mailbox, and is durable."""

    def subscribe(account: str, bell: Bell) -> Callable[[], None]:
        """Call `bell(mailboxId)` after changes in the account, until the function that is returned is called."""

    def watched() -> list[str]:
        """Accounts that somebody watches."""


@implementer(IChangeBus)
class Bells:
    """The bus inside one process. Between `hold` and `release` rings for the same mailbox merge."""

    log = Logger()

    def __init__(self) -> None:
        self._bells: dict[str, list[Bell]] = {}
        self._held: dict[tuple[str, str], None] | None = None

    def publish(self, account: str, mailboxId: str, modSeq: int) -> None:
        if account not in self._bells:
            return
        if self._held is not None:
            self._held[account, mailboxId] = None
            return
        for bell in list(self._bells.get(account, ())):
            try:
                bell(mailboxId)
            except Exception:
                self.log.failure("a bell raised")

    def subscribe(self, account: str, bell: Bell) -> Callable[[], None]:
        self._bells.setdefault(account, []).append(bell)

        def unsubscribe() -> None:
            bells = self._bells.get(account, [])
            if bell in bells:
                bells.remove(bell)
            if not bells:
                self._bells.pop(account, None)

        return unsubscribe

    def watched(self) -> list[str]:
        return list(self._bells)

    def hold(self) -> None:
        """A batch of changes begins to be told."""
        if self._held is None:
            self._held = {}

    def release(self) -> None:
        """It has been told: ring, once for each mailbox."""
        held, self._held = self._held, None
        for account, mailboxId in held or ():
            self.publish(account, mailboxId, 0)
