"""Message-IDs and lists of them (RFC 5322 §3.6.4), in the normal form that threading compares (RFC 5256 §3).

msg-id = [CFWS] "<" id-left "@" id-right ">" [CFWS]
"""

from __future__ import annotations

import re

MAX_IDS = 100
_ID = re.compile(rb"<([^<>]++)>")
_SPACE = re.compile(rb"[\x00-\x20]++")
_QUOTING = re.compile(rb'"|\\(?=.)', re.DOTALL)
_MAX_OCTETS = 998


def messageIds(value: bytes) -> tuple[str, ...]:
    """The ids in an unfolded Message-ID, In-Reply-To or References, without brackets, space and quoting, each once.

    Of more than `MAX_IDS` the first and the newest stay (RFC 5322 §3.6.4 lists them from the root down), and an id that
    no line could hold is none.
    """
    ids = dict.fromkeys(_normal(each) for each in _ID.findall(value) if len(each) <= _MAX_OCTETS)
    if len(ids) > MAX_IDS:
        names = list(ids)
        return (names[0], *names[1 - MAX_IDS :])
    return tuple(ids)


def messageId(value: bytes) -> str:
    """The one id of an unfolded Message-ID; what stands there without brackets where it has none; empty for nothing."""
    found = messageIds(value)
    return found[0] if found else _normal(value.strip(b"<> \t")[:_MAX_OCTETS])


def _normal(octets: bytes) -> str:
    octets = _SPACE.sub(b"", octets)
    if b'"' in octets or b"\\" in octets:
        octets = _QUOTING.sub(b"", octets)
    return octets.decode("utf-8", "backslashreplace")
