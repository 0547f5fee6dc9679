"""Functions with addresses, in the trap."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
MODULE = """
from pathlib import Path

from mailfw import mail

@mail.route("ticket-{id:int}@{domain}")
def ticket(message, id, domain):
    if id == 3 and not Path("now").exists():
        raise LookupError("not yet")
    return [mail.Deliver("support", mailbox="Tickets"), mail.Reply(f"Your ticket is {id}.")]

@mail.route("wait@{domain}")
async def wait(message, domain):
    from twisted.internet import reactor
    from twisted.internet.task import deferLater
    await deferLater(reactor, 0.05)
    return mail.Deliver("support")

@mail.route("hello@shop.example")
def hello(message):
    return mail.Reply("Hello!") if message.subject == "hello" else {}["?"]
"""
SUITE = """
import smtplib
import time
from pathlib import Path
import pytest

@pytest.fixture(autouse=True)
def desk(mailfw):
    mailfw.account("support")
    mailfw.load("tickets", path="own")

def send(mailfw, to, subject="hello"):
    with smtplib.SMTP(*mailfw.smtp) as smtp:
        smtp.sendmail("shop@example.com", [to], f"Subject: {subject}\\r\\n\\r\\nhello\\r\\n")

def waitForProblem(mailfw):
    end = time.monotonic() + 60
    while not mailfw.problems and time.monotonic() < end:
        time.sleep(0.01)

def test_answers(mailfw):
    send(mailfw, "ticket-17@localhost")
    assert mailfw.outbox.waitFor(text="Your ticket is 17.", timeout=60).recipients == ("shop@example.com",)
    assert mailfw.account("support").mailbox("Tickets").waitFor(subject="hello", timeout=60).text == "hello\\n"

def test_unknown(mailfw):
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(mailfw, "ticket-x@localhost")
    assert list(mailfw.outbox) == []

def test_fails_at_first(mailfw):
    send(mailfw, "ticket-3@localhost")
    waitForProblem(mailfw)
    assert mailfw.problems == ["ticket-3@localhost: tickets.ticket: LookupError: not yet (tickets.py:9)"]
    assert list(mailfw.outbox) == []
    Path("now").touch()
    mailfw.outbox.waitFor(text="Your ticket is 3.", timeout=60)
    assert mailfw.problems == []

def test_domains_of_patterns_are_the_traps(mailfw):
    send(mailfw, "hello@shop.example")
    assert mailfw.outbox.waitFor(text="Hello!", timeout=60)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(mailfw, "nobody@shop.example")

def test_who_waits_is_told_what_failed(mailfw):
    send(mailfw, "hello@shop.example", "x")
    waitForProblem(mailfw)
    with pytest.raises(AssertionError, match="hello@shop.example: tickets.hello: KeyError"):
        mailfw.outbox.waitFor(text="Hello!", timeout=0.5)

def test_waits(mailfw):
    send(mailfw, "wait@localhost")
    assert mailfw.account("support").waitFor(subject="hello", timeout=60)
"""


def test_functions(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    (pytester.path / "own").mkdir()
    (pytester.path / "own" / "tickets.py").write_text(MODULE)
    (pytester.path / "test_own.py").write_text(SUITE)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    installed = [] if entry_points(group="pytest11", name="mailfw") else ["-p", "mailfw.trap.plugin"]
    outcomes = pytester.runpytest_subprocess(*installed, "-p", "no:twisted", timeout=300).parseoutcomes()
    assert outcomes == {"passed": 6}
