"""What an administrator, Prometheus and a supervisor see of a running server."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import smtplib
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from mailfw.app import scrape

ROOT = Path(__file__).parent.parent.parent
SERVICES = ("smtp", "imap", "metrics")
Command = Callable[..., subprocess.CompletedProcess[str]]


def get(server: Any, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
    client = HTTPConnection("127.0.0.1", server.port("metrics"), timeout=120)
    try:
        client.request(method, path, headers=headers or {})
        answer = client.getresponse()
        return answer.status, answer.read().decode()
    finally:
        client.close()


def samples(server: Any) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name, and by the values of labels in the order of their names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parsed(get(server, "/metrics")[1])
        for sample in family.samples
    }


def send(server: Any, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as client:
        client.sendmail("mbrain@localhost", recipients or ("jsmith@localhost",), b"Subject: Hello\r\n\r\nHello!\r\n")


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 120
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture
def server(start: Any) -> Any:
    running = start(services=SERVICES)
    running.waitFor("mailfw is up")
    return running


def test_aServerThatIsWellSaysSo(server: Any) -> None:
    assert get(server, "/livez") == (200, "ok\n")
    status, said = get(server, "/readyz")
    assert (status, json.loads(said)) == (200, {"isReady": True, "reasons": []})
    assert get(server, "/livez", "HEAD") == (200, "")
    assert get(server, "/elsewhere")[0] == 404


def test_whatHappensIsCounted(server: Any) -> None:
    send(server, "jsmith@localhost", "mbrain@localhost")
    with server.connect("imap") as client:
        client.recv(1000)
        client.sendall(b"a LOGIN jsmith wrong\r\nb LOGIN jsmith mailfw\r\n")
        seen = b""
        while b"b OK" not in seen:
            seen += client.recv(1000)
        until(lambda: samples(server)["mailfw_reactor_lag_seconds_count", ()])
        found = samples(server)
    assert found["mailfw_ready", ()] == 1
    assert found["mailfw_messages_total", ("accepted", "smtp")] == 1
    assert found["mailfw_messages_total", ("refused", "smtp")] == 0
    assert found["mailfw_message_duration_seconds_count", ("smtp",)] == 1
    assert found["mailfw_local_deliveries_total", ("delivered",)] == 2
    assert found["mailfw_logins_total", ("failed", "imap")] == 1
    assert found["mailfw_logins_total", ("succeeded", "imap")] == 1
    assert found["mailfw_open_sessions", ("imap",)] == 1
    assert found["mailfw_sessions_total", ("smtp",)] == 1
    assert found["mailfw_command_duration_seconds_count", ("imap",)] == 2
    assert found["mailfw_received_bytes_total", ("imap",)] == len("a LOGIN jsmith wrong\r\nb LOGIN jsmith mailfw\r\n")
    assert found["mailfw_database_commit_duration_seconds_count", ("mail0.sqlite", "store")] > 0
    assert found["mailfw_queue_recipients", ("waiting",)] == 0
    assert found["process_resident_memory_bytes", ()] > 0


def test_nothingOfWhatPeopleAreCalledIsAmongTheFigures(server: Any) -> None:
    send(server, "jsmith@localhost")
    with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=120) as client:
        client.ehlo("secret-name.example")
        client.mail("spy@elsewhere.example")
        client.rcpt("nobody-at-all@localhost")
        said = get(server, "/metrics")[1]
    for word in ("jsmith", "mbrain", "@", "elsewhere", "secret-name", "nobody"):
        assert word not in said


def test_aScraperMayAskForOpenMetrics(server: Any) -> None:
    assert get(server, "/metrics", headers={"Accept": "application/openmetrics-text"})[1].endswith("# EOF\n")


def test_aStoreThatCannotBeWrittenIsNotReady(server: Any, command: Command, tmp_path: Path) -> None:
    path = tmp_path / "mailfw-data" / "mail" / "mail1.sqlite"
    away = path.rename(tmp_path / "away")
    status, said = get(server, "/readyz")
    assert status == 503
    [reason] = json.loads(said)["reasons"]
    assert reason.startswith("the store takes no change: ")
    assert "mail1.sqlite" in reason
    assert get(server, "/livez")[0] == 200
    assert samples(server)["mailfw_ready", ()] == 0
    shown = command("status")
    assert shown.returncode == 3
    assert "NOT READY\n  the store takes no change" in shown.stdout
    away.rename(path)
    until(lambda: get(server, "/readyz")[0] == 200)
    assert command("status").returncode == 0


def test_whileItStopsTheServerIsAliveAndNotReady(server: Any) -> None:
    """The last message is taken, and whoever balances the load knows that nothing more is."""
    with server.connect("smtp") as client, client.makefile("rb") as lines:
        for line in (b"", b"HELO test", b"MAIL FROM:<a@example.org>", b"RCPT TO:<mbrain@localhost>", b"DATA"):
            client.sendall(line and line + b"\r\n")
            lines.readline()
        server.process.terminate()
        server.waitFor("stopping$")
        status, said = get(server, "/readyz")
        assert (status, json.loads(said)["reasons"]) == (503, ["the server is stopping"])
        assert get(server, "/livez")[0] == 200
        client.sendall(b"Subject: last\r\n\r\nlast\r\n.\r\n")
        assert lines.readline().startswith(b"250 ")
    server.waitFor("stopped$")


# --- Who holds up everybody ----------------------------------------------------------------------------------------------

SLOTH = """
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer
from mailfw.interfaces import IMailService

class Sleeper(Protocol):
    def dataReceived(self, data):
        open("sloth-wakes").read()
        self.transport.write(b"awake")

@implementer(IMailService)
class Sloth:
    \"\"\"Blocks the reactor.\"\"\"
    name, port, isTLS = "sloth", 4444, False
    def factory(self, context):
        return Factory.forProtocol(Sleeper)

sloth = Sloth()
"""
CONFIGURATION = """
hostname = "localhost"
domains = ["localhost"]
data = "mailfw-data"
limits.stall_time = 0.3
hook = [{ plugin = "python:slow.py:slow", stage = "mail_from" }]
"""
HOOK = """
async def slow(event):
    open("hook-wakes").read()
"""
TALKATIVE = "from mailfw.net import watchdog; watchdog.QUIET = 0.0; from twisted.scripts.twistd import run; run()"
"""A twistd that tells of every stall, however soon after another."""


def wake(pipe: Path) -> None:
    """Let whoever reads there go on. :raises OSError: nobody does."""
    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def test_whatBlocksTheReactorIsNamedInTheLogAndCounted(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin of an installed package, and a hook; mail goes on after both."""
    package = tmp_path / "site" / "sloth-1.0.dist-info"
    package.mkdir(parents=True)
    (tmp_path / "site" / "sloth.py").write_text(SLOTH)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mailfw-sloth\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[mailfw.plugins]\nsloth = sloth:sloth\n")
    (tmp_path / "mailfw-data").mkdir()
    (tmp_path / "mailfw-data" / "slow.py").write_text(HOOK)
    (tmp_path / "mailfw.toml").write_text(CONFIGURATION)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    for pipe in "sloth-wakes", "hook-wakes":
        os.mkfifo(tmp_path / pipe)
    tool = (sys.executable, "-c", TALKATIVE, "-n", "--pidfile=")
    server = start("--config", "mailfw.toml", services=("smtp", "metrics", "sloth"), tool=tool)
    name = r"service sloth \(entry point sloth of mailfw-sloth\)"
    place = r"it is at .*sloth\.py:\d+ in dataReceived: open"
    with server.connect("sloth") as client:
        begun = time.monotonic()
        client.sendall(b"x")
        held = server.waitFor(rf"{name} has held the reactor for (\d+\.\d) s, and does not let go; {place}")
        wake(tmp_path / "sloth-wakes")
        assert client.recv(100) == b"awake"
        over = server.waitFor(rf"{name} held the reactor for (\d+\.\d) s; it goes on now")
        assert 0.3 <= float(held[1]) <= float(over[1]) <= time.monotonic() - begun + 0.1
    with ThreadPoolExecutor(1) as other:
        refused = other.submit(send, server, "nobody@localhost")
        server.waitFor(r"hook python:slow\.py:slow has held the reactor for .*, and does not let go; it is at .* in slow: open")
        wake(tmp_path / "hook-wakes")
        assert isinstance(refused.exception(), smtplib.SMTPRecipientsRefused)
    until(lambda: samples(server).get(("mailfw_reactor_stalls_total", ("hook python:slow.py:slow",))) == 1)
    found = samples(server)
    assert found["mailfw_reactor_stalls_total", ("service sloth (entry point sloth of mailfw-sloth)",)] == 1
    assert found["mailfw_hook_duration_seconds_count", ("python:slow.py:slow",)] == 1
    assert found["mailfw_refusals_total", ("smtp",)] == 1


# --- Whoever comes to harm -----------------------------------------------------------------------------------------------


def ended(client: socket.socket) -> bytes:
    """What is said until the other side closes."""
    client.settimeout(120)
    said = b""
    try:
        while data := client.recv(65536):
            said += data
    except ConnectionResetError:
        pass
    return said


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000,
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"EHLO there\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + b"\x00" * 500 + b"\r\n\r\n",
    ],
    ids=["body", "chunks", "headers", "path", "long header", "SMTP", "TLS"],
)
def test_whatIsNoSmallRequestIsCutOff(server: Any, request_: bytes) -> None:
    with server.connect("metrics") as client:
        try:
            client.sendall(request_)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert b" 200 " not in ended(client)
    assert get(server, "/livez") == (200, "ok\n")
    assert not any("Traceback" in line for line in server.lines)


def test_aConnectionIsGoodForOneRequest(server: Any) -> None:
    with server.connect("metrics") as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        said = ended(client)
    assert said.count(b" 200 ") == 1
    assert b"Connection: close" in said


def test_aCrowdIsTurnedAwayAndHarmsNobodyElse(server: Any) -> None:
    get(server, "/livez")
    crowd = [server.connect("metrics") for _ in range(scrape.VISITORS)]
    with server.connect("metrics") as late:
        assert ended(late) == b""
    send(server)
    for client in crowd:
        client.close()
    until(lambda: answers(server))


def test_whoeverGoesAwayEarlyTakesNoAnswerFromOthers(server: Any) -> None:
    for path in (b"readyz", b"metrics") * 20:
        with server.connect("metrics") as client:
            client.sendall(b"GET /" + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert get(server, "/readyz")[0] == 200
    assert samples(server)["mailfw_ready", ()] == 1
    assert not any("Traceback" in line or "cannot" in line for line in server.lines)


def answers(server: Any) -> bool:
    try:
        return get(server, "/livez")[0] == 200
    except OSError:
        return False


# --- mailfw status, mailfw top -------------------------------------------------------------------------------------------


WORDS = ("deliveries", "messages", "relayed", "stalls")
"""Fields whose own fields are words that things are counted by."""


def shapeOf(value: Any, path: str = "") -> set[str]:
    """Every key that there is, as `services[].commands.p50`."""
    isLeaf = not value or "p50" in value or path.rpartition(".")[2] in WORDS if isinstance(value, dict) else False
    if isinstance(value, dict) and not isLeaf:
        return {found for key, each in value.items() for found in shapeOf(each, f"{path}.{key}" if path else key)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {found for each in value for found in shapeOf(each, path + "[]")}
    return {path}


def documented() -> set[str]:
    """The keys in the tables of docs/monitoring.md."""
    text = (ROOT / "docs" / "monitoring.md").read_text()
    return set(re.findall(r"^\| `([\w.\[\]]+)` \|", text, re.MULTILINE))


def test_theShapeOfStatusIsDocumented(server: Any, command: Command) -> None:
    send(server)
    with server.connect("imap") as client:
        client.recv(1000)
        client.sendall(b"a LOGIN jsmith mailfw\r\n")
        client.recv(1000)
        status = json.loads(command("status", "--json").stdout)
    shape = shapeOf(status)
    assert shape - documented() == set()
    assert {field for field in documented() - shape if not field.startswith("figures.hooks[].")} == set()
    assert set(status["figures"]["reactor"]["lags"]) == {"count", "seconds", "p50", "p90", "p99", "counts"}
    assert len(status["figures"]["services"][0]["taking"]["counts"]) == len(status["figures"]["bounds"]) + 1
    assert status["figures"]["services"][0]["messages"] == {"accepted": 1, "deferred": 0, "refused": 0}


def test_topShowsOnePictureWhereNobodyLooks(server: Any, command: Command) -> None:
    send(server)
    with server.connect("imap") as client:
        client.recv(1000)
        shown = command("top", "--sort", "traffic")
    assert shown.returncode == 0
    assert re.search(r"^mailfw \S+, up .*, 1 session, ready$", shown.stdout, re.MULTILINE)
    assert "1 accepted, 0 deferred, 0 refused" in shown.stdout
    assert re.search(r"^imap-\w+ +127\.0\.0\.1:\d+ ", shown.stdout, re.MULTILINE)
    assert re.search(r"^mail0\.sqlite ", shown.stdout, re.MULTILINE)


def test_topForPrograms(server: Any, command: Command) -> None:
    with server.connect("imap") as first, server.connect("imap") as second:
        first.recv(1000)
        second.recv(1000)
        seen = json.loads(command("top", "--json", "--limit", "1").stdout)
    assert seen["isReady"]
    assert len(seen["sessions"]) == 1
    assert [each["open"] for each in seen["figures"]["services"] if each["service"] == "imap"] == [2]


def test_withoutAServerThereIsNothingToBeSeen(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mailfw-data").mkdir()
    for word in ("top", "status"):
        shown = command(word)
        assert (shown.returncode, shown.stdout) == (1, "")
        assert "no server runs with this data directory" in shown.stderr


def test_topFitsATerminalAndLeavesItAsItWas(server: Any, tmp_path: Path) -> None:
    send(server)
    crowd = [server.connect("imap") for _ in range(40)]
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(secondary)
    program = (sys.executable, "-c", "from mailfw.app.cli import main; main()", "top", "--interval", "0.3")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    environment = {key: value for key, value in environment.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(program, cwd=tmp_path, stdin=secondary, stdout=secondary, stderr=secondary, env=environment)
    screen = seen(primary, b"/s)")
    os.write(primary, b"q")
    rest = seen(primary, b"\x1b[?1049l")
    assert process.wait(120) == 0
    assert termios.tcgetattr(secondary) == before
    os.close(primary)
    os.close(secondary)
    for client in crowd:
        client.close()
    pictures = [re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", each).decode().rstrip() for each in (screen + rest).split(b"\x1b[H")]
    assert sum("imap-" in picture for picture in pictures) >= 2
    for picture in pictures:
        assert len(picture.splitlines()) <= 24
        assert max(map(len, picture.splitlines()), default=0) <= 80


def seen(terminal: int, wanted: bytes) -> bytes:
    """What a program draws, up to something."""
    drawn, deadline = b"", time.monotonic() + 120
    while wanted not in drawn:
        assert time.monotonic() < deadline, drawn
        if select.select([terminal], [], [], 1)[0]:
            drawn += os.read(terminal, 65536)
    return drawn
