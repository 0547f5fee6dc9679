"""A deadline that is moved far more often than it passes: with every command, and with every piece of a message."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """At most one call of the clock, which is left where it is when the deadline moves back and looks anew when it comes.

    :param passed: called when it has passed; may set it anew.
    """

    def __init__(self, clock: IReactorTime, passed: Callable[[], None]) -> None:
        self._clock = clock
        self._passed = passed
        self._at: float | None = None
        self._call: IDelayedCall | None = None

    def set(self, seconds: float | None) -> None:
        """So many seconds from now, whatever it was before; None: there is none."""
        if seconds is None:
            self._at = None
            return
        self._at = self._clock.seconds() + seconds
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._look)
        elif self._call.getTime() > self._at:
            self._call.reset(seconds)

    def cancel(self) -> None:
        """There is none, and the clock knows nothing of it any more."""
        call, self._call, self._at = self._call, None, None
        if call is not None:
            call.cancel()

    def _look(self) -> None:
        self._call = None
        if self._at is None:
            return
        left = self._at - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._look)
        else:
            self._at = None
            self._passed()
