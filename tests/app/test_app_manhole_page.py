"""The walk in docs/manhole.md, played in a running server over real SSH: what is shown is what stands there."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import re
import shutil
import smtplib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailfw.app.shell.lessons import LESSONS

PAGE = Path(__file__).parent.parent.parent / "docs" / "manhole.md"
MESSAGE = b"From: Mary Brain <mbrain@localhost>\r\nTo: jsmith@localhost\r\nSubject: Lunch\r\n\r\nAt noon?\r\n"
ALIKE = (
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE"),
    (r"[0-9.]+ (B|KiB|s|min|octets)\b", r"N \1"),
    (r"\(\d+ octets\)|about \d+ octets", "N octets"),
    (r"(imap|pop3)-[0-9a-f]+", r"\1-N"),
    (r"for 0\.[23]\d s", "for N s"),
    (r" +", " "),
)


def alike(line: str) -> str:
    """A line without what differs from one time to the next."""
    for pattern, word in ALIKE:
        line = re.sub(pattern, word, line)
    return line.strip()


def told(lines: list[str]) -> list[str]:
    """Lines that can be compared: on a busy machine any statement may have held up the server, but one must have."""
    held, asked, found = "(that held up the server", "", []
    for line in map(alike, lines):
        asked = line if line.startswith(">>> ") else asked
        if not line.startswith(held) or "sleep" in asked:
            found.append(line)
    return found


def walk() -> list[str]:
    """The lines of the page's transcripts."""
    blocks = re.findall(r"^```pycon\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@contextlib.contextmanager
def reading(port: int) -> Iterator[None]:
    """jsmith reads his mail over IMAP."""
    with imaplib.IMAP4("127.0.0.1", port, timeout=120) as client:
        client.login("jsmith", "mailfw")
        client.select("INBOX")
        yield


def fetch(port: int) -> None:
    """jsmith's other program looks for new mail over POP3."""
    client = poplib.POP3("127.0.0.1", port, timeout=120)
    client.user("jsmith")
    client.pass_("mailfw")
    client.stat()
    client.retr(1)
    client.quit()


def play(screen: Any, port: int) -> list[str]:
    """Type the statements of the page; what is on the screen then."""
    for line in walk():
        if not line.startswith((">>> ", "...")):
            continue
        if line.startswith(">>> trace("):
            screen.waitForPrompt()
            screen.type(line[4:] + "\r")
            screen.waitForText("-- listening")
            fetch(port)
            screen.waitForText("-- closed")
            screen.type("q")
            screen.waitForPrompt()
        else:
            screen.ask(line[4:])
    return list(screen.lines[1:-1])  # without the greeting, and the prompt that comes last


def client(kind: str, port: int, tmp_path: Path) -> list[str]:
    if kind == "console":
        return [sys.executable, "-c", "from mailfw.app.cli import main; main()", "console"]
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (tmp_path / "mailfw-data" / "manhole_authorized_keys").write_text((tmp_path / "key.pub").read_text())
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")
    words = ["ssh", "-F", "none", "-p", str(port), "-i", str(tmp_path / "key"), *(f"-o{each}" for each in options)]
    return [*words, "admin@127.0.0.1"]


@pytest.mark.parametrize("kind", ["ssh", "console"])
def test_theWalkShowsWhatThePageSays(kind: str, start: Callable[..., Any], terminal: Callable[..., Any], tmp_path: Path) -> None:
    if kind == "ssh" and shutil.which("ssh") is None:
        pytest.skip("needs OpenSSH's client")
    server = start(services=("smtp", "submission", "pop3", "imap", "manhole"))
    server.waitFor("Log in as")
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as smtp:
        smtp.sendmail("mbrain@localhost", ["jsmith@localhost"], MESSAGE)
    with smtplib.SMTP("127.0.0.1", server.port("submission"), timeout=120) as smtp:
        smtp.login("mbrain", "mailfw")
        smtp.sendmail("mbrain@localhost", ["jane@example.com"], MESSAGE)
    with reading(server.port("imap")):
        screen = terminal(*client(kind, server.port("manhole"), tmp_path))
        shown = play(screen, server.port("pop3"))
    assert told(shown) == told(walk())
    screen.type("\x04")
    assert screen.end() == 0
    server.waitFor(r"typed: inbox\[1\]\.structure")
    server.waitFor(r"looks into INBOX of jsmith@localhost")


def test_everyExampleOfTheLessonsWorks(start: Callable[..., Any], terminal: Callable[..., Any], tmp_path: Path) -> None:
    server = start(services=("smtp", "submission", "imap"))
    server.waitFor("Log in as")
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as smtp:
        for _ in range(5):
            smtp.sendmail("mbrain@localhost", ["jsmith@localhost"], MESSAGE)
    examples = [line[4:] for lesson in LESSONS.values() for line in lesson.split("\n") if line.startswith(">>> ")]
    assert len(examples) > 40
    screen = terminal(*client("console", 0, tmp_path))
    for example in examples:
        screen.waitForPrompt()
        begun = len(screen.said)
        screen.type(example.replace("inbox.uid(17)", "inbox.uid(1)") + "\r")
        if example.startswith(("trace", "watch")) or "live=True" in example:
            screen.waitFor(lambda at=begun: "-- listening" in screen.said[at:] or "any key ends this" in screen.said[at:])
            if "seconds" not in example:
                screen.type("q")
        screen.waitFor(lambda at=begun: "\r\n" in screen.said[at:] and screen.lines[-1] == ">>> ")
        said = screen.said[begun:]
        assert "Traceback" not in said, said
        assert "Error" not in said, said
        if "Problem" in said:
            assert "there is no message 17 in the queue" in said
