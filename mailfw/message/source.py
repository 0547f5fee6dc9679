"""A message's header apart from its body, while the body stays where it is: in memory, or in a spool file."""

from __future__ import annotations

from attrs import evolve

from mailfw.message.header import hasHeaderEnd, headerEnd
from mailfw.values import MessageSource

LIMIT = 1 << 20
"""Octets in which a header ends; one that does not is all that there is of it."""

_PIECE = 65536


def headerOf(message: MessageSource, limit: int = LIMIT) -> bytes:
    """The header with its empty line; all of the message where there is none, at most `limit` octets."""
    seen = b""
    for piece in message.chunks(_PIECE):
        searched = len(seen)
        seen += piece
        if hasHeaderEnd(seen, searched):
            return seen[: min(headerEnd(seen), limit)]
        if len(seen) >= limit:
            return seen[:limit]
    return seen


def without(message: MessageSource, length: int) -> MessageSource:
    """The message without its first octets."""
    if length <= len(message.prefix):
        return evolve(message, prefix=message.prefix[length:])
    length -= len(message.prefix)
    if message.path:
        return evolve(message, prefix=b"", offset=message.offset + length, length=message.length - length)
    return evolve(message, prefix=b"", data=message.data[length:])
