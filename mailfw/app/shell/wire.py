"""What of a session's conversation may be shown: the lines of both sides, without secrets and without mail.

Invariants:

- A password, a token, a challenge and what answers it are never shown: of LOGIN and PASS the argument is masked, of AUTH and
  AUTHENTICATE everything until the server says how it ended.
- A line that is no command known to be harmless is masked whole: it may be a password out of step.
  IMAP's other commands are shown once somebody is logged in.
- Messages and literals are counted, not shown. Nobody's conversation takes memory: of a long line the beginning is kept, of a
  long response the first lines.
- Of a protocol that is not known here only sizes are shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mailfw.app.shell.page import Style, oneLine
from mailfw.sasl.exchange import MECHANISMS

MASK = "***"
LINE = 500
"""Octets of a line that are shown."""

RUN = 20
"""Lines that are shown of what a server says without being asked again; and the last."""

END = 40
"""Octets of the end of a line in which a literal is announced."""

Say = Callable[[str, Style], None]
"""Takes one line of the conversation."""


class Wire:
    """One connection's conversation, of a protocol that is not known here.

    :param say: takes the lines.
    :param isKnown: whether somebody is logged in by now.
    """

    def __init__(self, say: Say, isKnown: Callable[[], bool]) -> None:
        self._say = say
        self._isKnown = isKnown
        self._past = 0  # octets of the client's that were no line
        self._begun = b""  # of a line of the server's
        self._begunSize = 0
        self._end = b""  # of that line, however long it has become
        self._literal = 0  # octets still to come of a literal of the server's
        self._run = 0  # lines since the client's last
        self._untold = 0

    # --- What a connection tells -------------------------------------------------------------------------------------

    def heard(self, line: bytes) -> None:
        """A line of the client's."""
        self._settle()
        self._run = 0
        self._client(self.ofClient(line))

    def readPast(self, octets: int) -> None:
        """Octets of the client's that are no line."""
        self._past += octets

    def told(self, data: bytes) -> None:
        """Octets of the server's, in whatever pieces."""
        if self._past:
            self._settle()
        at = 0
        while at < len(data):
            if self._literal:
                passed = min(self._literal, len(data) - at)
                self._literal -= passed
                at += passed
                continue
            end = data.find(b"\n", at)
            piece = data[at : end if end >= 0 else len(data)]
            self._begun += piece[: max(0, LINE + 80 - len(self._begun))]
            self._begunSize += len(piece)
            self._end = (self._end + piece[-END:])[-END:]
            if end < 0:
                return
            self._ended()
            at = end + 1

    def ended(self) -> None:
        """The connection is gone."""
        self._settle()

    # --- What a protocol says ----------------------------------------------------------------------------------------

    def ofClient(self, line: bytes) -> str:
        """A line of the client's as it may be shown."""
        return f"({len(line)} octets)"

    def ofServer(self, line: bytes) -> str:
        """A line of the server's likewise; empty: it is not shown at all."""
        return f"({len(line)} octets)"

    def literalAfter(self, end: bytes) -> int:
        """Octets that come behind a line of the server's before the next line, by the line's end."""
        return 0

    def isLast(self, line: bytes) -> bool:
        """Whether a line of the server's ends a long response, and is shown for that."""
        return False

    # --- Lines -------------------------------------------------------------------------------------------------------

    def _ended(self) -> None:
        """A line of the server's is whole; of a long one the beginning and the end are known."""
        line, more = self._begun.removesuffix(b"\r"), self._begunSize - len(self._begun)
        self._literal = self.literalAfter(self._end.removesuffix(b"\r"))
        self._begun, self._begunSize, self._end = b"", 0, b""
        text = self.ofServer(line)
        if not text:
            return
        self._run += 1
        if self._run > RUN and not self.isLast(line):
            self._untold += 1
            return
        self._settle()
        literal = f" (and {self._literal} octets)" if self._literal else ""
        self._say(f"S: {_shortened(text, more)}{literal}", Style.SERVER)

    def _client(self, text: str) -> None:
        self._say(f"C: {_shortened(text, 0)}", Style.CLIENT)

    def _settle(self) -> None:
        """Tell what was only counted."""
        if self._untold:
            self._say(f"S: … {self._untold} lines more", Style.ASIDE)
            self._untold = 0
        if self._past:
            self._say(f"C: ({self.past(self._past)})", Style.ASIDE)
            self._past = 0

    def past(self, octets: int) -> str:
        """What the client's octets were that are no line."""
        return f"{octets} octets"


class SMTPWire(Wire):
    """SMTP and LMTP."""

    _harmless = frozenset(
        b"EHLO HELO LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN HELP QUIT STARTTLS XCLIENT VERB ETRN ATRN".split()
    )

    def __init__(self, say: Say, isKnown: Callable[[], bool]) -> None:
        super().__init__(say, isKnown)
        self._isExchanging = False

    def ofClient(self, line: bytes) -> str:
        if self._isExchanging:
            return MASK
        words = line.split(None, 2)
        verb = words[0].upper() if words else b""
        if verb == b"AUTH":
            self._isExchanging = True
            return _masked(words)
        return _text(line) if verb in self._harmless else MASK

    def ofServer(self, line: bytes) -> str:
        if self._isExchanging and line.startswith(b"334"):
            return f"334 {MASK}"
        self._isExchanging = False
        return _text(line)

    def past(self, octets: int) -> str:
        return f"message, {octets} octets"


class POP3Wire(Wire):
    """POP3."""

    _harmless = frozenset(b"CAPA USER STAT LIST UIDL RETR TOP DELE NOOP RSET QUIT STLS UTF8 LANG".split())

    def __init__(self, say: Say, isKnown: Callable[[], bool]) -> None:
        super().__init__(say, isKnown)
        self._isExchanging = False
        self._verb = b""
        self._body = -1  # octets of a message that is being sent; -1: none is

    def ofClient(self, line: bytes) -> str:
        if self._isExchanging:
            return MASK
        words = line.split(None, 2)
        self._verb = words[0].upper() if words else b""
        if self._verb == b"AUTH":
            self._isExchanging = len(words) > 1
            return _masked(words)
        if self._verb == b"PASS":
            return f"PASS {MASK}"
        return _text(line) if self._verb in self._harmless else MASK

    def ofServer(self, line: bytes) -> str:
        if self._body >= 0:
            if line != b".":
                self._body += len(line) + 2
                return ""
            octets, self._body = self._body, -1
            return f"(message, about {octets} octets) ."
        if self._isExchanging and line.startswith(b"+ "):
            return f"+ {MASK}"
        self._isExchanging = False
        if self._verb in (b"RETR", b"TOP") and line.startswith(b"+OK"):
            self._body, self._verb = 0, b""
        return _text(line)

    def isLast(self, line: bytes) -> bool:
        return line == b"."


class IMAPWire(Wire):
    """IMAP4rev1 and rev2."""

    _harmless = frozenset(b"CAPABILITY NOOP LOGOUT STARTTLS ID COMPRESS ENABLE".split())
    _announcement = re.compile(rb"~?\{([0-9]{1,18})\+?\}\Z")
    _login = re.compile(rb'(?:"(?:[^"\\]|\\.)*"|[^\s"{]+)(?=\s)')

    def __init__(self, say: Say, isKnown: Callable[[], bool]) -> None:
        super().__init__(say, isKnown)
        self._exchange = b""  # tag of an AUTHENTICATE under way
        self._isInside = False  # the line before ended with a literal: this one goes on with its command
        self._isSecret = False

    def ofClient(self, line: bytes) -> str:
        if self._exchange:
            return MASK
        isInside, self._isInside = self._isInside, self._announcement.search(line[-END:]) is not None
        if isInside:
            return MASK if self._isSecret else _text(line)
        self._isSecret = False
        words = line.split(None, 2)
        name = words[1].upper() if len(words) > 1 else b""
        if name == b"AUTHENTICATE":
            self._exchange = words[0]
            return _masked([b"%s %s" % (words[0], words[1]), *b"".join(words[2:]).split(None, 1)])
        if name == b"LOGIN":
            self._isSecret = True
            user = self._login.match(words[2]) if len(words) > 2 else None
            return f"{_text(words[0])} {_text(words[1])} {_text(user[0]) + ' ' if user else ''}{MASK}"
        if name in self._harmless or (self._isKnown() and name):
            return _text(line)
        if self._isKnown() and line.strip().upper() == b"DONE":
            return _text(line)
        self._isSecret = True
        return MASK

    def ofServer(self, line: bytes) -> str:
        if self._exchange:
            if line.startswith(b"+"):
                return f"+ {MASK}" if len(line) > 2 else "+"
            if line.startswith(self._exchange + b" "):
                self._exchange = b""
        return _text(line)

    def literalAfter(self, end: bytes) -> int:
        found = self._announcement.search(end)
        return int(found[1]) if found else 0

    def isLast(self, line: bytes) -> bool:
        return not line.startswith((b"* ", b")", b" "))

    def past(self, octets: int) -> str:
        return "literal, masked" if self._isSecret else f"literal, {octets} octets"


WIRES: dict[str, type[Wire]] = {"SMTP": SMTPWire, "LMTP": SMTPWire, "POP3": POP3Wire, "IMAP": IMAPWire}
"""By `Connection.protocol`."""


def _text(line: bytes) -> str:
    return oneLine(line.decode("utf-8", "backslashreplace"))


def _masked(words: list[bytes]) -> str:
    """A command and its mechanism, if it is one, and that there is more."""
    shown = [_text(words[0])]
    if len(words) > 1:
        mechanism = _text(words[1]).upper()
        shown.append(mechanism if mechanism in MECHANISMS else MASK)
    return " ".join([*shown, MASK] if len(words) > 2 else shown)


def _shortened(text: str, more: int) -> str:
    """:param more: octets that are not in the text at all."""
    if len(text) <= LINE and not more:
        return text
    return f"{text[:LINE]} … {max(0, len(text) - LINE) + more} octets more"
