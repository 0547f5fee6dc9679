"""A prompt as its user and its server meet it, on a terminal that is made up, by a clock that is."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from mailfw.app.problem import Problem
from mailfw.app.shell import interpreter
from mailfw.app.shell.history import KEPT, History
from mailfw.app.shell.names import Leave, watch
from mailfw.app.shell.page import Page, Text
from mailfw.app.shell.prompt import Prompt


class Pipe:
    """The other end."""

    def __init__(self) -> None:
        self.said = ""
        self.status: int | None = None
        self.isBlocked = False

    def write(self, data: bytes) -> None:
        self.said += data.decode()

    def leave(self, status: int) -> None:
        self.status = status

    @property
    def plain(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.said)


class Visit:
    """A prompt with everything around it."""

    def __init__(self, directory: Path, isTerminal: bool) -> None:
        self.pipe, self.clock = Pipe(), Clock()
        self.cancelled: list[object] = []
        self.waiting: Deferred[Any] = Deferred(self.cancelled.append)
        self.names: dict[str, Any] = {"waiting": self.waiting, "exit": Leave(), "watch": watch}
        self.history = str(directory / "history")
        history = History(self.history, "admin")
        self.prompt = Prompt(self.pipe, self.names, "admin", "manhole-1", history, self.clock, isTerminal)
        self.prompt.begin()

    def type(self, *lines: str) -> str:
        """What is shown after these lines."""
        start = len(self.pipe.said)
        for line in lines:
            self.prompt.dataReceived(line.encode() + (b"\r" if self.prompt.isTerminal else b"\n"))
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.pipe.said[start:])


@pytest.fixture
def piped(tmp_path: Path) -> Visit:
    return Visit(tmp_path, False)


@pytest.fixture
def visit(tmp_path: Path) -> Visit:
    return Visit(tmp_path, True)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "mailfw.manhole":
            lines.append(f"{event.get('session')} {formatEvent(event)}")

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def test_withoutATerminalOnlyWhatStatementsShowIsShown(piped: Visit) -> None:
    said = piped.type("1 + 1", "x = 3", "None", "print('a\\nb')", "'\\x1b'", "print('\\x1b[31m')")
    assert said == "2\na\nb\n'\\x1b'\n\\x1b[31m\n"
    piped.prompt.dataReceived(b"x")
    assert piped.pipe.status is None
    piped.prompt.inputEnded()
    assert piped.pipe.said.endswith("3\n")
    assert piped.pipe.status == 0


def test_aFailureIsToldAndIsTheStatus(piped: Visit) -> None:
    said = piped.type("1 / 0", "2")
    steps = 'Traceback (most recent call last):\n  File "<console>", line 1, in <module>\n'
    assert said == f"{steps}ZeroDivisionError: division by zero\n2\n"
    piped.prompt.inputEnded()
    assert piped.pipe.status == 1


def test_aProblemIsOneLine(piped: Visit) -> None:
    piped.names["f"] = lambda: (_ for _ in ()).throw(Problem("say which"))
    assert piped.type("next(iter(f()))") == "Problem: say which\n"


@pytest.mark.parametrize(("word", "status"), [("exit", 0), ("exit()", 0), ("exit(3)", 3), ("raise SystemExit('no')", 1)])
def test_exitLeaves(piped: Visit, word: str, status: int) -> None:
    piped.type(word, "print('not this')")
    assert piped.pipe.status == status
    assert "not this" not in piped.pipe.said


def test_whatHasToBeAwaitedIs(piped: Visit) -> None:
    assert piped.type("async def f(): return await waiting", "", "f()", "print('later')") == ""
    piped.waiting.callback(5)
    assert piped.pipe.said == "5\nlater\n"
    assert piped.type("x = await f()", "x, _") == "(None, 5)\n"


def test_whatIsPrintedAfterAWaitIsPrintedHere(piped: Visit, capsys: pytest.CaptureFixture[str]) -> None:
    piped.type("async def f():", "    await waiting", "    print('here')", "", "await f()")
    print("there")
    piped.waiting.callback(None)
    assert piped.pipe.said == "here\n"
    assert capsys.readouterr().out == "there\n"


def test_CtrlCGivesUpWhatIsWaitedFor(visit: Visit) -> None:
    assert visit.type("await waiting", "typed ahead").endswith("\r\n")
    visit.prompt.dataReceived(b"\x03")
    assert "cancelled\r\n" in visit.pipe.plain
    assert visit.pipe.plain.endswith("\r>>> \r")
    assert "2\r\n" in visit.type("1 + 1")


def test_CtrlCGivesUpTheLine(visit: Visit) -> None:
    visit.type("for x in y:")
    visit.prompt.dataReceived(b"    z\x03")
    assert visit.pipe.plain.endswith("\r>>> \r")
    assert "2\r\n" in visit.type("1 + 1")


def test_whoGoesAwayWaitsNoLonger(visit: Visit) -> None:
    visit.type("await waiting")
    visit.prompt.lost()
    assert visit.cancelled == [visit.waiting]


def test_whatHoldsUpTheServerIsToldAndLogged(visit: Visit, logged: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    visit.names["work"] = lambda seconds: now.__setitem__(0, now[0] + seconds)
    monkeypatch.setattr(visit.prompt._interpreter, "_clock", lambda: now[0])
    assert "held up" not in visit.type(f"work({interpreter.BLOCKED})")
    assert "(that held up the server, and everybody in it, for 0.35 s)" in visit.type("work(0.35)")
    assert "manhole-1 a statement of admin held up the server for 0.35 s" in logged
    visit.type("async def f(): work(0.09); await waiting; work(0.09)", "")
    said = visit.type("await f()")
    visit.waiting.callback(None)
    assert "held up" not in said + visit.pipe.plain.rpartition("await f()")[2]


def test_eachStatementIsLoggedOnceWithItsSecretsMasked(visit: Visit, logged: list[str]) -> None:
    visit.type("1 + 1", "for x in []:", "    pass", "", "f(password='geheim')", "x = (")
    assert [line for line in logged if "typed" in line] == [
        "manhole-1 admin typed: 1 + 1",
        "manhole-1 admin typed: for x in []:\n    pass\n",
        "manhole-1 admin typed: f(password='***')",
    ]


def test_theHistoryIsKeptForItsOwnerAndHoldsNoSecrets(visit: Visit, tmp_path: Path) -> None:
    visit.type("1 + 1", "f(password='geheim')", "'second'")
    path = Path(visit.history) / "admin"
    assert path.read_text() == "1 + 1\n'second'\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(visit.history).stat().st_mode) == 0o700
    again = Visit(tmp_path, True)
    again.prompt.dataReceived(b"\x1b[A\x1b[A")
    assert again.pipe.plain.endswith("\r>>> 1 + 1\r")


@pytest.mark.parametrize("user", ["../admin", "..", "", ".", "a/b", "\x00", "x" * 1000])
def test_aHistoryIsNowhereElseWhateverSomebodyIsCalled(user: str, tmp_path: Path) -> None:
    history = History(str(tmp_path / "history"), user)
    history.keep("1")
    assert sorted(os.listdir(tmp_path)) == ["history"]
    assert len(os.listdir(tmp_path / "history")) == 1
    assert History(str(tmp_path / "history"), user).lines == ["1"]


def test_aHistoryIsNotEndless(tmp_path: Path) -> None:
    history = History(str(tmp_path), "admin")
    for number in range(2 * KEPT + 1):
        history.keep(str(number))
    assert History(str(tmp_path), "admin").lines[-1] == str(2 * KEPT)
    assert len((tmp_path / "admin").read_text().splitlines()) == KEPT


def test_tabCompletesNames(visit: Visit) -> None:
    visit.names.update(sessions=len, services=1)
    visit.prompt.dataReceived(b"sess\t")
    assert visit.pipe.plain.endswith("\r>>> sessions\r")
    visit.prompt.dataReceived(b"\x15se\t\t\t")
    assert "\nservices  sessions  set  " in visit.pipe.plain


@pytest.mark.parametrize("text", ["services['ses", 'services["a"]["ses', r"f('it\'s ses"])
def test_tabLeavesTextsAsTheyAre(visit: Visit, text: str) -> None:
    visit.names.update(sessions=len)
    visit.prompt.dataReceived(text.encode() + b"\t")
    assert "sessions" not in visit.pipe.plain
    visit.prompt.dataReceived(b"\x15f('x', ses\t")
    assert visit.pipe.plain.endswith("f('x', sessions\r")


def test_aTerminalIsGivenBackAsItWas(visit: Visit) -> None:
    visit.prompt.dataReceived(b"\x04")
    assert visit.pipe.status == 0
    assert visit.pipe.said.count("\x1b[?2004h") == visit.pipe.said.count("\x1b[?2004l") == 1
    assert "\x1bc" not in visit.pipe.said


def test_whatIsWatchedIsMadeAnewUntilAKeyIsPressed(visit: Visit) -> None:
    count = [0]

    def look() -> Page:
        count[0] += 1
        return Page([f"seen {count[0]} \x1b[31m times"])

    visit.names["look"] = look
    said = visit.type("watch(look, every=1)")
    assert "seen 1 \\x1b[31m times" in said
    visit.clock.advance(1)
    assert "seen 2" in visit.pipe.plain
    visit.pipe.isBlocked = True
    visit.clock.advance(1)
    assert "seen 3" not in visit.pipe.plain
    visit.prompt.dataReceived(b"q")
    assert visit.pipe.said.count("\x1b[?1049h") == visit.pipe.said.count("\x1b[?1049l") == 1
    assert visit.pipe.plain.endswith("\r>>> \r")
    assert visit.clock.getDelayedCalls() == []


def test_whatIsWatchedWithoutATerminalIsShownOnce(piped: Visit) -> None:
    piped.names["look"] = lambda: Text("seen")
    assert piped.type("watch(look)", "2") == "seen\n2\n"


def test_whoSendsWithoutEndIsHungUpOn(piped: Visit) -> None:
    piped.type("await waiting")
    for _ in range(40):
        piped.prompt.dataReceived(b"x" * 65536)
    assert piped.pipe.status == 1
    piped.prompt.lost()


def test_aWideValueIsCutAndCanBeHadWhole(piped: Visit) -> None:
    said = piped.type("'x' * 30000")
    assert "10002 characters more: print(_) shows them all" in said
    assert len(piped.type("print(_)")) == 30001
