"""CONDSTORE: what changed since, and changes only of what did not (RFC 7162 §3.1).

Every mailbox has MODSEQs, so NOMODSEQ is never said. A client enables the extension by ENABLE, or just by using it (§3.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailfw.imap.grammar.response import ok
from mailfw.imap.manner import CONDSTORE

if TYPE_CHECKING:
    from mailfw.imap.session import Session


def used(session: Session) -> None:
    """The client uses what only those do who know MODSEQs: from now on it is told them, and HIGHESTMODSEQ to begin with (RFC
    7162 §3.1.2).
    """
    if session.manner.hasModSeqs:
        return
    session.enable(CONDSTORE)
    if session.selected is not None:
        session.channel.write(highestModSeq(session.selected.toldModSeq))


def highestModSeq(modSeq: int) -> bytes:
    """`resp-text-code = "HIGHESTMODSEQ" SP mod-sequence-value` (RFC 7162 §7), by itself"""
    return ok("ask from here next time", b"HIGHESTMODSEQ %d" % modSeq).render()
