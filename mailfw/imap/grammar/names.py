"""Mailbox names on the wire: modified UTF-7, or UTF-8 for clients that said they know it (RFC 9051 §5.1, RFC 9755 §3).

Octets above 127 are never modified UTF-7, so a name that has some is UTF-8 whatever the client said before.
"""

from __future__ import annotations

from mailfw.errors import InvalidName
from mailfw.imap.grammar import mutf7
from mailfw.imap.grammar.response import astring


def decode(octets: bytes, isUTF8: bool) -> str:
    """A name as the wire has it to one as the house has it: INBOX in capitals, the rest decoded.

    :raises InvalidName: it is neither UTF-8 nor modified UTF-7 in its canonical form.
    """
    try:
        name = octets.decode("utf-8") if isUTF8 or not octets.isascii() else mutf7.decode(octets)
    except UnicodeDecodeError:
        raise InvalidName("mailbox name: not UTF-8") from None
    except ValueError as error:
        raise InvalidName(f"mailbox name: {error}") from None
    first, slash, rest = name.partition("/")
    return f"INBOX{slash}{rest}" if first.upper() == "INBOX" else name


def encode(name: str, isUTF8: bool) -> bytes:
    """A name as the wire has it, not yet quoted."""
    return name.encode("utf-8") if isUTF8 else mutf7.encode(name)


def mailbox(name: str, isUTF8: bool) -> bytes:
    """`mailbox = "INBOX" / astring`, encoded and quoted as it must be."""
    return astring(encode(name, isUTF8), isUTF8)
