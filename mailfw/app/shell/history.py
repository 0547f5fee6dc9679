"""What somebody has typed before, kept in a file of his own that only the server's user can read."""

from __future__ import annotations

import os
from urllib.parse import quote

from twisted.logger import Logger

KEPT = 1000
"""Lines."""

_log = Logger("mailfw.manhole")


class History:
    """:ivar lines: the oldest first."""

    def __init__(self, directory: str, user: str) -> None:
        """:param user: as he called himself; his file cannot be anybody else's, or anywhere else."""
        self._directory = directory
        self._path = os.path.join(directory, quote(user, safe="@")[:200].replace(".", "%2E") or "%")
        self.lines = self._read()

    def keep(self, statement: str) -> None:
        """Write a statement down. What cannot be written is logged, and forgotten with the prompt."""
        try:
            os.makedirs(self._directory, 0o700, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(statement.rstrip("\n") + "\n")
        except OSError as error:
            _log.warn("{path} cannot be written: {error}", path=self._path, error=error.strerror)

    def _read(self) -> list[str]:
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            _log.warn("{path} cannot be read: {error}", path=self._path, error=error.strerror)
            return []
        if len(lines) > 2 * KEPT:
            self._shorten(lines[-KEPT:])
        return lines[-KEPT:]

    def _shorten(self, lines: list[str]) -> None:
        fresh = f"{self._path}.new"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
        os.replace(fresh, self._path)
