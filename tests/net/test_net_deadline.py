"""A deadline passes once, at the last time it was set to, and costs the clock nothing while it is moved back."""

from twisted.internet.task import Clock

from mailfw.net.deadline import Deadline


def test_it_passes_once_when_it_has_moved_back_and_forth():
    clock, passed = Clock(), []
    deadline = Deadline(clock, lambda: passed.append(clock.seconds()))
    deadline.set(10)
    clock.advance(9)
    deadline.set(10)
    clock.pump([1] * 9)
    assert passed == []
    deadline.set(0.5)
    clock.pump([0.25] * 40)
    assert passed == [18.5]


def test_moving_it_back_asks_nothing_of_the_clock():
    clock = Clock()
    deadline = Deadline(clock, lambda: None)
    deadline.set(10)
    (call,) = clock.getDelayedCalls()
    deadline.set(20)
    assert clock.getDelayedCalls() == [call]
    assert call.getTime() == 10


def test_none_and_cancelling():
    clock, passed = Clock(), []
    deadline = Deadline(clock, lambda: passed.append(True))
    deadline.set(1)
    deadline.set(None)
    clock.advance(2)
    deadline.set(1)
    deadline.cancel()
    assert clock.getDelayedCalls() == []
    clock.advance(2)
    assert passed == []


def test_it_may_be_set_anew_when_it_passes():
    clock, passed = Clock(), []

    def again():
        passed.append(clock.seconds())
        deadline.set(60)

    deadline = Deadline(clock, again)
    deadline.set(1)
    clock.pump([1] * 130)
    assert passed == [1, 61, 121]
