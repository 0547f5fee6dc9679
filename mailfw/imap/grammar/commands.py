"""Commands as values, read from what a client sent (RFC 3501 §9 `command`); here those of any state and of logging in,
and the table that joins all families."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import evolve, field, frozen

from mailfw.errors import Refusal
from mailfw.imap.grammar import acl, append, batches, fetch, listing, mailboxes, messages, metadata, notify, quota, searching
from mailfw.imap.grammar.response import Reply, bad, refused
from mailfw.imap.grammar.tokens import BadSyntax, CommandText, RefusedArgument, Scanner

MAX_ID_PAIRS = 30
"""RFC 2971 §3.3: an ID list has at most 30 field-value pairs."""

UNKNOWN_COMMAND = "unknown command"


@frozen
class Capability:
    """`CAPABILITY` (RFC 3501 §6.1.1)"""


@frozen
class Noop:
    """`NOOP` (RFC 3501 §6.1.2)"""


@frozen
class Logout:
    """`LOGOUT` (RFC 3501 §6.1.3)"""


@frozen
class Id:
    """`id = "ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil)` (RFC 2971 §4)

    :ivar parameters: what the client says about itself.
    """

    parameters: tuple[tuple[bytes, bytes | None], ...] = ()


@frozen
class StartTLS:
    """`STARTTLS` (RFC 3501 §6.2.1)"""


@frozen
class Login:
    """`login = "LOGIN" SP userid SP password` (RFC 3501 §6.2.3)"""

    user: bytes
    password: bytes = field(repr=False)


@frozen
class Authenticate:
    """`authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")]` (RFC 3501 §6.2.2, RFC 4959 §3)

    :ivar initialResponse: base64 as it came; None where the client waits for a challenge.
    """

    mechanism: str
    initialResponse: bytes | None = field(default=None, repr=False)


@frozen
class Enable:
    """`enable = "ENABLE" 1*(SP capability)` (RFC 5161 §3.1). :ivar capabilities: in capitals."""

    capabilities: tuple[bytes, ...]


@frozen
class Idle:
    """`IDLE` (RFC 2177)"""


@frozen
class Compress:
    """`compress = "COMPRESS" SP algorithm` (RFC 4978 §5). :ivar algorithm: in capitals."""

    algorithm: bytes


@frozen
class Unauthenticate:
    """`UNAUTHENTICATE` (RFC 8437 §6)"""


@frozen
class Tagged:
    """A command with its tag. :ivar name: `FETCH`, `UID FETCH` …"""

    tag: bytes
    name: bytes
    command: object


class Unreadable(Exception):
    """A command that cannot be read, with its answer; the tag is `*` where there was none."""

    def __init__(self, tag: bytes, reply: Reply) -> None:
        super().__init__(reply.text)
        self.tag = tag
        self.reply = reply


def _id(scanner: Scanner) -> Id:
    scanner.space()
    if scanner.peek() != b"(":
        if scanner.keyword() != b"NIL":
            raise scanner.bad("expected a list or NIL")
        return Id()

    def pair() -> tuple[bytes, bytes | None]:
        field = scanner.string()
        scanner.space()
        return field, scanner.nstring()

    return Id(tuple(scanner.parenthesised(pair, isEmptyAllowed=True, maximum=MAX_ID_PAIRS)))


def _login(scanner: Scanner) -> Login:
    scanner.space()
    user = scanner.astring()
    scanner.space()
    return Login(user, scanner.astring())


def _authenticate(scanner: Scanner) -> Authenticate:
    scanner.space()
    mechanism = scanner.keyword().decode("ascii")
    return Authenticate(mechanism, scanner.atom() if scanner.takes(b" ") else None)


def _enable(scanner: Scanner) -> Enable:
    capabilities: list[bytes] = []
    while not scanner.isAtEnd or not capabilities:
        scanner.space()
        capabilities.append(scanner.keyword())
    return Enable(tuple(capabilities))


def _compress(scanner: Scanner) -> Compress:
    scanner.space()
    return Compress(scanner.keyword())


_SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    b"CAPABILITY": lambda scanner: Capability(),
    b"NOOP": lambda scanner: Noop(),
    b"LOGOUT": lambda scanner: Logout(),
    b"ID": _id,
    b"STARTTLS": lambda scanner: StartTLS(),
    b"LOGIN": _login,
    b"AUTHENTICATE": _authenticate,
    b"ENABLE": _enable,
    b"IDLE": lambda scanner: Idle(),
    b"COMPRESS": _compress,
    b"UNAUTHENTICATE": lambda scanner: Unauthenticate(),
}

SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    **_SYNTAX,
    **mailboxes.SYNTAX,
    **listing.SYNTAX,
    **messages.SYNTAX,
    **append.SYNTAX,
    **fetch.SYNTAX,
    **searching.SYNTAX,
    **batches.SYNTAX,
    **notify.SYNTAX,
    **quota.SYNTAX,
    **acl.SYNTAX,
    **metadata.SYNTAX,
}
"""Every command by its name, each with what reads its arguments up to the end."""


def commandName(scanner: Scanner) -> bytes:
    """`SP command-name`; a name that starts with UID has two words (RFC 3501 §6.4.8)."""
    scanner.space()
    name = scanner.keyword()
    if name == b"UID" and scanner.takes(b" "):
        name = b"UID " + scanner.keyword()
    return name


def parse(
    text: CommandText, objection: Callable[[bytes], Reply | None] = lambda name: None, mayEndInSpaces: bool = False
) -> Tagged:
    """Read a whole command.

    :param objection: why the command of that name may not come now, if it may not; its arguments are not read then.
    :param mayEndInSpaces: spaces behind the last argument are passed over.
    :raises Unreadable: it is not in the grammar, or names what cannot be.
    """
    if mayEndInSpaces and text.octets.endswith(b" "):
        text = evolve(text, octets=text.octets.rstrip(b" "))
    scanner = Scanner(text)
    tag = b"*"
    try:
        tag = scanner.tag()
        name = commandName(scanner)
        syntax = SYNTAX.get(name)
        if syntax is None:
            raise BadSyntax(UNKNOWN_COMMAND)
        if (reply := objection(name)) is not None:
            raise Unreadable(tag, reply)
        command = syntax(scanner)
        scanner.end()
    except BadSyntax as error:
        raise Unreadable(tag, bad(str(error))) from None
    except RefusedArgument as argument:
        raise Unreadable(tag, argument.reply) from None
    except Refusal as refusal:
        raise Unreadable(tag, refused(refusal)) from None
    return Tagged(tag, name, command)
