"""What is done to a message for a next hop that lacks 8BITMIME or SMTPUTF8: as much as leaves its meaning alone.

Octets above 127 are encoded (RFC 6152 §3), domains are written as A-labels (RFC 5891). What needs more than that stays as it is,
and the client says that this hop cannot take it.
"""

from __future__ import annotations

from collections.abc import Sequence

import idna
from attrs import evolve

from mailfw.message.header import headerEnd
from mailfw.message.sevenbit import sevenBit
from mailfw.smtp.client import Features
from mailfw.values import Address, Envelope, MessageSource, Recipient

CONVERTED = 16 << 20
"""Octets of a message that is held in memory to be converted; a larger one is refused."""

HEADER = 1 << 20
"""Octets in which a header ends, or is not looked at."""


def fitted(
    features: Features, envelope: Envelope, recipients: Sequence[Recipient], message: MessageSource
) -> tuple[Envelope, Sequence[Recipient], MessageSource]:
    """Envelope, recipients and message as that server can take them, as far as they can be made so."""
    if envelope.isSMTPUTF8 and "SMTPUTF8" not in features:
        envelope, recipients = _ascii(envelope, recipients, message)
    if envelope.is8Bit and "8BITMIME" not in features and message.size <= CONVERTED:
        converted = sevenBit(message.read())
        if converted is not None:
            return evolve(envelope, is8Bit=False), recipients, MessageSource(converted)
    return envelope, recipients, message


def _ascii(envelope: Envelope, recipients: Sequence[Recipient], message: MessageSource) -> tuple[Envelope, Sequence[Recipient]]:
    """The envelope without SMTPUTF8, where nothing in it or in the header needs that."""
    sender = envelope.sender and aLabelled(envelope.sender)
    addresses = [aLabelled(recipient.address) for recipient in recipients]
    isFit = (sender is None or sender.isASCII) and all(address.isASCII for address in addresses)
    if not isFit or not _hasASCIIHeader(message):
        return envelope, recipients
    changed = [evolve(recipient, address=address) for recipient, address in zip(recipients, addresses, strict=True)]
    return evolve(envelope, isSMTPUTF8=False, sender=sender), changed


def aLabelled(address: Address) -> Address:
    """The address with its domain in ASCII, where that can be."""
    if address.domain.isascii():
        return address
    try:
        return Address(address.local, idna.encode(address.domain, uts46=True).decode("ascii"))
    except (idna.IDNAError, UnicodeError):
        return address


def _hasASCIIHeader(message: MessageSource) -> bool:
    seen = b""
    for piece in message.chunks():
        seen += piece
        end = headerEnd(seen)
        if end < len(seen) or len(seen) > HEADER:
            return end <= HEADER and seen[:end].isascii()
    return seen.isascii()
