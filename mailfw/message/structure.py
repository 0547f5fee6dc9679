"""BODYSTRUCTURE as IMAP sends it (RFC 9051 §7.5.2), made once at delivery and stored; and BODY, cut from it.

    body            = "(" (body-type-1part / body-type-mpart) ")"
    body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]
    body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
    body-ext-1part  = body-fld-md5 SP body-fld-dsp SP body-fld-lang SP body-fld-loc
    body-ext-mpart  = body-fld-param SP body-fld-dsp SP body-fld-lang SP body-fld-loc

Types and parameters are spelled as in the message. Text that names no charset says `us-ascii` (RFC 2046 §4.1.2), a part
without an encoding `7bit`. Lines are line breaks. The bytes count among `envelope.FORMAT_VERSION`.
"""

from __future__ import annotations

import re

from mailfw.message.envelope import envelope
from mailfw.message.header import unfold
from mailfw.message.mime import Part
from mailfw.message.parameter import ContentType, Parameters, disposition, parameter
from mailfw.message.wire import string

_ENCODING = re.compile(rb'\s*+"?([^\x00-\x20\x7f-\xff()<>@,;:\\"/\[\]?=]++)')
_LANGUAGE = re.compile(rb"[A-Za-z0-9*-]++")
_EXTENSION_FIELDS = frozenset((b"content-md5", b"content-disposition", b"content-language", b"content-location"))
_MAX_LANGUAGES = 100
_DEFAULT_CHARSET = (b"charset", b"us-ascii")

# Where a stored BODYSTRUCTURE is cut: type, subtype, parameters, id, description, encoding and octets belong to every
# BODY.
_BASIC_ITEMS = 7
_TEXT = re.compile(rb'\("text" ', re.IGNORECASE)
_NESTED = re.compile(rb'\("message" "(?:rfc822|global)" ', re.IGNORECASE)
_ITEM = re.compile(rb' ?(?:[()]|"(?:[^"\\]++|\\.)*+"|\{(\d++)\}\r\n|[A-Z0-9]++)')


def bodyStructure(part: Part, content: bytes) -> bytes:
    """The BODYSTRUCTURE of a message or a part of it.

    :param content: what `part` was scanned from.
    """
    kind = part.contentType
    if kind.isMultipart:
        children = b"".join([bodyStructure(child, content) for child in part.children])
        return b"(%b %b %b%b)" % (children, string(kind.subtype), _parameters(kind.parameters), _placing(part))
    fields = part.fields
    head = b"(%b %b %b %b %d" % (
        _mediaType(kind),
        _field(fields.get(b"content-id")),
        _field(fields.get(b"content-description")),
        _encoding(fields.get(b"content-transfer-encoding")),
        part.octets,
    )
    if kind.isText:
        head = b"%b %d" % (head, part.lines(content))
    elif kind.isMessage:
        inner = part.children[0]
        head = b"%b %b %b %d" % (head, envelope(inner.fields), bodyStructure(inner, content), part.lines(content))
    if fields.keys().isdisjoint(_EXTENSION_FIELDS):
        return head + b" NIL NIL NIL NIL)"
    return b"%b %b%b)" % (head, _field(fields.get(b"content-md5")), _placing(part))


def plainBody(structure: bytes) -> bytes:
    """BODY: what `bodyStructure` wrote, without its extension data."""
    return _withoutExtension(structure, 0)[0]


def encoding(part: Part) -> bytes:
    """The name of the part's Content-Transfer-Encoding in lower case; `7bit` where it names none."""
    return _encoding(part.fields.get(b"content-transfer-encoding"))[1:-1].lower()


def _mediaType(kind: ContentType) -> bytes:
    parameters = kind.parameters
    if kind.isText and parameter(parameters, b"charset") is None and parameter(parameters, b"charset*") is None:
        parameters = (*parameters, _DEFAULT_CHARSET)
    return b"%b %b %b" % (string(kind.type), string(kind.subtype), _parameters(parameters))


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(%b)" % b" ".join([b"%b %b" % (string(name), string(value)) for name, value in parameters])


def _field(value: bytes | None) -> bytes:
    return b"NIL" if value is None else string(unfold(value))


def _encoding(value: bytes | None) -> bytes:
    if value is None:
        return b'"7bit"'
    found = _ENCODING.match(unfold(value))
    return b'"%b"' % found[1] if found else b'"7bit"'


def _placing(part: Part) -> bytes:
    """Disposition, language and location, each with a space before it."""
    get = part.fields.get
    if (value := get(b"content-disposition")) is None or (found := disposition(unfold(value))) is None:
        placed = b"NIL"
    else:
        placed = b"(%b %b)" % (string(found.kind), _parameters(found.parameters))
    return b" %b %b %b" % (placed, _languages(get(b"content-language")), _field(get(b"content-location")))


def _languages(value: bytes | None) -> bytes:
    tags = _LANGUAGE.findall(value)[:_MAX_LANGUAGES] if value is not None else []
    if len(tags) < 2:
        return string(tags[0]) if tags else b"NIL"
    return b"(%b)" % b" ".join(map(string, tags))


def _withoutExtension(structure: bytes, at: int) -> tuple[bytes, int]:
    """The body that begins at `at`, cut; and the offset after it."""
    start = at
    at += 1
    if structure.startswith(b"(", at):
        pieces = [b"("]
        while structure.startswith(b"(", at):
            piece, at = _withoutExtension(structure, at)
            pieces.append(piece)
        start = at
        at = _itemEnd(structure, at)
    else:
        pieces = []
        for _ in range(_BASIC_ITEMS):
            at = _itemEnd(structure, at)
        if _TEXT.match(structure, start):
            at = _itemEnd(structure, at)
        elif _NESTED.match(structure, start):
            at = _itemEnd(structure, at) + 1
            pieces.append(structure[start:at])
            piece, at = _withoutExtension(structure, at)
            pieces.append(piece)
            start = at
            at = _itemEnd(structure, at)
    pieces += (structure[start:at], b")")
    while not structure.startswith(b")", at):
        at = _itemEnd(structure, at)
    return b"".join(pieces), at + 1


def _itemEnd(structure: bytes, at: int) -> int:
    """The offset after the string, number, NIL or list at `at`, and the space before it."""
    depth = 0
    while True:
        match = _ITEM.match(structure, at)
        assert match is not None  # `bodyStructure` writes nothing else
        at = match.end()
        if match[1] is not None:
            at += int(match[1])
        elif match[0].endswith(b"("):
            depth += 1
        elif match[0] == b")":
            depth -= 1
        if not depth:
            return at
