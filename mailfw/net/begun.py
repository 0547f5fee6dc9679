"""Coroutines that mostly have nothing to wait for."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any

from twisted.internet.defer import Deferred


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that waits for `awaited`."""
    try:
        while True:
            try:
                result = yield awaited
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(result)
    except StopIteration:
        return


def begun(coroutine: Coroutine[Any, Any, None]) -> Deferred[None] | None:
    """Run a coroutine as far as it goes; None when that is its end, else its rest as a Deferred.

    Most commands wait for nothing, and a Deferred made for each would be a sixth of what a small message costs.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    return Deferred.fromCoroutine(_resumed(coroutine, awaited))
