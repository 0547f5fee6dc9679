"""The text of messages, for search: decoded, and compared without case.

Comparison is close to `i;unicode-casemap` (RFC 5051): compatibility decomposition, so that `ﬁ` is `fi` and a letter with an
accent is the letter and the accent, and then Unicode's full case folding instead of titlecase, so that `ß` is also `ss`. As
in RFC 5051, `u` is found in `ü`. A needle is found wherever it is a substring; line breaks and spaces count as they are, once
header fields are unfolded.

Searched in a body are: every text part (HTML as it is written), delivery reports, the headers of messages inside, and the names
and descriptions of attachments.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from attrs import frozen

from mailfw.message import address, charset, decoding, parameter, structure, words
from mailfw.message.header import MAX_OCTETS, values
from mailfw.message.mime import Part

# Normalising takes the square of the longest run of combining marks: pieces bound it.
_PIECE = 512
_WINDOW = 64 * _PIECE
_MAX_GUESSES = 4
_FOLDING = re.compile(rb"\r?\n(?=[ \t])")
_ADDRESS_FIELDS = frozenset((b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"))
# Charsets in which octets below 128 are ASCII wherever they stand.
_ASCII_COMPATIBLE = ("ascii", "utf-8", "iso8859", "cp125", "koi8", "latin")


def fold(text: str) -> str:
    """`text` as it is compared; folding what is folded changes nothing that matters to comparison."""
    if text.isascii():
        return text.lower()
    if len(text) <= _PIECE:
        return _folded(text)
    return "".join([_folded(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE)])


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


@frozen
class Needle:
    """What is looked for, made ready once for many messages.

    :ivar text: folded.
    """

    text: str

    @classmethod
    def of(cls, text: str) -> Needle:
        """The needle for a text that somebody typed."""
        return cls(fold(text))

    def isIn(self, text: str) -> bool:
        """Whether the folded text holds it. A window at a time, so that folding never needs much memory."""
        if text.isascii():
            return self.text.isascii() and self.text in text.lower()
        kept = ""
        for at in range(0, len(text), _WINDOW):
            window = kept + fold(text[at : at + _WINDOW])
            if self.text in window:
                return True
            kept = window[max(0, len(window) + 1 - len(self.text)) :]
        return False

    def isInHeader(self, header: bytes) -> bool:
        """Whether the decoded header holds it, names of fields included."""
        return self.isIn(headerText(header))

    def isInField(self, header: bytes, name: bytes) -> bool:
        """Whether a field of that name is there and holds it."""
        return any(map(self.isIn, fieldTexts(header, name)))

    def isInBody(self, root: Part, content: bytes) -> bool:
        """Whether the text of the body holds it."""
        return any(map(self.isIn, bodyTexts(root, content)))


def fieldTexts(header: bytes, name: bytes) -> Iterator[str]:
    """The decoded values of the fields of that name. Of a field of addresses also `Name <local@domain>` for each address, so
    that what people see is found, however it is quoted and commented."""
    wanted = name.lower()
    for value in values(header, wanted):
        yield from valueTexts(wanted, value)


def valueTexts(name: bytes, value: bytes) -> Iterator[str]:
    """The same for one field, its name in lower case and its value unfolded."""
    yield words.decode(value)
    if name in _ADDRESS_FIELDS:
        yield "\n".join(map(address.display, address.entries(value)))


def headerText(header: bytes) -> str:
    """The header decoded, a line for each field."""
    header = _FOLDING.sub(b"", header[:MAX_OCTETS])
    if header.isascii() and b"=?" not in header:
        return header.decode("ascii")
    return "\n".join(map(words.decode, header.split(b"\n")))


def bodyTexts(root: Part, content: bytes) -> Iterator[str]:
    """The texts of the body, decoded. Whoever has found what he looks for need not ask for the rest."""
    guesses = _MAX_GUESSES
    for part in root.walk():
        if part is not root:
            yield _partNames(part)
        if part.contentType.isMessage:
            inner = part.children[0]
            yield headerText(content[inner.start : inner.bodyStart])
        if part.children or not _isText(part):
            continue
        octets = _decoded(part, content)
        if octets.isascii() and _isASCIICompatible(part):
            yield octets.decode("ascii")
        elif guesses and not charset.isTelling(part.contentType.charset):
            guesses -= 1
            yield charset.guess(octets)
        else:
            yield charset.decode(octets, part.contentType.charset)


def _isText(part: Part) -> bool:
    return part.contentType.isText or part.contentType.mediaType.startswith(b"message/")


def _isASCIICompatible(part: Part) -> bool:
    declared = part.contentType.charset
    codec = charset.codecName(declared) if declared else "ascii"
    return codec is None or codec.startswith(_ASCII_COMPATIBLE)


def _decoded(part: Part, content: bytes) -> bytes:
    octets = content[part.bodyStart : part.end]
    try:
        return decoding.decode(octets, structure.encoding(part))
    except decoding.UnknownEncoding:
        return octets


def _partNames(part: Part) -> str:
    """The name and the description of an attachment."""
    found = [parameter.text(part.contentType.parameters, b"name")]
    if (value := part.value(b"content-disposition")) is not None and (placed := parameter.disposition(value)):
        found.append(parameter.text(placed.parameters, b"filename"))
    if (value := part.value(b"content-description")) is not None:
        found.append(words.decode(value))
    return "\n".join(filter(None, found))
