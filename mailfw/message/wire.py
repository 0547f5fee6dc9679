"""IMAP's strings, as ENVELOPE and BODYSTRUCTURE need them (RFC 9051 §4.3, §9).

    nstring = string / nil        string = quoted / literal        quoted = DQUOTE *QUOTED-CHAR DQUOTE

What is written here can be sent to clients of IMAP4rev1 and of IMAP4rev2 alike: a value with octets above 127 becomes a
literal with these octets as they stand in the message (as Dovecot does), for rev1 forbids them between quotes. No line
break and no NUL gets through: a value is one line, and a client's parser never meets a second.
"""

from __future__ import annotations

import re

_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]*+").fullmatch
_BREAKS = re.compile(rb"[\r\n]++")


def string(value: bytes) -> bytes:
    """`value` as a quoted string, or as a literal where it has to be one."""
    if _QUOTABLE(value):
        return b'"%b"' % value
    value = _BREAKS.sub(b" ", value.replace(b"\0", b""))
    if value.isascii():
        return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b"{%d}\r\n%b" % (len(value), value)


def nstring(value: bytes | None) -> bytes:
    """`value` as `string` writes it; None as NIL."""
    return b"NIL" if value is None else string(value)
