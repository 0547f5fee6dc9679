"""ENVELOPE as IMAP sends it (RFC 9051 §7.5.2), made once at delivery and stored.

    envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP env-bcc SP
               env-in-reply-to SP env-message-id ")"
    address  = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"

A field that is absent is NIL, one that is empty is "". Of a field that is there twice the first counts; To, Cc and Bcc
are joined. An address without a domain has "" as its host, for NIL would begin a group. Octets above 127 are sent as
the message has them, in literals (see `wire`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mailfw.message.address import MAX_ENTRIES, GroupEnd, Mailbox, entries
from mailfw.message.header import unfold
from mailfw.message.wire import nstring, string

# The version of the bytes that this module and `structure` write. Whoever stores them stores it with them, and makes
# them anew when it is another.
FORMAT_VERSION = 1

# The addresses of nearly all mail; a list with any other is left to `address.entries`.
_ATEXT = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]++"
_PLAIN_ADDRESS = re.compile(
    rb'[ \t]*+(?:(?:"([ !#-\[\]-~]*+)"|((?:%b ?)*+))[ \t]*+<(%b)@([A-Za-z0-9.-]++)>|(%b)@([A-Za-z0-9.-]++))'
    rb"[ \t]*+(?:,(?=[ \t]*+[^ \t,])|\Z)" % (_ATEXT, _ATEXT, _ATEXT)
)
_GROUP_END = b"(NIL NIL NIL NIL)"
_DATE = re.compile(rb'\((?:NIL|"((?:[^"\\]++|\\.)*+)"|\{(\d++)\}\r\n)')


def envelope(fields: Mapping[bytes, bytes]) -> bytes:
    """The ENVELOPE of a message.

    :param fields: its header as `header.firstFields` gives it.
    """
    get = fields.get
    sender = _addresses(get(b"from"))
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _text(get(b"date")),
        _text(get(b"subject")),
        sender,
        _orElse(get(b"sender"), sender),
        _orElse(get(b"reply-to"), sender),
        _addresses(get(b"to")),
        _addresses(get(b"cc")),
        _addresses(get(b"bcc")),
        _text(get(b"in-reply-to")),
        _text(get(b"message-id")),
    )


def addressList(value: bytes) -> bytes:
    """An unfolded address list as a parenthesised list of address structures; NIL where it is empty."""
    found: list[bytes] = []
    at, end = 0, len(value)
    while at < end and len(found) < MAX_ENTRIES:
        match = _PLAIN_ADDRESS.match(value, at)
        if match is None:
            return _anyAddressList(value)
        at = match.end()
        quoted, atoms, local, domain, bareLocal, bareDomain = match.groups()
        if bareLocal is not None:
            found.append(b'(NIL NIL "%b" "%b")' % (bareLocal, bareDomain))
        elif name := (quoted if quoted is not None else atoms).strip():
            found.append(b'("%b" NIL "%b" "%b")' % (name, local, domain))
        else:
            found.append(b'(NIL NIL "%b" "%b")' % (local, domain))
    return b"(%b)" % b"".join(found) if found else b"NIL"


def dateOf(wire: bytes) -> bytes | None:
    """The Date field of the message whose ENVELOPE this is; None where it has none."""
    found = _DATE.match(wire)
    if found is None:
        return None
    if found[2] is not None:
        return wire[found.end() : found.end() + int(found[2])]
    return None if found[1] is None else found[1].replace(b"\\", b"")


def _anyAddressList(value: bytes) -> bytes:
    found: list[bytes] = []
    for entry in entries(value):
        if isinstance(entry, Mailbox):
            found.append(
                b"(%b %b %b %b)" % (nstring(entry.name), nstring(entry.route), string(entry.local), string(entry.domain))
            )
        elif isinstance(entry, GroupEnd):
            found.append(_GROUP_END)
        else:
            found.append(b"(NIL NIL %b NIL)" % string(entry.name))
    return b"(%b)" % b"".join(found) if found else b"NIL"


def _text(value: bytes | None) -> bytes:
    return b"NIL" if value is None else string(unfold(value))


def _addresses(value: bytes | None) -> bytes:
    return b"NIL" if value is None else addressList(unfold(value))


def _orElse(value: bytes | None, default: bytes) -> bytes:
    """Sender and Reply-To stand for From when they are absent or empty (RFC 9051 §7.5.2)."""
    if value is None:
        return default
    addresses = addressList(unfold(value))
    return default if addresses == b"NIL" else addresses
