"""Programs as recipients."""

import os
import select
import signal
import stat
import sys
import time

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from zope.interface.verify import verifyObject

from mailfw.delivery.pipe import DEADLINE, OUTPUT, PipeRoute, pipe
from mailfw.interfaces import IDelivery, IRoute, IRoutePlugin
from mailfw.testing.resolver import FakeResolver
from mailfw.values import Address, Envelope, Fate, MessageSource, Recipient

SENDER = Address("me", "example.org")
CONTENT = b"Subject: x\r\n\r\nhello\r\nbare \r end"


class Context:
    hostname = "mail.example.org"
    resolver = FakeResolver()
    now = staticmethod(time.time)

    def __init__(self, data):
        self.reactor = reactor
        self.data = str(data)


class Timed:
    """A reactor with real processes, on which time passes when a test says so."""

    def __init__(self):
        self.clock = Clock()
        self.callLater = self.clock.callLater

    def __getattr__(self, name):
        return getattr(reactor, name)


@pytest.fixture
def deliver(tmp_path):
    """Runs a Python program; `deliver(code, *recipients)`."""

    async def run(code, *addresses, arguments=(), sender=SENDER, content=CONTENT, deadline=DEADLINE, timed=reactor):
        path = tmp_path / "program.py"
        path.write_text(code)
        route = PipeRoute([sys.executable, "-I", str(path), *arguments], timed, str(tmp_path), deadline)
        delivery = route.begin(Envelope(sender))
        for address in addresses or (Address("jane", "far.example"),):
            await delivery.recipient(Recipient(address))
        return await delivery.commit(MessageSource(content))

    return run


@pytest_twisted.ensureDeferred
async def test_the_program_gets_the_message_and_whom_it_is_for(deliver, tmp_path):
    code = """
import os, sys
told = repr((sys.argv[1:], dict(os.environ))).encode()
open("out", "wb").write(told + b"|" + sys.stdin.buffer.read())
"""
    address = Address("jane $(id) `x`; rm", "far.example")
    (outcome,) = await deliver(code, address, arguments=["to=${recipient}", "${user} at ${domain}", "${sender}"])
    assert outcome.fate is Fate.DELIVERED
    told, _, content = (tmp_path / "out").read_bytes().partition(b"|")
    arguments, environment = eval(told)
    text = "jane $(id) `x`; rm@far.example"
    assert arguments == [f"to={text}", "jane $(id) `x`; rm at far.example", "me@example.org"]
    assert (environment["RECIPIENT"], environment["SENDER"]) == (text, "me@example.org")
    assert set(environment) <= {"PATH", "RECIPIENT", "USER", "DOMAIN", "SENDER", "LC_CTYPE"}
    assert content == (
        b'Return-Path: <me@example.org>\nDelivered-To: "jane $(id) `x`; rm"@far.example\nSubject: x\n\nhello\nbare \r end'
    )


@pytest.mark.parametrize(
    ("status", "fate", "code"),
    [
        (0, Fate.DELIVERED, "2.0.0"),
        (67, Fate.FAILED, "5.1.1"),
        (65, Fate.FAILED, "5.6.0"),
        (77, Fate.FAILED, "5.7.0"),
        (75, Fate.DEFERRED, "4.3.0"),
        (1, Fate.DEFERRED, "4.3.0"),
        (127, Fate.DEFERRED, "4.3.5"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_exit_status_says_what_became_of_it(deliver, status, fate, code):
    (outcome,) = await deliver(f"import sys; sys.stdin.read(); print('because\\x1b', {status}); sys.exit({status})")
    assert (outcome.fate, outcome.status) == (fate, code)
    assert outcome.remark == f"because  {status}"


@pytest_twisted.ensureDeferred
async def test_each_recipient_has_its_run(deliver):
    code = "import sys; sys.exit(67 if 'b@' in sys.argv[1] else 0)"
    outcomes = await deliver(code, Address("a", "x.org"), Address("b", "x.org"), arguments=["${recipient}"])
    assert [outcome.fate for outcome in outcomes] == [Fate.DELIVERED, Fate.FAILED]


@pytest_twisted.ensureDeferred
async def test_a_program_that_takes_too_long_is_killed_with_what_it_started(deliver, tmp_path):
    """The child keeps the output open, and a pipe, of which the end is read when it is dead."""
    code = """
import os, subprocess, sys, time
alive = os.open("alive", os.O_WRONLY)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=[alive])
open("new", "w").write(str(child.pid))
os.rename("new", "child")
time.sleep(600)
"""
    timed, child = Timed(), tmp_path / "child"
    os.mkfifo(tmp_path / "alive")
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    delivering = Deferred.fromCoroutine(deliver(code, deadline=300, timed=timed))
    while not child.exists():
        assert not delivering.called
        await deferLater(reactor, 0.01)
    try:
        timed.clock.advance(300)
        (outcome,) = await delivering.addTimeout(60, reactor)
        assert select.select([alive], [], [], 60)[0] and os.read(alive, 1) == b""
    except BaseException:
        os.kill(int(child.read_text()), signal.SIGKILL)
        raise
    finally:
        os.close(alive)
    assert outcome.fate is Fate.DEFERRED
    assert "longer than" in outcome.remark


@pytest_twisted.ensureDeferred
async def test_what_is_printed_is_bounded_and_what_is_not_read_does_no_harm(deliver):
    code = "import sys; sys.stdout.write('x' * 1000000); sys.exit(0)"
    (outcome,) = await deliver(code, content=b"y" * 5_000_000)
    assert outcome.fate is Fate.DELIVERED
    assert len(outcome.remark) <= OUTPUT


@pytest_twisted.ensureDeferred
async def test_a_large_message_arrives_whole(deliver, tmp_path):
    await deliver("import sys; open('out', 'w').write(str(len(sys.stdin.buffer.read())))", content=b"y" * 5_000_000, sender=None)
    head = b"Return-Path: <>\nDelivered-To: jane@far.example\n"
    assert int((tmp_path / "out").read_text()) == 5_000_000 + len(head)


@pytest.mark.parametrize("address", [Address("-x", "far.example"), Address("a\0b", "far.example")])
@pytest_twisted.ensureDeferred
async def test_no_address_is_an_option(deliver, address):
    (outcome,) = await deliver("raise SystemExit(0)", address)
    assert (outcome.fate, outcome.status) == (Fate.FAILED, "5.1.3")


@pytest_twisted.ensureDeferred
async def test_a_message_that_cannot_be_read_is_no_delivery(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"short")
    route = PipeRoute([sys.executable, "-c", "import sys; sys.stdin.read()"], reactor, str(tmp_path))
    delivery = route.begin(Envelope(SENDER))
    await delivery.recipient(Recipient(SENDER))
    (outcome,) = await delivery.commit(MessageSource(path=str(path), length=100))
    assert outcome.fate is Fate.DEFERRED


def test_how_it_is_configured(tmp_path):
    program = tmp_path / "a program"
    program.write_text("#!/bin/sh\n")
    assert verifyObject(IRoutePlugin, pipe)
    context = Context(tmp_path)
    for bad in ("", "relative", str(tmp_path / "missing"), f"'{program}'", "'unclosed"):
        with pytest.raises(ValueError):
            pipe.openRoute(bad, context)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    route = pipe.openRoute(f"'{program}' -f ${{sender}} '${{user}} x'", context)
    assert verifyObject(IRoute, route)
    assert verifyObject(IDelivery, route.begin(Envelope(SENDER)))
    assert route.words == (str(program), "-f", "${sender}", "${user} x")
    assert route.destination("a") == route.destination("b")
    with pytest.raises(ValueError, match="home"):
        pipe.openRoute(f"'{program}' ${{home}}", context)
