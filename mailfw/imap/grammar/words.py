"""Words of responses, read as a client must: what servers send is wider than what clients may (RFC 3501 §9, RFC 9051 §9)."""

from __future__ import annotations

import re

from mailfw.errors import InvalidName
from mailfw.imap.grammar import names
from mailfw.imap.grammar.tokens import Scanner

MAX_NUMBER64 = (1 << 63) - 1

_NUMBER64 = re.compile(rb"[0-9]{1,19}(?![0-9])")
WORD_BEFORE_SECTION = re.compile(rb"[^\x00-\x20()\"{\[<]+")
"""The name of a FETCH item, which a section may follow."""

_WORD = re.compile(rb"[^\x00-\x20()\"{]+")
_FLAG = re.compile(rb"\\?[^\x00-\x20()\"{]+")

Value = bytes | None | tuple["Value", ...]
"""What no rule is known for: a word or a string, NIL, or a list of such."""


def nstring(scanner: Scanner) -> bytes | None:
    """`nstring`, in a literal of either kind also with what a literal may not hold: it is only passed on."""
    if scanner.peek() in (b"{", b"~"):
        return scanner.literal().octets
    if scanner.peek() == b'"':
        return scanner.quoted()
    if not scanner.takesWord(b"NIL"):
        raise scanner.bad("expected a string or NIL")
    return None


def text(scanner: Scanner) -> bytes:
    """`string`; NIL, which some servers send for it, is empty"""
    return nstring(scanner) or b""


def nil(scanner: Scanner) -> None:
    """`nil = "NIL"`"""
    if not scanner.takesWord(b"NIL"):
        raise scanner.bad("expected a list or NIL")


def integer(scanner: Scanner) -> int:
    """`number64 = 1*DIGIT`, below 2^63 (RFC 9051 §9)"""
    number = int(match(scanner, _NUMBER64, "a number"))
    if number > MAX_NUMBER64:
        raise scanner.bad("a number is too large")
    return number


def word(scanner: Scanner) -> bytes:
    """Octets up to a space, a parenthesis or a string."""
    return match(scanner, _WORD, "a word")


def flag(scanner: Scanner) -> str:
    """`flag`, `flag-fetch`, `flag-perm` or `mbx-list-flags`, whatever the server calls one"""
    return match(scanner, _FLAG, "a flag").decode("ascii", "replace")


def flags(scanner: Scanner) -> tuple[str, ...]:
    """`"(" [flag *(SP flag)] ")"`"""
    return tuple(scanner.parenthesised(lambda: flag(scanner), isEmptyAllowed=True))


def mailboxName(scanner: Scanner) -> str:
    """`mailbox`; servers are known that forget to quote one that needs it"""
    octets = text(scanner) if scanner.peek() in (b'"', b"{") else word(scanner)
    try:
        return names.decode(octets, scanner.isUTF8)
    except InvalidName as error:
        raise scanner.bad(error.text) from None


def value(scanner: Scanner) -> Value:
    """Anything that keeps its parentheses in order, of any depth."""
    opened: list[list[Value]] = [[]]
    while True:
        next_ = scanner.peek()
        if scanner.takes(b"("):
            opened.append([])
            if not scanner.takes(b")"):
                continue
            opened[-2].append(tuple(opened.pop()))
        elif next_ in (b'"', b"{") or scanner.octets.startswith(b"~{", scanner.at):
            opened[-1].append(nstring(scanner))
        else:
            found = word(scanner)
            opened[-1].append(None if found.upper() == b"NIL" else found)
        while len(opened) > 1 and scanner.takes(b")"):
            inner = tuple(opened.pop())
            opened[-1].append(inner)
        if len(opened) == 1:
            return opened[0][0]
        if scanner.peek() != b"(" or opened[-1]:  # `((` and `)(` stand without a space
            scanner.takes(b" ")


def match(scanner: Scanner, pattern: re.Pattern[bytes], what: str) -> bytes:
    """What a pattern finds where the scanner stands, taken."""
    found = pattern.match(scanner.octets, scanner.at)
    if found is None:
        raise scanner.bad(f"expected {what}")
    scanner.at = found.end()
    return found[0]
