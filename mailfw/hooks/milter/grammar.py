"""The milter protocol's packets: octets to values and back. Pure.

`packet = length command data`: the length is four octets, big-endian, and counts the command (one octet) and the data. Texts end
in NUL.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable

from attrs import frozen

from mailfw.hooks.failure import Unanswered

VERSION = 6
CHUNK = 65535
"""Octets of a body in one packet, at most."""

LIMIT = 1 << 20
"""Octets of a packet that are taken from a milter."""


class Command(enum.Enum):
    """What the mail system says."""

    NEGOTIATE = b"O"
    MACROS = b"D"
    CONNECT = b"C"
    HELO = b"H"
    MAIL = b"M"
    RCPT = b"R"
    DATA = b"T"
    HEADER = b"L"
    END_OF_HEADER = b"N"
    BODY = b"B"
    END_OF_BODY = b"E"
    UNKNOWN = b"U"
    ABORT = b"A"
    QUIT = b"Q"


class Response(enum.Enum):
    """What a milter says."""

    NEGOTIATE = b"O"
    CONTINUE = b"c"
    ACCEPT = b"a"
    REJECT = b"r"
    TEMPFAIL = b"t"
    DISCARD = b"d"
    REPLY = b"y"
    SKIP = b"s"
    PROGRESS = b"p"
    CONNECTION_FAILED = b"f"
    SHUTDOWN = b"4"
    ADD_RECIPIENT = b"+"
    ADD_RECIPIENT_PARAMETERS = b"2"
    REMOVE_RECIPIENT = b"-"
    CHANGE_SENDER = b"e"
    ADD_HEADER = b"h"
    INSERT_HEADER = b"i"
    CHANGE_HEADER = b"m"
    REPLACE_BODY = b"b"
    QUARANTINE = b"q"


class Action(enum.IntFlag):
    """What a milter may want to do (`SMFIF_`)."""

    ADD_HEADERS = 0x01
    CHANGE_BODY = 0x02
    ADD_RECIPIENTS = 0x04
    REMOVE_RECIPIENTS = 0x08
    CHANGE_HEADERS = 0x10
    QUARANTINE = 0x20
    CHANGE_SENDER = 0x40
    ADD_RECIPIENTS_WITH_PARAMETERS = 0x80
    CHOOSE_MACROS = 0x100


class Step(enum.IntFlag):
    """What a milter does not want to hear (`SMFIP_NO…`), will not answer (`SMFIP_NR_…`), or does otherwise."""

    NO_CONNECT = 0x1
    NO_HELO = 0x2
    NO_MAIL = 0x4
    NO_RCPT = 0x8
    NO_BODY = 0x10
    NO_HEADERS = 0x20
    NO_END_OF_HEADER = 0x40
    SILENT_HEADER = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400
    SILENT_CONNECT = 0x1000
    SILENT_HELO = 0x2000
    SILENT_MAIL = 0x4000
    SILENT_RCPT = 0x8000
    SILENT_DATA = 0x10000
    SILENT_UNKNOWN = 0x20000
    SILENT_END_OF_HEADER = 0x40000
    SILENT_BODY = 0x80000
    LEADING_SPACE = 0x100000


ACTIONS = Action(0x1FF)
STEPS = Step(sum(Step))
"""All that there is: offered to every milter."""

UNWANTED = {
    Command.CONNECT: Step.NO_CONNECT,
    Command.HELO: Step.NO_HELO,
    Command.MAIL: Step.NO_MAIL,
    Command.RCPT: Step.NO_RCPT,
    Command.DATA: Step.NO_DATA,
    Command.HEADER: Step.NO_HEADERS,
    Command.END_OF_HEADER: Step.NO_END_OF_HEADER,
    Command.BODY: Step.NO_BODY,
    Command.UNKNOWN: Step.NO_UNKNOWN,
}
SILENT = {
    Command.CONNECT: Step.SILENT_CONNECT,
    Command.HELO: Step.SILENT_HELO,
    Command.MAIL: Step.SILENT_MAIL,
    Command.RCPT: Step.SILENT_RCPT,
    Command.DATA: Step.SILENT_DATA,
    Command.HEADER: Step.SILENT_HEADER,
    Command.END_OF_HEADER: Step.SILENT_END_OF_HEADER,
    Command.BODY: Step.SILENT_BODY,
    Command.UNKNOWN: Step.SILENT_UNKNOWN,
}


class MilterError(Unanswered):
    """A milter says what cannot be understood, or is not there."""


@frozen
class Packet:
    """One packet from a milter."""

    response: Response
    data: bytes = b""


def packet(command: Command, data: bytes = b"") -> bytes:
    """The wire form."""
    return struct.pack("!I", len(data) + 1) + command.value + data


def texts(*values: str | bytes) -> bytes:
    """Each ended by NUL; what was NUL before cannot end one."""
    encoded = [value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape") for value in values]
    return b"".join(value.replace(b"\0", b" ") + b"\0" for value in encoded)


def macros(command: Command, pairs: Iterable[tuple[str, str]]) -> bytes:
    """`SMFIC_MACRO`: what command they are for, then names and values. Names of more than one letter stand in braces."""
    return packet(Command.MACROS, command.value + texts(*(text for pair in pairs for text in pair)))


def negotiation() -> bytes:
    """`SMFIC_OPTNEG`: version, actions, steps."""
    return packet(Command.NEGOTIATE, struct.pack("!III", VERSION, ACTIONS, STEPS))


def negotiated(data: bytes) -> tuple[int, Action, Step]:
    """What a milter answers to it. :raises MilterError: that is no answer, or a version before 2."""
    if len(data) < 12:
        raise MilterError("a malformed negotiation")
    version, actions, steps = struct.unpack_from("!III", data)
    if not 2 <= version <= VERSION:
        raise MilterError(f"milter protocol version {version}")
    return version, Action(actions & ACTIONS), Step(steps & STEPS)


def numbered(data: bytes) -> tuple[int, str, str]:
    """`SMFIR_INSHEADER`, `SMFIR_CHGHEADER`: an index of four octets, a name, a value. :raises MilterError:"""
    if len(data) < 4:
        raise MilterError("a header without an index")
    name, value = pair(data[4:])
    return int(struct.unpack_from("!I", data)[0]), name, value


def pair(data: bytes) -> tuple[str, str]:
    """Two texts; the second may be missing."""
    first, second, *_ = [*split(data), "", ""]
    return first, second


def split(data: bytes) -> list[str]:
    """Texts, each ended by NUL."""
    return [text.decode("utf-8", "surrogateescape") for text in data.removesuffix(b"\0").split(b"\0")]


class PacketParser:
    """Finds packets, however the octets are split.

    :raises MilterError: (from `feed`) a packet is too long, or of a kind that there is not.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Packet]:
        """Packets that are complete now."""
        self._rest += data
        found, at = [], 0
        while len(self._rest) - at >= 4:
            (length,) = struct.unpack_from("!I", self._rest, at)
            if not 0 < length <= LIMIT:
                raise MilterError(f"a packet of {length} octets")
            if len(self._rest) - at < 4 + length:
                break
            code = self._rest[at + 4 : at + 5]
            try:
                found.append(Packet(Response(code), self._rest[at + 5 : at + 4 + length]))
            except ValueError:
                raise MilterError(f"unknown response {code!r}") from None
            at += 4 + length
        self._rest = self._rest[at:]
        return found
