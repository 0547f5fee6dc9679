"""Where a page is played: a directory and ports that are its own, whatever the page calls them."""

from __future__ import annotations

import os
import random
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

from alike import PORTS
from attrs import define, field
from blocks import ROOT

_OF_THE_SYSTEM = re.compile(r"(?<![\w./-])/(?:(?:etc|run|var/backups|var/lib|var/log)/mailfw|srv/mail|usr/local/bin/)")
_MESSAGE_ID = "<20261124012315.004151@client.example>"


@define
class Place:
    """:ivar directory: everything is below it. :ivar where: the shell's directory.

    :ivar ports: the real one for each that pages speak of.
    """

    directory: Path
    ports: dict[int, int] = field(factory=lambda: freePorts())
    where: Path = Path()

    def __attrs_post_init__(self) -> None:
        self.where = self.directory / "here"
        self.where.mkdir()
        self._programs()

    def _programs(self) -> None:
        """The words that pages use for programs, in a directory of their own at the front of PATH."""
        place = self.directory / "bin"
        place.mkdir()
        python = shlex.quote(sys.executable)
        for name, words in {
            "python": f"exec {python}",
            "python3": f"exec {python}",
            "twistd": f"exec {python} {shlex.quote(str(Path(sys.executable).with_name('twistd')))}",
            "mailfw": f"exec {python} -c 'from mailfw.app.cli import main; main()'",
            "pip": "echo pages of the book install nothing >&2; exit 1;",
        }.items():
            (place / name).write_text(f'#!/bin/sh\n{words} "$@"\n')
            (place / name).chmod(0o755)
        # Neither this machine's name nor its length is in any message, or in any count of octets.
        (self.directory / ".swaksrc").write_text(f"--helo client.example\n--h-Message-Id {_MESSAGE_ID}\n")

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.directory),
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "120",
        }

    def real(self, text: str) -> str:
        """A page's words as they are run: other ports, and files of the system's below the page's own directory."""
        text = re.sub(r"(?<![\w.])\d{4,5}(?![\w.]\w)", lambda match: str(self.ports.get(int(match[0]), match[0])), text)
        return _OF_THE_SYSTEM.sub(lambda match: f"{self.directory}{match[0]}", text)

    def shown(self, text: str) -> str:
        """What happened, as a page has it."""
        known = {real: port for port, real in self.ports.items()}
        text = re.sub(r"(?<![\w.-])\d{4,5}(?![\w-])", lambda match: str(known.get(int(match[0]), match[0])), text)
        text = text.replace(f"{self.directory}/here", "/home/you").replace(f"{self.directory}/", "/")
        return text.rstrip()

    def path(self, name: str) -> Path:
        """The file that a page calls so; one of the system's is where it harms nobody."""
        path = self.where / self.real(name)
        return path if self.directory in path.parents else self.directory / name.lstrip("/")

    def run(self, command: str) -> tuple[int, list[str]]:
        """Run a command: its exit status, and what it says. Where it goes with `cd`, the next command is."""
        after = self.directory / "where"
        script = f"{self.real(command)}\nstatus=$?; pwd > {shlex.quote(str(after))}; exit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.where,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
        self.where = Path(after.read_text().strip())
        text = done.stdout.decode(errors="replace").replace("\r\n", "\n").replace("\f", "")
        return done.returncode, [self.shown(line) for line in text.splitlines()]


def freePorts() -> dict[int, int]:
    """A free port for each that pages speak of, below those that the system gives to whoever connects."""
    free = (port for port in random.sample(range(15000, 32000), 2000) if not isTaken(port))
    return dict(zip(PORTS, free, strict=False))


def isTaken(port: int) -> bool:
    """Whether anybody has that port of 127.0.0.1, by TCP or UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                return True
    return False
