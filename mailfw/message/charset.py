"""Octets in any charset as text, never failing.

Charset names come from strangers: only codecs that decode text, in linear time, are used. A name that is unknown, or
missing, means: UTF-8 if the octets are that, else Windows-1252; `guess` looks closer.
"""

from __future__ import annotations

import codecs
import functools
import re

# What mail programs mean by these names is a larger set than the names' own.
_SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "x-mac-roman": "mac-roman",
    "x-gbk": "gb18030",
    "unicode-1-1-utf-7": "utf-7",
    "utf8mb4": "utf-8",
}
# These decode something else than a charset, or take more than linear time.
_REFUSED = frozenset(("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,39}")
_GUESSED_OCTETS = 16384


_SURROGATES = re.compile("[\ud800-\udfff]")  # UTF-7, as Python reads it, lets single ones pass


def decode(data: bytes, charset: bytes | None = None) -> str:
    """`data` as text; what cannot be decoded becomes U+FFFD, and so do surrogates, which no file and no database takes.

    :param charset: as declared; None, one that is unknown, and US-ASCII with octets above 127 are UTF-8 or
        Windows-1252.
    """
    codec = codecName(charset) if charset else None
    if codec is not None and codec != "ascii":
        try:
            text = data.decode(codec, "replace")
            return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
        except UnicodeError:  # a codec that ignores "replace" for some faults
            pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def isTelling(charset: bytes | None) -> bool:
    """Whether a declared charset says how octets above 127 are to be read."""
    return charset is not None and codecName(charset) not in (None, "ascii")


def guess(data: bytes) -> str:
    """`data` as text where no charset is telling: UTF-8 if it is that, else what its beginning looks like.

    Guessing costs about a millisecond: whoever calls this bounds how often a message may ask for it.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    import chardet  # large, and needed only for mail that does not say what it is

    found = chardet.detect(data[:_GUESSED_OCTETS])["encoding"]
    return decode(data, found.encode("ascii") if found else None)


def codecName(charset: bytes) -> str | None:
    """Python's name for a charset's codec (RFC 2978 names and aliases), or None for one that we do not decode."""
    return _codecName(charset[:64].decode("latin-1").strip(" \t\"'").lower())


@functools.lru_cache(256)
def _codecName(name: str) -> str | None:
    if not _NAME.fullmatch(name):
        return None
    name = _SUPERSETS.get(name, name)
    for variant in (name, name.removeprefix("x-"), name.replace("windows", "cp").replace("-", "")):
        try:
            codec = codecs.lookup(variant)
            if codec.name.replace("-", "_") in _REFUSED:
                return None
            b"x".decode(variant, "replace")
        except (LookupError, UnicodeError, ValueError):  # bytes.decode refuses codecs that are no charsets
            continue
        return codec.name
    return None
