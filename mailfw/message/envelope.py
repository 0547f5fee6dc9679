"""ENVELOPE as IMAP sends it (RFC 9051 §7.5.2), made once at delivery and stored.

    envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP env-bcc SP
               env-in-reply-to SP env-message-id ")"
    address  = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"

A field that is absent is NIL, one that is empty is "". Of a field that is there twice the first counts; To, Cc and Bcc
are joined. An address without a domain has "" as its host, for NIL would begin a group. Octets above 127 are sent as
the message has them, in literals (see `wire`).

What is stored is read again by `items`, so that sorting and threading need no header: as many items from the first one
on as are asked for, each as it stands on the wire, literals turned into quoted strings.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Mapping

from mailfw.message.address import MAX_ENTRIES, GroupEnd, GroupStart, Mailbox, entries
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

_NIL = b"NIL"
_NSTRING = rb'(?:"(?:[^"\\]++|\\.)*+"|NIL)'
_ADDRESSES = rb"(?:\((?:\(%b %b %b %b\))++\)|NIL)" % ((_NSTRING,) * 4)
_FIRST_ADDRESS = re.compile(rb"\(\((%b) (%b) (%b) (%b)\)" % ((_NSTRING,) * 4), re.DOTALL)
_LITERAL = re.compile(rb'([^"{]++|"(?:[^"\\]++|\\.)*+")|\{(\d{1,10}+)\}\r\n', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


class Item(enum.IntEnum):
    """The items of an ENVELOPE, by their places."""

    DATE = 0
    SUBJECT = 1
    FROM = 2
    SENDER = 3
    REPLY_TO = 4
    TO = 5
    CC = 6
    BCC = 7
    IN_REPLY_TO = 8
    MESSAGE_ID = 9


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


def items(wire: bytes, last: Item) -> tuple[bytes, ...]:
    """The items of a stored ENVELOPE up to and with `last`, for `text` and `firstAddress`; NIL each where it is none."""
    pattern = _upTo(last)
    found = pattern.match(wire) or pattern.match(_withoutLiterals(wire))
    return found.groups() if found else (_NIL,) * (last + 1)


def text(item: bytes) -> bytes | None:
    """What an item that is a string holds; None for NIL."""
    if item == _NIL:
        return None
    return _QUOTED_PAIR.sub(rb"\1", item[1:-1]) if b"\\" in item else item[1:-1]


def firstAddress(item: bytes) -> Mailbox | GroupStart | None:
    """The first address in an item that is a list of them; None where it is empty."""
    found = _FIRST_ADDRESS.match(item)
    if found is None:
        return None
    name, route, local, domain = map(text, found.groups())
    if domain is None:
        return GroupStart(local or b"")
    return Mailbox(name, route, local or b"", domain)


def dateOf(wire: bytes) -> bytes | None:
    """The Date field of the message whose ENVELOPE this is; None where it has none."""
    return text(items(wire, Item.DATE)[0])


@functools.lru_cache(len(Item))
def _upTo(last: Item) -> re.Pattern[bytes]:
    groups = [b"(%b)" % (_ADDRESSES if Item.FROM <= item <= Item.BCC else _NSTRING) for item in Item if item <= last]
    return re.compile(rb"\(" + b" ".join(groups), re.DOTALL)


def _withoutLiterals(wire: bytes) -> bytes:
    """An ENVELOPE with quoted strings in place of its literals, whatever octets they hold."""
    pieces = []
    at = 0
    while found := _LITERAL.match(wire, at):
        at = found.end()
        if found[2] is None:
            pieces.append(found[1])
        else:
            literal = wire[at : at + int(found[2])]
            pieces.append(b'"%b"' % literal.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
            at += len(literal)
    return b"".join(pieces)


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
