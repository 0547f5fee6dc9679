"""How much one sender may send: so many recipients an hour, of an account, and of an address that nobody logged in from.

Whoever has been silent may send an hour's worth at once, and then as many as come back with time. Unknown recipients count too,
so that nobody learns who is there by asking for everybody. What is remembered is bounded: who was silent longest is forgotten
first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from attrs import define
from twisted.logger import Logger

from mailfw.errors import RateExceeded
from mailfw.values import Envelope, Peer

HOUR = 3600.0

CAPACITY = 100_000
"""Senders that are remembered."""


@define
class _Bucket:
    """:ivar left: recipients that may still come, at :ivar at:. :ivar isTold: that there are none was logged."""

    left: float
    at: float
    isTold: bool = False


class Rates:
    """:param now: seconds, of any clock that does not go back.
    :ivar perSender: recipients an hour of one account; 0: any number.
    :ivar perAddress: of one IP address (IPv6: one /64) that nobody has logged in from; 0: any number. This machine may always.
    """

    log = Logger("mailfw.delivery")

    def __init__(self, now: Callable[[], float], perSender: int = 0, perAddress: int = 0, capacity: int = CAPACITY) -> None:
        self.perSender = perSender
        self.perAddress = perAddress
        self._now = now
        self._capacity = capacity
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, envelope: Envelope, peer: Peer) -> None:
        """Count one recipient. :raises RateExceeded: there were too many."""
        who, limit = self._who(envelope, peer)
        if limit and who:
            self._take(who, limit)

    def giveBack(self, envelope: Envelope, peer: Peer, count: int) -> None:
        """So many recipients that were counted get no message, or are counted again."""
        who, limit = self._who(envelope, peer)
        if who in self._buckets:
            self._buckets[who].left = min(limit, self._buckets[who].left + count)

    def _who(self, envelope: Envelope, peer: Peer) -> tuple[str, int]:
        """Whose account it goes to, and the limit of that."""
        if envelope.identity is not None:
            return envelope.identity.account, self.perSender
        return _networkOf(peer), self.perAddress

    def _take(self, who: str, limit: int) -> None:
        now = self._now()
        bucket = self._buckets.setdefault(who, _Bucket(limit, now))
        self._buckets.move_to_end(who)
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        bucket.left = min(limit, bucket.left + (now - bucket.at) * limit / HOUR)
        bucket.at = now
        if bucket.left < 1:
            if not bucket.isTold:
                self.log.warn("{who} sends more than {limit} recipients an hour", who=who, limit=limit)
            bucket.isTold = True
            raise RateExceeded(f"no more than {limit} recipients an hour, try again later")
        bucket.left -= 1
        bucket.isTold = False


def _networkOf(peer: Peer) -> str:
    """What is counted together; empty for this machine itself, and for what waited in our queue."""
    if peer.isLoopback or peer.isUnix or not peer.host:
        return ""
    try:
        address = ip_address(peer.host)
    except ValueError:
        return ""
    return f"{IPv6Address(int(address) >> 64 << 64)}/64" if isinstance(address, IPv6Address) else str(address)
