"""The player sees when a page is wrong, and knows who says which line."""

from __future__ import annotations

from pathlib import Path

import pytest
from alike import Mismatch, alike, difference
from blocks import DOCS, Block
from playing import Player
from transcript import Kind, lines


def kinds(text: str) -> str:
    """One letter a line: C(ommand), O(utput), T(yped), S(erver)."""
    return "".join(line.kind.name[0] for line in lines(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$ ls\na\nb\n$ cd x", "COOC"),
        ("$ cat <<EOF\n> a\n> EOF\na", "CCCO"),
        (
            "$ nc -C localhost 1025\n220 x\nHELO y\n250 x\nDATA\n354 go\n250 a text\n\n* so\n.\n250 ok\nQUIT\n221 x\n$ ls",
            "CSTSTSTTTTSTSC",
        ),
        ("$ nc -C localhost 1025\n220 x\nDATA\n503 first\nQUIT", "CSTST"),
        ("$ nc -C localhost 1110\n+OK\nSTAT\n+OK 1 2\nRETR 1\n+OK\nQUIT\n\n+OK\n.\nLIST 1\n+OK 1 2\nQUIT\n+OK", "CSTSTSSSSSTSTS"),
        ("$ telnet localhost 1143\n* OK\na1 NOOP\n* 1 EXISTS\na1 OK\na2 IDLE\n+ idling\n* 2 EXISTS\nDONE\na2 OK", "CSTSSTSSTS"),
        ("$ nc -C localhost 1143\na1 FETCH\n* 1 FETCH (BODY[] {5}\na\nb)\na1 OK\na2 NOOP", "CTSSSST"),
        ("$ nc -C localhost 1143\na1 FETCH\n* 1 FETCH (BODY[] {3}\na\n)\na1 OK\na2 NOOP", "CTSSSST"),
        ("$ nc -C localhost 1143\na1 APPEND INBOX {7}\n+ go\nab\nc\n\na1 OK\na2 NOOP", "CTSTTTST"),
    ],
)
def test_who_says_which_line(text: str, expected: str) -> None:
    assert kinds(text) == expected


def test_a_block_may_go_on_with_a_conversation() -> None:
    assert [line.kind for line in lines("* 2 EXISTS\nDONE\n", isTalking=True)] == [Kind.SERVER, Kind.TYPED]


def test_what_differs_is_made_alike() -> None:
    assert alike("250 2.0.0 accepted as 6b049dde-2b83ec43b6a0 ") == "250 2.0.0 accepted as <id>"
    assert alike("SIZE   AGE  NEXT") == alike("SIZE  AGE  NEXT"), "a column is wider when it took longer"
    assert alike("4 databases, 1.25 s") == alike("4 databases, 0.5 s") == "4 databases, <age>"
    assert difference(["a", "..."], ["a"]) == difference(["a ... c"], ["a b c"]) == ""
    assert difference(["...", "z"], ["x", "y", "z"]) == ""
    assert difference(["a"], ["b"]) and difference(["a"], ["a", "b"]) and difference(["a ... c"], ["a b d"])


@pytest.fixture
def player(tmp_path: Path):
    player = Player(tmp_path)
    yield player
    player.close()


def block(text: str, **words: object) -> Block:
    return Block(DOCS / "index.md", 1, "console", text, **words)


def test_a_page_that_is_wrong_is_found(player: Player) -> None:
    player.play(block("$ echo one; echo two\none\ntwo\n"))
    prepared = block("$ cat made\nsomething\n", first=("echo something > made",))
    player.begin(prepared)
    player.play(prepared)
    for text, told in {
        "$ echo one\ntwo\n": "index.md:1: echo one",
        "$ echo one; echo two\none\n": "what happens\n  | one\n  | two",
        "$ false\n": "it ends with status 1",
        "220 localhost\n": "no conversation is open",
    }.items():
        with pytest.raises(Mismatch, match=told.replace("|", r"\|")):
            player.play(block(text))


@pytest.mark.interop
def test_a_conversation_that_is_wrong_is_found(player: Player) -> None:
    player.play(block("$ nc -C localhost 1025\n220 localhost ESMTP mailfw\nHELO test\n250 localhost\n"))
    with pytest.raises(Mismatch, match=r"250 2\.1\.0"):
        player.play(block("MAIL FROM:<>\n550 5.1.0 no\n"))
    with pytest.raises(Mismatch, match=r"221 2\.0\.0"):
        player.play(block("$ nc -C localhost 1025\n220 localhost ESMTP mailfw\nQUIT\n250 stay\n"))
