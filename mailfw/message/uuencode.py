"""Attachments in text bodies as programs wrote them before MIME: uuencode (POSIX), found by offset.

    attachment = "begin " mode SP name line-end *(length *code line-end) "end" line-end

A `begin` counts only when a line of code follows it, for people begin lines with that word too. What ends without `end`, or in
between, ends there. Each line is looked at once, or twice where it begins with `begin`.
"""

from __future__ import annotations

import binascii
import re

from attrs import frozen

from mailfw.message import charset

MAX_ATTACHMENTS = 1000
_MAX_NAME = 255

_BEGIN = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]++)\r?\n(?=[!-M][ -`]{1,90}+[ \t]*+\r?\n)", re.MULTILINE)
_LINE = re.compile(rb"[!-M]([ -`]*+)\r?\n")
_END = re.compile(rb"(?:[` ]?[ \t]*+\r?\n)*+end[ \t]*+(?:\r?\n|\Z)")


@frozen
class Attachment:
    """:ivar name: as its sender wrote it: no path to write to.
    :ivar start: offset of its `begin`. :ivar dataStart: of its first line of code.
    :ivar dataEnd: after its last. :ivar end: after its `end`.
    """

    name: str
    start: int
    dataStart: int
    dataEnd: int
    end: int


def attachments(content: bytes, start: int = 0, end: int | None = None) -> list[Attachment]:
    """Those in `content[start:end]`, a text body with its transfer encoding undone, at most `MAX_ATTACHMENTS`."""
    stop = len(content) if end is None else end
    found: list[Attachment] = []
    at = start
    while len(found) < MAX_ATTACHMENTS and (begin := _BEGIN.search(content, at, stop)):
        at = begin.end()
        while line := _LINE.match(content, at, stop):
            at = line.end()
        dataEnd = at
        closing = _END.match(content, at, stop)
        at = closing.end() if closing else at
        name = charset.decode(begin[1].strip()[:_MAX_NAME])
        found.append(Attachment(name, begin.start(), begin.end(), dataEnd, at))
    return found


def decode(content: bytes, attachment: Attachment) -> bytes:
    """The octets of an attachment in `content`. A line that is too short is filled up with zeros, for spaces at the ends of lines
    get lost; of one that is too long the rest is a check sum of old, and passed over."""
    lines = content[attachment.dataStart : attachment.dataEnd].splitlines()
    return b"".join(map(_decoded, lines))


def _decoded(line: bytes) -> bytes:
    octets = (line[0] - 32) & 63
    return binascii.a2b_uu(line[: 1 + (octets + 2) // 3 * 4])
