"""Plays a page of the book: its commands in a shell, its conversations over sockets, its servers as processes."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from alike import PORTS, difference
from attrs import define, field
from blocks import ROOT, Block
from transcript import TALKERS, Kind, Line, lines

from mailfw.app.development import PORTS as LISTENERS

PATIENCE = 20.0
"""Seconds after which what was waited for will not come."""

SOON = 5.0
"""Seconds in which what a page looks at may still be on its way: a person would look again."""

_STAYING = re.compile(r"twistd -n |.* &$", re.DOTALL)
_SERVED = re.compile(r"telnet|nc|curl|swaks|openssl s_client|mailfw (?!plugin|check-config)")
_LOOKING = re.compile(r"cat|ls|head|tail|grep|mailfw (queue (list|show)|trace|status|mailbox)|curl.*(imap|pop3)")
_OF_THE_SYSTEM = re.compile(r"(?<![\w./-])/(?:(?:etc|run|var/lib|var/log)/mailfw|usr/local/bin/)")
_MESSAGE_ID = "<20261124012315.004151@client.example>"
_QUIET = 0.4


class Mismatch(AssertionError):
    """The page tells something else than what happens."""


class Missing(Exception):
    """A program is not installed here."""


class _Conversation:
    """A person at `nc`."""

    def __init__(self, host: str, port: int, isTLS: bool) -> None:
        self.socket = socket.create_connection((host, port), PATIENCE)
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


@define
class Player:
    """One page's world: a directory, ports, and what runs there.

    :ivar isWriting: take what happens for what should stand there, instead of comparing.
    """

    directory: Path
    isWriting: bool = False
    ports: dict[int, int] = field(factory=dict)
    staying: dict[str, subprocess.Popen[bytes]] = field(factory=dict)
    talk: _Conversation | None = None
    where: Path = Path()

    def __attrs_post_init__(self) -> None:
        self.where = self.directory / "here"
        self.where.mkdir()
        self.ports = _freePorts()
        self._programs()

    def _programs(self) -> None:
        """The words that pages use for programs, in a directory of their own at the front of PATH."""
        place = self.directory / "bin"
        place.mkdir()
        twistd = Path(sys.executable).with_name("twistd")
        for name, words in {
            "python": sys.executable,
            "python3": sys.executable,
            "twistd": f"{sys.executable} {twistd}",
            "pytest": f"{sys.executable} -m pytest -q -p no:cacheprovider",
            "mailfw": f"{sys.executable} -c 'from mailfw.app.cli import main; main()'",
        }.items():
            (place / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (place / name).chmod(0o755)
        (place / "pip").write_text("#!/bin/sh\necho pages of the book install nothing >&2\nexit 1\n")
        (place / "pip").chmod(0o755)
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

    def begin(self, block: Block) -> None:
        """Do what has to be done before a block, and make the file that it is, where it is one."""
        for command in block.first:
            self._command(command, [])
        if not block.fileName:
            return
        name = self.real(block.fileName)
        path = self.where / name
        if self.directory not in path.parents:
            path = self.directory / name.lstrip("/")  # of the system's: it is made where it harms nobody
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.real(block.text))

    def play(self, block: Block) -> list[str]:
        """Everything that a block says; what stands there instead, where it is to be written.

        :raises Mismatch: something else happens.
        """
        if block.kind == "sh":
            self._command(block.text.rstrip("\n"), [])
            return block.text.splitlines()
        isGoingOn = not re.match(r"[$#] ", block.text)
        if isGoingOn and self.talk is None:
            raise Mismatch(f"{block.place}: no conversation is open that could go on here")
        written = []
        for group in _groups(lines(block.text, isGoingOn)):
            try:
                written += self._group(group)
            except Mismatch as mismatch:
                raise Mismatch(f"{block.place}: {mismatch}") from None
        return written

    def _group(self, group: list[Line]) -> list[str]:
        if group[0].kind is Kind.COMMAND:
            commands = [line for line in group if line.kind is Kind.COMMAND]
            words = "\n".join(re.sub("^> ?", "", line.text) for line in commands)
            written = [f"{group[0].prompt}{commands[0].text}", *(line.text for line in commands[1:])]
            if not TALKERS.match(words):
                return written + self._command(words, [line.text for line in group[len(commands) :]])
            self._connect(words)
            group = group[1:]
        else:
            written = []
        return written + self._converse(group)

    # --- Conversations ---

    def _connect(self, command: str) -> None:
        self.hangUp()
        self._mustServe()
        found = re.search(r"(?:localhost|127\.0\.0\.1)[ :](\d+)", command)
        if found is None:
            raise Mismatch(f"to which port? {command}")
        self.talk = _Conversation("127.0.0.1", self.ports[int(found[1])], command.startswith("openssl"))

    def hangUp(self) -> None:
        """End a conversation that is open."""
        if self.talk is not None:
            self.talk.hangUp()
            self.talk = None

    def _converse(self, group: Sequence[Line]) -> list[str]:
        """Say what is typed, and hear what is not."""
        assert self.talk is not None
        written: list[str] = []
        expected: list[str] = []
        for line in [*group, None]:
            if line is not None and line.kind is Kind.SERVER:
                expected.append(line.text)
                continue
            written += self._hear(expected)
            expected = []
            if line is not None:
                self.talk.say(line.text)
                written.append(line.text)
        return written

    def _hear(self, expected: list[str]) -> list[str]:
        """What the server says until it is the person's turn."""
        assert self.talk is not None
        heard: list[str] = []
        while not self._isEnough(expected, heard):
            isOpen = self.isWriting or expected[-1] == "..."  # nothing but silence says that it has come to its end
            said = self.talk.hear(_QUIET if isOpen and heard else PATIENCE if expected else _QUIET)
            if said is None:
                break
            heard.append(self.shown(said))
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
        if _SERVED.match(command) or (" | " in command and "mailfw" in command):
            self._mustServe()
        self._mustBeThere(command)
        end = time.monotonic() + SOON
        while True:
            status, said = self._run(command)
            differs = difference(expected, said) if expected else f"it ends with status {status}: {said}" if status else ""
            if not differs and (_isLoose(expected) or not self.isWriting):
                return expected
            if self.isWriting and not _isLoose(expected):
                return said
            if time.monotonic() > end or not _LOOKING.match(command):
                raise Mismatch(f"{command}\n{differs}")
            time.sleep(0.1)

    def _run(self, command: str) -> tuple[int, list[str]]:
        """Its exit status, and what it says. Where it goes with `cd`, the next command is."""
        place = self.directory / "where"
        script = f"{self.real(command)}\nstatus=$?; pwd > {shlex.quote(str(place))}; exit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.where,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        self.where = Path(place.read_text().strip())
        text = done.stdout.decode(errors="replace").replace("\r\n", "\n").replace("\f", "")
        return done.returncode, [self.shown(line) for line in text.splitlines()]

    def _mustBeThere(self, command: str) -> None:
        for name in re.findall(r"(?:^|\| |; |&& )([a-z][\w-]*)", command):
            if name in ("swaks", "curl", "openssl", "sqlite3") and shutil.which(name) is None:
                raise Missing(f"{name} is not installed")

    # --- What stays running ---

    def _mustServe(self) -> None:
        """Pages that speak of a server without starting one mean one in development mode."""
        if not any("twistd" in command for command in self.staying):
            self._stay("twistd -n mailfw", [])

    def _stay(self, command: str, expected: list[str]) -> list[str]:
        """Start it, and wait until it has said what stands on the page, or that it serves."""
        command = command.removesuffix(" &")
        if "twistd" in command:
            self.hangUp()
            self._replace(command)
        if "twistd -n mailfw" in command and "--config" not in command and "--listen" not in command:
            command += "".join(f" --listen {name}=localhost:{port}" for name, port in LISTENERS.items() if name != "manhole")
        log = self.directory / f"said{len(self.staying)}"
        words = self.real(command)
        with log.open("wb") as stream:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {words}"],
                cwd=self.where,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.staying[command] = process
        return self._settled(command, process, log, expected)

    def _replace(self, command: str) -> None:
        """A server of the same data directory makes room for the next."""
        mine = _dataOf(command)
        for other, process in list(self.staying.items()):
            if "twistd" in other and _dataOf(other) == mine:
                end(process)
                del self.staying[other]

    def _settled(self, command: str, process: subprocess.Popen[bytes], log: Path, expected: list[str]) -> list[str]:
        end = time.monotonic() + PATIENCE
        isServer = "twistd" in command
        while True:
            said = [self.shown(line) for line in log.read_text(errors="replace").splitlines()]
            told = [line for line in said if not re.match(r"\d{4}-\d\d-\d\dT", line)]
            isUp = self._listens(command) if "--config" in command or not isServer else any(" serves " in line for line in said)
            isTold = not isServer or "--config" in command or any("Ctrl-C" in line for line in told)
            differs = difference(expected, told) if expected and isServer else ""
            if isUp and isTold and not differs:
                return expected
            if process.poll() is not None or time.monotonic() > end:
                raise Mismatch(f"{command}\n{differs or 'it does not come up'}\n" + "\n".join(said))
            if isUp and isTold and self.isWriting:
                return told
            time.sleep(0.05)

    def _listens(self, command: str) -> bool:
        """Whether the ports are open that its file listens on, over UDP or TCP, and a server answers its administrator."""
        file = self.where / command.split()[-1]
        text = file.read_text()
        told = re.findall(r"(?:endpoint = \"localhost:|listen[A-Z]{3}\()(\d+)", text)
        assert told, f"{file.name} does not say where it listens"
        isOpen = all(_isTaken(int(port)) for port in told)
        return isOpen and ("twistd" not in command or self._run(f"mailfw --config {file} status")[0] == 0)

    def close(self) -> None:
        """End everything."""
        self.hangUp()
        for process in self.staying.values():
            end(process)
        self.staying.clear()

    # --- Ports and places, as pages have them and as they are ---

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


def _groups(every: Iterator[Line]) -> Iterator[list[Line]]:
    """A command with what follows it."""
    group: list[Line] = []
    for line in every:
        if line.kind is Kind.COMMAND and group and not line.text.startswith(">"):
            yield group
            group = []
        group.append(line)
    yield group


def _isLoose(expected: list[str]) -> bool:
    """Whether a person has left something out, which is to stay so."""
    return any("..." in line for line in expected)


def _dataOf(command: str) -> str:
    found = re.search(r"--(?:data|config) (\S+)", command)
    return found[1] if found else ""


def _freePorts() -> dict[int, int]:
    """A free port for each that pages speak of, below those that the system gives to whoever connects."""
    free = (port for port in random.sample(range(15000, 32000), 2000) if not _isTaken(port))
    return dict(zip(PORTS, free, strict=False))


def _isTaken(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                return True
    return False


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that stayed, as Ctrl-C would."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
