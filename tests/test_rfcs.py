"""What the servers announce and what `docs/rfcs.tsv` says is there are the same.

A row whose second column begins with a word in capitals is about an extension, or several, by the names that servers announce
(`LITERAL+`; `AUTH=` and `RIGHTS=` stand for all of IMAP's, and a limit is left off); what follows a colon is a remark. Any
other row is about a section.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from mailfw.imap.server import imap
from mailfw.pop3.server import pop3
from mailfw.sasl.exchange import MECHANISMS
from mailfw.smtp.server import lmtp, smtp, submission
from mailfw.storage.memory import memory
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World

ROOT = Path(__file__).parent.parent
HEADING, *ROWS = [line.split("\t") for line in (ROOT / "docs/rfcs.tsv").read_text().splitlines()]
_NAME = r"[A-Z0-9][A-Z0-9=+-]+(?:rev[12])?"
NAMES = re.compile(rf"{_NAME}(?:, {_NAME})*(?=:|$)")


def names(row):
    """The extensions that a row is about."""
    found = NAMES.match(row[1])
    return set(found[0].split(", ")) if found else set()


def stated(room, status="yes"):
    """The extensions that rows of a room say are there, or are not."""
    return {name for row in ROWS if row[3] == room and row[2].startswith(status) for name in names(row)}


def naturally(row):
    """Numbers in their order, as people sort; what has no RFC last."""
    number, section = row[:2]
    parts = re.split(r"(\d+)", section)
    return number == "-", int(number) if number.isdigit() else 0, [int(part) if part.isdigit() else part for part in parts]


def test_every_row_is_whole_and_in_its_place():
    assert HEADING == ["RFC", "section or extension", "status", "room", "test"]
    for row in ROWS:
        assert len(row) == 5 and all(row), row
        assert re.fullmatch(r"\d+|-", row[0]) and row[2].startswith(("yes", "no")), row
        assert all((ROOT / "mailfw" / room).is_dir() for room in row[3].split(", ")), row
    assert sorted(ROWS, key=naturally) == ROWS


def test_every_row_names_tests_that_are_there():
    assert [(row[0], test) for row in ROWS for test in row[4].split() if not (ROOT / test).is_file()] == []


def announced(service, login, ask):
    """What a service says of itself in every state: in clear and under TLS, from near and far, before login and after."""
    said = []
    for peer in "127.0.0.1", "192.0.2.1":
        for isTLS in False, True:
            clock = Clock()
            world = World(memory.openStore("", FakeStoreContext("", clock=clock)), clock=clock)
            transport = world.connect(service, IPv4Address("TCP", peer, 40000))
            transport.connection.isTLS = isTLS
            for line in ask, *login, ask:
                transport.send(line + b"\r\n")
                world.advance()
            said.append(transport.take().decode())
            transport.hangUp()
            world.closeStore()
    return said


def words(pattern, said):
    """The first group of every match."""
    found = {match[1] for text in said for match in re.finditer(pattern, text, re.MULTILINE)}
    assert found
    return found


@pytest.mark.parametrize(
    ("service", "hello", "login"),
    [
        (smtp, b"EHLO client", b"AUTH PLAIN AGpzbWl0aABtYWlsZnc="),
        (submission, b"EHLO client", b"AUTH PLAIN AGpzbWl0aABtYWlsZnc="),
        (lmtp, b"LHLO client", b"NOOP"),
    ],
    ids=["smtp", "submission", "lmtp"],
)
def test_smtp(service, hello, login):
    said = announced(service, [login], hello)
    keywords = words(r"^250[- ]([A-Z0-9]+)(?: [^\r\n]*)?\r$", said) - {"OK"}
    assert keywords == stated("smtp") - ({"AUTH"} if service is lmtp else set())
    assert not keywords & stated("smtp", "no")


def test_pop3():
    said = announced(pop3, [b"USER jsmith", b"PASS mailfw"], b"CAPA")
    assert "+OK 0 messages" in said[0]
    keywords = words(r"^([A-Z][A-Z0-9-]+)(?: [^\r\n]*)?\r$", said)
    assert keywords == stated("pop3")
    assert not keywords & stated("pop3", "no")


def test_imap():
    said = announced(imap, [b"b LOGIN jsmith mailfw"], b"a CAPABILITY")
    assert "b OK" in said[0]
    lists = words(r"CAPABILITY ([^]\r\n]+)", said)
    keywords = {re.sub(r"(?<=^AUTH=).*|(?<=^RIGHTS=).*|=\d+$", "", word) for line in lists for word in line.split()}
    assert keywords == stated("imap")
    assert not keywords & stated("imap", "no")


def test_mechanisms():
    assert stated("sasl") == set(MECHANISMS)
