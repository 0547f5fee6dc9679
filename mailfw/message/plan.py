"""What an index of substrings can tell about search criteria: which messages need not be read.

Whoever keeps an index puts `headerText` and `bodyText` of each message into it, and asks it for what `plan` names. The two
belong together, and keep one promise: every message that matches a criterion has the planned texts in it. So candidates found
by trigrams, in SQLite's FTS5 or elsewhere, are never too few; whether they match is for `search` to say.

Both sides are folded (`text.fold`), and hold no NUL, at which tokenizers stop, and no surrogate, which no database takes.
"""

from __future__ import annotations

import enum

from attrs import frozen

from mailfw.message import criteria, fuzzy, text
from mailfw.message.criteria import Criterion
from mailfw.message.header import MAX_OCTETS, scan
from mailfw.message.mime import Part
from mailfw.message.search import MAX_DEPTH

# The version of the texts that an index holds: it is to be made anew when this is another.
INDEX_VERSION = 1

TRIGRAM = 3
_LONGEST = 100

# What nearly every message has: asking for the name of such a field rules nothing out.
_ORDINARY = frozenset(
    ("from", "to", "cc", "subject", "date", "message-id", "received", "return-path", "mime-version", "content-type")
)


class Place(enum.Enum):
    """Where a text must be."""

    HEADER = "header"
    BODY = "body"
    MESSAGE = "header or body"


@frozen
class Contains:
    """:ivar text: at least `TRIGRAM` characters, as the index has them."""

    place: Place
    text: str

    @property
    def trigrams(self) -> tuple[str, ...]:
        """Every three characters in a row, once: a text that lacks one of them does not contain this."""
        return tuple(dict.fromkeys(self.text[at : at + TRIGRAM] for at in range(len(self.text) - TRIGRAM + 1)))


@frozen
class AllOf:
    """Messages that every plan finds."""

    plans: tuple[Plan, ...]


@frozen
class AnyOf:
    """Messages that at least one plan finds; of none at all, no message."""

    plans: tuple[Plan, ...]


Plan = Contains | AllOf | AnyOf


def plan(criterion: Criterion) -> Plan | None:
    """What to ask the index for; None where it rules nothing out."""
    return _plan(criterion, 0)


def headerText(header: bytes) -> str:
    """What the index holds of a header (up to and with the empty line)."""
    texts = [text.headerText(header)]
    isPlain = header.isascii() and b"=?" not in header[:MAX_OCTETS]  # then names and values stand in it as they are searched
    for field in scan(header):
        name = field.name.lower()
        value, *displayed = text.valueTexts(name, field.value)
        texts += displayed if isPlain else [name.decode("latin-1"), value, *displayed]
    return "\n".join(map(_indexed, texts))


def bodyText(root: Part, content: bytes) -> str:
    """What the index holds of the body of a scanned message."""
    return "\n".join(map(_indexed, text.bodyTexts(root, content)))


def _plan(criterion: Criterion, depth: int) -> Plan | None:
    if depth > MAX_DEPTH:  # `search.compile` refuses it
        return None
    match criterion:
        case criteria.And():
            plans = [found for each in criterion.criteria if (found := _plan(each, depth + 1)) is not None]
            return _all(plans)
        case criteria.Or():
            chosen = [_plan(each, depth + 1) for each in criterion.criteria]
            plans = [found for found in chosen if found is not None]
            if len(plans) < len(chosen):
                return None
            return plans[0] if len(plans) == 1 else AnyOf(tuple(plans))
        case criteria.Not():
            return _planNot(criterion.criterion, depth + 1)
        case criteria.Header():
            return _planHeader(criterion)
        case criteria.Body():
            return _planText(Place.BODY, criterion)
        case criteria.Text():
            return _planText(Place.MESSAGE, criterion)
    return None


def _planNot(criterion: Criterion, depth: int) -> Plan | None:
    """Only what is denied twice can be asked for: candidates for a text are too many to leave them out."""
    match criterion:
        case criteria.Not():
            return _plan(criterion.criterion, depth + 1)
        case criteria.And():
            return _plan(criteria.Or(tuple(map(criteria.Not, criterion.criteria))), depth)
        case criteria.Or():
            return _plan(criteria.And(tuple(map(criteria.Not, criterion.criteria))), depth)
        case criteria.All():
            return AnyOf(())
    return None


def _planHeader(criterion: criteria.Header) -> Plan | None:
    name = criterion.name.lower()
    isTelling = name.isascii() and name not in _ORDINARY
    chosen = (_planText(Place.HEADER, criterion), _contains(Place.HEADER, name) if isTelling else None)
    return _all([found for found in chosen if found is not None])


def _planText(place: Place, leaf: criteria.Header | criteria.Body | criteria.Text) -> Plan | None:
    """What looks nearly like a word has at least the beginning of it or the end (`fuzzy.pieces`)."""
    if not leaf.isFuzzy:
        return _contains(place, leaf.text)
    plans = [_contains(place, piece) for piece in fuzzy.pieces(leaf.text)]
    found = [each for each in plans if each is not None]
    if not found or len(found) < len(plans):
        return None
    return found[0] if len(found) == 1 else AnyOf(tuple(found))


def _contains(place: Place, wanted: str) -> Plan | None:
    folded = _indexed(wanted)[:_LONGEST]
    return Contains(place, folded) if len(folded) >= TRIGRAM else None


def _all(plans: list[Plan]) -> Plan | None:
    if len(plans) < 2:
        return plans[0] if plans else None
    return AllOf(tuple(plans))


def _indexed(raw: str) -> str:
    """Folded, and with one character in place of each that an index cannot hold."""
    folded = text.fold(raw).replace("\0", "\x01")
    return folded if folded.isascii() else folded.encode("utf-8", "replace").decode("utf-8")
