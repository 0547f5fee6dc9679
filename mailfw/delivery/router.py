"""Finds the way of each recipient, while the sender still listens.

A recipient is resolved when it is named, so that an unknown one is refused there and nobody has to send a bounce to an address
that may be forged; so is one put off whose account is full. What cannot be brought to its end from here is refused at once, in
honest words: mail for other systems is, as long as nothing here sends any.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from mailfw.delivery.local import LocalDelivery
from mailfw.errors import NoRoute, NoSuchRecipient, RelayDenied
from mailfw.interfaces import IDelivery, IDirectory, IMailStore, IRouter
from mailfw.values import Address, Envelope, MessageSource, Outcome, Peer, Recipient, Target


@implementer(IRouter)
class Router:
    """Opens deliveries into our store for what the directory knows."""

    def __init__(self, directory: IDirectory, store: IMailStore) -> None:
        self.directory = directory
        self.local = LocalDelivery(store)

    def begin(self, envelope: Envelope, peer: Peer) -> IDelivery:
        """A delivery for a message from `envelope.sender`."""
        return RoutedDelivery(self, envelope)


@implementer(IDelivery)
class RoutedDelivery:
    """One message on its way to recipients of ours."""

    def __init__(self, router: Router, envelope: Envelope) -> None:
        self._router = router
        self._envelope = envelope
        self._groups: list[Sequence[Target]] = []

    async def recipient(self, recipient: Recipient) -> None:
        """:raises NoSuchRecipient, RelayDenied, NoRoute, OverQuota, Unavailable:"""
        try:
            found = await self._router.directory.resolve(recipient.address)
        except RelayDenied:
            if self._envelope.identity is None:
                raise
            self._leave((recipient.address,))
            return
        if found.forwards:
            self._leave(found.forwards)
        if not found.targets:
            raise NoSuchRecipient()
        await self._router.local.mustHaveRoom(found.targets)
        self._groups.append(found.targets)

    def _leave(self, addresses: Sequence[Address]) -> None:
        """Send on to other systems. :raises NoRoute: no route leads to one of them."""
        raise NoRoute("this system delivers no mail to other domains")

    async def commit(self, message: MessageSource) -> list[Outcome]:
        """Deliver to every accepted recipient, in their order."""
        return await self._router.local.deliver(message, self._envelope.sender, self._groups)

    def abort(self) -> None:
        """Nothing was begun before `commit`."""
