"""UIDBATCHES (RFC 10022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from mailfw.imap.grammar.response import bad
from mailfw.imap.grammar.tokens import RefusedArgument, Scanner


@frozen
class Batches:
    """`message-batches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number]` (RFC 10022 §4)

    :ivar size: messages of a batch.
    :ivar wanted: the first and the last batch wanted, the first with the newest messages; None is all.
    """

    size: int
    wanted: tuple[int, int] | None = None


def batches(scanner: Scanner) -> Batches:
    """The arguments. :raises RefusedArgument: the range of batches is upside down (RFC 10022 §3.1.5)."""
    scanner.space()
    size = scanner.nzNumber()
    if not scanner.takes(b" "):
        return Batches(size)
    first = scanner.nzNumber()
    scanner.expect(b":")
    last = scanner.nzNumber()
    if last < first:
        raise RefusedArgument(bad("a range of batches begins with the lower number", b"CLIENTBUG"))
    return Batches(size, (first, last))


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {b"UIDBATCHES": batches}
