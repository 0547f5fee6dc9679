"""Contents that have just come in. Most leave at once, and need not be read again for that; what is on disk is the truth."""

from __future__ import annotations

from collections import OrderedDict

CAPACITY = 16 << 20


class Fresh:
    """Octets by message, those that came first forgotten first; each is given out once.

    :param capacity: octets, all together.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._octets: OrderedDict[int, bytes] = OrderedDict()
        self._size = 0

    def put(self, id: int, octets: bytes) -> None:
        """Remember what is on disk now."""
        self._octets[id] = octets
        self._size += len(octets)
        while self._size > self._capacity:
            self._size -= len(self._octets.popitem(last=False)[1])

    def take(self, id: int) -> bytes | None:
        """A message's octets, if they are known; not again."""
        octets = self._octets.pop(id, None)
        if octets is not None:
            self._size -= len(octets)
        return octets

    def clear(self) -> None:
        """Forget all: some of it may be in the queue no longer."""
        self._octets.clear()
        self._size = 0
