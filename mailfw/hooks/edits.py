"""Edits carried out: on a header's octets, on an envelope. The body of a spooled message stays where it is.

Whatever a hook says, no edit begins a field of its own, ends the header, or puts a bare CR, LF or NUL into a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import evolve

from mailfw.message.edit import fieldLine
from mailfw.message.header import Field, scan
from mailfw.message.source import headerOf, without
from mailfw.stages import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    DeleteHeader,
    Edit,
    Event,
    RemoveRecipient,
    ReplaceBody,
)
from mailfw.values import Envelope, MessageSource

LINE = 998
"""Octets of a line that every system takes (RFC 5322 §2.1.1)."""

_NAME = re.compile(r"[!-9;-~]{1,255}")
_BREAK = re.compile(r"\r\n|\r|\n")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def applied(event: Event, edits: Iterable[Edit]) -> Event:
    """The event as the edits leave it.

    :raises ValueError: one of them cannot be carried out (a field's name that is none).
    """
    for edit in edits:
        if isinstance(edit, AddRecipient | RemoveRecipient | ChangeSender):
            if event.envelope is not None:
                event = evolve(event, envelope=_envelope(event.envelope, edit))
        elif event.message is not None:
            event = evolve(event, message=edited(event.message, edit))
    return event


def _envelope(envelope: Envelope, edit: AddRecipient | RemoveRecipient | ChangeSender) -> Envelope:
    if isinstance(edit, ChangeSender):
        return evolve(envelope, sender=edit.sender)
    address = edit.recipient.address if isinstance(edit, AddRecipient) else edit.address
    others = tuple(each for each in envelope.recipients if each.address != address)
    if isinstance(edit, AddRecipient):
        return envelope if others != envelope.recipients else evolve(envelope, recipients=(*others, edit.recipient))
    return evolve(envelope, recipients=others)


def edited(message: MessageSource, edit: AddHeader | ChangeHeader | DeleteHeader | ReplaceBody) -> MessageSource:
    """The message as the edit leaves it. Reads no more than its header."""
    header = headerOf(message)
    if isinstance(edit, ReplaceBody):
        return _withBody(header, edit.body)
    changed = _header(header, edit)
    return message if changed == header else without(message, len(header)).withPrefix(changed)


def _withBody(header: bytes, body: bytes | MessageSource) -> MessageSource:
    if not header.endswith((b"\n\r\n", b"\n\n")) and header not in (b"\r\n", b"\n"):
        header += b"\r\n" if not header or header.endswith(b"\n") else b"\r\n\r\n"
    if isinstance(body, MessageSource):
        return body.withPrefix(header)
    return MessageSource(data=_BARE.sub(b"\r\n", body.replace(b"\0", b"")), prefix=header)


def _header(header: bytes, edit: AddHeader | ChangeHeader | DeleteHeader) -> bytes:
    fields = list(scan(header))
    if isinstance(edit, AddHeader):
        position = len(fields) if edit.position is None else min(max(edit.position, 0), len(fields))
        return _inserted(header, fields, position, line(edit.name, edit.value))
    name = edit.name.lower().encode("utf-8")
    named = [field for field in fields if field.name.lower() == name]
    if isinstance(edit, DeleteHeader):
        chosen = named if edit.occurrence == 0 else named[edit.occurrence - 1 : edit.occurrence]
        return _without(header, chosen)
    if not 0 < edit.occurrence <= len(named):
        return _inserted(header, fields, len(fields), line(edit.name, edit.value))
    old = named[edit.occurrence - 1]
    return header[: old.start] + line(edit.name, edit.value) + header[old.end :]


def _inserted(header: bytes, fields: list[Field], position: int, line: bytes) -> bytes:
    if position < len(fields):
        at = fields[position].start
    else:
        at = fields[-1].end if fields else 0
    if at and not header[:at].endswith(b"\n"):
        line = b"\r\n" + line
    if at == 0 and not fields and header and not header.startswith((b"\r\n", b"\n")):
        line += b"\r\n"  # what follows is no header
    return header[:at] + line + header[at:]


def _without(header: bytes, fields: list[Field]) -> bytes:
    for field in reversed(fields):
        header = header[: field.start] + header[field.end :]
    return header


def line(name: str, value: str) -> bytes:
    """A field with its own folding, where that is one; what would begin a line of its own becomes a continuation.

    :raises ValueError: that is no field's name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no field's name")
    lines = _BREAK.split(value.replace("\0", ""))
    pieces = [f"{name}: {lines[0].lstrip(' ')}".rstrip()]
    pieces += [more if more[:1] in " \t" else f" {more}" for more in lines[1:] if more.strip()]
    octets = "\r\n".join(pieces).encode("utf-8", "replace")
    if any(len(each) > LINE for each in octets.split(b"\r\n")):
        return fieldLine(name, value)
    return octets + b"\r\n"
