"""Commands that bring messages: APPEND of one or several, put together by CATENATE, and REPLACE.

RFC 3501 §6.3.11, RFC 3502, RFC 3516 §7, RFC 4469 §5, RFC 6855 §4 (now RFC 9755), RFC 8508 §5:

    append         = "APPEND" SP mailbox 1*append-message
    replace        = "REPLACE" SP seq-number SP mailbox append-message
    append-message = [SP flag-list] [SP date-time] SP append-data
    append-data    = literal / literal8 / utf8-literal / "CATENATE" SP "(" cat-part *(SP cat-part) ")"
    cat-part       = "TEXT" SP (literal / literal8) / "URL" SP astring / utf8-literal
    utf8-literal   = "UTF8" SP "(" literal8 ")"
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

from attrs import frozen

from mailfw.imap.grammar.dates import dateTime
from mailfw.imap.grammar.sequence import SequenceSet
from mailfw.imap.grammar.tokens import Literal, Scanner

MAX_MESSAGES = 1000
"""Messages of one APPEND."""

MAX_PARTS = 1000
"""Parts of one CATENATE."""


@frozen
class URLPart:
    """`"URL" SP astring`: the octets of a message, or of a part of one, that is here already. :ivar url: as it came."""

    url: bytes


Part = Literal | URLPart


@frozen
class AppendMessage:
    """`append-message`

    :ivar internalDate: seconds since the epoch; None is now.
    :ivar parts: of what it is made; just one literal without CATENATE.
    """

    flags: frozenset[str]
    internalDate: float | None
    parts: tuple[Part, ...]


@frozen
class Append:
    """`append`"""

    mailbox: str
    messages: tuple[AppendMessage, ...]


@frozen
class Replace:
    """`replace`, and UID REPLACE. :ivar message: the one to be replaced."""

    message: SequenceSet
    mailbox: str
    new: AppendMessage
    isUID: bool = False


# --- The whole command -----------------------------------------------------------------------------------------------


def _flagsAndDate(scanner: Scanner) -> tuple[frozenset[str], float | None]:
    """`[SP flag-list] [SP date-time] SP`"""
    scanner.space()
    flags: frozenset[str] = frozenset()
    internalDate = None
    if scanner.peek() == b"(":
        flags = scanner.flagList()
        scanner.space()
    if scanner.peek() == b'"':
        internalDate = dateTime(scanner)
        scanner.space()
    return flags, internalDate


def _opensUTF8(scanner: Scanner) -> None:
    """`SP "("` after `UTF8`, which only those may use who have said so (RFC 6855 §4)."""
    if not scanner.isUTF8:
        raise scanner.bad("UTF8 needs ENABLE UTF8=ACCEPT")
    scanner.space()
    scanner.expect(b"(")


def _utf8Literal(scanner: Scanner) -> Literal:
    """`utf8-literal`, after its first word"""
    _opensUTF8(scanner)
    literal = scanner.literal()
    if not literal.isBinary:
        raise scanner.bad("expected a literal8")
    scanner.expect(b")")
    return literal


def _part(scanner: Scanner) -> Part:
    """`cat-part`"""
    if scanner.takesWord(b"UTF8"):
        return _utf8Literal(scanner)
    if scanner.takesWord(b"URL"):
        scanner.space()
        return URLPart(scanner.astring())
    if not scanner.takesWord(b"TEXT"):
        raise scanner.bad("expected TEXT, URL or UTF8")
    scanner.space()
    return scanner.literal()


def _message(scanner: Scanner) -> AppendMessage:
    flags, internalDate = _flagsAndDate(scanner)
    if scanner.takesWord(b"CATENATE"):
        scanner.space()
        return AppendMessage(flags, internalDate, tuple(scanner.parenthesised(lambda: _part(scanner), maximum=MAX_PARTS)))
    literal = _utf8Literal(scanner) if scanner.takesWord(b"UTF8") else scanner.literal()
    return AppendMessage(flags, internalDate, (literal,))


def _append(scanner: Scanner) -> Append:
    scanner.space()
    mailbox = scanner.mailbox()
    messages = [_message(scanner)]
    while not scanner.isAtEnd:
        messages.append(_message(scanner))
        if len(messages) > MAX_MESSAGES:
            raise scanner.bad("too many messages")
    return Append(mailbox, tuple(messages))


def _replaced(scanner: Scanner) -> SequenceSet:
    """`SP seq-number`: one message"""
    scanner.space()
    message = scanner.sequenceSet()
    if message.isSaved or len(message.ranges) != 1 or message.ranges[0][0] != message.ranges[0][1]:
        raise scanner.bad("one message can be replaced at a time")
    return message


def _replace(scanner: Scanner, isUID: bool = False) -> Replace:
    message = _replaced(scanner)
    scanner.space()
    return Replace(message, scanner.mailbox(), _message(scanner), isUID)


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    b"APPEND": _append,
    b"REPLACE": _replace,
    b"UID REPLACE": lambda scanner: _replace(scanner, isUID=True),
}


# --- The command as it comes -----------------------------------------------------------------------------------------

Shape = Generator[bool, Scanner, None]
"""Follows a command from one literal to the next. It yields, where the text so far ends at a literal, whether that is a message,
to be spooled, and is sent a scanner that stands before this literal, with the text up to the next one.

It raises BadSyntax where no literal may come, and InvalidName when it has seen that the command must fail.
"""


def _name(scanner: Scanner) -> Generator[bool, Scanner, Scanner]:
    scanner.space()
    if scanner.isAtEnd:
        scanner = yield False
    scanner.mailbox()
    return scanner


def _octets(scanner: Scanner) -> Generator[bool, Scanner, Scanner]:
    scanner.end()
    scanner = yield True
    scanner.literal()
    return scanner


def _utf8Octets(scanner: Scanner) -> Generator[bool, Scanner, Scanner]:
    _opensUTF8(scanner)
    scanner = yield from _octets(scanner)
    scanner.expect(b")")
    return scanner


def _parts(scanner: Scanner) -> Generator[bool, Scanner, Scanner]:
    scanner.space()
    scanner.expect(b"(")
    while True:
        if scanner.takesWord(b"UTF8"):
            scanner = yield from _utf8Octets(scanner)
        elif scanner.takesWord(b"URL"):
            scanner.space()
            if scanner.isAtEnd:
                scanner = yield False
            scanner.astring()
        elif scanner.takesWord(b"TEXT"):
            scanner.space()
            scanner = yield from _octets(scanner)
        else:
            raise scanner.bad("expected TEXT, URL or UTF8")
        if scanner.takes(b")"):
            return scanner
        scanner.space()


def _messageShape(scanner: Scanner) -> Generator[bool, Scanner, Scanner]:
    _flagsAndDate(scanner)
    if scanner.takesWord(b"CATENATE"):
        return (yield from _parts(scanner))
    if scanner.takesWord(b"UTF8"):
        return (yield from _utf8Octets(scanner))
    return (yield from _octets(scanner))


def _appendShape(scanner: Scanner) -> Shape:
    scanner = yield from _name(scanner)
    while True:
        scanner = yield from _messageShape(scanner)


def _replaceShape(scanner: Scanner) -> Shape:
    _replaced(scanner)
    scanner = yield from _name(scanner)
    yield from _messageShape(scanner)


SHAPES: Mapping[bytes, Callable[[Scanner], Shape]] = {
    b"APPEND": _appendShape,
    b"REPLACE": _replaceShape,
    b"UID REPLACE": _replaceShape,
}
"""For commands that bring messages: what follows them, begun with a scanner that stands behind their name."""
