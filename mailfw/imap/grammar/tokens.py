"""The words that IMAP commands are made of (RFC 3501 §4, §9), read from left to right.

A command is its lines with the literals taken out: where a literal stood, the text keeps its announcement (`{5}` and
CRLF), and the octets are in a list beside it. CRLF stands nowhere else, so neither can be taken for the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from attrs import frozen

from mailfw.imap.grammar import names, response
from mailfw.imap.grammar.response import Reply
from mailfw.imap.grammar.sequence import SequenceSet
from mailfw.values import Flag, MessageSource, canonicalFlag

T = TypeVar("T")

MAX_NUMBER = 0xFFFFFFFF
MAX_NUMBER64 = (1 << 63) - 1

_TAG = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\+]++(?= |\Z)")
_ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
_ASTRING = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
_LIST_MAILBOX = re.compile(rb"[^\x00-\x20\x7f-\xff(){\"\\]+")
_FETCH_WORD = re.compile(rb"[A-Za-z0-9.]+")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*+)"')
_NUMBER = re.compile(rb"[0-9]{1,20}")
_SEQUENCE_SET = re.compile(rb"[0-9*:,]+|\$")
_LITERAL = re.compile(rb"(~?)\{[0-9]+\+?\}\r\n")
_ESCAPE = re.compile(rb"\\(.)")


class BadSyntax(Exception):
    """What the client sent is not in the grammar; the text tells a person why."""


class RefusedArgument(Exception):
    """What the client sent is in the grammar, and names something that there is not."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


@frozen
class Literal:
    """The octets of one literal.

    :ivar source: where the octets are when they were spooled, which only a message is.
    :ivar isBinary: a literal8 (RFC 3516 §4.3). :ivar hasNUL: which only such a one may have.
    """

    octets: bytes = b""
    source: MessageSource | None = None
    isBinary: bool = False
    hasNUL: bool = False


@frozen
class CommandText:
    """One command as it came: its lines, joined by the announcements of literals, and the literals in their order.

    :ivar isUTF8: mailbox names are UTF-8, for the client has enabled that.
    """

    octets: bytes
    literals: tuple[Literal, ...] = ()
    isUTF8: bool = False

    @property
    def size(self) -> int:
        """Octets of it that are in memory."""
        return len(self.octets) + sum(len(literal.octets) for literal in self.literals)


class Scanner:
    """Takes one word after another from a command; each method is named after its rule in the grammar.

    Every method raises BadSyntax when the rule does not match where the scanner stands.
    """

    __slots__ = ("_literals", "at", "isUTF8", "octets")

    def __init__(self, text: CommandText) -> None:
        self.octets = text.octets
        self.isUTF8 = text.isUTF8
        self.at = 0
        self._literals = iter(text.literals)

    # --- Punctuation -----------------------------------------------------------------------------------------------

    @property
    def isAtEnd(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.octets)

    def peek(self) -> bytes:
        """The next octet, or nothing at the end."""
        return self.octets[self.at : self.at + 1]

    def takes(self, octets: bytes) -> bool:
        """Whether these octets come next; they are taken then."""
        if self.octets.startswith(octets, self.at):
            self.at += len(octets)
            return True
        return False

    def takesPattern(self, pattern: re.Pattern[bytes]) -> bool:
        """Whether something like this comes next; it is taken then."""
        found = pattern.match(self.octets, self.at)
        if found is not None:
            self.at = found.end()
        return found is not None

    def expect(self, octets: bytes) -> None:
        """These octets and no others."""
        if not self.takes(octets):
            raise self.bad(f"expected {octets.decode('ascii')!r}")

    def space(self) -> None:
        """`SP`"""
        if not self.takes(b" "):
            raise self.bad("an argument is missing" if self.isAtEnd else "expected a space")

    def end(self) -> None:
        """Nothing more."""
        if not self.isAtEnd:
            raise self.bad("too many arguments")

    def bad(self, why: str) -> BadSyntax:
        """The error to raise here."""
        return BadSyntax(f"{why}, at octet {self.at + 1}")

    def _match(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        found = pattern.match(self.octets, self.at)
        if found is None:
            raise self.bad(f"expected {what}")
        self.at = found.end()
        return found[0]

    # --- Words -----------------------------------------------------------------------------------------------------

    def tag(self) -> bytes:
        """`tag = 1*<any ASTRING-CHAR except "+">` (RFC 3501 §9)"""
        return self._match(_TAG, "a tag")

    def atom(self) -> bytes:
        """`atom = 1*ATOM-CHAR` (RFC 3501 §9)"""
        return self._match(_ATOM, "an atom")

    def keyword(self) -> bytes:
        """An atom that is a word of the protocol: in any case, returned in capitals."""
        return self.atom().upper()

    def takesWord(self, word: bytes) -> bool:
        """Whether this word of the protocol comes next, in any case; it is taken then."""
        start = self.at
        found = _ATOM.match(self.octets, start)
        if found is None or found[0].upper() != word:
            return False
        self.at = found.end()
        return True

    def fetchKeyword(self) -> bytes:
        """The first word of a `fetch-att` (RFC 3501 §9), which a `[` may follow without a space; in capitals."""
        return self._match(_FETCH_WORD, "a FETCH item").upper()

    def quoted(self) -> bytes:
        """`quoted = DQUOTE *QUOTED-CHAR DQUOTE` (RFC 3501 §9); octets above 127 are let through for those who can use
        them. From a client that has said it knows UTF-8 they must be that (RFC 9051 §4.3, RFC 9755 §3).
        """
        found = _QUOTED.match(self.octets, self.at)
        if found is None:
            raise self.bad("a quoted string does not end, or holds what it may not")
        self.at = found.end()
        inside = found[1]
        if self.isUTF8 and not response.isValidUTF8(inside):
            raise self.bad("a quoted string is not UTF-8")
        return _ESCAPE.sub(rb"\1", inside) if b"\\" in inside else inside

    def literal(self) -> Literal:
        """`literal = "{" number ["+"] "}" CRLF *CHAR8` (RFC 3501 §9, RFC 7888 §8), or `literal8 = "~" literal` (RFC
        3516 §7)
        """
        self._match(_LITERAL, "a literal")
        return next(self._literals)

    def string(self) -> bytes:
        """`string = quoted / literal` (RFC 3501 §9)"""
        if not self._isAtString():
            raise self.bad("expected a string")
        if self.peek() == b'"':
            return self.quoted()
        literal = self.literal()
        if literal.isBinary:
            raise self.bad("a literal8 is not allowed here")
        if literal.source is not None:
            raise self.bad("a message stands where a string is expected")
        if b"\0" in literal.octets:
            raise self.bad("a literal holds NUL")
        return literal.octets

    def _isAtString(self) -> bool:
        return self.peek() in (b'"', b"{") or self.octets.startswith(b"~{", self.at)

    def astring(self) -> bytes:
        """`astring = 1*ASTRING-CHAR / string` (RFC 3501 §9)"""
        return self.string() if self._isAtString() else self._match(_ASTRING, "a string")

    def nstring(self) -> bytes | None:
        """`nstring = string / nil` (RFC 3501 §9)"""
        if self._isAtString():
            return self.string()
        if self.keyword() != b"NIL":
            raise self.bad("expected a string or NIL")
        return None

    def number(self) -> int:
        """`number = 1*DIGIT`, below 2^32 (RFC 3501 §9)"""
        number = int(self._match(_NUMBER, "a number"))
        if number > MAX_NUMBER:
            raise self.bad("a number is too large")
        return number

    def number64(self) -> int:
        """`number64 = 1*DIGIT`, below 2^63 (RFC 9051 §9): octets of a message or a part"""
        number = int(self._match(_NUMBER, "a number"))
        if number > MAX_NUMBER64:
            raise self.bad("a number is too large")
        return number

    def nzNumber(self) -> int:
        """`nz-number = digit-nz *DIGIT`, below 2^32 (RFC 3501 §9)"""
        if self.peek() == b"0":
            raise self.bad("a number must not start with 0")
        return self.number()

    def sequenceSet(self) -> SequenceSet:
        """`sequence-set = (seq-number / seq-range) *("," sequence-set) / seq-last-command` (RFC 3501 §9, RFC 5182 §3)"""
        start = self.at
        found = self._match(_SEQUENCE_SET, "a sequence set")
        try:
            return SequenceSet.parse(found)
        except ValueError as error:
            self.at = start
            raise self.bad(str(error)) from None

    def parenthesised(self, item: Callable[[], T], isEmptyAllowed: bool = False, maximum: int = 1 << 20) -> list[T]:
        """`"(" item *(SP item) ")"`, of at most `maximum` items"""
        self.expect(b"(")
        if isEmptyAllowed and self.takes(b")"):
            return []
        items = [item()]
        while not self.takes(b")"):
            self.space()
            items.append(item())
            if len(items) > maximum:
                raise self.bad(f"more than {maximum} items")
        return items

    # --- Names and flags -------------------------------------------------------------------------------------------

    def mailbox(self) -> str:
        """`mailbox = "INBOX" / astring` (RFC 3501 §9), in modified UTF-7 (§5.1.3) or UTF-8.

        :raises InvalidName: no mailbox can have that name.
        """
        return names.decode(self.astring(), self.isUTF8)

    def listMailbox(self) -> bytes:
        """`list-mailbox = 1*list-char / string` (RFC 3501 §9), as it came: wildcards may stand in what is encoded."""
        return self.string() if self._isAtString() else self._match(_LIST_MAILBOX, "a mailbox pattern")

    def flag(self) -> str:
        """`flag = "\\Answered" / … / flag-keyword / flag-extension` (RFC 3501 §9), as a client may set it.

        That is no `\\Recent`, and no system flag that RFC 3501 §2.3.2 does not name: what it means could not be kept.
        """
        isSystem = self.takes(b"\\")
        flag = canonicalFlag(("\\" if isSystem else "") + self.atom().decode("ascii"))
        if isSystem and flag not in SYSTEM_FLAGS:
            raise self.bad(f"no client can set the flag {flag}")
        return flag

    def flagList(self) -> frozenset[str]:
        """`flag-list = "(" [flag *(SP flag)] ")"` (RFC 3501 §9)"""
        return frozenset(self.parenthesised(self.flag, isEmptyAllowed=True))


SYSTEM_FLAGS = frozenset(Flag.SYSTEM)
