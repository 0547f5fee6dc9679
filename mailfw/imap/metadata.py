"""Metadata: what is noted down beside mailboxes, and beside the server (RFC 5464; in LIST: RFC 9590)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mailfw.errors import AnnotationTooLarge, TooManyAnnotations
from mailfw.imap.grammar import response
from mailfw.imap.grammar.metadata import GetMetadata, SetMetadata
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.interfaces import IAccount
from mailfw.values import SetMetadata as SetEntries
from mailfw.values import SpecialUse

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

READ_ONLY = "/shared/admin"
"""Says whom to ask for help, and nobody sets it (RFC 5464 §3.2.1.1)."""

SPECIAL_USE = "/private/specialuse"

_VIRTUAL = frozenset((SpecialUse.ALL.value.lower(), SpecialUse.FLAGGED.value.lower()))
_USES = frozenset(use.value.lower() for use in SpecialUse) - _VIRTUAL


async def _account(session: Session, mailbox: str) -> tuple[IAccount, str]:
    """Whose entries are meant. What is the server's is asked of one's own account."""
    return await session.at(mailbox) if mailbox else (session.account, "")


def line(session: Session, mailbox: str, values: Iterable[tuple[str, bytes | None]]) -> bytes:
    """`metadata-resp = "METADATA" SP mailbox SP "(" entry SP value *(SP entry SP value) ")"`"""
    words = [b"%b %b" % (response.astring(name.encode("ascii")), _value(value)) for name, value in values]
    return response.untagged(b"METADATA", session.nameWord(mailbox) if mailbox else b'""', b"(%b)" % b" ".join(words))


def namesLine(session: Session, mailbox: str, entries: Sequence[str]) -> bytes:
    """`metadata-resp = "METADATA" SP mailbox SP entry-list` (RFC 5464 §4.4.2): these are not what they were."""
    names = b" ".join(response.astring(name.encode("ascii")) for name in entries)
    return response.untagged(b"METADATA", session.nameWord(mailbox) if mailbox else b'""', names)


def _value(value: bytes | None) -> bytes:
    """`value = nstring / literal8`"""
    return b"~" + response.literal(value) if value is not None and b"\0" in value else response.nstring(value)


async def getMetadata(session: Session, command: GetMetadata) -> Reply:
    """RFC 5464 §4.2. One that is asked for by name and is not there is NIL; of one that is too long only the size is told."""
    account, local = await _account(session, command.mailbox)
    found = await account.metadata(local, command.entries, command.depth)
    tooLong = [len(value) for value in found.values() if command.maximum is not None and len(value) > command.maximum]
    values: dict[str, bytes | None] = {} if command.depth != 0 else dict.fromkeys(command.entries)
    values |= found
    told = [
        (name, value)
        for name, value in values.items()
        if value is None or command.maximum is None or len(value) <= command.maximum
    ]
    if told:
        session.channel.write(line(session, command.mailbox, told))
    code = b"METADATA LONGENTRIES %d" % max(tooLong) if tooLong else b""
    return ok("those are the entries", code)


async def setMetadata(session: Session, command: SetMetadata) -> Reply:
    """RFC 5464 §4.3: all, or none."""
    for name, value in command.entries:
        if name == READ_ONLY and not command.mailbox:
            return no("nobody can change that entry", b"CANNOT")
        if name == SPECIAL_USE and not {word.lower() for word in (value or b"").decode("latin-1").split()} <= _USES:
            return no("there is no such use for a mailbox here", b"USEATTR")
    account, local = await _account(session, command.mailbox)
    try:
        await account.apply([SetEntries(local, command.entries)])
    except AnnotationTooLarge as refusal:
        return no(refusal.text, b"METADATA MAXSIZE %d" % refusal.maximum)
    except TooManyAnnotations as refusal:
        return no(refusal.text, b"METADATA TOOMANY")
    return ok("set")


async def listed(session: Session, mailbox: str, entries: Sequence[str]) -> bytes:
    """The METADATA response of one mailbox in a LIST: every entry that was asked for, NIL where it is not there (RFC 9590 §3).

    :raises NoSuchMailbox: :raises NoPermission: nothing can be said of it.
    """
    account, local = await session.at(mailbox)
    found = await account.metadata(local, entries)
    return line(session, mailbox, [(name, found.get(name)) for name in entries])


HANDLERS: Mapping[type, Handler] = {GetMetadata: getMetadata, SetMetadata: setMetadata}
