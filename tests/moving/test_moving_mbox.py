"""mbox files of every variant are read as their writers meant them, and ours give back the same octets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.moving import batches, folder
from mailfw.moving.batches import Digest, digestOf
from mailfw.moving.folder import Found, spooled
from mailfw.moving.mbox import Mbox, Variant, entry, isMbox

DATE = b"Sat Nov 21 18:57:12 2026"

Read = tuple[bytes, frozenset[str], float]


def read(content: bytes, variant: Variant | None = None) -> list[Read]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        box = Mbox(file.fileno(), variant)
        box.variant = box.variant or box.tell()
        return [(b"".join(box.content(one)), one.flags, one.stamp.date) for one in box.entries() if one.isMessage]


def written(messages: Iterable[Read]) -> bytes:
    return b"".join(piece for octets, flags, date in messages for piece in entry([octets], [octets], flags, date))


_LINES = st.sampled_from(
    [
        b"From here on\r\n",
        b"From a@b Sat Nov 21 18:57:12 2026\r\n",
        b">From x\r\n",
        b">>From y\n",
        b"Status: R\r\n",
        b"X-Mailfw-Status: R\r\n",
        b"Content-Length: 3\r\n",
        b"Subject: x\r\n",
        b" more\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"",
        b"end",
    ]
)
_MESSAGES = st.lists(_LINES, max_size=8).map(b"".join).filter(lambda octets: octets[:1] not in (b" ", b"\t"))
_FLAGS = st.frozensets(st.sampled_from(["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "\\Deleted", "$Work", "$Junk"]))


@given(st.lists(st.tuples(_MESSAGES, _FLAGS, st.integers(0, 1 << 33).map(float)), max_size=5))
def testWhatIsWrittenIsReadAgain(messages: list[Read]) -> None:
    assert read(written(messages)) == messages


@given(st.lists(st.binary(max_size=5) | st.sampled_from([b"\r", b"\n", b" "])))
def testADigestIsTheSameHoweverItIsCut(pieces: list[bytes]) -> None:
    digest = Digest()
    for piece in pieces:
        digest.feed(piece)
    assert digest.finish() == digestOf(b"".join(pieces))


def testWhatIsLongerThanAPieceIsReadAgain() -> None:
    large = b"Subject: x\r\n\r\n" + (b"x" * 700_000 + b"\r\n>From me\r\nFrom you\r\n") * 3
    assert read(written([(large, frozenset(), 1.0)]))[0][0] == large


def testOtherProgramsNotesAreFlags() -> None:
    text = b'From a %s\nSubject: x\nStatus: RO\nX-Status: AF\nX-Keywords: work   $Later "bad\nX-UID: 7\n\nHello\n\n' % DATE
    [(octets, flags, _)] = read(text)
    assert octets == b"Subject: x\r\n\r\nHello\r\n"
    assert flags == {"\\Seen", "\\Answered", "\\Flagged", "work", "$Later"}
    [(_, flags, _)] = read(b"From - %s\nX-Mozilla-Status: 1005\nX-Mozilla-Keys: $label1\n\nHello\n" % DATE)
    assert flags == {"\\Seen", "\\Flagged", "$Forwarded", "$label1"}


@pytest.mark.parametrize(
    ("line", "more", "expected", "variant"),
    [
        (b">From x", b"", b"From x", Variant.O),
        (b">>From x", b"", b">From x", Variant.RD),
        (b"From x", b"", b"From x", Variant.O),
    ],
)
def testQuotingIsToldByContent(line: bytes, more: bytes, expected: bytes, variant: Variant) -> None:
    text = b"From a %s\nSubject: x\n\n%s\n\nFrom a %s\nSubject: y\n\nHello\n\n" % (DATE, line, DATE)
    found = read(text)
    assert [octets for octets, _, _ in found] == [b"Subject: x\r\n\r\n" + expected + b"\r\n", b"Subject: y\r\n\r\nHello\r\n"]


def testOneMayInsistThatTwoMarksAreTwo() -> None:
    assert read(b"From a %s\n\n>>From x\n>From y\n" % DATE, Variant.O)[0][0] == b"\r\n>>From x\r\nFrom y\r\n"


@pytest.mark.parametrize("separator", [b"\n", b""])
def testContentLengthCountsWhereItIsRight(separator: bytes) -> None:
    body = b"one\n\nFrom a %s\n\n>From two\n" % DATE
    head = b"From a %s\nSubject: x\nContent-Length: %d\n\n"
    text = head % (DATE, len(body)) + body + separator + head % (DATE, 6) + b"Hello\n" + separator
    found = [octets for octets, _, _ in read(text)]
    assert found == [b"Subject: x\r\n\r\n" + body.replace(b"\n", b"\r\n"), b"Subject: x\r\n\r\nHello\r\n"]


@pytest.mark.parametrize("length", [b"3", b"99999999999999", b"-1", b"x", b"9" * 500])
def testContentLengthThatLiesDoesNotCount(length: bytes) -> None:
    text = b"From a %s\nContent-Length: %s\n\nHello\n\nFrom a %s\n\nthere\n" % (DATE, length, DATE)
    assert [octets for octets, _, _ in read(text)] == [b"\r\nHello\r\n", b"\r\nthere\r\n"]


def testDataAboutTheFolderIsNoMessage() -> None:
    data = b"From M %s\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nx\n\n" % DATE
    assert [octets for octets, _, _ in read(data + b"From a %s\n\nHello\n" % DATE)] == [b"\r\nHello\r\n"]


def testWhatIsTornIsReadAsFarAsItGoes() -> None:
    text = b"From a %s\nSubject: x\n\nHello\n\nFrom a %s\nSubject: torn" % (DATE, DATE)
    assert [octets for octets, _, _ in read(text)] == [b"Subject: x\r\n\r\nHello\r\n", b"Subject: torn\r\n"]
    assert not isMbox(b"From me to you\n") and not isMbox(b"") and isMbox(b"\nFrom a " + DATE + b"\n")


def testWhatIsTooLargeForMailIsNotHeld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_MESSAGE", 3 << 20)
    walked = []

    def endless() -> Iterable[bytes]:
        while True:
            walked.append(1)
            yield b"x" * (1 << 20)

    with pytest.raises(ValueError, match="no mail"):
        spooled(Found(endless(), frozenset(), None, "here"))
    assert len(walked) == 4
    carried, file = spooled(Found([b"x" * (2 << 20)], frozenset(), None, "here"))
    assert carried.message.source.path and carried.message.source.size == 2 << 20 > batches.SPOOL_FROM
    assert file is not None
    file.close()
