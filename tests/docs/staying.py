"""What stays running while a page is played: servers, and programs that end in `&`."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

from alike import Mismatch, difference
from attrs import define, field
from place import Place, isTaken
from talking import PATIENCE

from mailfw.app.development import PORTS as LISTENERS


@define
class Program:
    """One of them. :ivar log: what it has said."""

    command: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def isServer(self) -> bool:
        return "twistd" in self.command

    @property
    def configuration(self) -> str:
        """The file that it was started with; empty: it is a server in development mode."""
        return _configuration(self.command)

    def end(self) -> None:
        """End it as Ctrl-C would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@define
class Staying:
    """All of them."""

    place: Place
    programs: list[Program] = field(factory=list)

    @property
    def hasServer(self) -> bool:
        return any(program.isServer for program in self.programs)

    def start(self, command: str) -> Program:
        """Start one. A server with the configuration of another makes that end first."""
        command = command.removesuffix(" &")
        if "twistd -n mailfw" in command and "--config" not in command:
            command += "".join(f" --listen {name}=localhost:{port}" for name, port in LISTENERS.items() if name != "manhole")
        log = self.place.directory / f"said{len(list(self.place.directory.glob('said*')))}"
        with log.open("wb") as stream:
            words = ["bash", "-c", f"exec {self.place.real(command)}"]
            self._makeRoom(command)
            process = subprocess.Popen(
                words,
                cwd=self.place.where,
                env=self.place.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.programs.append(Program(command, process, log))
        return self.programs[-1]

    def _makeRoom(self, command: str) -> None:
        for program in [each for each in self.programs if each.isServer and "twistd" in command]:
            if program.configuration in ("", _configuration(command)):
                program.end()
                self.programs.remove(program)

    def settle(self, program: Program, expected: list[str], isWriting: bool) -> list[str]:
        """Wait until it is up, and has said what stands on the page. Lines of the log are not looked at.

        :raises Mismatch: it says something else, ends, or does not come up.
        """
        end = time.monotonic() + PATIENCE
        while True:
            said = [self.place.shown(line) for line in program.log.read_text(errors="replace").splitlines()]
            told = [line for line in said if not re.match(r"\d{4}-\d\d-\d\dT", line)]
            differs = difference(expected, told) if expected and program.isServer else ""
            isUp = self._isUp(program, told)
            if isUp and not differs:
                return expected
            if program.process.poll() is not None or time.monotonic() > end:
                raise Mismatch(f"{program.command}\n{differs or 'it does not come up'}\n" + "\n".join(said))
            if isUp and isWriting:
                return told
            time.sleep(0.05)

    def _isUp(self, program: Program, told: list[str]) -> bool:
        if program.isServer and not program.configuration:
            return any("Ctrl-C" in line for line in told)
        if not self._listens(program):
            return False
        return not program.isServer or self.place.run(f"mailfw --config {program.configuration} status")[0] == 0

    def _listens(self, program: Program) -> bool:
        """Whether the ports are open that its file listens on."""
        file = self.place.where / (program.configuration or program.command.split()[-1])
        told = re.findall(r"(?:endpoint = \"localhost:|listen[A-Z]{3}\()(\d+)", file.read_text())
        assert told, f"{file.name} does not say where it listens"
        return all(isTaken(int(port)) for port in told)

    def end(self) -> None:
        """End all of them."""
        for program in self.programs:
            program.end()
        self.programs.clear()


def _configuration(command: str) -> str:
    found = re.search(r"--config (\S+)", command)
    return found[1] if found else ""
