"""A message as a program looks at it: decoded fields, texts, attachments, links, one-time codes; and an answer to it. Pure.

It is what functions are given that mail is addressed to (`mailfw.mail`), and what tests see of a message (`mailfw.trap`).
Whatever a message holds, looking at it raises nothing and takes time in proportion to its size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property

from attrs import field, frozen

from mailfw.message import decoding, dsn, markup, mime, parameter, structure, words
from mailfw.message.charset import decode
from mailfw.message.header import values
from mailfw.message.mime import Part
from mailfw.message.reference import messageId, messageIds
from mailfw.message.source import headerOf
from mailfw.values import MessageSource

_URL = re.compile(r"""\bhttps?://[^\s<>"'`]+""", re.IGNORECASE)
_AFTER_URL = ".,;:!?)]}"
_CODE = re.compile(r"(?<![\w.,:/+#-])(?:\d{4,8}|\d{3}[ -]\d{3})(?![\w/:-]|[.,]\d)")
_ANNOUNCED = re.compile(r"\b(?:code|pin|otp|passcode|one-time|password|token)\b[^\n\d]{0,60}$", re.IGNORECASE)
_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]+')
_LONGEST_NAME = 120
_NOBODY = re.compile(r"(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|owner-.*|.*-request|.*-owner)\Z", re.IGNORECASE)
_LONGEST_SUBJECT = 400
_REFERENCES = 20
_SHOWN_CODES = 10
_ENCODED = "=?"  # begins what `EmailMessage` decodes, wherever it stands, and may then be unable to write


@frozen
class Attachment:
    """:ivar name: of the file, as whoever sent it wrote it; empty where the message gives none. For a file on disk take
    `safeName`.
    :ivar type: of its content, `text/csv`. :ivar content: decoded octets.
    """

    name: str
    type: str
    content: bytes

    @property
    def safeName(self) -> str:
        """A name for a file that leaves no directory, is hidden nowhere, and means nothing to a shell or a terminal; never empty.
        Two attachments may have the same.
        """
        cleaned = _UNSAFE_IN_NAMES.sub("_", self.name.rpartition("/")[2].rpartition("\\")[2]).strip(" .")
        if len(cleaned) > _LONGEST_NAME:
            stem, dot, suffix = cleaned.rpartition(".")
            isSuffix = dot and len(suffix) < 16
            cleaned = f"{stem[: _LONGEST_NAME - 1 - len(suffix)]}.{suffix}" if isSuffix else cleaned[:_LONGEST_NAME]
        return cleaned.lstrip("-~") or "attachment"


def _source(content: bytes | MessageSource) -> MessageSource:
    return content if isinstance(content, MessageSource) else MessageSource(content)


@frozen(slots=False)
class Message:
    """A message, and what is known of how it came.

    :ivar source: its octets, trace fields included; `raw` reads them in pieces.
    :ivar sender: of the envelope; empty for the null sender.
    :ivar recipients: of the envelope; a function has one.
    :ivar id: names the message and this recipient of it: the same each time a function is called with it, and never that of
        another. Empty where no queue has it.
    :ivar tag: of the address, as in `user+tag@`, where it was taken off.
    :ivar account: whoever logged in to send it; empty: nobody.
    :ivar arrived: when it was accepted; seconds since the epoch, UTC.
    """

    source: MessageSource = field(converter=_source, repr=False)
    sender: str = ""
    recipients: tuple[str, ...] = ()
    id: str = ""
    tag: str = ""
    account: str = ""
    arrived: float = 0.0

    # --- Octets ------------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Octets."""
        return self.source.size

    def raw(self) -> Iterator[bytes]:
        """The octets in pieces, so that a large message is never in memory as a whole."""
        return self.source.chunks()

    @cached_property
    def content(self) -> bytes:
        """All the octets at once."""
        return self.source.read()

    @cached_property
    def parsed(self) -> EmailMessage:
        """The same as the standard library has it, which may raise for what strangers write."""
        parsed = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def prepare(self) -> None:
        """Decode all of it now, so that looking at it costs nothing later."""
        _ = self.text, self.html, self.attachments

    # --- Header ------------------------------------------------------------------------------------------------------

    @property
    def recipient(self) -> str:
        """The first recipient; empty where there is none."""
        return self.recipients[0] if self.recipients else ""

    @cached_property
    def _header(self) -> bytes:
        return headerOf(self.source)

    def __getitem__(self, name: str) -> str:
        """A header field's decoded value, the first of that name. :raises KeyError: there is none."""
        for value in self.all(name):
            return value
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def get(self, name: str, default: str = "") -> str:
        """The same, or `default` where there is none."""
        return next(iter(self.all(name)), default)

    def all(self, name: str) -> list[str]:
        """Decoded values of every field of that name."""
        return [words.decode(value) for value in values(self._header, name.encode("ascii", "replace"))]

    @property
    def subject(self) -> str:
        """Decoded; empty where there is none."""
        return self.get("Subject")

    @property
    def messageId(self) -> str:
        """What stands in Message-ID, without brackets; empty where there is none."""
        return messageId(next(iter(values(self._header, b"message-id")), b""))

    @property
    def references(self) -> tuple[str, ...]:
        """Ids of the messages that this one answers: References, then In-Reply-To, the oldest first; without brackets."""
        found = [
            each for name in (b"references", b"in-reply-to") for value in values(self._header, name) for each in messageIds(value)
        ]
        return tuple(dict.fromkeys(found))

    @property
    def isAutomatic(self) -> bool:
        """Whether no person wrote it to this address: a report, an automatic answer (RFC 3834), a mailing list's or bulk mail. No
        program should answer it."""
        isNobodys = not self.sender or _NOBODY.match(self.sender.rpartition("@")[0]) is not None
        return isNobodys or dsn.isAutomatic(self._header) or "X-Loop" in self

    # --- Texts and attachments ---------------------------------------------------------------------------------------

    @cached_property
    def _root(self) -> Part:
        return mime.scan(self.content)

    @cached_property
    def text(self) -> str:
        """The plain text, with `\\n` as the end of a line; empty where the message has none."""
        return self._body(b"text/plain")

    @cached_property
    def html(self) -> str:
        """The HTML; empty where the message has none."""
        return self._body(b"text/html")

    @cached_property
    def attachments(self) -> list[Attachment]:
        """What has a file name, or says that it is an attachment."""
        return [
            Attachment(_name(part), part.contentType.mediaType.decode("ascii", "replace"), self._decoded(part))
            for part in self._leaves()
            if _isAttachment(part)
        ]

    def links(self, containing: str = "") -> list[str]:
        """Every address of a link, in order, each once: what the HTML leads to, then URLs in the plain text.

        :param containing: only those with this text in them.
        """
        found = [url for url in markup.read(self.html).links if url.lower().startswith(("http://", "https://"))]
        found += [_trimmed(match[0]) for match in _URL.finditer(self.text)]
        return [url for url in dict.fromkeys(found) if containing in url]

    def otp(self, length: int = 0) -> str:
        """The one-time code: 4 to 8 digits that stand alone (`123 456` and `123-456` are one code). One that stands behind a word
        such as "code" goes before others, then one that has a line to itself.

        :param length: digits that it has; 0: any number.
        :raises LookupError: there is none, or there are several that nothing tells apart; says which.
        """
        text = _URL.sub(" ", self.text or markup.read(self.html).text)
        matches = [match for match in _CODE.finditer(text) if not length or len(_digits(match[0])) == length]
        announced = [match for match in matches if _ANNOUNCED.search(text, max(0, match.start() - 80), match.start())]
        alone = [match for match in matches if _isAlone(text, match)]
        codes = list(dict.fromkeys(_digits(match[0]) for match in announced or alone or matches))
        if len(codes) != 1:
            shown = f"{', '.join(codes[:_SHOWN_CODES])}{' …' * (len(codes) > _SHOWN_CODES)}"
            reason = f"one of {shown}, and nothing tells which" if codes else "none"
            raise LookupError(f'the one-time code in "{self.subject}" is {reason}')
        return codes[0]

    def _leaves(self) -> Iterator[Part]:
        """Parts that are no containers; an attached message is one part."""
        waiting = [self._root]
        while waiting:
            part = waiting.pop()
            if part.children and not part.contentType.isMessage:
                waiting += reversed(part.children)
            else:
                yield part

    def _body(self, kind: bytes) -> str:
        for part in self._leaves():
            if part.contentType.mediaType == kind and not _isAttachment(part):
                return decode(self._decoded(part), part.contentType.charset).replace("\r\n", "\n")
        return ""

    def _decoded(self, part: Part) -> bytes:
        """Without its transfer encoding, where anybody knows it."""
        octets = self.content[part.bodyStart : part.end]
        with suppress(decoding.UnknownEncoding):
            octets = decoding.decode(octets, structure.encoding(part))
        return octets

    # --- An answer ---------------------------------------------------------------------------------------------------

    def reply(self, text: str = "", *, html: str = "", subject: str = "", sender: str = "", to: str = "") -> EmailMessage:
        """An answer, in the same thread, that can be changed before it is sent: `mail.Reply(message.reply(…))`.

        :param subject: made one printable line; unless said, the message's with `Re:` before it.
        :param sender: who it is from, `Support <support@example.org>`; the address that the message came to unless said.
        :param to: unless said, the envelope's sender (RFC 3834 §4), which nobody can make anybody else but by forging all of it.
        """
        answer = EmailMessage(policy=policy.SMTPUTF8 if not (self.sender + self.recipient).isascii() else policy.SMTP)
        own, stranger = self.recipient, self.sender
        answer["From"] = sender or (own if _ENCODED not in own else f"postmaster@{own.rpartition('@')[2]}")
        answer["To"] = to or (stranger if _ENCODED not in stranger else "undisclosed-recipients:;")
        answer["Subject"] = _oneLine(subject) or self._answering()
        answer["Auto-Submitted"] = "auto-replied"
        if ids := [each for each in (*self.references, self.messageId) if _isPlain(each)]:
            answer["References"] = " ".join(f"<{each}>" for each in ids[:1] + ids[1:][-_REFERENCES:])
        if (own := self.messageId) and own in ids:
            answer["In-Reply-To"] = f"<{own}>"
        answer.set_content(text)
        if html:
            answer.add_alternative(html, subtype="html")
        return answer

    def _answering(self) -> str:
        """The subject of an answer, in one printable line."""
        subject = _oneLine(self.subject)
        return subject if subject[:3].lower() == "re:" else f"Re: {subject}".strip()


def _isPlain(messageId: str) -> bool:
    """Whether it can be written as it is."""
    return bool(messageId) and messageId.isascii() and messageId.isprintable() and _ENCODED not in messageId


def _oneLine(text: str) -> str:
    """What a header field can say of it."""
    line = "".join(each if each.isprintable() else " " for each in text[:_LONGEST_SUBJECT]).strip()
    return line.replace(_ENCODED, "= ?")


def _trimmed(url: str) -> str:
    """A URL without the punctuation of the sentence it stands in; a bracket that it opened itself is its own."""
    end, unopened = len(url), url.count(")") - url.count("(")
    while url[end - 1] in _AFTER_URL and not (url[end - 1] == ")" and unopened <= 0):
        end -= 1
        unopened -= url[end] == ")"
    return url[:end]


def _digits(code: str) -> str:
    return code.replace(" ", "").replace("-", "")


def _isAlone(text: str, match: re.Match[str]) -> bool:
    start, end = match.span()
    while start and text[start - 1] in " \t":
        start -= 1
    while end < len(text) and text[end] in " \t\r":
        end += 1
    return (not start or text[start - 1] == "\n") and (end == len(text) or text[end] == "\n")


def _isAttachment(part: Part) -> bool:
    value = part.value(b"content-disposition")
    placed = parameter.disposition(value) if value is not None else None
    return bool(_name(part)) or (placed is not None and placed.kind.lower() == b"attachment")


def _name(part: Part) -> str:
    """The file's name: of the disposition, else of the type."""
    value = part.value(b"content-disposition")
    placed = parameter.disposition(value) if value is not None else None
    found = parameter.text(placed.parameters, b"filename") if placed is not None else None
    return found or parameter.text(part.contentType.parameters, b"name") or ""
