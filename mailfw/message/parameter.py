"""Content-Type and Content-Disposition with their parameters (RFC 2045 §5.1, RFC 2183, RFC 2231).

    content   = type "/" subtype *(";" parameter)            parameter = attribute "=" (token / quoted-string)

Continuations (`name*0`, `name*1`) are put together. What RFC 2231 encodes stays encoded, under the name with its `*`,
as its §6 asks of IMAP servers; `text` decodes it.
"""

from __future__ import annotations

import functools
import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from attrs import field, frozen

from mailfw.message import charset, words

Parameters = tuple[tuple[bytes, bytes], ...]

_TYPE = re.compile(rb'\s*+([^\x00-\x20()<>@,;:\\"/\[\]?=]++)\s*+/\s*+([^\x00-\x20()<>@,;:\\"/\[\]?=]++)')
_TOKEN = re.compile(rb'\s*+([^\x00-\x20()<>@,;:\\"/\[\]?=]++)')
# A quoted value that is never closed, and an unquoted one with spaces in it, reach to where they must end.
_PARAMETER = re.compile(
    rb'(?:[\s;]++|\([^()]*+\)|[^=;"]++;)*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)"?|([^;]*+))[^;]*+', re.DOTALL
)
_COMMENT_AFTER = re.compile(rb"(?:^|\s)\([^()]*+\)\s*+\Z")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SECTION = re.compile(rb"([^*]++)(?:\*(\d{1,3}))?(\*?)")

MAX_PARAMETERS = 200


@frozen
class ContentType:
    """What a part holds.

    :ivar type: as written, `text`.
    :ivar subtype: as written, `plain`.
    :ivar mediaType: both in lower case, `text/plain`.
    :ivar boundary: of a multipart; None where it has none that could ever match.
    """

    type: bytes
    subtype: bytes
    parameters: Parameters = ()
    mediaType: bytes = field(init=False)
    isMultipart: bool = field(init=False)
    isText: bool = field(init=False)
    isMessage: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        kind = self.type.lower()
        mediaType = b"%b/%b" % (kind, self.subtype.lower())
        put = object.__setattr__
        put(self, "mediaType", mediaType)
        put(self, "isMultipart", kind == b"multipart")
        put(self, "isText", kind == b"text")
        put(self, "isMessage", mediaType in (b"message/rfc822", b"message/global"))

    @property
    def boundary(self) -> bytes | None:
        """RFC 2046 §5.1.1; white space at its end is none of it."""
        return (parameter(self.parameters, b"boundary") or b"").rstrip() or None

    @property
    def charset(self) -> bytes | None:
        """As declared."""
        return parameter(self.parameters, b"charset")


@frozen
class Disposition:
    """Content-Disposition (RFC 2183): `kind` as written, `attachment`."""

    kind: bytes
    parameters: Parameters = ()


TEXT_PLAIN = ContentType(b"text", b"plain")
MESSAGE = ContentType(b"message", b"rfc822")
OPAQUE = ContentType(b"application", b"octet-stream")


def contentType(value: bytes) -> ContentType:
    """Read an unfolded Content-Type; one that is malformed means plain text (RFC 2045 §5.2)."""
    return _contentType(value) if len(value) > 128 else _shortContentType(value)


def _contentType(value: bytes) -> ContentType:
    found = _TYPE.match(value)
    if found is None:
        return TEXT_PLAIN
    return ContentType(found[1], found[2], parameters(value, found.end()))


_shortContentType = functools.lru_cache(512)(_contentType)


def disposition(value: bytes) -> Disposition | None:
    """Read an unfolded Content-Disposition; None where it names no disposition."""
    found = _TOKEN.match(value)
    return Disposition(found[1], parameters(value, found.end())) if found else None


def parameters(value: bytes, at: int = 0) -> Parameters:
    """The parameters in `value[at:]`, continuations put together, at most `MAX_PARAMETERS`."""
    found: list[tuple[bytes, bytes]] = []
    hasSections = False
    while len(found) < MAX_PARAMETERS and (match := _PARAMETER.match(value, at)):
        at = match.end()
        name, text = match[1], match[2]
        if text is None:
            text = match[3]
            text = (_COMMENT_AFTER.sub(b"", text) if b"(" in text else text).strip()
        elif b"\\" in text:
            text = _QUOTED_PAIR.sub(rb"\1", text)
        hasSections = hasSections or b"*" in name
        found.append((name, text))
    return _withoutContinuations(found) if hasSections else tuple(found)


def parameter(found: Parameters, name: bytes) -> bytes | None:
    """The value of a parameter, by its name in lower case, as it stands."""
    for each, value in found:
        if each.lower() == name:
            return value
    return None


def text(found: Parameters, name: bytes) -> str | None:
    """The value of a parameter for people, by its name in lower case: RFC 2231's form where there is one, else the
    plain form, in which encoded-words are understood, for many programs write them there."""
    extended = parameter(found, name + b"*")
    if extended is not None:
        language = extended.split(b"'", 2)
        if len(language) == 3:
            return charset.decode(unquote_to_bytes(language[2]), language[0])
        return charset.decode(unquote_to_bytes(extended))
    plain = parameter(found, name)
    return None if plain is None else words.decode(plain)


def _withoutContinuations(found: list[tuple[bytes, bytes]]) -> Parameters:
    """Put `name*0`, `name*1*` … together (RFC 2231 §3, §4.1): into `name`; into `name*` when a piece is encoded."""
    whole: dict[tuple[bytes, bool], list[tuple[int, bool, bytes]]] = {}
    for name, value in found:
        match = _SECTION.fullmatch(name)
        if match is None:
            whole.setdefault((name, False), [(0, False, value)])
        elif match[2] is None:
            whole.setdefault((name, False), [(0, bool(match[3]), value)])
        else:
            whole.setdefault((match[1].lower(), True), []).append((int(match[2]), bool(match[3]), value))
    merged: list[tuple[bytes, bytes]] = []
    for (name, isContinued), pieces in whole.items():
        if not isContinued:
            merged.append((name, pieces[0][2]))
            continue
        pieces.sort(key=lambda piece: piece[0])
        if any(isEncoded for _, isEncoded, _ in pieces):
            encoded = (value if isEncoded else quote_from_bytes(value).encode() for _, isEncoded, value in pieces)
            merged.append((name + b"*", b"".join(encoded)))
        else:
            merged.append((name, b"".join(value for _, _, value in pieces)))
    return tuple(merged)
