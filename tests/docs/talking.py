"""Talks with servers as a person at `nc` does."""

from __future__ import annotations

import re
import socket
import ssl

PATIENCE = 120.0
"""Seconds after which what was waited for will not come."""

QUIET = 0.4
"""Seconds of silence after which nothing more is said, where nothing else tells."""


class Conversation:
    """One connection. :param isTLS: from the first octet, with any certificate."""

    def __init__(self, port: int, isTLS: bool) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        if isTLS:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.received = b""
        self.isOver = False

    def say(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\r\n")

    def hear(self, patience: float) -> str | None:
        """One line; None: nothing came, or the server has closed."""
        self.socket.settimeout(patience)
        while b"\n" not in self.received and not self.isOver:
            try:
                octets = self.socket.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                return None
            except OSError:
                octets = b""
            self.isOver = not octets
            self.received += octets
        line, newline, self.received = self.received.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r") if newline or line else None

    def hangUp(self) -> None:
        self.socket.close()


def portOf(command: str) -> int:
    """To which port of this machine `nc`, `telnet` or `openssl s_client` goes. :raises ValueError: to none."""
    found = re.search(r"(?:localhost|127\.0\.0\.1)[ :](\d+)", command)
    if found is None:
        raise ValueError(f"to which port? {command}")
    return int(found[1])
