"""POP3's words: octets to typed commands and replies, and back, for both ends of a connection.

Pure: no I/O, no Twisted. Invariants:

- `parseCommand` takes one line without its end and either returns a command or raises `BadCommand`; it never raises
  anything else, whatever the octets, and its work is linear in them.
- For every command, `parseCommand(command.line()) == command`.
- No octet of a client's is ever echoed, so nothing that a client sends can forge a reply or a log line.
- Which class of refusal is answered with which response code is written in one table, `CODES`.
"""

from __future__ import annotations

import enum
import re
from typing import ClassVar

from attrs import field, frozen

from mailfw.errors import (
    AuthenticationFailed,
    InUse,
    LimitExceeded,
    NoPermission,
    NoSuchMailbox,
    NotSupported,
    Refusal,
    TemporaryRefusal,
    UIDValidityChanged,
    Unavailable,
    Vanished,
)
from mailfw.sasl.wire import decodeBase64, encode


class BadCommand(Refusal):
    """The line is no command of POP3, or its arguments are not what the command takes."""

    summary = "unknown command"


# --- Commands --------------------------------------------------------------------------------------------------------


@frozen
class Command:
    """One command of a client (RFC 1939 §3): a keyword in any case, and arguments after a space each."""

    keyword: ClassVar[bytes] = b""

    def arguments(self) -> tuple[bytes, ...]:
        """What follows the keyword on the line."""
        return ()

    def line(self) -> bytes:
        """The command as a client sends it, without CRLF."""
        return b" ".join((self.keyword, *self.arguments()))


@frozen
class _TextCommand(Command):
    text: str

    def arguments(self) -> tuple[bytes, ...]:
        return (self.text.encode(),)


@frozen
class _NumberCommand(Command):
    number: int

    def arguments(self) -> tuple[bytes, ...]:
        return (b"%d" % self.number,)


@frozen
class _ListingCommand(Command):
    """With a message number, about that message; without, about all of them."""

    number: int | None = None

    def arguments(self) -> tuple[bytes, ...]:
        return () if self.number is None else (b"%d" % self.number,)


@frozen
class User(_TextCommand):
    """RFC 1939 §7; in UTF-8 by RFC 6856 §2.2."""

    keyword = b"USER"


@frozen
class Pass(Command):
    """RFC 1939 §7: all after the first space is the password, spaces too."""

    keyword = b"PASS"
    password: str = field(repr=False)

    def arguments(self) -> tuple[bytes, ...]:
        return (self.password.encode(),)


@frozen
class APOP(Command):
    """RFC 1939 §7.

    :ivar digest: MD5 of the greeting's timestamp and the shared secret, 32 hexadecimal digits in lower case.
    """

    keyword = b"APOP"
    name: str
    digest: str = field(repr=False)

    def arguments(self) -> tuple[bytes, ...]:
        return self.name.encode(), self.digest.encode()


@frozen
class Auth(Command):
    """RFC 5034 §4.

    :ivar mechanism: upper case; empty asks which there are, as clients did before CAPA.
    :ivar initialResponse: decoded; None when the client sent none, b"" when it sent `=`.
    """

    keyword = b"AUTH"
    mechanism: str = ""
    initialResponse: bytes | None = field(default=None, repr=False)

    def arguments(self) -> tuple[bytes, ...]:
        if self.initialResponse is None:
            return (self.mechanism.encode(),) if self.mechanism else ()
        return self.mechanism.encode(), encode(self.initialResponse) or b"="


@frozen
class STLS(Command):
    """RFC 2595 §4."""

    keyword = b"STLS"


@frozen
class CAPA(Command):
    """RFC 2449 §5."""

    keyword = b"CAPA"


@frozen
class Lang(Command):
    """RFC 6856 §3.

    :ivar tag: a language tag, `*` for the server's choice; empty asks which there are.
    """

    keyword = b"LANG"
    tag: str = ""

    def arguments(self) -> tuple[bytes, ...]:
        return (self.tag.encode(),) if self.tag else ()


@frozen
class UTF8(Command):
    """RFC 6856 §2.1."""

    keyword = b"UTF8"


@frozen
class Stat(Command):
    """RFC 1939 §5."""

    keyword = b"STAT"


@frozen
class List(_ListingCommand):
    """RFC 1939 §5."""

    keyword = b"LIST"


@frozen
class UIDL(_ListingCommand):
    """RFC 1939 §7."""

    keyword = b"UIDL"


@frozen
class Retr(_NumberCommand):
    """RFC 1939 §5."""

    keyword = b"RETR"


@frozen
class Top(Command):
    """RFC 1939 §7: the header, the empty line, and so many lines of the body."""

    keyword = b"TOP"
    number: int
    lines: int

    def arguments(self) -> tuple[bytes, ...]:
        return b"%d" % self.number, b"%d" % self.lines


@frozen
class Dele(_NumberCommand):
    """RFC 1939 §5."""

    keyword = b"DELE"


@frozen
class Noop(Command):
    """RFC 1939 §5."""

    keyword = b"NOOP"


@frozen
class Rset(Command):
    """RFC 1939 §5."""

    keyword = b"RSET"


@frozen
class Quit(Command):
    """RFC 1939 §4, §6."""

    keyword = b"QUIT"


# --- Reading commands ------------------------------------------------------------------------------------------------

_KEYWORD = re.compile(rb"([A-Za-z0-9]{3,4})(?: (.*))?", re.DOTALL)
_MECHANISM = re.compile(rb"[A-Za-z0-9_-]{1,20}")
_LANGUAGE = re.compile(rb"\*|[A-Za-z0-9]{1,8}(?:-[A-Za-z0-9]{1,8}){0,7}")
_DIGEST = re.compile(rb"[0-9a-f]{32}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(rb"[0-9]{1,10}")

_TEXT: dict[bytes, type[User] | type[Pass]] = {kind.keyword: kind for kind in (User, Pass)}
_PLAIN: dict[bytes, type[Command]] = {kind.keyword: kind for kind in (STLS, CAPA, UTF8, Stat, Noop, Rset, Quit)}
_LISTING: dict[bytes, type[_ListingCommand]] = {kind.keyword: kind for kind in (List, UIDL)}
_NUMBERED: dict[bytes, type[_NumberCommand]] = {kind.keyword: kind for kind in (Retr, Dele)}


def parseCommand(line: bytes) -> Command:
    """Read one command (RFC 1939 §3, RFC 2449 §4).

        command = keyword *(SP param) CRLF
        keyword = 3*4VCHAR
        param   = 1*VCHAR

    Spaces at the end are passed over, as people type them, except in a password.

    :raises BadCommand: no such command, or not its arguments; the text says which.
    """
    match = _KEYWORD.fullmatch(line) or _KEYWORD.fullmatch(line.rstrip(b" "))
    if match is None:
        raise BadCommand()
    keyword, rest = match[1].upper(), match[2] or b""
    if keyword in _TEXT:
        return _TEXT[keyword](_text(keyword, rest))
    words = rest.split()
    if keyword in _PLAIN:
        _expect(not words, f"{keyword.decode()} takes no argument")
        return _PLAIN[keyword]()
    if keyword in _LISTING:
        _expect(len(words) <= 1, f"{keyword.decode()} takes at most a message number")
        return _LISTING[keyword](_messageNumber(words[0]) if words else None)
    if keyword in _NUMBERED:
        _expect(len(words) == 1, f"{keyword.decode()} takes a message number")
        return _NUMBERED[keyword](_messageNumber(words[0]))
    if keyword == Top.keyword:
        _expect(len(words) == 2, "TOP takes a message number and a number of lines")
        return Top(_messageNumber(words[0]), _number(words[1], "number of lines"))
    if keyword == Auth.keyword:
        return _parseAuth(words)
    if keyword == Lang.keyword:
        _expect(not words or (len(words) == 1 and _LANGUAGE.fullmatch(words[0]) is not None), "LANG takes a language tag or *")
        return Lang(words[0].decode() if words else "")
    if keyword == APOP.keyword:
        _expect(len(words) == 2 and _DIGEST.fullmatch(words[1]) is not None, "APOP takes a name and a digest of 32 digits")
        return APOP(_decode(words[0]), words[1].decode())
    raise BadCommand()


def _expect(holds: bool, text: str) -> None:
    if not holds:
        raise BadCommand(text)


def _decode(octets: bytes) -> str:
    """UTF-8, which has ASCII in it (RFC 6856 §2.2), without control characters."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise BadCommand("argument is not UTF-8") from None
    _expect(_CONTROL.search(text) is None, "argument has control characters")
    return text


def _text(keyword: bytes, rest: bytes) -> str:
    """The one argument of USER or PASS: the rest of the line."""
    text = _decode(rest) if keyword == Pass.keyword else _decode(rest.strip(b" "))
    _expect(text != "", f"{keyword.decode()} takes an argument")
    return text


def _number(word: bytes, name: str) -> int:
    _expect(_NUMBER.fullmatch(word) is not None, f"not a {name}")
    return int(word)


def _messageNumber(word: bytes) -> int:
    """Message numbers begin with 1 (RFC 1939 §5)."""
    number = _number(word, "message number")
    _expect(number > 0, "message numbers begin with 1")
    return number


def _parseAuth(words: list[bytes]) -> Auth:
    """RFC 5034 §4:

    "AUTH" [SP sasl-mech [SP initial-response]]
    initial-response = base64 / "="
    """
    if not words:
        return Auth()
    _expect(len(words) <= 2 and _MECHANISM.fullmatch(words[0]) is not None, "AUTH takes a mechanism and an initial response")
    mechanism = words[0].decode().upper()
    if len(words) == 1:
        return Auth(mechanism)
    return Auth(mechanism, b"" if words[1] == b"=" else _decodeBase64(words[1]))


def _decodeBase64(octets: bytes) -> bytes:
    try:
        return decodeBase64(octets)
    except ValueError:
        raise BadCommand("not base64") from None


def parseResponse(line: bytes) -> bytes | None:
    """A client's answer to a challenge (RFC 5034 §4): base64, decoded; None when it is `*`, which cancels.

    :raises BadCommand: it is neither.
    """
    return None if line == b"*" else _decodeBase64(line)


# --- Replies ---------------------------------------------------------------------------------------------------------


class Code(enum.Enum):
    """Response codes (RFC 2449 §8, RFC 3206 §4, RFC 6856 §5)."""

    LOGIN_DELAY = "LOGIN-DELAY"
    IN_USE = "IN-USE"
    SYS_TEMP = "SYS/TEMP"
    SYS_PERM = "SYS/PERM"
    AUTH = "AUTH"
    UTF8 = "UTF8"


CODES: tuple[tuple[type[Refusal], Code | None], ...] = (
    (BadCommand, None),
    (AuthenticationFailed, Code.AUTH),
    (InUse, Code.IN_USE),
    # A new session numbers the messages anew and goes round whatever these met.
    (Vanished, Code.SYS_TEMP),
    (UIDValidityChanged, Code.SYS_TEMP),
    # Nothing that the client could do changes these: somebody has to look.
    (NoPermission, Code.SYS_PERM),
    (NoSuchMailbox, Code.SYS_PERM),
    (LimitExceeded, Code.SYS_PERM),
    (NotSupported, Code.SYS_PERM),
)
"""What each class of refusal is answered with; the first class that fits counts. Any other has SYS/TEMP while it may pass, and no
code otherwise.
"""


@frozen
class Reply:
    """The first line of an answer (RFC 1939 §3, RFC 2449 §8).

    :ivar text: what follows the indicator and the code, for people or, after STAT and the like, for programs.
    :ivar code: as spelled by the server, upper case: a client may meet codes that we have no name for. Empty: none.
    """

    isOK: bool
    text: str = ""
    code: str = ""

    def line(self) -> bytes:
        """The reply as a server sends it, without CRLF."""
        indicator = "+OK" if self.isOK else "-ERR"
        return " ".join(filter(None, (indicator, f"[{self.code}]" if self.code else "", self.text))).encode()


def ok(text: str = "") -> Reply:
    """A positive reply."""
    return Reply(True, text)


def err(text: str, code: Code | None = None) -> Reply:
    """A negative reply."""
    return Reply(False, text, code.value if code else "")


def refusalReply(refusal: Refusal) -> Reply:
    """How a refusal reads in POP3."""
    otherwise = Code.SYS_TEMP if refusal.isTemporary else None
    code = next((code for kind, code in CODES if isinstance(refusal, kind)), otherwise)
    return err(refusal.text, code)


_REPLY = re.compile(rb"(\+OK|-ERR)(?: +(?:\[([^\[\]\s]{1,64})\] ?)?(.*))?", re.DOTALL | re.IGNORECASE)


def parseReply(line: bytes) -> Reply:
    """Read the first line of a server's answer (RFC 2449 §8).

        response   = "+OK" [SP text] / "-ERR" [SP ["[" resp-code "]" SP] text]

    A code is read after `-ERR` only: a positive reply may begin with a bracket that is none.

    :raises ValueError: the server does not speak POP3.
    """
    match = _REPLY.fullmatch(line)
    if match is None:
        raise ValueError(f"no reply of a POP3 server: {line[:64]!r}")
    isOK = match[1].upper() == b"+OK"
    if isOK:
        return Reply(True, line[4:].strip().decode(errors="replace"))
    return Reply(False, (match[3] or b"").decode(errors="replace"), (match[2] or b"").decode(errors="replace").upper())


_MEANINGS: dict[str, type[Refusal]] = {
    Code.AUTH.value: AuthenticationFailed,
    Code.IN_USE.value: InUse,
    Code.LOGIN_DELAY.value: TemporaryRefusal,
    Code.SYS_TEMP.value: Unavailable,
}


def refusalOf(reply: Reply) -> Refusal:
    """What a server's negative reply means to a client."""
    text = "".join(character for character in reply.text if character.isprintable())
    return _MEANINGS.get(reply.code, Refusal)(text)


def challengeLine(challenge: bytes) -> bytes:
    """What a mechanism asks next (RFC 5034 §4), without CRLF: `+ ` and base64, which may be empty."""
    return b"+ " + encode(challenge)


def parseChallenge(line: bytes) -> bytes | None:
    """The challenge in a server's line; None when the line is no challenge but a reply.

    :raises BadCommand: what follows `+ ` is not base64.
    """
    if line != b"+" and not line.startswith(b"+ "):
        return None
    return _decodeBase64(line[2:])
