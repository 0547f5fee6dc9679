"""Who asks the same at the same time is answered by one reading, which began after it asked."""

import pytest
from twisted.internet.defer import Deferred

from mailfw.storage.sharing import Sharing


class Readings:
    """Readings that end when the test says so; each answers how many had begun before it."""

    def __init__(self):
        self.begun = []

    async def __call__(self):
        number = len(self.begun)
        self.begun.append(Deferred())
        await self.begun[number]
        return number

    def end(self, number):
        self.begun[number].callback(None)


@pytest.fixture
def readings():
    return Readings()


def test_those_who_come_during_a_reading_share_the_next(readings):
    sharing, answers = Sharing(), []
    for _ in range(5):
        sharing.ask("inbox", readings).addCallback(answers.append)
    assert len(readings.begun) == 1
    readings.end(0)
    assert (answers, len(readings.begun)) == ([0], 2)
    sharing.ask("inbox", readings).addCallback(answers.append)
    readings.end(1)
    assert answers == [0, 1, 1, 1, 1]
    readings.end(2)
    assert answers == [0, 1, 1, 1, 1, 2]
    sharing.ask("inbox", readings).addCallback(answers.append)
    assert len(readings.begun) == 4


def test_what_differs_is_read_apart(readings):
    sharing = Sharing()
    sharing.ask(("inbox", 1), readings)
    sharing.ask(("inbox", 2), readings)
    assert len(readings.begun) == 2


def test_a_failure_is_everybodys(readings):
    sharing, failures = Sharing(), []
    for _ in range(3):
        sharing.ask("inbox", readings).addErrback(lambda failure: failures.append(failure.check(ValueError)))
    readings.begun[0].errback(ValueError())
    readings.begun[1].errback(ValueError())
    assert failures == [ValueError] * 3
    sharing.ask("inbox", readings)
    assert len(readings.begun) == 3
