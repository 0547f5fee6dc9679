"""Mail to code as an administrator has it: modules in the data directory, a reload, a mistake, and what the command says."""

from __future__ import annotations

import json
import re
import signal
import smtplib
from pathlib import Path
from typing import Any

import pytest

CONFIGURATION = """
hostname = "mail.localhost"
domains = ["localhost"]
data = "mailfw-data"
[auth]
sources = ["passwd:{users}"]
rehash = false
[queue]
retry = ["1s"]
[code]
modules = ["tickets"]
"""
TICKETS = """
import threading
from mailfw import mail

@mail.route("ticket-{id:int}@localhost")
def ticket(message, id):
    assert threading.current_thread() is not threading.main_thread()
    if message.subject == "again":
        raise LookupError("no such ticket")
    return mail.Deliver("mbrain", mailbox=f"Tickets/{id}")

@mail.route("block@localhost")
async def block(message):
    import time
    time.sleep(0.3)
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """The module's file; the configuration names it."""
    (tmp_path / "mailfw.toml").write_text(CONFIGURATION.format(users=tmp_path / "users"))
    (tmp_path / "users").write_text("mbrain@localhost:{PLAIN}mailfw\n")
    path = tmp_path / "mailfw-data" / "code" / "tickets.py"
    path.parent.mkdir(parents=True)
    path.write_text(TICKETS)
    return path


def send(server: Any, *recipients: str, subject: str = "x") -> None:
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as smtp:
        smtp.sendmail("shop@example.com", recipients, f"Subject: {subject}\r\n\r\nHello\r\n")


def test_from_smtp_to_the_mailbox_and_through_reloads(module: Path, start: Any, command: Any) -> None:
    server = start("--config", "mailfw.toml", services=("smtp",))
    send(server, "ticket-17@localhost")
    server.waitFor(r"queue \d+ .*<ticket-17@localhost>: delivered .*tickets\.ticket: to mbrain@localhost in Tickets/17")
    server.waitFor(r"to <mbrain@localhost>: delivered .*Tickets/17 UID 1")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(server, "ticket-x@localhost")
    assert refused.value.recipients["ticket-x@localhost"][0] == 550

    send(server, "ticket-18@localhost", subject="again")
    server.waitFor(r"tickets\.ticket failed .*LookupError: no such ticket \(tickets\.py:9\)")
    server.waitFor(r"\(tickets\.ticket: LookupError: no such ticket \(tickets\.py:9\)\); again in")
    said = command("--config", "mailfw.toml", "queue", "list").stdout
    assert "tickets.ticket: LookupError: no such ticket (tickets.py:9)" in said
    send(server, "block@localhost")
    held = server.waitFor(r"function tickets\.block held the reactor for (\d+\.\d+) s")
    assert float(held[1]) >= 0.3

    module.write_text("import nonesuch\n")
    server.process.send_signal(signal.SIGHUP)
    server.waitFor("module tickets cannot be imported: ModuleNotFoundError.*its functions stay as they were")
    lines = len(server.lines)
    server.waitFor(r"tickets\.ticket failed .*LookupError: no such ticket \(tickets\.py:9\)", start=lines)
    send(server, "ticket-19@localhost")
    server.waitFor(r"Tickets/19 UID 1")

    module.write_text(TICKETS.replace("raise LookupError", "return mail.Discard").replace("ticket-", "case-"))
    lines = len(server.lines)
    server.process.send_signal(signal.SIGHUP)
    server.waitFor("reloaded", start=lines)
    listed = json.loads(command("--config", "mailfw.toml", "code", "list", "--json").stdout)
    assert [each["pattern"] for each in listed["routes"]] == ["block@localhost", "case-{id:int}@localhost"]
    matched = command("--config", "mailfw.toml", "code", "match", "case-7+x@localhost").stdout
    assert matched == 'tickets.ticket(message, id=7)   (the message\'s tag is "x")\n'
    assert command("--config", "mailfw.toml", "code", "match", "ticket-7@localhost").returncode == 1
    server.waitFor(r"<ticket-18@localhost>: failed 5\.1\.1")  # its address is nobody's any more

    tracebacks = [line for line in server.lines if re.search(r"builtins\.LookupError", line)]
    assert len(tracebacks) == 1, "the traceback stands in the log once, however often it is tried"
    assert server.stop() in (0, -signal.SIGTERM)


def test_a_module_that_is_broken_at_the_start(module: Path, start: Any, command: Any) -> None:
    module.write_text("from mailfw import mail\n@mail.route('a-{id}@localhost')\ndef a(message): pass\n")
    server = start("--config", "mailfw.toml", services=("smtp",))
    server.waitFor(r"mailfw: module tickets cannot be imported: RouteError: tickets\.a has no parameter id")
    assert server.process.wait(120) == 1
    listed = command("--config", "mailfw.toml", "code", "list")
    assert listed.returncode == 1 and "tickets.a has no parameter id" in listed.stderr and "tickets.py" in listed.stderr
