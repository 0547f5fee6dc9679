"""Search programs as a client sends them: the other half of `search` (RFC 3501 §6.4.4; RFC 5032, RFC 7162, RFC 8474, RFC
8514)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from mailfw.imap.grammar import response
from mailfw.imap.grammar.dates import MONTHS
from mailfw.imap.grammar.search import AllOf, AnyOf, Fuzzy, Key, Messages, Not, Recent
from mailfw.imap.grammar.sequence import STAR, SequenceSet
from mailfw.message import criteria
from mailfw.message.criteria import Dating
from mailfw.values import Flag, MessageSource

Pieces = Iterator[bytes | MessageSource]

_DATES = {Dating.ARRIVED: b"", Dating.SENT: b"SENT", Dating.SAVED: b"SAVED"}
_DATE_WORDS: Mapping[type, bytes] = {criteria.Before: b"BEFORE", criteria.On: b"ON", criteria.Since: b"SINCE"}
_FIELDS = {"bcc": b"BCC", "cc": b"CC", "from": b"FROM", "subject": b"SUBJECT", "to": b"TO"}
_SYSTEM = {flag.lower(): flag.removeprefix("\\").upper().encode("ascii") for flag in Flag.SYSTEM}
_NUMBER_WORDS: Mapping[type, tuple[bytes, str]] = {
    criteria.Larger: (b"LARGER", "octets"),
    criteria.Smaller: (b"SMALLER", "octets"),
    criteria.Younger: (b"YOUNGER", "seconds"),
    criteria.Older: (b"OLDER", "seconds"),
    criteria.ModSeq: (b"MODSEQ", "modSeq"),
}


def program(key: Key) -> Pieces:
    """`search-key *(SP search-key)`, text in UTF-8. :raises ValueError: something in it cannot be said."""
    keys = key.keys if isinstance(key, AllOf) else (key,)
    yield from _joined(keys)


def hasText(key: Key) -> bool:
    """Whether there is text beyond ASCII in it, whose charset must be told then."""
    if isinstance(key, AllOf | AnyOf):
        return any(map(hasText, key.keys))
    if isinstance(key, Not | Fuzzy):
        return hasText(key.key)
    return isinstance(key, criteria.Header | criteria.Body | criteria.Text) and not key.text.isascii()


def sequenceSet(messages: SequenceSet) -> bytes:
    """`sequence-set`"""
    if messages.isSaved:
        return b"$"
    return b",".join(_number(low) if low == high else b"%b:%b" % (_number(low), _number(high)) for low, high in messages.ranges)


def _number(number: int) -> bytes:
    return b"*" if number == STAR else b"%d" % number


def string(octets: bytes, isUTF8: bool = False) -> Pieces:
    """`string`. :raises ValueError: it holds NUL, which no string may (RFC 3501 §9)."""
    if b"\0" in octets:
        raise ValueError("no string can hold NUL")
    quoted = response.string(octets, isUTF8)
    yield MessageSource(octets) if quoted.startswith(b"{") else quoted


def dateText(day: date) -> bytes:
    """`date-text = date-day "-" date-month "-" date-year`"""
    return b"%d-%b-%04d" % (day.day, MONTHS[day.month - 1], day.year)


def _joined(keys: tuple[Key, ...]) -> Pieces:
    if not keys:
        raise ValueError("a search asks for something")
    for place, key in enumerate(keys):
        if place:
            yield b" "
        yield from _key(key)


def _key(key: Key) -> Pieces:
    """`search-key`"""
    if isinstance(key, AllOf):
        yield b"("
        yield from _joined(key.keys)
        yield b")"
    elif isinstance(key, AnyOf):
        yield from _any(key.keys)
    elif isinstance(key, Not):
        yield b"UN" if isinstance(key.key, criteria.HasFlag) else b"NOT "
        yield from _key(key.key)
    elif isinstance(key, Fuzzy):
        yield b"FUZZY "
        yield from _key(key.key)
    else:
        yield from _leaf(key)


def _any(keys: tuple[Key, ...]) -> Pieces:
    """`"OR" SP search-key SP search-key`, one within the other where there are more"""
    if len(keys) < 2:
        raise ValueError("OR is of two")
    for key in keys[:-1]:
        yield b"OR "
        yield from _key(key)
        yield b" "
    yield from _key(keys[-1])


def _leaf(key: Any) -> Pieces:
    write = _LEAVES.get(type(key))
    if write is not None:
        yield from write(key)
    elif type(key) in _DATE_WORDS:
        yield b"%b%b %b" % (_DATES[key.dating], _DATE_WORDS[type(key)], dateText(key.day))
    elif type(key) in _NUMBER_WORDS:
        word, attribute = _NUMBER_WORDS[type(key)]
        yield b"%b %d" % (word, getattr(key, attribute))
    else:
        raise ValueError(f"no search key says {key}")


def _flag(key: criteria.HasFlag) -> Pieces:
    word = _SYSTEM.get(key.flag.lower())
    keyword = key.flag.encode("ascii")
    if word is None and response.astring(keyword) != keyword:
        raise ValueError(f"{key.flag!r} is no flag")
    yield word or b"KEYWORD " + keyword


def _header(key: criteria.Header) -> Pieces:
    word = _FIELDS.get(key.name.lower())
    yield word or b"HEADER "
    if word is None:
        yield from string(key.name.encode("latin-1"))
    yield b" "
    yield from string(key.text.encode("utf-8"))


def _text(word: bytes) -> Callable[[Any], Pieces]:
    def write(key: criteria.Body | criteria.Text) -> Pieces:
        yield word
        yield from string(key.text.encode("utf-8"))

    return write


_LEAVES: Mapping[type, Callable[[Any], Pieces]] = {
    criteria.All: lambda key: iter((b"ALL",)),
    Recent: lambda key: iter((b"RECENT",)),
    Messages: lambda key: iter(((b"UID " if key.isUID else b"") + sequenceSet(key.numbers),)),
    criteria.UIDs: lambda key: iter((b"UID " + str(key.uids).encode("ascii"),)),
    criteria.HasFlag: _flag,
    criteria.Header: _header,
    criteria.Body: _text(b"BODY "),
    criteria.Text: _text(b"TEXT "),
    criteria.EmailId: lambda key: iter((b"EMAILID " + key.emailId.encode("ascii"),)),
    criteria.ThreadId: lambda key: iter((b"THREADID " + key.threadId.encode("ascii"),)),
}
