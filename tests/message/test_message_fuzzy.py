"""Words that nearly match, and how well messages fit (RFC 6203)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message import fuzzy, plan
from mailfw.message.criteria import FUZZY_WORDS, And, Body, HasFlag, Header, Not, Or, Text
from mailfw.message.criteria import fuzzy as asFuzzy
from mailfw.message.fuzzy import Word
from mailfw.message.text import fold
from mailfw.values import Column


@pytest.mark.parametrize(
    ("word", "text", "score"),
    [
        ("imap", "IMAP", 100),
        ("imap", "an IMAP server", 100),
        ("imap", "imaptest", 80),
        ("imap", "unimaple", 80),
        ("helo", "hello", 50),
        ("hello", "helo", 50),
        ("hello", "hallo", 50),
        ("hello", "ehllo", 50),
        ("hello", "helol", 50),
        ("break", "braeking", 50),
        ("hello", "hxxlo", 1),
        ("hello", "shalo", 1),
        ("at", "it", 1),
        ("müller", "mueller", 50),
        ("müller", "Muller", 50),
        ("äpfel", "ÄPFEL", 100),
        ("c++", "c++", 80),
    ],
)
def test_how_near_is_near(word, text, score):
    needle = Word.of(word)
    assert needle.score(text) == score
    assert needle.isIn(text) is (score > 1)


def test_each_word_is_asked_for_by_itself():
    assert asFuzzy(Header("Subject", "IMAP  break!")) == And((Header("Subject", "IMAP", True), Header("Subject", "break", True)))
    assert asFuzzy(Body("---")) == Body("---")
    assert asFuzzy(HasFlag("\\Seen")) == HasFlag("\\Seen")


def test_words_are_asked_for_once_and_not_without_end():
    assert asFuzzy(Body("hello " * 400)) == And((Body("hello", True),))
    many = asFuzzy(Text(" ".join(f"word{number}" for number in range(400))))
    assert many == And(tuple(Text(f"word{number}", True) for number in range(FUZZY_WORDS)))


class Content:
    def __init__(self, octets):
        self.octets = octets
        self.size = len(octets)

    def read(self, start=0, length=-1):
        return self.octets[start:] if length < 0 else self.octets[start : start + length]


HEADER = b"Subject: imap breaks\r\nFrom: anna@example.org\r\n\r\n"
ROW = [HEADER, Content(HEADER + b"the body says hello\r\n")]


@pytest.mark.parametrize(
    ("criterion", "score"),
    [
        (asFuzzy(Header("subject", "imap")), 100),
        (asFuzzy(Header("subject", "imap break")), 90),
        (asFuzzy(Body("hello")), 90),
        (asFuzzy(Text("hello")), 90),
        (asFuzzy(Text("imap")), 100),
        (asFuzzy(Body("helo")), 45),
        (Or((asFuzzy(Header("subject", "imap")), asFuzzy(Header("from", "berta")))), 50),
        (And((asFuzzy(Header("subject", "imap")), Not(asFuzzy(Body("hello"))))), 100),
        (And((asFuzzy(Header("subject", "imap")), Header("from", "anna"))), 100),
        (Header("from", "anna"), 100),
    ],
)
def test_how_well_a_message_fits(criterion, score):
    relevancy = fuzzy.compile(criterion)
    assert relevancy.score(ROW[: len(relevancy.columns)]) == score


def test_only_what_is_needed_is_read():
    assert fuzzy.compile(asFuzzy(Header("subject", "x"))).columns == (Column.HEADER,)
    assert fuzzy.compile(asFuzzy(Body("x"))).columns == (Column.HEADER, Column.CONTENT)
    assert fuzzy.compile(Body("x")).columns == ()


letters = st.text("abcdeü", min_size=1, max_size=12)


@given(letters, letters)
def test_an_index_is_asked_for_no_more_than_a_match_has(word, text):
    """What is found has at least one of the pieces."""
    pieces = fuzzy.pieces(word)
    if Word.of(word).isIn(text) and pieces:
        assert any(piece in fold(text) for piece in pieces)


@given(letters, st.integers(0, 11), st.sampled_from("abcdeü"), st.sampled_from(["drop", "change", "add", "swap"]))
def test_one_mistake_is_forgiven(word, at, letter, mistake):
    at %= len(word)
    wrong = {
        "drop": word[:at] + word[at + 1 :],
        "change": word[:at] + letter + word[at + 1 :],
        "add": word[:at] + letter + word[at:],
        "swap": word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
    }[mistake]
    isASCII = word.isascii() and letter.isascii()
    if isASCII and len(word) >= 4:
        assert Word.of(word).isIn(f"some {wrong}, and more")
    pieces = fuzzy.pieces(word)
    if pieces and Word.of(word).isIn(wrong):
        assert any(piece in fold(wrong) for piece in pieces)


def test_a_long_word_costs_little():
    found = plan.plan(asFuzzy(Body("x" * 5000)))
    assert isinstance(found, plan.Contains)
    assert not Word.of("x" * 5000).isIn("y" * 100_000)
    assert not Word.of("abcdefghijklmnopqrstuvwxyz").isIn("abcdefghijklm " * 10_000)
