"""Parameters of SELECT, modifiers of FETCH and STORE, and parts of results."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.imap.grammar.commands import Unreadable, parse
from mailfw.imap.grammar.fetch import Attribute
from mailfw.imap.grammar.modifiers import MAX_MODSEQ, FetchModifiers, Resync, SelectParameters
from mailfw.imap.grammar.partial import Partial
from mailfw.imap.grammar.tokens import CommandText
from mailfw.values import UIDSet


def read(octets):
    return parse(CommandText(b"a " + octets)).command


def uids(text):
    return UIDSet.parse(text)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (b"", SelectParameters()),
        (b" (condstore)", SelectParameters(isCondstore=True)),
        (b" (QRESYNC (7 90))", SelectParameters(resync=Resync(7, 90))),
        (b" (QRESYNC (7 90 41,43:211))", SelectParameters(resync=Resync(7, 90, uids("41,43:211")))),
        (b" (QRESYNC (7 90 (1,3 5,8)))", SelectParameters(resync=Resync(7, 90, None, uids("1,3"), uids("5,8")))),
        (
            b" (CONDSTORE QRESYNC (7 90 1:9 (1:2 5,8)))",
            SelectParameters(True, Resync(7, 90, uids("1:9"), uids("1:2"), uids("5,8"))),
        ),
    ],
)
def test_select_parameters(text, parameters):
    assert read(b"SELECT INBOX" + text).parameters == parameters
    assert read(b"EXAMINE INBOX" + text).parameters == parameters


@pytest.mark.parametrize(
    "text",
    [
        b" ()", b" (QRESYNC)", b" (QRESYNC ())", b" (QRESYNC (7))", b" (QRESYNC (0 1))", b" (QRESYNC (7 90 1:*))", b" QRESYNC",
        b" (QRESYNC (7 90 1:9 (1:2 5)))", b" (QRESYNC (7 90 (* 5)))", b" (QRESYNC (7 90) QRESYNC (7 90))", b" (CONDSTORE",
        b" (QRESYNC (7 9223372036854775808))", b" (QRESYNC (7 90 1:9 ))", b" (FROTZ)", b" ",
    ],
)  # fmt: skip
def test_select_parameters_that_are_none(text):
    with pytest.raises(Unreadable):
        read(b"SELECT INBOX" + text)


@pytest.mark.parametrize(
    ("text", "modifiers"),
    [
        (b"", FetchModifiers()),
        (b" (CHANGEDSINCE 12)", FetchModifiers(12)),
        (b" (vanished changedsince 12)", FetchModifiers(12, True)),
        (b" (PARTIAL -1:-3)", FetchModifiers(partial=Partial(1, 3, True, b"-1:-3"))),
        (b" (PARTIAL 500:1 CHANGEDSINCE 1)", FetchModifiers(1, False, Partial(1, 500, False, b"1:500"))),
        (b" (CHANGEDSINCE %d)" % MAX_MODSEQ, FetchModifiers(MAX_MODSEQ)),
    ],
)
def test_fetch_modifiers(text, modifiers):
    command = read(b"UID FETCH 1:* (FLAGS)" + text)
    assert command.modifiers == modifiers
    assert (Attribute.MODSEQ in command.items) == (modifiers.changedSince is not None)


@pytest.mark.parametrize(
    "text",
    [
        b"UID FETCH 1 FLAGS (VANISHED)", b"FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", b"FETCH 1 FLAGS (PARTIAL 1:2)",
        b"UID FETCH 1 FLAGS (PARTIAL 1:-2)", b"UID FETCH 1 FLAGS (PARTIAL 0:2)", b"UID FETCH 1 FLAGS (PARTIAL 1:*)",
        b"UID FETCH 1 FLAGS (PARTIAL 1)", b"UID FETCH 1 FLAGS (PARTIAL 1:4294967296)", b"FETCH 1 FLAGS ()", b"FETCH 1 FLAGS ",
        b"FETCH 1 FLAGS (CHANGEDSINCE)", b"FETCH 1 FLAGS (CHANGEDSINCE x)", b"FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)",
        b"STORE 1 (UNCHANGEDSINCE) FLAGS ()", b"STORE 1 (UNCHANGEDSINCE 1)FLAGS ()", b"STORE 1 () FLAGS ()",
        b"STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 1) FLAGS ()", b"STORE 1 (FROTZ 1) FLAGS ()",
    ],
)  # fmt: skip
def test_modifiers_that_are_none(text):
    with pytest.raises(Unreadable):
        read(text)


def test_store_modifiers():
    assert read(b"STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\\Seen)").unchangedSince == 0
    assert read(b"UID STORE 1 (unchangedsince 5) FLAGS \\Seen").unchangedSince == 5
    assert read(b"STORE 1 FLAGS (\\Seen)").unchangedSince is None


@given(st.integers(1, 12), st.integers(1, 12), st.booleans(), st.integers(0, 12))
def test_a_part_counts_from_either_end(one, other, isFromEnd, count):
    """As the words of RFC 9394 §3.1 have it: -1 is the last, -2 the one before it."""
    results = list(range(count))
    order = results[::-1] if isFromEnd else results
    low, high = sorted((one, other))
    start, end = Partial(low, high, isFromEnd, b"").within(count)
    assert results[start:end] == sorted(order[low - 1 : high])
