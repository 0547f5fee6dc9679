"""What a terminal sends, as keys: characters, and names of those that are none. Pure.

A key that is a character is that character; every other has a name of two letters or more: `enter`, `left`, `c-a` for Ctrl-A. The
end of a line that was pasted is `pasted`.
"""

from __future__ import annotations

import codecs
import re

PENDING = 64
"""Octets of an escape sequence that has no end."""

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~]|[^\[O\x1b])")
_NAMES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[1~": "home",
    "\x1b[7~": "home",
    "\x1b[4~": "end",
    "\x1b[8~": "end",
    "\x1b[3~": "delete",
    "\x1b[1;5C": "word right",
    "\x1b[1;5D": "word left",
    "\x1bf": "word right",
    "\x1bb": "word left",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\x1bOH": "home",
    "\x1bOF": "end",
    "\x1b\x7f": "c-w",
    "\x1bd": "kill word",
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
}
PASTE, PASTED = b"\x1b[200~", b"\x1b[201~"


class Keys:
    """Reads keys from octets, however they are cut."""

    def __init__(self) -> None:
        self._pending = b""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._isPasting = False
        self._wasReturn = False

    def feed(self, data: bytes) -> list[str]:
        """The keys in what came."""
        data, self._pending = self._pending + data, b""
        found: list[str] = []
        while data:
            text, escape, rest = data.partition(b"\x1b")
            found += self._characters(text)
            if not escape:
                break
            match = _SEQUENCE.match(escape + rest)
            if match is None:
                if len(rest) < PENDING and not rest.startswith(b"\x1b"):
                    self._pending = escape + rest
                    break
                data = rest
                continue
            data = (escape + rest)[match.end() :]
            found += self._sequence(match[0])
        return found

    def _characters(self, data: bytes) -> list[str]:
        found: list[str] = []
        for character in self._decode.decode(data):
            wasReturn, self._wasReturn = self._wasReturn, character == "\r"
            if character == "\n" and wasReturn:
                continue
            if character == "\t" and self._isPasting:
                found += " " * 4
            elif character in "\r\n" and self._isPasting:
                found.append("pasted")
            elif name := _NAMES.get(character):
                found.append(name)
            elif character < " ":
                found.append(f"c-{chr(ord(character) + 0x60)}")
            elif character.isprintable():
                found.append(character)
        return found

    def _sequence(self, sequence: bytes) -> list[str]:
        if sequence in (PASTE, PASTED):
            self._isPasting = sequence == PASTE
            return []
        name = _NAMES.get(sequence.decode("latin-1"))
        return [name] if name else []
