"""Which flags the letters of file names stand for.

Capital letters are the same everywhere; small ones are numbered by `dovecot-keywords`, a file of Dovecot's in each folder: a line
`0 $Junk` makes `a` the keyword $Junk. We read and extend that file by Dovecot's rules: it is replaced, never written into, while
`dovecot-uidlist.lock` is held. Keywords beyond the twenty-sixth of a folder stand in `mailfw-keywords` beside it, a line for each
message, so that no keyword is lost and the files stay the truth for all of them.

$Forwarded has a letter of its own besides, `P`, which mbsync and Python's mailbox module know; either says that it is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from mailfw.storage.files import readFile, replaceFile
from mailfw.values import Flag

_LETTERS = {
    Flag.DRAFT: "D",
    Flag.FLAGGED: "F",
    Flag.ANSWERED: "R",
    Flag.SEEN: "S",
    Flag.DELETED: "T",
}
_FLAGS = {letter: flag for flag, letter in _LETTERS.items()}
_FORWARDED = "P"
_COUNT = 26

NUMBERED = "dovecot-keywords"
FURTHER = "mailfw-keywords"


class Keywords:
    """A folder's keywords, as its two files have them now."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._numbered = readFile(os.path.join(directory, NUMBERED)) or b""
        self._further = readFile(os.path.join(directory, FURTHER)) or b""
        self._names = _parseNumbered(self._numbered)
        self._numbers = {name.lower(): number for number, name in self._names.items()}
        self._more = _parseFurther(self._further)
        self._sets: dict[str, frozenset[str]] = {}

    @property
    def mark(self) -> tuple[bytes, bytes]:
        """Equal as long as the same names mean the same flags."""
        return self._numbered, self._further

    def flags(self, key: str, letters: str) -> frozenset[str]:
        """The flags of a message. Equal sets are mostly the same object."""
        found = self._sets.get(letters)
        if found is None:
            found = self._sets[letters] = frozenset(flag for letter in letters if (flag := self._flag(letter)))
        more = self._more.get(key)
        return found | more if more else found

    def _flag(self, letter: str) -> str | None:
        if letter == _FORWARDED:
            return self._names.get(self._numbers.get(Flag.FORWARDED.lower(), -1), Flag.FORWARDED)
        return _FLAGS.get(letter) or self._names.get(ord(letter) - ord("a"))

    def letters(self, key: str, flags: Iterable[str], present: str = "") -> str:
        """The letters that say `flags`; of the letters `present` those that mean nothing to us are kept.

        Keywords must have been announced by `number`. What no letter can say is noted for `save`.
        """
        letters = [letter for letter in present if self._flag(letter) is None]
        more = []
        for flag in flags:
            folded = flag.lower()
            if flag in _LETTERS:
                letters.append(_LETTERS[flag])
            elif folded in self._numbers:
                letters.append(chr(ord("a") + self._numbers[folded]))
            else:
                more.append(flag)
            if folded == Flag.FORWARDED.lower():
                letters.append(_FORWARDED)
        if more:
            self._more[key] = frozenset(more)
        else:
            self._more.pop(key, None)
        return "".join(letters)

    def number(self, flags: Iterable[str]) -> None:
        """Give each keyword that has none a number, while there are numbers."""
        for flag in sorted(flags):
            folded = flag.lower()
            if flag in _LETTERS or folded in self._numbers:
                continue
            free = next((number for number in range(_COUNT) if number not in self._names), None)
            if free is None:
                return
            self._names[free] = flag
            self._numbers[folded] = free
            self._sets.clear()

    def forget(self, keys: Iterable[str]) -> None:
        """These messages are gone."""
        for key in keys:
            self._more.pop(key, None)

    def save(self) -> None:
        """Write what has changed, durably."""
        numbered = "".join(f"{number} {name}\n" for number, name in sorted(self._names.items())).encode()
        if self._names != _parseNumbered(self._numbered):
            replaceFile(os.path.join(self._directory, NUMBERED), numbered)
            self._numbered = numbered
        further = "".join(f"{key} {' '.join(sorted(flags))}\n" for key, flags in sorted(self._more.items())).encode()
        if further != self._further:
            replaceFile(os.path.join(self._directory, FURTHER), further)
            self._further = further


def _parseNumbered(content: bytes) -> dict[int, str]:
    """`dovecot-keywords`: lines of a number and a keyword."""
    names: dict[int, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        number, _, name = line.partition(" ")
        if number.isdecimal() and int(number) < _COUNT and name:
            names[int(number)] = name
    return names


def _parseFurther(content: bytes) -> dict[str, frozenset[str]]:
    """`mailfw-keywords`: lines of a message's key and its keywords."""
    lines = (line.split(" ") for line in content.decode("utf-8", "replace").splitlines())
    return {line[0]: frozenset(line[1:]) for line in lines if len(line) > 1}
