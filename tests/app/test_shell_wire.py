"""What a trace shows of a conversation, and what it never does."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.app.shell.page import Style, oneLine, printable, table
from mailfw.app.shell.wire import WIRES, Wire

SECRET = "Geheim-42"
CODED = base64.b64encode(f"\0jsmith\0{SECRET}".encode()).decode()


def shown(protocol: str, *talk: str | int, isKnown: bool = False, cut: int = 0) -> list[str]:
    """The lines that a conversation becomes; a number stands for octets of the client's that are no line."""
    said: list[str] = []
    wire = WIRES.get(protocol, Wire)(lambda text, style: said.append(text), lambda: isKnown)
    for each in talk:
        if isinstance(each, int):
            wire.readPast(each)
        elif each.startswith("C: "):
            wire.heard(each[3:].encode("utf-8", "surrogateescape"))
        else:
            data = each[3:].encode("utf-8", "surrogateescape") + b"\r\n"
            pieces = [data[at : at + cut] for at in range(0, len(data), cut)] if cut else [data]
            for piece in pieces:
                wire.told(piece)
    wire.ended()
    return said


SMTP = (
    "S: 220 mail.example.org ready",
    "C: EHLO there",
    "S: 250 HELP",
    f"C: AUTH PLAIN {CODED}",
    "S: 535 5.7.8 no",
    "C: auth login",
    "S: 334 VXNlcm5hbWU6",
    "C: anNtaXRo",
    "S: 334 UGFzc3dvcmQ6",
    f"C: {SECRET}",
    "S: 235 2.7.0 welcome",
    f"C: {CODED}",
    f"C: AUTH {CODED}",
    "S: 503 5.5.1 no",
    "C: DATA",
    "S: 354 go on",
    1000,
    234,
    "S: 250 2.0.0 accepted",
)


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_SMTPIsShownWithoutSecretsAndMail(cut: int) -> None:
    assert shown("SMTP", *SMTP, cut=cut) == [
        "S: 220 mail.example.org ready",
        "C: EHLO there",
        "S: 250 HELP",
        "C: AUTH PLAIN ***",
        "S: 535 5.7.8 no",
        "C: auth LOGIN",
        "S: 334 ***",
        "C: ***",
        "S: 334 ***",
        "C: ***",
        "S: 235 2.7.0 welcome",
        "C: ***",
        "C: AUTH ***",
        "S: 503 5.5.1 no",
        "C: DATA",
        "S: 354 go on",
        "C: (message, 1234 octets)",
        "S: 250 2.0.0 accepted",
    ]


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_POP3IsShownWithoutSecretsAndMail(cut: int) -> None:
    talk = ("C: USER jsmith", "S: +OK", f"C: pass {SECRET}", "S: +OK", f"C: AUTH PLAIN {CODED}", "S: -ERR no", "C: AUTH PLAIN")
    more = ("S: + ", f"C: {CODED}", "S: +OK", f"C: {SECRET}")
    mail = ("C: RETR 1", "S: +OK", "S: Subject: mine", "S: .", "C: AUTH", "S: .")
    assert shown("POP3", *talk, *more, *mail, cut=cut) == [
        "C: USER jsmith",
        "S: +OK",
        "C: PASS ***",
        "S: +OK",
        "C: AUTH PLAIN ***",
        "S: -ERR no",
        "C: AUTH PLAIN",
        "S: + ***",
        "C: ***",
        "S: +OK",
        "C: ***",
        "C: RETR 1",
        "S: +OK",
        "S: (message, about 15 octets) .",
        "C: AUTH",
        "S: .",
    ]


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_IMAPIsShownWithoutSecretsAndMail(cut: int) -> None:
    before = (
        f"C: a LOGIN jsmith {SECRET}",
        "S: a NO",
        f'C: a login "j\\"s" "{SECRET}"',
        "S: a NO",
        "C: a LOGIN {6}",
        "S: + go on",
        6,
        "C:  {9}",
        "S: + go on",
        9,
        "C: ",
        "S: a NO",
        "C: b AUTHENTICATE PLAIN",
        "S: + ",
        f"C: {CODED}",
        "S: b NO",
        f"C: b AUTHENTICATE PLAIN {CODED}",
        "S: b NO",
        f"C: {CODED}",
        "S: * BAD",
        f"C: c LOGON jsmith {SECRET}",
        "S: c BAD",
        f"C: LOGIN jsmith {SECRET}",
        "S: * BAD",
        "C: d CAPABILITY",
        "S: d OK",
    )
    assert shown("IMAP", *before, cut=cut) == [
        "C: a LOGIN jsmith ***",
        "S: a NO",
        'C: a login "j\\"s" ***',
        "S: a NO",
        "C: a LOGIN ***",
        "S: + go on",
        "C: (literal, masked)",
        "C: ***",
        "S: + go on",
        "C: (literal, masked)",
        "C: ***",
        "S: a NO",
        "C: b AUTHENTICATE PLAIN",
        "S: +",
        "C: ***",
        "S: b NO",
        "C: b AUTHENTICATE PLAIN ***",
        "S: b NO",
        "C: ***",
        "S: * BAD",
        "C: ***",
        "S: c BAD",
        "C: ***",
        "S: * BAD",
        "C: d CAPABILITY",
        "S: d OK",
    ]
    after = ("C: e FETCH 1 BODY[]", "S: * 1 FETCH (BODY[] {8}", "S: {9}min", "S: )", "S: e OK", "C: f APPEND x {99}", 99, "C: ")
    assert shown("IMAP", *after, isKnown=True, cut=cut) == [
        "C: e FETCH 1 BODY[]",
        "S: * 1 FETCH (BODY[] {8} (and 8 octets)",
        "S: )",
        "S: e OK",
        "C: f APPEND x {99}",
        "C: (literal, 99 octets)",
        "C: ",
    ]


LINES = st.sampled_from(
    [
        *("AUTH PLAIN", f"AUTH PLAIN {CODED}", "a LOGIN {9}", f"a LOGIN x {SECRET}", f"PASS {SECRET}", SECRET, CODED, "*"),
        *("b AUTHENTICATE LOGIN", f"{SECRET} {SECRET}", f"X {CODED}", "", "a", "USER x", "DATA", "QUIT"),
    ]
)


@given(st.sampled_from(["SMTP", "LMTP", "POP3", "IMAP", "finger"]), st.lists(LINES, max_size=12))
def test_whateverTheOrderNoSecretIsShown(protocol: str, lines: list[str]) -> None:
    """Even from a client that is out of step."""
    text = "\n".join(shown(protocol, *(f"C: {line}" for line in lines)))
    assert SECRET not in text
    assert CODED not in text


def test_whatIsLongIsShortened() -> None:
    lines = shown("IMAP", "C: a LIST", *(f"S: * LIST () {number}" for number in range(50)), "S: a OK", isKnown=True)
    assert len(lines) == 1 + 20 + 2
    assert lines[-2:] == ["S: … 30 lines more", "S: a OK"]
    [line] = shown("SMTP", f"C: EHLO {'x' * 10000}")
    assert line == f"C: EHLO {'x' * 495} … 9505 octets more"
    [line] = shown("SMTP", f"S: 250 {'x' * 10000}")
    assert len(line) < 600
    assert line.endswith(" octets more")


@given(st.text(max_size=100))
def test_nothingThatIsShownCanChangeATerminal(text: str) -> None:
    assert all(each.isprintable() or each in "\n\t" for each in printable(text))
    assert oneLine(text).isprintable()
    for protocol in ("SMTP", "POP3", "IMAP"):
        for line in shown(protocol, f"C: NOOP {text}".replace("\n", ""), f"S: {text}".replace("\n", ""), isKnown=True):
            assert line.isprintable()


def test_aTableIsInColumnsWhateverIsInIt() -> None:
    lines = table(("NAME", "SIZE#"), [("日本", 5), ("\x1b[31mx\ny\u202e", 1234)], "none")
    assert [line.text for line in lines] == [
        "NAME                  SIZE",
        "日本                     5",
        "\\x1b[31mx\\x0ay\\u202e  1234",
    ]
    assert lines[0].style is Style.HEAD
    assert [line.text for line in table(("NAME",), [], "none")] == ["none"]
