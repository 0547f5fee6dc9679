"""What SEARCH can ask about a message (RFC 9051 §6.4.4, RFC 5032, RFC 7162, RFC 8474, RFC 8514), as frozen values.

The grammar makes them, stores may look into them to find candidates by their indexes, and `search` evaluates them. Sequence
numbers are turned into UIDs before, and so is all that only a session knows (\\Recent, `$`).
"""

from __future__ import annotations

import enum
import re
import unicodedata
from datetime import date

from attrs import evolve, frozen

from mailfw.values import UIDSet


class Dating(enum.Enum):
    """Which date of a message is meant."""

    ARRIVED = "internal date"  # BEFORE, ON, SINCE: the day in UTC
    SENT = "Date field"  # SENTBEFORE …: the day in the zone that the sender wrote
    SAVED = "save date"  # SAVEDBEFORE …: the day in UTC


@frozen
class All:
    """Every message."""


@frozen
class And:
    """All of these; of none at all, every message."""

    criteria: tuple[Criterion, ...]


@frozen
class Or:
    """At least one of these."""

    criteria: tuple[Criterion, ...]


@frozen
class Not:
    """Those that do not match."""

    criterion: Criterion


@frozen
class HasFlag:
    """A system flag or a keyword is set; compared without case."""

    flag: str


@frozen
class UIDs:
    """The UID is one of these."""

    uids: UIDSet


@frozen
class Larger:
    """More octets than this."""

    octets: int


@frozen
class Smaller:
    """Fewer octets than this."""

    octets: int


@frozen
class Before:
    """Dated earlier than that day, whatever the time."""

    dating: Dating
    day: date


@frozen
class On:
    """Dated on that day, whatever the time."""

    dating: Dating
    day: date


@frozen
class Since:
    """Dated on that day or later, whatever the time."""

    dating: Dating
    day: date


@frozen
class Younger:
    """Arrived within the last so many seconds (RFC 5032)."""

    seconds: int


@frozen
class Older:
    """Arrived so many seconds ago or earlier (RFC 5032)."""

    seconds: int


@frozen
class ModSeq:
    """MODSEQ is this or higher (RFC 7162 §3.1.5)."""

    modSeq: int


@frozen
class EmailId:
    """RFC 8474 §5.3."""

    emailId: str


@frozen
class ThreadId:
    """RFC 8474 §5.3."""

    threadId: str


@frozen
class Header:
    """A field of that name holds the text; the empty text asks only for the field. SUBJECT, FROM, TO, CC and BCC are this too.

    :ivar name: in any case.
    :ivar isFuzzy: the text is one word, and what looks nearly like it will do (RFC 6203).
    """

    name: str
    text: str
    isFuzzy: bool = False


@frozen
class Body:
    """The text of the body holds this. :ivar isFuzzy: as in `Header`."""

    text: str
    isFuzzy: bool = False


@frozen
class Text:
    """The header or the text of the body holds this. :ivar isFuzzy: as in `Header`."""

    text: str
    isFuzzy: bool = False


Criterion = (
    All
    | And
    | Or
    | Not
    | HasFlag
    | UIDs
    | Larger
    | Smaller
    | Before
    | On
    | Since
    | Younger
    | Older
    | ModSeq
    | EmailId
    | ThreadId
    | Header
    | Body
    | Text
)


FUZZY_WORDS = 20
"""Different words of one text that are looked for nearly: each costs a hundred times what one costs that must be as it is."""


def fuzzy(leaf: Criterion) -> Criterion:
    """What asks for a text, so that messages that nearly match do too: each word for itself, wherever it stands; of very many the
    first `FUZZY_WORDS`. What asks for anything else stays as it is, for nearly the same size, day or flag helps nobody."""
    if not isinstance(leaf, Header | Body | Text):
        return leaf
    found = re.findall(r"\w+", unicodedata.normalize("NFC", leaf.text))
    words = list(dict.fromkeys(found))[:FUZZY_WORDS]
    return And(tuple(evolve(leaf, text=word, isFuzzy=True) for word in words)) if words else leaf
