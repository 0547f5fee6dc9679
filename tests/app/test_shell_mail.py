"""Mail looked at from the prompt: which messages are meant, and that looking changes nothing."""

from __future__ import annotations

import imaplib
import smtplib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.app.shell.mail import numbers

HTML = (
    b"From: \x1b[31mEve <eve@example.org>\r\nTo: jsmith@localhost\r\nSubject: =?utf-8?q?=1B=5D0=3Bowned=07_=E2=80=AE?=\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"<style>x</style><p>Gr=C3=BC=C3=9Fe\x1b[2J</p>\r\n"
    b'--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename="a\x1b[31m.png"\r\n\r\nxx\r\n--b--\r\n'
)


@given(st.integers(0, 30), st.integers(1, 40), st.integers(1, 40))
def test_rangesAreIMAPs(count: int, first: int, last: int) -> None:
    whole = range(1, count + 1)

    def chosen(first: int | None, last: int | None) -> list[int]:
        start, end = numbers(first, last, count)
        return list(range(start, end + 1))

    assert chosen(None, None) == list(whole)
    assert chosen(first, last) == [each for each in whole if first <= each <= last]
    assert chosen(None, last) == [each for each in whole if each <= last]
    assert chosen(-last, None) == list(whole)[-last:]
    assert chosen(first, -last) == [each for each in whole if first <= each <= count + 1 - last]


@pytest.mark.parametrize("store", ["sqlite:mail", "maildir:mail"])
def test_mailIsLookedAtAndNothingIsChangedOrCanDoHarm(
    store: str, start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))
    server = start("--store", store, services=("smtp", "imap"), tool=start.patient)
    server.waitFor("Log in as")
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as smtp:
        smtp.sendmail("eve@example.org", ["jsmith@localhost"], HTML)
        smtp.sendmail("eve@example.org", ["jsmith@localhost"], b"Subject: second\r\n\r\ntwo\r\n")

    def ask(*statements: str) -> str:
        words = [sys.executable, "-c", "from mailfw.app.cli import main; main()", "console"]
        typed = "".join(f"{statement}\n" for statement in statements)
        return subprocess.run(words, cwd=tmp_path, input=typed, capture_output=True, text=True, timeout=300).stdout

    said = ask(
        'inbox = store.account("jsmith")["INBOX"]',
        *("inbox", "inbox[:1]", "inbox[1]", "inbox[1].headers", "inbox[1].text", "inbox[1].structure", "inbox.uid(2).text"),
        *("print(await inbox[1].text)", "len(await inbox[1].raw) > 300", "await inbox[-1].flags"),
    )
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "\\x1b]0;owned\\x07" in said
    assert "\\x1b[31mEve <eve@example.org>" in said
    assert said.count("Grüße\\x1b[2J") == 3
    assert "<p>" not in said
    assert "image/png  2 octets" in said
    assert said.endswith("two\nGrüße\\x1b[2J\nTrue\nfrozenset()\n")
    account, inbox = 'store.account("jsmith")', 'store.account("jsmith")["INBOX"]'
    said = ask(*['store.account("nobody")'] * 2, f'{account}["No"]', f"{inbox}[3]", f"{inbox}.uid(9)", f"{inbox}[0]")
    assert said.splitlines() == [
        *["Problem: there is no account nobody@localhost"] * 2,
        "NoSuchMailbox: no such mailbox",
        "Problem: there is no message 3 in INBOX",
        "Problem: there is no message with UID 9 in INBOX",
        "Problem: messages are numbered from 1, as in IMAP; [-1] is the last",
    ]
    with imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=120) as client:
        client.login("jsmith", "mailfw")
        client.select("INBOX")
        assert client.recent()[1] == [b"2"]
        assert client.fetch("1:2", "(FLAGS)")[1] == [b"1 (FLAGS (\\Recent))", b"2 (FLAGS (\\Recent))"]
