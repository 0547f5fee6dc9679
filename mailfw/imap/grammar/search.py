"""Search keys: which messages (RFC 3501 §6.4.4, RFC 5032, RFC 6203, RFC 7162 §3.1.5, RFC 8474 §5.3, RFC 8514 §4.3).

What a message alone can answer becomes a criterion of `mailfw.message.criteria`; what only the session knows (sequence
numbers, `*`, `$`, \\Recent) stays a value of its own until the session puts it in.

The parser keeps its own stack, for keys nest as deeply as a client likes. Alternatives within alternatives and double
negations mean less than they look like, and cost no depth: clients write long lists as `OR a OR b OR c d`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping

from attrs import define, field, frozen

from mailfw.imap.grammar.dates import searchDate
from mailfw.imap.grammar.modifiers import modSequence
from mailfw.imap.grammar.response import no
from mailfw.imap.grammar.sequence import SequenceSet
from mailfw.imap.grammar.tokens import RefusedArgument, Scanner
from mailfw.message.charset import codecName
from mailfw.message.criteria import (
    FUZZY_WORDS,
    All,
    Before,
    Body,
    Criterion,
    Dating,
    EmailId,
    HasFlag,
    Header,
    Larger,
    ModSeq,
    Older,
    On,
    Since,
    Smaller,
    Text,
    ThreadId,
    Younger,
)
from mailfw.values import Flag

_OBJECT_ID = re.compile(rb"[A-Za-z0-9_-]{1,255}")
_SETS_BEGIN = (*(b"%d" % digit for digit in range(10)), b"*", b"$")

MAX_DEPTH = 50
"""Parentheses, NOTs and ORs within each other."""

MAX_KEYS = 20_000
"""Keys of one program: each may have to be asked of every message."""

MAX_TEXTS = 500
"""Of them, those that are looked for in whole messages: each may cost a walk over all their octets. A text that need only match
nearly counts for as many as it may have words, wherever it is looked for."""


@frozen
class Messages:
    """Messages by sequence number, or by UID."""

    numbers: SequenceSet
    isUID: bool = False


@frozen
class Recent:
    """Messages that are \\Recent to this session."""


@frozen
class AllOf:
    """Messages that match every one of these."""

    keys: tuple[Key, ...]


@frozen
class AnyOf:
    """Messages that match at least one of these."""

    keys: tuple[Key, ...]


@frozen
class Not:
    """Messages that do not match."""

    key: Key


@frozen
class Fuzzy:
    """Messages that match, or nearly (RFC 6203 §3)."""

    key: Key


Key = Criterion | Messages | Recent | AllOf | AnyOf | Not | Fuzzy


class _Words:
    """Reads the arguments of keys, in the charset of the program."""

    def __init__(self, scanner: Scanner, codec: str) -> None:
        self.scanner = scanner
        self._codec = codec

    def text(self) -> str:
        """`SP astring`, decoded"""
        self.scanner.space()
        octets = self.scanner.astring()
        try:
            return octets.decode(self._codec)
        except UnicodeError:
            raise _badCharset("the text is not in the charset of the search") from None

    def octets(self) -> int:
        """`SP number64`"""
        self.scanner.space()
        return self.scanner.number64()

    def keyword(self) -> HasFlag:
        """`SP flag-keyword`"""
        self.scanner.space()
        return HasFlag(self.scanner.atom().decode("ascii"))

    def fieldName(self) -> str:
        """`SP header-fld-name`; what is no text is no field's name either"""
        self.scanner.space()
        return self.scanner.astring().decode("utf-8", "replace")

    def before(self, dating: Dating) -> Before:
        """`SP date`"""
        self.scanner.space()
        return Before(dating, searchDate(self.scanner))

    def on(self, dating: Dating) -> On:
        """`SP date`"""
        self.scanner.space()
        return On(dating, searchDate(self.scanner))

    def since(self, dating: Dating) -> Since:
        """`SP date`"""
        self.scanner.space()
        return Since(dating, searchDate(self.scanner))

    def interval(self) -> int:
        """`SP nz-number`, seconds (RFC 5032 §4)"""
        self.scanner.space()
        return self.scanner.nzNumber()

    def objectId(self) -> str:
        """`SP objectid = 1*255(ALPHA / DIGIT / "_" / "-")` (RFC 8474 §7)"""
        self.scanner.space()
        found = self.scanner.astring()
        if not _OBJECT_ID.fullmatch(found):
            raise self.scanner.bad("no id looks like that")
        return found.decode("ascii")

    def modSeq(self) -> ModSeq:
        """`[SP entry-name SP entry-type-req] SP mod-sequence-valzer` (RFC 7162 §7). All flags of a message share one
        MODSEQ, so that which one is meant makes no difference (§3.1.5).
        """
        scanner = self.scanner
        scanner.space()
        if scanner.peek() == b'"':
            if not scanner.quoted().lower().startswith(b"/flags/"):
                raise scanner.bad("expected the name of a flag's entry")
            scanner.space()
            if scanner.keyword() not in (b"PRIV", b"SHARED", b"ALL"):
                raise scanner.bad("expected priv, shared or all")
            scanner.space()
        return ModSeq(modSequence(scanner, isZeroAllowed=True))

    def uids(self) -> Messages:
        """`SP sequence-set`"""
        self.scanner.space()
        return Messages(self.scanner.sequenceSet(), isUID=True)


def _badCharset(text: str) -> RefusedArgument:
    return RefusedArgument(no(text, b"BADCHARSET (US-ASCII UTF-8)"))


def _flagKeys(flag: str) -> dict[bytes, Callable[[_Words], Key]]:
    word = flag.removeprefix("\\").upper().encode("ascii")
    has, hasNot = HasFlag(flag), Not(HasFlag(flag))
    return {word: lambda _: has, b"UN" + word: lambda _: hasNot}


KEYS: Mapping[bytes, Callable[[_Words], Key]] = {
    b"ALL": lambda _: All(),
    **_flagKeys(Flag.ANSWERED),
    **_flagKeys(Flag.DELETED),
    **_flagKeys(Flag.DRAFT),
    **_flagKeys(Flag.FLAGGED),
    **_flagKeys(Flag.SEEN),
    b"KEYWORD": lambda words: words.keyword(),
    b"UNKEYWORD": lambda words: Not(words.keyword()),
    b"RECENT": lambda _: Recent(),
    b"OLD": lambda _: Not(Recent()),
    b"NEW": lambda _: AllOf((Recent(), Not(HasFlag(Flag.SEEN)))),
    b"BEFORE": lambda words: words.before(Dating.ARRIVED),
    b"ON": lambda words: words.on(Dating.ARRIVED),
    b"SINCE": lambda words: words.since(Dating.ARRIVED),
    b"SENTBEFORE": lambda words: words.before(Dating.SENT),
    b"SENTON": lambda words: words.on(Dating.SENT),
    b"SENTSINCE": lambda words: words.since(Dating.SENT),
    b"SAVEDBEFORE": lambda words: words.before(Dating.SAVED),
    b"SAVEDON": lambda words: words.on(Dating.SAVED),
    b"SAVEDSINCE": lambda words: words.since(Dating.SAVED),
    b"SAVEDATESUPPORTED": lambda _: All(),
    b"EMAILID": lambda words: EmailId(words.objectId()),
    b"THREADID": lambda words: ThreadId(words.objectId()),
    b"LARGER": lambda words: Larger(words.octets()),
    b"SMALLER": lambda words: Smaller(words.octets()),
    b"BCC": lambda words: Header("Bcc", words.text()),
    b"CC": lambda words: Header("Cc", words.text()),
    b"FROM": lambda words: Header("From", words.text()),
    b"SUBJECT": lambda words: Header("Subject", words.text()),
    b"TO": lambda words: Header("To", words.text()),
    b"HEADER": lambda words: Header(words.fieldName(), words.text()),
    b"BODY": lambda words: Body(words.text()),
    b"TEXT": lambda words: Text(words.text()),
    b"UID": lambda words: words.uids(),
    b"YOUNGER": lambda words: Younger(words.interval()),
    b"OLDER": lambda words: Older(words.interval()),
    b"MODSEQ": lambda words: words.modSeq(),
}
"""`search-key` but for those that hold other keys, by their first word."""


class _Kind(enum.Enum):
    ALL = "keys up to the end, or to the parenthesis"
    ANY = "OR and two keys; more, where these are ORs themselves"
    NOT = "NOT and a key"
    FUZZY = "FUZZY and a key"


@define
class _Frame:
    """A key under way that holds others. :ivar awaited: how many it still wants; of ALL, any number."""

    kind: _Kind
    awaited: int = 0
    isParenthesised: bool = False
    keys: list[Key] = field(factory=list)

    def key(self) -> Key:
        """The key, complete."""
        if self.kind is _Kind.NOT:
            return Not(self.keys[0])
        if self.kind is _Kind.FUZZY:
            return Fuzzy(self.keys[0])
        if self.kind is _Kind.ANY:
            return AnyOf(tuple(self.keys))
        return self.keys[0] if len(self.keys) == 1 else AllOf(tuple(self.keys))


class _Parser:
    """`search-key *(SP search-key)`, up to the end of the command."""

    def __init__(self, words: _Words) -> None:
        self._words = words
        self._scanner = words.scanner
        self._frames = [_Frame(_Kind.ALL)]
        self._count = 0
        self._texts = 0

    def parse(self) -> Key:
        """The whole program."""
        while True:
            key = self._begin()
            if key is not None and self._complete(key):
                return self._frames[0].key()

    def _begin(self) -> Key | None:
        """Take a word; → a key that is complete by itself, or None: another is to come first."""
        scanner = self._scanner
        if scanner.takes(b"("):
            self._push(_Frame(_Kind.ALL, isParenthesised=True))
            return None
        self._count += 1
        if self._count > MAX_KEYS:
            raise scanner.bad(f"more than {MAX_KEYS} search keys")
        if scanner.peek() in _SETS_BEGIN:
            return Messages(scanner.sequenceSet())
        word = scanner.keyword()
        if word in (b"OR", b"NOT", b"FUZZY"):
            scanner.space()
            self._expectKeys(word)
            return None
        read = KEYS.get(word)
        if read is None:
            raise scanner.bad("unknown search key")
        key = read(self._words)
        if isinstance(key, Header | Body | Text) and any(frame.kind is _Kind.FUZZY for frame in self._frames):
            self._texts += FUZZY_WORDS
        elif isinstance(key, Body | Text):
            self._texts += 1
        if self._texts > MAX_TEXTS:
            raise scanner.bad(f"more than {MAX_TEXTS} texts to search for")
        return key

    def _expectKeys(self, word: bytes) -> None:
        top = self._frames[-1]
        if word == b"OR" and top.kind is _Kind.ANY:
            top.awaited += 1
        elif word == b"NOT" and top.kind is _Kind.NOT:
            self._frames.pop()
        elif word == b"OR":
            self._push(_Frame(_Kind.ANY, awaited=2))
        elif word == b"NOT":
            self._push(_Frame(_Kind.NOT, awaited=1))
        elif top.kind is not _Kind.FUZZY:
            self._push(_Frame(_Kind.FUZZY, awaited=1))

    def _push(self, frame: _Frame) -> None:
        self._frames.append(frame)
        if len(self._frames) > MAX_DEPTH:
            raise self._scanner.bad("the search is nested too deeply")

    def _complete(self, key: Key) -> bool:
        """Give a key to whom it belongs, who may be complete then too; → whether that was the last."""
        while True:
            top = self._frames[-1]
            top.keys.append(key)
            top.awaited -= 1
            if top.kind is _Kind.ALL:
                if not (self._scanner.takes(b")") if top.isParenthesised else self._scanner.isAtEnd):
                    break
                if not top.isParenthesised:
                    return True
            elif top.awaited:
                break
            self._frames.pop()
            key = top.key()
        self._scanner.space()
        return False


def program(scanner: Scanner, codec: str) -> Key:
    """`search-key *(SP search-key)`, the rest of the command.

    :raises RefusedArgument: a text is not in the charset.
    """
    return _Parser(_Words(scanner, codec)).parse()


def charset(scanner: Scanner) -> str:
    """`charset = atom / quoted` (RFC 3501 §9) → the name of Python's codec.

    :raises RefusedArgument: the charset is not known.
    """
    found = codecName(scanner.astring())
    if found is None:
        raise _badCharset("the charset is not known")
    return found


def optionalCharset(scanner: Scanner) -> str:
    """`["CHARSET" SP charset SP]`. Without it the text is US-ASCII, and UTF-8 is understood all the same."""
    if not scanner.takesWord(b"CHARSET"):
        return "utf-8"
    scanner.space()
    codec = charset(scanner)
    scanner.space()
    return codec
