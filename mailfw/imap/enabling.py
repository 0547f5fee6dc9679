"""ENABLE: what a client must say it knows before the server may use it (RFC 5161; RFC 9051 §6.3.1, RFC 9755 §3, RFC 7162
§3.2.3, RFC 9586 §3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailfw.imap import condstore
from mailfw.imap.grammar.commands import Enable
from mailfw.imap.grammar.response import Reply, ok
from mailfw.imap.manner import CONDSTORE, QRESYNC, UIDONLY

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

REV2 = b"IMAP4REV2"
UTF8 = b"UTF8=ACCEPT"

ENABLEABLE: Mapping[bytes, bytes] = {
    REV2: b"IMAP4rev2",
    UTF8: UTF8,
    CONDSTORE: CONDSTORE,
    QRESYNC: QRESYNC,
    UIDONLY: UIDONLY,
}
"""What can be enabled: in capitals, and as it is written in a response."""


async def enable(session: Session, command: Enable) -> Reply:
    """RFC 5161 §3.1. What is unknown is passed over."""
    known = dict.fromkeys(
        name for name in command.capabilities if name in ENABLEABLE and name.decode("ascii") not in session.missing
    )
    hadModSeqs = session.manner.hasModSeqs
    session.enable(*known)
    session.untagged(b" ".join((b"ENABLED", *(ENABLEABLE[name] for name in known))))
    if session.selected is not None and session.manner.hasModSeqs and not hadModSeqs:
        session.channel.write(condstore.highestModSeq(session.selected.toldModSeq))  # RFC 7162 §3.1
    return ok("enabled what there is to enable")


HANDLERS: Mapping[type, Handler] = {Enable: enable}
