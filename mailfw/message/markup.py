"""HTML as a program reads it: the text that a person sees, and where its links lead. Pure.

Read as the HTML standard has it (§13.2.5), as far as tags, comments, raw texts and character references go. What begins and is
never closed hides the rest, as in a browser; so nothing is looked at twice, and reading takes time in proportion to the size.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from attrs import define, field

_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]*+)")
_ATTRIBUTE = re.compile(r"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)|(?=>)))?+""")
_UNCLOSED = re.compile(r"""[\s/]*+[^\s/>][^\s/>=]*+\s*+=\s*+["']""")
_CLOSED = re.compile(r"[\s/]*+>")
_RAW = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in ("script", "style")}
_LINES = frozenset(("br", "p", "div", "td", "tr", "li", "h1", "h2", "h3"))
_LONG_REFERENCE = re.compile("&#[0-9]{1000,}+;?")


@define
class Reading:
    """:ivar links: where anchors lead, as they are written. :ivar pieces: of the text."""

    links: list[str] = field(factory=list)
    pieces: list[str] = field(factory=list)

    @property
    def text(self) -> str:
        """What a person reads; blocks and breaks are ends of lines."""
        return "".join(self.pieces)


def unescape(text: str) -> str:
    """Character references decoded. Never raises; a number beyond all characters is U+FFFD."""
    return html.unescape(_LONG_REFERENCE.sub("\ufffd", text))


def read(document: str) -> Reading:
    """Never raises."""
    reading = Reading()
    at = 0
    while at < len(document):
        start = document.find("<", at)
        reading.pieces.append(unescape(document[at : start if start >= 0 else len(document)]))
        if start < 0:
            break
        at = _markup(document, start, reading)
    return reading


def _markup(document: str, start: int, reading: Reading) -> int:
    """What begins with that `<`. → where it ends."""
    tag = _TAG.match(document, start)
    if tag is not None:
        return _tag(document, tag, reading)
    if document.startswith("<!--", start):
        return _after(document, "-->", start + 4)
    if document[start + 1 : start + 2] in ("!", "?", "/"):
        return _after(document, ">", start)
    reading.pieces.append("<")
    return start + 1


def _after(document: str, end: str, start: int) -> int:
    found = document.find(end, start)
    return found + len(end) if found >= 0 else len(document)


def _tag(document: str, tag: re.Match[str], reading: Reading) -> int:
    name, isOpening = tag[2].lower(), not tag[1]
    at = tag.end()
    links = []
    for attribute in _attributes(document, at):
        at = attribute.end()
        value = attribute[2] or attribute[3] or attribute[4]
        if value and attribute[1].lower() == "href":
            links.append(unescape(value).strip())
    closed = _CLOSED.match(document, at)
    if closed is None:
        return len(document)
    if isOpening and name in ("a", "area"):
        reading.links += links[:1]
    if name in _LINES:
        reading.pieces.append("\n")
    if isOpening and name in _RAW:
        end = _RAW[name].search(document, closed.end())
        return end.start() if end is not None else len(document)
    return closed.end()


def _attributes(document: str, at: int) -> Iterator[re.Match[str]]:
    while (found := _ATTRIBUTE.match(document, at)) is not None:
        if found.lastindex == 1 and _UNCLOSED.match(document, at):
            return  # a quotation mark that nothing answers
        yield found
        at = found.end()
