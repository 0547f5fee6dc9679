"""SMTP commands: octets to values and back (RFC 5321 §4.1, with the extensions' own commands).

Pure and linear. A command that comes out of `parseCommand` holds no control octet anywhere, so nothing a client says can
start a line of its own in a Received header, a log or a program's arguments. A path is parsed once, here: what stands in a
local part (`a%b`, `b!a`, `"a@b"`) is never looked at again as a route.

People type too: `mail from: a@b`, with a space and without angle brackets, is taken; what is no address is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import NoReturn

from attrs import field, frozen

from mailfw.message.dsn import decodeXtext, encodeXtext
from mailfw.sasl import wire
from mailfw.sasl.steps import MalformedResponse
from mailfw.smtp.reply import Reply, reply
from mailfw.values import Address

COMMAND_LIMIT = 4096
"""Octets in a command line (RFC 5321 §4.5.3.1.4 asks for 512 and what extensions add)."""

AUTH_LIMIT = 12288
"""Octets in an AUTH command or a response to a challenge (RFC 4954 §4)."""


class BadCommand(Exception):
    """No command, or not one with these arguments. :ivar reply: what to answer."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(answer.text)
        self.reply = answer


def bad(code: int, enhanced: str, text: str) -> NoReturn:
    """:raises BadCommand: that."""
    raise BadCommand(reply(code, enhanced, text))


# --- Values ----------------------------------------------------------------------------------------------------------

Parameters = tuple[tuple[str, str | None], ...]
"""`esmtp-param`s in their order: keyword in capitals, value as written or None. `smtp.extension` says what they mean."""


@frozen
class Hello:
    """HELO, EHLO, LHLO. :ivar verb: which of them. :ivar name: what the client calls itself."""

    verb: str
    name: str

    def __bytes__(self) -> bytes:
        return f"{self.verb} {self.name}".encode()


@frozen
class Mail:
    """MAIL FROM. :ivar sender: None is `<>`. :ivar isUTF8: the line held octets above 127."""

    sender: Address | None
    parameters: Parameters = ()
    isUTF8: bool = field(default=False, eq=False)

    def __bytes__(self) -> bytes:
        return f"MAIL FROM:<{self.sender or ''}>{_joined(self.parameters)}".encode()


@frozen
class Rcpt:
    """RCPT TO. The domain is empty for `<postmaster>`."""

    recipient: Address
    parameters: Parameters = ()
    isUTF8: bool = field(default=False, eq=False)

    def __bytes__(self) -> bytes:
        return f"RCPT TO:<{self.recipient}>{_joined(self.parameters)}".encode()


@frozen
class Data:
    def __bytes__(self) -> bytes:
        return b"DATA"


@frozen
class Bdat:
    """RFC 3030 §2. :ivar size: octets of the chunk that follows."""

    size: int
    isLast: bool = False

    def __bytes__(self) -> bytes:
        return b"BDAT %d%b" % (self.size, b" LAST" if self.isLast else b"")


@frozen
class Rset:
    def __bytes__(self) -> bytes:
        return b"RSET"


@frozen
class Noop:
    def __bytes__(self) -> bytes:
        return b"NOOP"


@frozen
class Quit:
    def __bytes__(self) -> bytes:
        return b"QUIT"


@frozen
class Help:
    """:ivar topic: a command's name in capitals, or empty."""

    topic: str = ""

    def __bytes__(self) -> bytes:
        return f"HELP {self.topic}".rstrip().encode()


@frozen
class Vrfy:
    """:ivar name: an address or a part of one, as written. :ivar isSMTPUTF8: the reply may hold UTF-8 (RFC 6531 §3.7.4.2)."""

    name: str
    isSMTPUTF8: bool = False

    def __bytes__(self) -> bytes:
        return f"VRFY {self.name}{' SMTPUTF8' if self.isSMTPUTF8 else ''}".encode()


@frozen
class Expn:
    """:ivar name: an address or a part of one, as written. :ivar isSMTPUTF8: as with VRFY."""

    name: str
    isSMTPUTF8: bool = False

    def __bytes__(self) -> bytes:
        return f"EXPN {self.name}{' SMTPUTF8' if self.isSMTPUTF8 else ''}".encode()


@frozen
class Verb:
    """Say more after DATA, or no longer."""

    isOn: bool = True

    def __bytes__(self) -> bytes:
        return b"VERB ON" if self.isOn else b"VERB OFF"


@frozen
class StartTLS:
    def __bytes__(self) -> bytes:
        return b"STARTTLS"


@frozen
class Auth:
    """RFC 4954 §4. :ivar mechanism: in capitals. :ivar initial: the initial response, decoded; None where there is none."""

    mechanism: str
    initial: bytes | None = field(default=None, repr=False)

    def __bytes__(self) -> bytes:
        if self.initial is None:
            return b"AUTH " + self.mechanism.encode()
        return b"AUTH %b %b" % (self.mechanism.encode(), wire.encode(self.initial) or b"=")


@frozen
class Foreign:
    """Another protocol's command: a browser, or a web page, was sent here. :ivar verb: its first word."""

    verb: str

    def __bytes__(self) -> bytes:
        return self.verb.encode()


XCLIENT_ATTRIBUTES = frozenset({"NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "REVERSE_NAME", "DESTADDR", "DESTPORT"})


@frozen
class Xclient:
    """A proxy says for whom it speaks (Postfix's XCLIENT_README).

    :ivar attributes: names in capitals, values decoded; None: `[UNAVAILABLE]` or `[TEMPUNAVAIL]`.
    """

    attributes: tuple[tuple[str, str | None], ...]

    def __bytes__(self) -> bytes:
        pairs = (f" {name}={encodeXtext('[UNAVAILABLE]' if value is None else value)}" for name, value in self.attributes)
        return b"XCLIENT" + "".join(pairs).encode()


Command = Hello | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Help | Vrfy | Expn | Verb | StartTLS | Auth | Xclient | Foreign

# --- Lines -----------------------------------------------------------------------------------------------------------

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# UTF8-non-ascii (RFC 6531 §3.3) without what no name holds: C1 controls, white space, line and paragraph separators, marks of
# direction, surrogates.
_UTF8 = (
    "\u00a1-\u1fff\u200c-\u200d\u2010-\u2027\u2030-\u205e\u2070-\u2fff\u3001-\ud7ff"
    "\ue000-\ufefe\uff00-\ufff0\U00010000-\U0010ffff"
)


def parseCommand(line: bytes) -> Command:
    """Read one command line, without its end.

    :raises BadCommand: it is none; what to answer is in it.
    """
    if _CONTROL.search(line):
        bad(501, "5.5.2", "a command holds no control characters")
    verb, _, rest = line.partition(b" ")
    parse = _PARSERS.get(verb.upper())
    if parse is None:
        bad(500, "5.5.2", "command not recognized; HELP lists those there are")
    return parse(rest.strip(b" "))


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        bad(501, "5.5.2", "not UTF-8")


_HELLO_NAME = re.compile(rf"\[[0-9A-Za-z.:_-]{{1,250}}\]|[0-9A-Za-z_{_UTF8}][0-9A-Za-z._:{_UTF8}-]{{0,254}}")


def _hello(verb: str) -> Callable[[bytes], Command]:
    def parse(rest: bytes) -> Command:
        """`ehlo = "EHLO" SP ( Domain / address-literal ) CRLF` (RFC 5321 §4.1.1.1).

        Hosts misname themselves in many ways, so the name's shape is not held against them; but it is one word of characters that
        mean nothing in a Received header.
        """
        name = _text(rest)
        if not _HELLO_NAME.fullmatch(name):
            bad(501, "5.5.4", f"syntax: {verb} your.host.name")
        return Hello(verb, name)

    return parse


def _mail(rest: bytes) -> Command:
    """`mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF` (RFC 5321 §4.1.1.2)."""
    path, parameters = _pathAndParameters(rest, b"FROM:", "syntax: MAIL FROM:<address> [parameters]")
    if path == "":
        return Mail(None, parameters)
    sender = parseMailbox(path)
    if sender is None:
        bad(501, "5.1.7", "that is no sender's address: local@domain")
    return Mail(sender, parameters, not rest.isascii())


def _rcpt(rest: bytes) -> Command:
    """`rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) …` (RFC 5321 §4.1.1.3)."""
    path, parameters = _pathAndParameters(rest, b"TO:", "syntax: RCPT TO:<address> [parameters]")
    if path.lower() == "postmaster":
        return Rcpt(Address("postmaster", ""), parameters)
    recipient = parseMailbox(path)
    if recipient is None:
        bad(501, "5.1.3", "that is no recipient's address: local@domain")
    return Rcpt(recipient, parameters, not rest.isascii())


def _alone(command: Command) -> Callable[[bytes], Command]:
    def parse(rest: bytes) -> Command:
        """A command without arguments."""
        if rest:
            bad(501, "5.5.4", f"{bytes(command).decode()} has no arguments")
        return command

    return parse


def _bdat(rest: bytes) -> Command:
    """`bdat-cmd ::= "BDAT" SP chunk-size [ SP "LAST" ] CR LF` (RFC 3030 §2)."""
    match = re.fullmatch(rb"([0-9]{1,20})( +LAST)?", rest, re.IGNORECASE)
    if match is None:
        bad(501, "5.5.4", "syntax: BDAT size [LAST]")
    return Bdat(int(match[1]), match[2] is not None)


def _help(rest: bytes) -> Command:
    """`help = "HELP" [ SP String ] CRLF` (RFC 5321 §4.1.1.8)."""
    return Help(_text(rest).upper())


def _asked(kind: type[Vrfy] | type[Expn]) -> Callable[[bytes], Command]:
    def parse(rest: bytes) -> Command:
        """`vrfy = "VRFY" SP String [SP "SMTPUTF8"] CRLF` (RFC 5321 §4.1.1.6, §4.1.1.7, RFC 6531 §3.7.4.2)."""
        name = _text(rest)
        bare, _, last = name.rpartition(" ")
        isSMTPUTF8 = last.upper() == "SMTPUTF8" and bool(bare)
        name = bare.rstrip() if isSMTPUTF8 else name
        if not name:
            bad(501, "5.5.4", f"syntax: {kind.__name__.upper()} name")
        if not name.isascii() and not isSMTPUTF8:
            bad(550, "5.6.7", "say SMTPUTF8 at the end of a command with a name in UTF-8")
        return kind(name, isSMTPUTF8)

    return parse


def _verb(rest: bytes) -> Command:
    """`VERB [ON|OFF]`, as sendmail had it."""
    word = rest.upper()
    if word not in (b"", b"ON", b"OFF"):
        bad(501, "5.5.4", "syntax: VERB [ON|OFF]")
    return Verb(word != b"OFF")


def _auth(rest: bytes) -> Command:
    """`auth-command = "AUTH" SP sasl-mech [SP initial-response]` (RFC 4954 §8)."""
    match = re.fullmatch(rb"([A-Za-z0-9_-]{1,20})(?: +([^ ]+))?", rest)
    if match is None:
        bad(501, "5.5.4", "syntax: AUTH mechanism [initial-response]")
    mechanism, initial = match[1].decode().upper(), match[2]
    if initial is None or initial == b"=":
        return Auth(mechanism, initial and b"")
    if initial == b"*":
        bad(501, "5.5.2", "there is nothing to cancel yet")
    return Auth(mechanism, parseResponse(initial))


def _xclient(rest: bytes) -> Command:
    """`xclient-command = XCLIENT 1*( SP attribute-name"="attribute-value )`, values in xtext."""
    found: dict[str, str | None] = {}
    for word in _text(rest).split():
        name, equals, value = word.partition("=")
        decoded = decodeXtext(value) if value.isascii() else None
        if name.upper() not in XCLIENT_ATTRIBUTES or not equals or not decoded or not decoded.isprintable():
            bad(501, "5.5.4", "syntax: XCLIENT name=value")
        found[name.upper()] = None if decoded.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]") else decoded
    if not found:
        bad(501, "5.5.4", "syntax: XCLIENT name=value")
    return Xclient(tuple(found.items()))


def parseResponse(line: bytes) -> bytes | None:
    """The answer to an AUTH challenge: `base64 CRLF / "*" CRLF` (RFC 4954 §4); None: the client cancels.

    :raises BadCommand: it is neither.
    """
    if line == b"*":
        return None
    try:
        return wire.decodeResponse(line)
    except MalformedResponse as error:
        bad(501, "5.5.2", error.text)


_PARSERS: dict[bytes, Callable[[bytes], Command]] = {
    b"HELO": _hello("HELO"),
    b"EHLO": _hello("EHLO"),
    b"LHLO": _hello("LHLO"),
    b"MAIL": _mail,
    b"RCPT": _rcpt,
    b"DATA": _alone(Data()),
    b"BDAT": _bdat,
    b"RSET": _alone(Rset()),
    b"NOOP": lambda rest: Noop(),
    b"QUIT": _alone(Quit()),
    b"HELP": _help,
    b"VRFY": _asked(Vrfy),
    b"EXPN": _asked(Expn),
    b"VERB": _verb,
    b"STARTTLS": _alone(StartTLS()),
    b"AUTH": _auth,
    b"XCLIENT": _xclient,
    b"GET": lambda rest: Foreign("GET"),
    b"POST": lambda rest: Foreign("POST"),
    b"CONNECT": lambda rest: Foreign("CONNECT"),
}

# --- Paths and parameters --------------------------------------------------------------------------------------------

# What may stand between the angle brackets: anything but brackets and quotes, or a quoted string.
_BRACKETED = re.compile(r'<((?:[^<>"]|"(?:[^"\\]|\\.)*+")*+)>')
_BARE = re.compile(r'(?:[^<>" ]|"(?:[^"\\]|\\.)*+")++')
# esmtp-param = esmtp-keyword ["=" esmtp-value]; esmtp-value = 1*(%d33-60 / %d62-126), RFC 6531 adds UTF-8.
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([^\x00-\x20=\x7f]++))?")


def _pathAndParameters(rest: bytes, word: bytes, syntax: str) -> tuple[str, Parameters]:
    """What follows MAIL or RCPT: the path without its brackets, and the parameters."""
    if rest[: len(word)].upper() != word:
        bad(501, "5.5.4", syntax)
    text = _text(rest[len(word) :]).lstrip(" ")
    match = _BRACKETED.match(text)
    path = match[1] if match else ""
    if match is None:
        match = _BARE.match(text)
        path = match[0] if match else ""
    if match is None or (match.end() < len(text) and text[match.end()] != " "):
        bad(501, "5.5.4", syntax)
    return path, _parameters(text[match.end() :], syntax)


def _parameters(text: str, syntax: str) -> Parameters:
    """`Mail-parameters = esmtp-param *(SP esmtp-param)` (RFC 5321 §4.1.2), no keyword twice."""
    if not text:
        return ()
    found: dict[str, str | None] = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            bad(501, "5.5.4", syntax)
        if match[1].upper() in found:
            bad(501, "5.5.4", f"{match[1].upper()} is there twice")
        found[match[1].upper()] = match[2]
    return tuple(found.items())


def _joined(parameters: Parameters) -> str:
    return "".join(f" {keyword}" if value is None else f" {keyword}={value}" for keyword, value in parameters)


_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_UTF8}-]++"
# Let-dig [Ldh-str]; the underscore is in too many hosts' names to be refused.
_LABEL = rf"[A-Za-z0-9_{_UTF8}](?:[A-Za-z0-9_{_UTF8}-]{{0,61}}[A-Za-z0-9_{_UTF8}])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_MAILBOX = re.compile(
    rf"(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?"
    rf'(?:({_ATOM}(?:\.{_ATOM})*)|"((?:[ !#-\[\]-~{_UTF8}]|\\[ -~])*)")'
    rf"@(?:({_DOMAIN})|\[([0-9A-Za-z.:]+)\])"
)
_PAIR = re.compile(r"\\(.)")
_PART_LIMIT = 255


def parseMailbox(text: str) -> Address | None:
    """`Path = "<" [ A-d-l ":" ] Mailbox ">"` without the brackets (RFC 5321 §4.1.2, RFC 6531 §3.3); None: it is none.

    A source route is accepted and has no meaning (RFC 5321 Appendix C). Local parts over the 64 octets of §4.5.3.1.1 are
    common in return paths, so the bound is 255.
    """
    match = _MAILBOX.fullmatch(text) if len(text) <= COMMAND_LIMIT else None
    if match is None:
        return None
    atom, quoted, domain, literal = match.groups()
    if literal is not None:
        domain = _literal(literal)
    local = atom if atom is not None else _PAIR.sub(r"\1", quoted)
    if domain is None or not local or max(len(local.encode()), len(domain.encode())) > _PART_LIMIT:
        return None
    return Address(local, domain)


def _literal(text: str) -> str | None:
    """`address-literal = "[" ( IPv4-address-literal / IPv6-address-literal / General-address-literal ) "]"` (RFC 5321 §4.1.3).

    No general tag has been registered, so there is none.
    """
    try:
        if text[:5].lower() == "ipv6:":
            return f"[IPv6:{IPv6Address(text[5:])}]"
        return f"[{IPv4Address(text)}]"
    except ValueError:
        return None
