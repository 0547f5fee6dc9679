"""The `mailfw` command's half of the control socket: blocking, and without Twisted, so that a command starts at once.

Speaks AMP (boxes of length-prefixed keys and values) as far as one `Perform` after another needs it; `control` is the other
half and says what is in the boxes.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

from mailfw.app.problem import Problem

PIECE = 60000
"""Octets of JSON in one AMP value, which may have 65,535."""


def cut(name: bytes, data: bytes) -> dict[bytes, bytes]:
    """JSON as the values `name`, `name.1`, `name.2` … of a box."""
    pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)] or [b""]
    return {(b"%s.%d" % (name, number) if number else name): piece for number, piece in enumerate(pieces)}


def join(name: bytes, box: dict[bytes, bytes]) -> bytes:
    """What `cut` cut, taken out of a box."""
    pieces = [box.pop(name)]
    while (piece := box.pop(b"%s.%d" % (name, len(pieces)), None)) is not None:
        pieces.append(piece)
    return b"".join(pieces)


class Reachable:
    """A context in which a socket's path has a name short enough for `sockaddr_un` (108 octets on Linux)."""

    def __init__(self, path: str) -> None:
        self._directory, self._name = os.path.split(path)
        self._path = path
        self._handle: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 100 or not os.path.isdir("/proc/self/fd"):
            return self._path
        self._handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._handle}/{self._name}"

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Remote:
    """A connection to a running server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._asked = 0

    @classmethod
    def connect(cls, path: str) -> Remote | None:
        """A connection to the server that listens at `path`; None when none does.

        :raises Problem: there is one, and this user may not speak to it.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with Reachable(path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            connection.close()
            return None
        except OSError as error:
            connection.close()
            raise Problem(f"control socket {path}: {error.strerror}; run this as root or as the server's user") from None
        return cls(connection)

    def perform(self, operation: str, **arguments: Any) -> Any:
        """Have the server perform an operation; what comes of it.

        :raises Problem: the server refused, or is gone.
        """
        self._asked += 1
        box = {b"_ask": b"%x" % self._asked, b"_command": b"Perform", b"operation": operation.encode()}
        box |= cut(b"arguments", json.dumps(arguments).encode())
        try:
            self._connection.sendall(b"".join(_field(key) + _field(value) for key, value in box.items()) + b"\0\0")
            answer = self._read()
        except (OSError, EOFError):
            raise Problem("the server went away before it answered; its log may say why") from None
        if b"_error" in answer:
            raise Problem(answer[b"_error_description"].decode("utf-8", "replace"))
        return json.loads(join(b"result", answer))

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._connection.close()

    def _read(self) -> dict[bytes, bytes]:
        box: dict[bytes, bytes] = {}
        while key := self._value():
            box[key] = self._value()
        return box

    def _value(self) -> bytes:
        (length,) = struct.unpack("!H", self._exactly(2))
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = self._stream.read(length)
        if len(data) < length:
            raise EOFError
        return data


def _field(value: bytes) -> bytes:
    return struct.pack("!H", len(value)) + value
