"""Work in stretches lets others have their turns, whoever and however many have it to do."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.net.stretches import TURN, Stretches


class Worker:
    """Does so many stretches, each of which takes some time."""

    def __init__(self, name, stretches, clock, done):
        self.name, self.stretches, self.clock, self.done = name, stretches, clock, done

    async def work(self, count, seconds):
        for _ in range(count):
            await self.stretches.turn()
            self.clock.rightNow += seconds
            self.done.append(self.name)


def begin(count, stretches, seconds):
    """What is done, in its order, beside somebody who has something short to do again and again (`...`)."""
    clock, done = Clock(), []
    shared = Stretches(clock)
    for number in range(count):
        Deferred.fromCoroutine(Worker(number, shared, clock, done).work(stretches, seconds))

    def other(left):
        done.append(...)
        if left:
            clock.callLater(0, other, left - 1)

    clock.callLater(0, other, 8)
    assert done == []
    clock.advance(0)
    assert clock.getDelayedCalls() == []
    return done


def test_others_come_between_two_long_stretches():
    done = begin(3, 2, TURN)
    assert done[:12] == [0, ..., 1, ..., 2, ..., 0, ..., 1, ..., 2, ...]


def test_short_ones_are_done_together_but_nobody_comes_twice():
    done = begin(3, 2, TURN / 10)
    assert done[:8] == [0, 1, 2, ..., 0, 1, 2, ...]


def test_it_begins_anew_after_an_end():
    clock, done = Clock(), []
    shared = Stretches(clock)
    for _ in range(2):
        Deferred.fromCoroutine(Worker("a", shared, clock, done).work(1, 0))
        clock.advance(0)
    assert (done, clock.getDelayedCalls()) == (["a", "a"], [])
