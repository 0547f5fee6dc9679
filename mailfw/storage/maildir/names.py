"""The names of message files in a Maildir: what they say, and how ours are made.

    NAME   = BASE [":2," LETTERS ["," …]]          flags, in ASCII order (https://cr.yp.to/proto/maildir.html)
    BASE   = KEY *("," FIELD)
    FIELD  = "S=" octets of the file / "W=" octets with CRLF line ends / "D=" internal date
             / what others add ("U=" of mbsync)

S and W are Dovecot's. D is ours, in seconds since the epoch, and promises more: the file's octets are the message's own, to be
served as they stand. Files of other programs have no D; their line ends become CRLF on the way out, and their internal date is
the file's mtime.

KEY, all before the first comma, never changes while a message is in its folder, whatever fields other programs add behind it.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import socket
from contextlib import suppress

from attrs import frozen

FLAG_MARK = ":2,"
_OCTETS = re.compile(r"[0-9]{1,15}")
_EARLIEST, _LATEST = -62135596800.0, 253402300799.0  # the years 1 to 9999

_counter = itertools.count()
_tag = (0, "")


def newKey(now: float) -> str:
    """A key that nobody else makes: time, process, a count and something random, host."""
    seconds = int(now // 1)
    return f"{seconds}.M{int((now - seconds) * 1e6):06d}P{os.getpid()}Q{next(_counter):06d}R{_process()}.{_host()}"


def _process() -> str:
    """Eight random hexadecimal digits of this process: a fork, a restart or another container with our process id has others."""
    global _tag
    if _tag[0] != os.getpid():
        _tag = (os.getpid(), secrets.token_hex(4))
    return _tag[1]


def _host() -> str:
    """The host's name with `/`, `:` and `,` as the Maildir page says they are written."""
    name = socket.gethostname()[:64] or "localhost"
    return name.replace("/", "\\057").replace(":", "\\072").replace(",", "\\054")


@frozen
class Description:
    """What the fields of a base name tell about its file.

    :ivar size: octets of the file; -1 where the name does not tell.
    :ivar sentSize: octets with CRLF line ends; -1 where the name does not tell.
    :ivar date: the internal date, of our own files alone.
    """

    size: int = -1
    sentSize: int = -1
    date: float | None = None

    @property
    def servedSize(self) -> int:
        """Octets as the message is served; -1 where only reading would tell."""
        return self.sentSize if self.date is None else self.size


UNKNOWN = Description()


def describe(base: str) -> Description:
    """Read the fields of a base name; those that make no sense are passed over."""
    fields = base.partition(",")[2]
    if not fields:
        return UNKNOWN
    size = sentSize = -1
    date = None
    for item in fields.split(","):
        name, value = item[:2], item[2:]
        if name in ("S=", "W="):
            octets = int(value) if _OCTETS.fullmatch(value) else -1
            size, sentSize = (octets, sentSize) if name == "S=" else (size, octets)
        elif name == "D=":
            with suppress(ValueError):
                date = float(value)
    if size < 0 or (date is not None and not _EARLIEST <= date <= _LATEST):
        date = None
    return Description(size, sentSize, date)


def baseName(key: str, description: Description) -> str:
    """The base name of a new file of ours."""
    date = repr(description.date).removesuffix(".0")
    return f"{key},S={description.size},W={description.sentSize},D={date}"


def split(name: str) -> tuple[str, str, str]:
    """Base name, flag letters, and what stands behind the letters (a comma with it)."""
    base, _, info = name.partition(":")
    if not info.startswith("2,"):
        return base, "", ""
    letters, comma, rest = info[2:].partition(",")
    return base, letters, comma + rest


def join(base: str, letters: str, rest: str = "") -> str:
    """The name of a file in `cur`, letters sorted and each once."""
    return f"{base}{FLAG_MARK}{''.join(sorted(set(letters)))}{rest}"
