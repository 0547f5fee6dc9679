"""UIDBATCHES: ranges of UIDs with so many messages each (RFC 10022).

What a batch costs is a look into an array that is there, so how often a client asks (§3.1.1) need not be watched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mailfw.imap.grammar.batches import Batches
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.imap.results import correlator

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

MIN_SIZE = 500
"""RFC 10022 §3.1.3.2"""

MAX_SPAN = 100_000
"""Messages in the batches that one command may ask for by their numbers (RFC 10022 §3.1.5)."""


async def batches(session: Session, command: Batches) -> Reply:
    """RFC 10022 §3.1"""
    if command.size < MIN_SIZE:
        return no(f"a batch has at least {MIN_SIZE} messages", b"TOOFEW")
    first, last = command.wanted or (1, -(-session.view.count // command.size))
    if command.wanted and (last - first + 1) * command.size > MAX_SPAN:
        return no(f"no more than {MAX_SPAN} messages at a time", b"TOOMANY")
    await session.send(_response(correlator(session.tag), ranges(session.view.uids, command.size, first, last)))
    return ok("those are the batches")


def ranges(uids: memoryview, size: int, first: int, last: int) -> Iterator[bytes]:
    """`uid-range = uniqueid ":" uniqueid`, from the higher UID to the lower.

    Each goes down to where the next begins, and the last one in the mailbox to 1, so that a client sees that it is
    the last (§3.1.4).
    """
    for number in range(first, last + 1):
        end = len(uids) - (number - 1) * size
        if end <= 0:
            return
        start = max(0, end - size)
        yield b"%d:%d" % (uids[end - 1], uids[start - 1] + 1 if start else 1)


def _response(correlators: bytes, ranges: Iterator[bytes]) -> Iterator[bytes]:
    """`uidbatches-response = "UIDBATCHES" search-correlator [SP uid-range *("," uid-range)]` (RFC 10022 §4)"""
    yield b"* UIDBATCHES (%b)" % correlators
    separator = b" "
    for each in ranges:
        yield separator + each
        separator = b","
    yield b"\r\n"


HANDLERS: Mapping[type, Handler] = {Batches: batches}
