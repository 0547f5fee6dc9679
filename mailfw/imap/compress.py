"""COMPRESS: fewer octets on the wire (RFC 4978). How, `net.deflate` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap.grammar.commands import Compress
from mailfw.imap.grammar.response import Reply, bad, ok

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session


async def compress(session: Session, command: Compress) -> Reply | None:
    """RFC 4978 §3. The reply is the last that goes as it is, and so nothing is told after it."""
    if command.algorithm != b"DEFLATE":
        return bad("there is no such compression")
    if session.channel.isCompressed:
        return bad("compression is active already", b"COMPRESSIONACTIVE")
    session.answer(session.tag, ok("compressing from here"))
    session.channel.startCompression()
    return None


HANDLERS: Mapping[type, Handler] = {Compress: compress}
