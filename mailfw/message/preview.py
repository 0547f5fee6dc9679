"""Previews (RFC 8970): the first words of a message, as a list of messages shows them.

The first text/plain part that is no attachment, else the first text/html. Only the beginning of it is looked at, so that a
preview costs the same for every message.
"""

from __future__ import annotations

import re

from mailfw.message import charset, decoding, markup, structure
from mailfw.message.header import unfold
from mailfw.message.mime import Part

MAX_CHARACTERS = 200
_PLAIN_OCTETS = 16384
_HTML_OCTETS = 65536
_MAX_PARTS = 100

# Elements whose text is not shown, comments, and then every other tag. One that is never closed hides the rest.
_HIDDEN = re.compile(r"<(style|script|head|title)\b[^>]*+>.*?(?:</\1\s*+>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[/!?A-Za-z][^<>]*+>?")
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f\xad\u034f\u061c\u115f\u17b4\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")
_QUOTED_LINE = re.compile(r"\s*(?:[>|].*|-+ ?original message ?-+\s*)", re.IGNORECASE)
_ATTRIBUTION = re.compile(r"\S.{0,200}:\s*")


def preview(root: Part, content: bytes) -> str:
    """At most `MAX_CHARACTERS` of readable text, on one line; empty where there is no text."""
    part = _readable(root)
    if part is None:
        return ""
    isHTML = part.contentType.mediaType == b"text/html"
    text = _beginning(part, content, _HTML_OCTETS if isHTML else _PLAIN_OCTETS)
    text = withoutMarkup(text) if isHTML else _withoutQuotation(text)
    words = _UNSEEN.sub("", text).split(None, MAX_CHARACTERS)
    return " ".join(words[:MAX_CHARACTERS])[:MAX_CHARACTERS].rstrip()


def withoutMarkup(text: str) -> str:
    """The text of an HTML document, for reading: it may still hold anything but tags, so it is no HTML to show."""
    return markup.unescape(_TAG.sub(" ", _HIDDEN.sub(" ", text)))


def _readable(root: Part) -> Part | None:
    found = None
    for number, part in enumerate(root.walk()):
        if number == _MAX_PARTS:
            break
        disposition = part.fields.get(b"content-disposition")
        if part.children or (disposition is not None and unfold(disposition).lower().startswith(b"attachment")):
            continue
        if part.contentType.mediaType == b"text/plain" and part.octets:
            return part
        if part.contentType.mediaType == b"text/html" and found is None:
            found = part
    return found


def _beginning(part: Part, content: bytes, octets: int) -> str:
    data = content[part.bodyStart : min(part.end, part.bodyStart + octets)]
    try:
        data = decoding.decode(data, structure.encoding(part))
    except decoding.UnknownEncoding:
        return ""
    if part.octets > octets:
        data = _whole(data)
    declared = part.contentType.charset
    return charset.decode(data, declared) if charset.isTelling(declared) else charset.guess(data)


def _whole(data: bytes) -> bytes:
    """`data` without the beginning of a UTF-8 character at its end, which would make all of it look like something else."""
    for length in range(1, min(4, len(data) + 1)):
        octet = data[-length]
        if octet >= 0xC0:
            return data[:-length]
        if octet < 0x80:
            break
    return data


def _withoutQuotation(text: str) -> str:
    """The text from its first line that is not quoted; the line that says who wrote what is quoted goes with it."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at].rstrip()
        isAttribution = _ATTRIBUTION.fullmatch(line) and any(map(_QUOTED_LINE.match, lines[at + 1 : at + 3]))
        if line and not isAttribution and not _QUOTED_LINE.match(line):
            break
        at += 1
    return "\n".join(lines[at:]) if at < len(lines) else text
