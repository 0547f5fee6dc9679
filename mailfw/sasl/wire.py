"""How SASL messages travel in SMTP, POP3 and IMAP: base64 on a line of its own (RFC 4954 §4, RFC 5034 §4, RFC 9051 §6.2.2)."""

from __future__ import annotations

import base64
import binascii

from mailfw.sasl.steps import MESSAGE_LIMIT, MalformedResponse

_LINE_LIMIT = (MESSAGE_LIMIT + 2) // 3 * 4


def decodeBase64(text: bytes) -> bytes:
    """RFC 4648 §4, strict: the alphabet and its padding, nothing between, nothing left over.

    :raises ValueError: it is not base64, or not in its only form (bits after the end are set).
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if base64.b64encode(data) != text:
        raise ValueError("not canonical base64")
    return data


def decodeResponse(line: bytes) -> bytes:
    """The octets of one response line, without its CRLF. Cancelling (`*`) is the protocol's to see before.

    :raises MalformedResponse: not base64, or too long.
    """
    if len(line) > _LINE_LIMIT:
        raise MalformedResponse("authentication response too long")
    try:
        return decodeBase64(line)
    except ValueError:
        raise MalformedResponse("authentication response is not base64") from None


def decodeInitialResponse(text: bytes) -> bytes:
    """The initial response on the command's own line, where `=` stands for an empty one (RFC 4954 §4).

    :raises MalformedResponse: not base64, or too long.
    """
    return b"" if text == b"=" else decodeResponse(text)


def encode(data: bytes) -> bytes:
    """A challenge, or a client's response, as it is put on the wire, without CRLF."""
    return base64.b64encode(data)
