"""The texts of the fields that people search most, folded and kept beside a message, so that no header is read for them.

What `pack` packs answers for From, To, Cc, Bcc and Subject exactly as the header would. Where that cannot be promised (long
lists of recipients, needles with control characters) the header itself is to be asked.

The pack is a section for each field, in the order of `NAMES`, with NUL between them; a section has SOH before each text.
"""

from __future__ import annotations

import re

from mailfw.message.header import scan
from mailfw.message.text import Needle, fold, valueTexts

NAMES = (b"from", b"to", b"cc", b"bcc", b"subject")
MAX_CHARACTERS = 4000

_PLACES = {name: place for place, name in enumerate(NAMES)}
_UNSAID = re.compile("[\x00\x01\ud800-\udfff]")  # what separates, and what no database takes


def pack(header: bytes) -> str | None:
    """The texts of a header, up to and with its empty line; None where they are too long to be kept."""
    sections = [""] * len(NAMES)
    size = 0
    for field in scan(header):
        place = _PLACES.get(field.name.lower())
        if place is None:
            continue
        size += len(field.rawValue)
        if size > MAX_CHARACTERS:
            return None
        for text in valueTexts(NAMES[place], field.value):
            folded = fold(text)
            sections[place] += "\x01" + (_UNSAID.sub("\ufffd", folded) if _UNSAID.search(folded) else folded)
    packed = "\0".join(sections)
    return packed if len(packed) <= MAX_CHARACTERS else None


def isPacked(name: bytes, needle: Needle) -> bool:
    """Whether a pack can tell if a field of that name holds the needle."""
    return name.lower() in _PLACES and not _UNSAID.search(needle.text) and "\ufffd" not in needle.text


def isIn(needle: Needle, packed: str, name: bytes) -> bool:
    """Whether a field of that name is there and holds the needle."""
    if not needle.isInFolded(packed):
        return False
    section = packed.split("\0")[_PLACES[name.lower()]]
    return any(map(needle.isInFolded, section.split("\x01")[1:]))
