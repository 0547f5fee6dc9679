"""A message as a test looks at it: decoded texts, links, one-time codes, attachments. Pure.

The standard library reads it, so that a test sees what any mail program of its users would see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from html.parser import HTMLParser

from attrs import field, frozen

from mailfw.message.charset import decode

_URL = re.compile(r"""\bhttps?://[^\s<>"'`]+""", re.IGNORECASE)
_AFTER_URL = ".,;:!?)]}"
_CODE = re.compile(r"(?<![\w.,:/+#-])(?:\d{4,8}|\d{3}[ -]\d{3})(?![\w/:-]|[.,]\d)")
_ANNOUNCED = re.compile(r"\b(?:code|pin|otp|passcode|one-time|password|token)\b[^\n\d]{0,60}$", re.IGNORECASE)


@frozen
class Attachment:
    """:ivar name: of the file; empty where the message gives none. :ivar type: of its content, `text/csv`.
    :ivar content: decoded octets.
    """

    name: str
    type: str
    content: bytes


@frozen(slots=False)
class Message:
    """A message that arrived, or would have left.

    :ivar content: its octets as the trap keeps them, trace fields included.
    :ivar sender: of the envelope; empty for the null sender.
    :ivar recipients: of the envelope: the account it arrived at, or whom it would have gone to.
    """

    content: bytes = field(repr=False)
    sender: str = ""
    recipients: tuple[str, ...] = ()

    @cached_property
    def parsed(self) -> EmailMessage:
        """The same as the standard library has it."""
        parsed = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def __getitem__(self, name: str) -> str:
        """A header field's decoded value, the first of that name. :raises KeyError: there is none."""
        value = self.parsed[name]
        if value is None:
            raise KeyError(name)
        return str(value)

    def __contains__(self, name: str) -> bool:
        return name in self.parsed

    def all(self, name: str) -> list[str]:
        """Decoded values of every field of that name."""
        return [str(value) for value in self.parsed.get_all(name, [])]

    @property
    def subject(self) -> str:
        """Decoded; empty where there is none."""
        return str(self.parsed.get("Subject", ""))

    @cached_property
    def text(self) -> str:
        """The plain text, with `\\n` as the end of a line; empty where the message has none."""
        return self._body("plain")

    @cached_property
    def html(self) -> str:
        """The HTML; empty where the message has none."""
        return self._body("html")

    @cached_property
    def attachments(self) -> list[Attachment]:
        """What has a file name, or says that it is an attachment."""
        return [_attachment(part) for part in self._leaves() if _isAttachment(part)]

    def links(self, containing: str = "") -> list[str]:
        """Every address of a link, in order, each once: what the HTML leads to, then URLs in the plain text.

        :param containing: only those with this text in them.
        """
        found = [url for url in _read(self.html).links if url.lower().startswith(("http://", "https://"))]
        found += [_trimmed(match[0]) for match in _URL.finditer(self.text)]
        return [url for url in dict.fromkeys(found) if containing in url]

    def otp(self, length: int = 0) -> str:
        """The one-time code: 4 to 8 digits that stand alone (`123 456` and `123-456` are one code). One that stands behind a word
        such as "code" goes before others, then one that has a line to itself.

        :param length: digits that it has; 0: any number.
        :raises LookupError: there is none, or there are several that nothing tells apart; says which.
        """
        text = _URL.sub(" ", self.text or _read(self.html).text)
        matches = [match for match in _CODE.finditer(text) if not length or len(_digits(match[0])) == length]
        announced = [match for match in matches if _ANNOUNCED.search(text, max(0, match.start() - 80), match.start())]
        alone = [match for match in matches if _isAlone(text, match)]
        codes = list(dict.fromkeys(_digits(match[0]) for match in announced or alone or matches))
        if len(codes) != 1:
            reason = f"one of {', '.join(codes)}, and nothing tells which" if codes else "none"
            raise LookupError(f'the one-time code in "{self.subject}" is {reason}')
        return codes[0]

    def _leaves(self) -> Iterator[EmailMessage]:
        """Parts that are no containers; an attached message is one part."""
        waiting = [self.parsed]
        while waiting:
            part = waiting.pop()
            if part.get_content_maintype() == "multipart":
                waiting += [each for each in reversed(list(part.iter_parts())) if isinstance(each, EmailMessage)]
            else:
                yield part

    def _body(self, subtype: str) -> str:
        for part in self._leaves():
            if part.get_content_type() == f"text/{subtype}" and not _isAttachment(part):
                charset = part.get_content_charset()
                return decode(_payload(part), charset.encode() if charset else None).replace("\r\n", "\n")
        return ""


class _Reader(HTMLParser):
    """:ivar links: where anchors lead. :ivar text: what a person reads."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text = ""
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        elif tag in ("br", "p", "div", "td", "tr", "li", "h1", "h2", "h3"):
            self.text += "\n"
        self.links += [value.strip() for name, value in attrs if name == "href" and value and tag in ("a", "area")]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = max(0, self._hidden - 1)
        elif tag in ("p", "div", "td", "tr", "li", "h1", "h2", "h3"):
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data


def _read(html: str) -> _Reader:
    reader = _Reader()
    with suppress(AssertionError):  # what it says of a declaration that is none; what came before that was read
        reader.feed(html)
        reader.close()
    return reader


def _trimmed(url: str) -> str:
    """A URL without the punctuation of the sentence it stands in; a bracket that it opened itself is its own."""
    while url[-1] in _AFTER_URL and not (url[-1] == ")" and url.count("(") >= url.count(")")):
        url = url[:-1]
    return url


def _digits(code: str) -> str:
    return code.replace(" ", "").replace("-", "")


def _isAlone(text: str, match: re.Match[str]) -> bool:
    start = text.rfind("\n", 0, match.start()) + 1
    return text[start:].partition("\n")[0].strip() == match[0]


def _isAttachment(part: EmailMessage) -> bool:
    return part.is_attachment() or bool(part.get_filename())


def _attachment(part: EmailMessage) -> Attachment:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_content()
        return Attachment(part.get_filename() or "", "message/rfc822", inner.as_bytes())
    return Attachment(part.get_filename() or "", part.get_content_type(), _payload(part))


def _payload(part: EmailMessage) -> bytes:
    """Without its transfer encoding."""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
