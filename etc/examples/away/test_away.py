# test_away.py
import sys
from datetime import datetime
from pathlib import Path

import pytest

from mailfw.testing.code import Functions

DAY = 86400


class Time:
    seconds = datetime(2026, 12, 21, 12).timestamp()

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def functions(tmp_path, clock):
    functions = Functions("away", path=str(Path(__file__).parent))
    away = sys.modules["away"]
    away.DATABASE, away.now = str(tmp_path / "away.sqlite"), clock
    return functions


def answers(functions, sender="shop@example.com", to="ann@example.org", **keywords):
    """How many answers there are; the message is always delivered."""
    handled = functions.send(to, sender=sender, **keywords)
    assert [each.account for each in handled.delivered] == ["ann@example.org"]
    return len(handled.sent)


def test_an_answer(functions):
    (answer,) = functions.send("ann@example.org", subject="Tea?").sent
    assert (answer.sender, answer.recipients, answer.subject) == ("", ("shop@example.com",), "Auto: Tea?")
    assert answer["Auto-Submitted"] == "auto-replied" and "06 January 2027" in answer.text


def test_each_sender_once_a_week(functions, clock):
    assert [answers(functions), answers(functions), answers(functions, "x@example.com")] == [1, 0, 1]
    clock.seconds += 7 * DAY - 1
    assert answers(functions) == 0
    clock.seconds += 1
    assert answers(functions) == 1


def test_a_tag_is_no_other_person(functions):
    assert [answers(functions, to=to) for to in ("Ann+tea@example.org", "ann@example.org", "ann+tea@example.org")] == [1, 0, 0]


def test_only_while_away(functions, clock):
    clock.seconds -= 2 * DAY
    assert answers(functions) == 0
    clock.seconds += 30 * DAY
    assert answers(functions) == 0


@pytest.mark.parametrize("field", ["Auto-Submitted: auto-replied", "Precedence: bulk", "List-Id: <news.example.com>"])
def test_no_program_is_answered(functions, field):
    name, _, value = field.partition(": ")
    assert answers(functions, headers={name: value}) == 0


def test_neither_reports_nor_robots_nor_blind_copies(functions):
    assert answers(functions, sender="") == answers(functions, sender="no-reply@example.com") == 0
    assert answers(functions, content=b"To: everybody@example.com\r\n\r\nx\r\n") == 0


def test_its_own_answer_is_not_answered(functions):
    (answer,) = functions.send("ann@example.org").sent
    assert answers(functions, sender="bob@example.net", content=answer.content) == 0


def test_called_again_for_the_same_message(functions):
    handled = functions.send("ann@example.org")
    assert len(handled.again().sent) == 1, "what the first call returned may have been lost"
