"""Plays a page of the book: its commands in a shell, its conversations over sockets, its servers as processes."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from alike import Mismatch, difference
from blocks import Block
from place import Place
from staying import Staying
from talking import PATIENCE, QUIET, Conversation, portOf
from transcript import TALKERS, Kind, Line, lines

SOON = 30.0
"""Seconds in which what a page looks at may still be on its way: a person would look again."""

_STAYING = re.compile(r"twistd -n |.* &$", re.DOTALL)
_SERVED = re.compile(r"(telnet|nc|curl|swaks|openssl s_client|mailfw (?!plugin|check-config)|.* \| mailfw )")
_LOOKING = re.compile(
    r"cat|ls|head|tail|grep|mailfw (.*--config \S+ )?(queue (list|show)|trace|status|mailbox)|curl.*(imap|pop3)"
)
_PROGRAMS = ("swaks", "curl", "openssl")
"""Programs of others that pages use."""


class Missing(Exception):
    """A program is not installed here."""


class Player:
    """One page under way.

    :param isWriting: take what happens for what should stand there, instead of comparing.
    """

    def __init__(self, directory: Path, isWriting: bool = False) -> None:
        self.place = Place(directory)
        self.isWriting = isWriting
        self._staying = Staying(self.place)
        self._talk: Conversation | None = None

    def begin(self, block: Block) -> None:
        """Do what has to be done before a block, and make the file that it is, where it is one."""
        for command in block.first:
            self._command(command, [])
        if block.fileName:
            path = self.place.path(block.fileName)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.place.real(block.text))

    def play(self, block: Block) -> list[str]:
        """Everything that a block says; what stands there instead, where it is to be written.

        :raises Mismatch: something else happens.
        :raises Missing: a program is not here.
        """
        if block.kind == "sh":
            self._command(block.text.rstrip("\n"), [])
            return block.text.splitlines()
        isGoingOn = not re.match(r"[$#] ", block.text)
        if isGoingOn and self._talk is None:
            raise Mismatch(f"{block.place}: no conversation is open that could go on here")
        written = []
        for group in _groups(lines(block.text, isGoingOn)):
            try:
                written += self._group(group)
            except Mismatch as mismatch:
                raise Mismatch(f"{block.place}: {mismatch}") from None
        return written

    def close(self) -> None:
        """End everything."""
        self._hangUp()
        self._staying.end()

    def _group(self, group: list[Line]) -> list[str]:
        if group[0].kind is not Kind.COMMAND:
            return self._converse(group)
        commands = [line for line in group if line.kind is Kind.COMMAND]
        words = "\n".join(re.sub("^> ?", "", line.text) for line in commands)
        written = [commands[0].prompt + commands[0].text, *(line.text for line in commands[1:])]
        rest = group[len(commands) :]
        if not TALKERS.match(words):
            return written + self._command(words, [line.text for line in rest])
        self._hangUp()
        self._mustServe()
        self._talk = Conversation(self.place.ports[portOf(words)], words.startswith("openssl"))
        return written + self._converse(rest)

    # --- Conversations ---

    def _hangUp(self) -> None:
        if self._talk is not None:
            self._talk.hangUp()
            self._talk = None

    def _converse(self, group: Sequence[Line]) -> list[str]:
        """Say what is typed, and hear what is not."""
        assert self._talk is not None
        written: list[str] = []
        expected: list[str] = []
        for line in group:
            if line.kind is Kind.SERVER:
                expected.append(line.text)
                continue
            written += self._hear(self._talk, expected)
            expected = []
            self._talk.say(line.text)
            written.append(line.text)
        return written + self._hear(self._talk, expected)

    def _hear(self, talk: Conversation, expected: list[str]) -> list[str]:
        """What the server says until it is the person's turn."""
        heard: list[str] = []
        while not self._isEnough(expected, heard):
            # What ends in `...`, or is still to be written, comes to its end in silence.
            isOpen = not expected or (heard and (self.isWriting or expected[-1] == "..."))
            said = talk.hear(QUIET if isOpen else PATIENCE)
            if said is None:
                break
            heard.append(self.place.shown(said))
        differs = difference(expected, heard)
        if differs and not self.isWriting:
            raise Mismatch(differs)
        return heard if differs or (self.isWriting and not _isLoose(expected)) else expected

    def _isEnough(self, expected: list[str], heard: list[str]) -> bool:
        if self.isWriting:
            return False
        if "..." not in expected:
            return len(heard) == len(expected)
        return expected[-1] != "..." and not difference(expected, heard)

    # --- Commands ---

    def _command(self, command: str, expected: list[str]) -> list[str]:
        if _STAYING.match(command):
            return self._stay(command, expected)
        if _SERVED.match(command):
            self._mustServe()
        for name in re.findall(r"(?:^|\| |; |&& )([a-z][\w-]*)", command):
            if name in _PROGRAMS and shutil.which(name) is None:
                raise Missing(f"{name} is not installed")
        end = time.monotonic() + SOON
        while True:
            status, said = self.place.run(command)
            differs = difference(expected, said) if expected else f"it ends with status {status}: {said}" if status else ""
            if self.isWriting and not _isLoose(expected):
                return said
            if not differs:
                return expected
            if time.monotonic() > end or not _LOOKING.match(command):
                raise Mismatch(f"{command}\n{differs}")
            time.sleep(0.1)

    def _stay(self, command: str, expected: list[str]) -> list[str]:
        if command.startswith("twistd"):
            self._hangUp()
        return self._staying.settle(self._staying.start(command), expected, self.isWriting)

    def _mustServe(self) -> None:
        """Pages that speak to a server without starting one mean one in development mode."""
        if not self._staying.hasServer:
            self._stay("twistd -n mailfw", [])


def _groups(every: Iterator[Line]) -> Iterator[list[Line]]:
    """A command with what follows it."""
    group: list[Line] = []
    for line in every:
        if line.prompt and group:
            yield group
            group = []
        group.append(line)
    yield group


def _isLoose(expected: list[str]) -> bool:
    """Whether a person has left something out, which is to stay so."""
    return any("..." in line for line in expected)
