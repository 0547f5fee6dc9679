"""What SIGTERM and SIGINT (Ctrl-C) do: the first stops the server gracefully, a further one has it hurry.

Twisted's own handlers take every one for the first, and complain of the second that the reactor does not run.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Stands before the handlers that are installed when this is made: the reactor's, once it runs.

    :param hurry: called in the reactor's thread for each signal after the first.
    """

    def __init__(self, reactor: Any, hurry: Callable[[], object]) -> None:
        # reactor: IReactorFromThreads; an interface that is not typed upstream
        self._reactor = reactor
        self._hurry = hurry
        self._isStopping = False
        # One that whoever started us has us ignore (a shell does that to SIGINT for programs in the background) stays ignored.
        self._first = {number: handler for number in STOPPING if callable(handler := signal.getsignal(number))}
        for number in self._first:
            signal.signal(number, self._received)

    def _received(self, number: int, frame: FrameType | None) -> None:
        first = self._first[signal.Signals(number)]
        if self._isStopping:
            self._reactor.callFromThread(self._hurry)
            return
        self._isStopping = True
        first(number, frame)
