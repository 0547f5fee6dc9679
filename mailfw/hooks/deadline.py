"""What other people's functions are given to answer: a time."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Late(Exception):
    """Nobody has answered by the deadline."""


async def within(calling: Deferred[T], seconds: float, reactor: Any) -> T:
    """What `calling` comes to. :param reactor: IReactorTime.

    :raises Late: it takes longer, and was cancelled; nobody hears of what becomes of it then.
    """
    if calling.called and not calling.paused:
        return await calling
    first: Deferred[T] = Deferred()

    def pass_(result: Any) -> None:
        if not first.called:
            first.callback(result)

    calling.addBoth(pass_)
    timer = reactor.callLater(seconds, lambda: first.errback(Late()))
    try:
        return await first
    except Late:
        calling.cancel()
        raise
    finally:
        if timer.active():
            timer.cancel()
