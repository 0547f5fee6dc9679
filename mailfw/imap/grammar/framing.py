"""Cuts what a server sends into whole responses: lines, joined where literals stood, and the literals (RFC 3501 §2.2.2, §4.3).

A response costs time in proportion to its octets, however it is split, and memory within `ResponseLimits`. The text of a
status response, a continuation request and the greeting is for people and holds no literals, whatever it ends with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from mailfw.imap.grammar.tokens import CommandText, Literal

_ANNOUNCEMENT = re.compile(rb"(~?)\{([0-9]{1,20})\+?\}\Z")
_ANNOUNCEMENT_LENGTH = 24
_TEXT = re.compile(rb"\+|[^ ]{1,100} (?:OK|NO|BAD|BYE|PREAUTH)(?: |\Z)", re.IGNORECASE)


class OutOfStep(Exception):
    """Where the next response begins cannot be known any more, or is further away than will be read; the connection must end."""


@frozen
class ResponseLimits:
    """What a server can make a client remember.

    :ivar line: octets of one line; the ids that a search found stand in one.
    :ivar response: octets of a response, its literals among them.
    :ivar literals: literals of one response.
    """

    line: int = 16 << 20
    response: int = 96 << 20
    literals: int = 100_000


class ResponseReader:
    """Give it octets as they come by `feed`, and take whole responses from `take`, until None.

    They are apart so that after a response that changes what the octets are (STARTTLS, COMPRESS) the `rest` can be had.
    """

    def __init__(self, limits: ResponseLimits | None = None) -> None:
        self._limits = limits or ResponseLimits()
        self._chunks: list[bytes] = []  # what has no end yet, of the line or the literal under way
        self._size = 0
        self._wanted = 0  # octets of the literal under way; 0: it is a line
        self._isBinary = False
        self._input = b""
        self._at = 0
        self._lines: list[bytes] = []
        self._literals: list[Literal] = []
        self._total = 0

    def feed(self, data: bytes) -> None:
        """Octets have come."""
        self._input = self._input[self._at :] + data if self._at < len(self._input) else data
        self._at = 0

    @property
    def rest(self) -> bytes:
        """What came after the last response that was taken; it is no longer here then."""
        rest = b"".join((*self._lines, *self._chunks, self._input[self._at :]))
        self._chunks, self._size, self._input, self._at = [], 0, b"", 0
        return rest

    def take(self) -> CommandText | None:
        """The next response, without its last CRLF; None: more must come first.

        :raises OutOfStep: a limit is passed.
        """
        while self._at < len(self._input):
            if self._wanted:
                self._takeLiteral()
            elif (whole := self._takeLine()) is not None:
                return whole
        return None

    def __iter__(self) -> Iterator[CommandText]:
        """All that are there."""
        while (response := self.take()) is not None:
            yield response

    def _takeLiteral(self) -> None:
        piece = self._input[self._at : self._at + self._wanted - self._size]
        self._at += len(piece)
        self._chunks.append(piece)
        self._size += len(piece)
        if self._size == self._wanted:
            self._endLiteral()

    def _endLiteral(self) -> None:
        self._literals.append(Literal(b"".join(self._chunks), isBinary=self._isBinary))
        self._chunks, self._size, self._wanted = [], 0, 0

    def _takeLine(self) -> CommandText | None:
        end = self._input.find(b"\n", self._at)
        piece = self._input[self._at : end] if end >= 0 else self._input[self._at :]
        self._at += len(piece) + (end >= 0)
        self._chunks.append(piece)
        self._size += len(piece)
        self._total += len(piece)
        if self._size > self._limits.line or self._total > self._limits.response:
            raise OutOfStep("the server's line is too long")
        if end < 0:
            return None
        line = b"".join(self._chunks).removesuffix(b"\r")
        self._chunks, self._size = [], 0
        return self._lineEnded(line)

    def _lineEnded(self, line: bytes) -> CommandText | None:
        found = _ANNOUNCEMENT.search(line, max(0, len(line) - _ANNOUNCEMENT_LENGTH))
        if found is not None and (self._lines or not _TEXT.match(line)):
            self._lines.append(line + b"\r\n")
            self._wanted, self._isBinary = int(found[2]), bool(found[1])
            self._total += self._wanted
            if self._total > self._limits.response or len(self._literals) >= self._limits.literals:
                raise OutOfStep("the server's response is too long")
            if not self._wanted:
                self._endLiteral()
            return None
        self._lines.append(line)
        whole = CommandText(b"".join(self._lines), tuple(self._literals))
        self._lines, self._literals, self._total = [], [], 0
        return whole
