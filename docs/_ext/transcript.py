"""Transcripts of a terminal, as the book has them: who says which line.

A line that begins with `$ ` or `# ` is a command. After a command that opens a conversation (`telnet`, `nc`, `openssl s_client`)
some lines are typed and others are the server's, and nothing on the page says which: the protocol does. The lexer shows what is
typed in bold, and the tests of the book type it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import define, frozen
from pygments.lexer import Lexer
from pygments.token import Generic, Token

TALKERS = re.compile(r"(telnet|nc|openssl s_client)\b")
"""Programs after which a person speaks to the server."""


class Kind(enum.Enum):
    """Who says a line."""

    COMMAND = "command"
    OUTPUT = "output"
    TYPED = "typed"
    SERVER = "server"


@frozen
class Line:
    """:ivar text: without the prompt."""

    kind: Kind
    text: str
    prompt: str = ""


@define
class _Talk:
    """A conversation as far as it has come.

    :ivar isText: what is typed is a message, until a dot.
    :ivar isListing: what the server says is many lines, until a dot.
    :ivar octets: what is left of a literal that the server sends. :ivar isOpen: the response goes on after it.
    :ivar owed: what is left of a literal that the client sends. :ivar isAsking: the server has not said yet that it may come.
    """

    isText: bool = False
    isListing: bool = False
    octets: int = 0
    isOpen: bool = False
    owed: int = 0
    isAsking: bool = False
    typed: str = ""

    def kind(self, text: str) -> Kind:
        """Who says that, as everything before it makes clear."""
        kind = self._kind(text)
        if kind is Kind.TYPED:
            self._type(text)
        else:
            self._hear(text)
        return kind

    def _kind(self, text: str) -> Kind:
        if self.octets > 0 or self.isOpen or self.isListing or text == "...":
            return Kind.SERVER
        if self.isAsking and text.startswith("+"):
            return Kind.SERVER
        if self.owed > 0 or (self.isText and not re.match(r"[345]\d\d ", text)):
            return Kind.TYPED
        isAnswer = re.match(r"\d{3}[ -]|\+OK|-ERR|\* |\+ |\+$|[A-Za-z]+\d+ (OK|NO|BAD)\b", text)
        return Kind.SERVER if isAnswer else Kind.TYPED

    def _type(self, text: str) -> None:
        if self.owed > 0:
            self.owed -= len(text.encode()) + 2
            return
        if self.isText:
            self.isText = text != "."
            return
        self.typed = text
        self.isText = text.upper() == "DATA"
        if re.match(r"[A-Za-z]+\d+ [A-Za-z]", text):
            literal = re.search(r"\{(\d+)\+?\}$", text)
            self.owed = int(literal[1]) if literal else 0
            self.isAsking = literal is not None

    def _hear(self, text: str) -> None:
        self.isAsking = False
        if self.octets > 0:
            self.octets -= len(text.encode()) + 2
            self.isOpen = self.octets == 0  # where it is below that, the rest of the response stood on the same line
            return
        if self.isListing:
            self.isListing = text != "."
            return
        if self.isText and re.match(r"[45]\d\d ", text):
            self.isText = False
        literal = re.search(r"\{(\d+)\}$", text) if text.startswith("*") or self.isOpen else None
        self.octets = int(literal[1]) if literal else 0
        self.isOpen = False
        self.isListing = text.startswith("+OK") and bool(re.match(r"(?i)(retr|top|capa)\b|(list|uidl)$", self.typed))


def lines(text: str | Iterable[str], isTalking: bool = False) -> Iterator[Line]:
    """Every line of a block. :param isTalking: the block goes on with a conversation of one before it."""
    talk = _Talk() if isTalking else None
    isOpen = False
    for each in text.splitlines() if isinstance(text, str) else text:
        if re.match(r"[$#] ", each) and not (talk is not None and (talk.octets > 0 or talk.isListing or talk.isText)):
            talk = _Talk() if TALKERS.match(each[2:]) else None
            yield Line(Kind.COMMAND, each[2:], each[:2])
        elif talk is None and isOpen and (each == ">" or each.startswith("> ")):
            yield Line(Kind.COMMAND, each)
            continue
        elif talk is None:
            yield Line(Kind.OUTPUT, each)
        else:
            yield Line(talk.kind(each), each)
        isOpen = each.startswith(("$ ", "# "))


class TranscriptLexer(Lexer):
    """`console`: what is typed is strong, what is answered is plain."""

    name = "transcript"
    aliases = ("console",)

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, Any, str]]:
        """Pygments'."""
        place = 0
        isTalking = not re.match(r"[$#] ", text)
        for line, raw in zip(lines(text, isTalking), text.splitlines(keepends=True), strict=True):
            if line.kind is Kind.COMMAND and not raw.startswith(">"):
                yield place, Generic.Prompt, raw[:2]
                yield place + 2, Generic.Strong, raw[2:]
            elif line.kind is Kind.COMMAND or line.kind is Kind.TYPED:
                yield place, Generic.Strong, raw
            else:
                yield place, Token.Generic.Output, raw
            place += len(raw)
