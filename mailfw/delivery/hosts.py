"""Names that this machine gives: its hosts file (hosts(5)), and `localhost` wherever there is none (RFC 6761 §6.3).

They are for hosts that the configuration names, before the DNS is asked. Where strangers' MX records lead is never looked up
here, or they could name machines that only we know.
"""

from __future__ import annotations

import os
from ipaddress import ip_address

PATH = "/etc/hosts"

LOCALHOST = ("127.0.0.1", "::1")


class HostsFile:
    """:param path: of the file; it is read again when it has changed."""

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        self._mark = 0
        self._addresses: dict[str, tuple[str, ...]] = {}

    def find(self, name: str) -> tuple[str, ...]:
        """The addresses of a name, in the order of the file; empty: it has none here."""
        wanted = name.lower().rstrip(".")
        return self._read().get(wanted, LOCALHOST if wanted == "localhost" else ())

    def _read(self) -> dict[str, tuple[str, ...]]:
        try:
            mark = os.stat(self._path).st_mtime_ns
            if mark != self._mark:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._addresses = _parsed(file.read())
                self._mark = mark
        except OSError:
            self._mark, self._addresses = 0, {}
        return self._addresses


def _parsed(text: str) -> dict[str, tuple[str, ...]]:
    """`ADDRESS NAME…` a line, `#` before what is no more of it; what is no address is passed over."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        try:
            address = str(ip_address(words[0])) if words else ""
        except ValueError:
            continue
        for name in words[1:]:
            known = found.get(name.lower(), ())
            found[name.lower()] = known if address in known else (*known, address)
    return found
