"""What a server sends, as values, read from whole responses (RFC 3501 §7, §9 `response`; RFC 9051 §7).

A response whose first word is known and whose rest is not in the grammar is `Garbled`, one of which nothing is known is
`Other`; neither keeps anybody from reading the next. What comes out is never larger than what came in: sets stay ranges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import field, frozen

from mailfw.imap.grammar.fetched import Fetched, fetched
from mailfw.imap.grammar.found import ExtendedFound, Found, Threads, extendedSearch, ranges, searched, threads
from mailfw.imap.grammar.response import Condition
from mailfw.imap.grammar.tokens import BadSyntax, CommandText, Scanner
from mailfw.imap.grammar.words import Value, flags, integer, mailboxName, nil, nstring, text, value, word
from mailfw.values import UIDSet

T = TypeVar("T")

_CODE = re.compile(rb'\[([^\x00-\x20\[\]()"]+)(?: ((?:[^"\]]|"(?:[^"\\]|\\.)*+")*+))?\] ?')


@frozen
class Code:
    """`resp-text-code` (RFC 3501 §9, RFC 5530). :ivar name: in capitals. :ivar rest: the octets behind the name."""

    name: bytes
    rest: bytes = b""

    @property
    def number(self) -> int:
        """The one number that it holds: of UIDNEXT, UIDVALIDITY, HIGHESTMODSEQ … :raises ValueError: it does not."""
        digits = self.rest.strip(b"()")
        if not digits.isdigit() or len(digits) > 19:
            raise ValueError("no number")
        return int(digits)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it holds: of CAPABILITY, PERMANENTFLAGS, BADCHARSET …"""
        return tuple(self.rest.decode("ascii", "replace").strip("()").split())


NO_CODE = Code(b"")


@frozen
class Status:
    """`response-tagged`, `resp-cond-state`, `resp-cond-bye`, and the greeting (RFC 3501 §7.1).

    :ivar tag: `*` where it belongs to no command.
    :ivar isPreAuth: a greeting to somebody who need not log in; the condition is OK.
    """

    tag: bytes
    condition: Condition
    text: str
    code: Code = NO_CODE
    isPreAuth: bool = False


@frozen
class Continuation:
    """`continue-req = "+" SP (resp-text / base64) CRLF`. :ivar octets: what stands behind the sign."""

    octets: bytes


@frozen
class Capabilities:
    """`capability-data` (RFC 3501 §7.2.1). :ivar words: in capitals."""

    words: frozenset[str]


@frozen
class Enabled:
    """`enable-data` (RFC 5161 §4). :ivar words: in capitals."""

    words: frozenset[str]


@frozen
class ListedMailbox:
    """`mailbox-list` (RFC 3501 §7.2.2, RFC 5258 §6).

    :ivar attributes: as the server spells them.
    :ivar delimiter: between the levels of the name; empty where there are none.
    :ivar extended: items behind the name, by their names in capitals: `CHILDINFO`, `OLDNAME` …
    :ivar isSubscription: it is LSUB's.
    """

    name: str
    attributes: frozenset[str] = frozenset()
    delimiter: str = ""
    extended: Mapping[str, Value] = field(factory=dict)
    isSubscription: bool = False

    def has(self, attribute: str) -> bool:
        r"""Whether it has an attribute, in any case. `\NonExistent` implies `\Noselect` (RFC 5258 §3)."""
        wanted = attribute.lower()
        return any(
            found.lower() == wanted or (wanted == "\\noselect" and found.lower() == "\\nonexistent") for found in self.attributes
        )


@frozen
class MailboxCounters:
    """`status-att-list` (RFC 3501 §7.2.4). :ivar items: by their names in capitals; a MAILBOXID as its word."""

    mailbox: str
    items: Mapping[str, int | str | None] = field(factory=dict)


@frozen
class FlagsInUse:
    """`"FLAGS" SP flag-list` (RFC 3501 §7.2.6)"""

    flags: frozenset[str]


@frozen
class Exists:
    """`number SP "EXISTS"`"""

    count: int


@frozen
class Recent:
    """`number SP "RECENT"`"""

    count: int


@frozen
class Expunged:
    """`nz-number SP "EXPUNGE"`"""

    number: int


@frozen
class Vanished:
    """`expunged-resp` (RFC 7162 §3.2.10). :ivar isEarlier: that was before, and no number changes."""

    uids: UIDSet
    isEarlier: bool = False


@frozen
class Namespaces:
    """`namespace-response` (RFC 2342 §5): pairs of prefix and delimiter."""

    personal: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    shared: tuple[tuple[str, str], ...] = ()


@frozen
class Identification:
    """`id-response` (RFC 2971 §4)"""

    fields: tuple[tuple[bytes, bytes | None], ...] = ()


@frozen
class Other:
    """A response that has no type of its own. :ivar word: its first word, in capitals. :ivar values: what stands behind it."""

    word: bytes
    values: tuple[Value, ...] = ()


@frozen
class Garbled:
    """A response that is not in the grammar. :ivar why: for a person."""

    octets: bytes
    why: str


Answer = (
    Status
    | Continuation
    | Capabilities
    | Enabled
    | ListedMailbox
    | MailboxCounters
    | FlagsInUse
    | Exists
    | Recent
    | Expunged
    | Vanished
    | Fetched
    | Found
    | ExtendedFound
    | Threads
    | Namespaces
    | Identification
    | Other
    | Garbled
)


# --- Status responses ------------------------------------------------------------------------------------------------


def _status(tag: bytes, condition: bytes, rest: bytes) -> Status:
    """`resp-text = ["[" resp-text-code "]" SP] text`"""
    isPreAuth = condition == b"PREAUTH"
    code = NO_CODE
    if rest.startswith(b"[") and (found := _CODE.match(rest)):
        code, rest = Code(found[1].upper(), found[2] or b""), rest[found.end() :]
    said = "".join(character for character in rest.decode("utf-8", "replace") if character.isprintable())
    return Status(tag, Condition.OK if isPreAuth else Condition(condition), said, code, isPreAuth)


_CONDITIONS = frozenset((*(condition.value for condition in Condition), b"PREAUTH"))


# --- Untagged data ---------------------------------------------------------------------------------------------------


def _rest(scanner: Scanner, read: Callable[[Scanner], T]) -> tuple[T, ...]:
    """`*(SP …)` up to the end; servers are known that leave a space there"""
    found = []
    while scanner.takes(b" ") and not scanner.isAtEnd:
        found.append(read(scanner))
    return tuple(found)


def _capitals(scanner: Scanner) -> frozenset[str]:
    return frozenset(found.decode("ascii", "replace").upper() for found in _rest(scanner, word))


def _delimiter(scanner: Scanner) -> str:
    """`DQUOTE QUOTED-CHAR DQUOTE / nil`"""
    return text(scanner).decode("utf-8", "replace")


def _listed(scanner: Scanner, isSubscription: bool = False) -> ListedMailbox:
    """`mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox [SP mbox-list-extended]`"""
    scanner.space()
    attributes = frozenset(flags(scanner))
    scanner.space()
    delimiter = _delimiter(scanner)
    scanner.space()
    name = mailboxName(scanner)
    extended: dict[str, Value] = {}
    if scanner.takes(b" ") and not scanner.isAtEnd:

        def item() -> None:
            tag = text(scanner) if scanner.peek() == b'"' else word(scanner)
            scanner.space()
            extended[tag.decode("ascii", "replace").upper()] = value(scanner)

        scanner.parenthesised(item, isEmptyAllowed=True)
    return ListedMailbox(name, attributes, delimiter, extended, isSubscription)


def _counters(scanner: Scanner) -> MailboxCounters:
    """`"STATUS" SP mailbox SP "(" [status-att-list] ")"`"""
    scanner.space()
    mailbox = mailboxName(scanner)
    scanner.space()
    items: dict[str, int | str | None] = {}

    def item() -> None:
        name = word(scanner).decode("ascii", "replace").upper()
        scanner.space()
        if scanner.peek().isdigit():
            items[name] = integer(scanner)
        else:
            found = value(scanner)
            first = found[0] if isinstance(found, tuple) and found else found
            items[name] = first.decode("ascii", "replace") if isinstance(first, bytes) else None

    scanner.parenthesised(item, isEmptyAllowed=True)
    return MailboxCounters(mailbox, items)


def _flagsInUse(scanner: Scanner) -> FlagsInUse:
    scanner.space()
    return FlagsInUse(frozenset(flags(scanner)))


def _vanished(scanner: Scanner) -> Vanished:
    """`expunged-resp = "VANISHED" [SP "(EARLIER)"] SP known-uids`"""
    isEarlier = scanner.octets[scanner.at :].upper().startswith(b" (EARLIER)")
    scanner.at += 10 if isEarlier else 0
    scanner.space()
    return Vanished(ranges(scanner).uids, isEarlier)


# --- NAMESPACE and ID ------------------------------------------------------------------------------------------------


def _namespaces(scanner: Scanner) -> Namespaces:
    """`namespace = nil / "(" 1*("(" string SP (DQUOTE QUOTED-CHAR DQUOTE / nil) *(namespace-response-extension) ")") ")"`"""

    def one() -> tuple[str, str]:
        scanner.expect(b"(")
        prefix = mailboxName(scanner)
        scanner.space()
        delimiter = _delimiter(scanner)
        while not scanner.takes(b")"):
            scanner.space()
            value(scanner)
        return prefix, delimiter

    def kind() -> tuple[tuple[str, str], ...]:
        scanner.space()
        if scanner.peek() != b"(":
            nil(scanner)
            return ()
        scanner.expect(b"(")
        found = []
        while not scanner.takes(b")"):
            scanner.takes(b" ")
            found.append(one())
        return tuple(found)

    return Namespaces(kind(), kind(), kind())


def _identification(scanner: Scanner) -> Identification:
    """`id-response = "ID" SP id-params-list`"""
    scanner.space()
    if scanner.peek() != b"(":
        nil(scanner)
        return Identification()

    def pair() -> tuple[bytes, bytes | None]:
        name = text(scanner)
        scanner.space()
        return name, nstring(scanner)

    return Identification(tuple(scanner.parenthesised(pair, isEmptyAllowed=True)))


# --- Everything ------------------------------------------------------------------------------------------------------

_DATA: Mapping[bytes, Callable[[Scanner], Answer]] = {
    b"CAPABILITY": lambda scanner: Capabilities(_capitals(scanner)),
    b"ENABLED": lambda scanner: Enabled(_capitals(scanner)),
    b"LIST": _listed,
    b"LSUB": lambda scanner: _listed(scanner, isSubscription=True),
    b"STATUS": _counters,
    b"FLAGS": _flagsInUse,
    b"SEARCH": searched,
    b"SORT": lambda scanner: searched(scanner, isSorted=True),
    b"ESEARCH": extendedSearch,
    b"THREAD": threads,
    b"VANISHED": _vanished,
    b"NAMESPACE": _namespaces,
    b"ID": _identification,
}

_NUMBERED: Mapping[bytes, Callable[[int, Scanner], Answer]] = {
    b"EXISTS": lambda number, scanner: Exists(number),
    b"RECENT": lambda number, scanner: Recent(number),
    b"EXPUNGE": lambda number, scanner: Expunged(number),
    b"FETCH": lambda number, scanner: fetched(scanner, number, isUID=False),
    b"UIDFETCH": lambda number, scanner: fetched(scanner, number, isUID=True),
}


def _data(scanner: Scanner) -> Answer:
    """`response-data`, behind `* `"""
    first = word(scanner)
    name = first.upper()
    if name in _CONDITIONS:
        scanner.takes(b" ")
        return _status(b"*", name, scanner.octets[scanner.at :])
    if first.isdigit() and len(first) <= 10 and scanner.takes(b" "):
        kind = word(scanner).upper()
        if kind in _NUMBERED:
            return _ended(scanner, _NUMBERED[kind](int(first), scanner))
        return Other(first, (kind, *_rest(scanner, value)))
    if name in _DATA:
        return _ended(scanner, _DATA[name](scanner))
    return Other(name, _rest(scanner, value))


def _ended(scanner: Scanner, answer: Answer) -> Answer:
    scanner.takes(b" ")
    scanner.end()
    return answer


def parse(response: CommandText) -> Answer:
    """Read a whole response; anything is taken."""
    octets = response.octets
    if octets.startswith(b"+"):
        return Continuation(octets[1:].removeprefix(b" "))
    scanner = Scanner(response)
    try:
        if scanner.takes(b"* "):
            return _data(scanner)
        tag = scanner.tag()
        scanner.space()
        condition = word(scanner).upper()
        if condition not in _CONDITIONS:
            raise scanner.bad("expected OK, NO or BAD")
        scanner.takes(b" ")
        return _status(tag, condition, octets[scanner.at :])
    except BadSyntax as error:
        return Garbled(octets, str(error))
