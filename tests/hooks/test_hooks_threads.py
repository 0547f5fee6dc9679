"""Plain functions in threads: what comes when nobody waits for it any more."""

from __future__ import annotations

import queue
import threading

import pytest
from twisted.internet.defer import CancelledError

from mailfw.hooks.threads import Threads


class Reactor:
    """Keeps what threads want to be called."""

    def __init__(self):
        self.calls = queue.Queue()

    def callFromThread(self, function, *arguments):
        self.calls.put((function, arguments))

    def callNext(self):
        function, arguments = self.calls.get(timeout=120)
        function(*arguments)


@pytest.fixture
def reactor():
    return Reactor()


@pytest.fixture
def threads(reactor):
    threads = Threads(reactor)
    yield threads
    threads.close()


def test_a_result_comes_in_the_reactors_thread(reactor, threads):
    done = threads.run(threading.get_ident)
    assert not done.called
    reactor.callNext()
    found = []
    done.addCallback(found.append)
    assert found and found != [threading.get_ident()]


def test_what_comes_after_it_was_given_up_is_dropped(reactor, threads):
    isLate = threading.Event()
    done = threads.run(lambda: isLate.wait(10))
    done.cancel()
    failures = []
    done.addErrback(failures.append)
    isLate.set()
    reactor.callNext()
    assert failures[0].check(CancelledError) and len(failures) == 1
