"""One reading for all who ask the same at the same time: two hundred sessions that one bell woke up.

Invariant: what an asker gets was read after it asked. So nobody joins a reading that is under way; those who come meanwhile
share the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

Work = Callable[[], Coroutine[Any, Any, Any]]
"""Reads what its key stands for; of each key its own type, hence `Any`."""


class Sharing:
    """Readings under way, by what they read."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Deferred[Any]]] = {}  # behind the reading that is under way

    def ask(self, key: Hashable, work: Work) -> Deferred[Any]:
        """What `work` returns or raises, which is the same for all that ask with this key."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            asked: Deferred[Any] = Deferred()
            waiting.append(asked)
            return asked
        self._waiting[key] = []
        return Deferred.fromCoroutine(work()).addBoth(self._done, key, work)

    def _done(self, result: Any, key: Hashable, work: Work) -> Any:
        """The next reading begins, if anybody waits for it."""
        waiting = self._waiting.pop(key)
        if waiting:
            self._waiting[key] = []
            Deferred.fromCoroutine(work()).addBoth(self._done, key, work).addBoth(_answer, waiting)
        return result


def _answer(result: Any, waiting: list[Deferred[Any]]) -> None:
    for asked in waiting:
        if isinstance(result, Failure):
            asked.errback(result)
        else:
            asked.callback(result)
