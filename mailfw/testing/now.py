"""Coroutines in tests where nothing waits for real."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def result(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns or raises that has nothing to wait for. :raises AssertionError: it waits."""
    found: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(found.append)
    assert found, "it waits"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    value: T = found[0]
    return value
