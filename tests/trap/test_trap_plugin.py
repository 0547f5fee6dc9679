"""The pytest plugin, as suites of other people use it: each test here runs such a suite in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
PLUGIN = "mailfw.trap.plugin"

SEND = """
import smtplib
import pytest

def send(mailfw, to="jsmith@localhost", subject="Hello", body="Hello!", sender="shop@example.org"):
    with smtplib.SMTP(*mailfw.smtp) as server:
        return server.sendmail(sender, [to] if isinstance(to, str) else to, f"Subject: {subject}\\n\\n{body}\\n")
"""


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite of somebody else finds mailfw too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def passes(pytester: pytest.Pytester, suite: str, count: int, isTwisted: bool = False, errors: int = 0) -> pytest.RunResult:
    """The suite passes, with so many tests, under plain pytest or under pytest-twisted; so many fail at their ends."""
    pytester.makepyfile(test_suite=SEND + suite)
    options = [] if entry_points(group="pytest11", name="mailfw") else ["-p", PLUGIN]
    options += [] if isTwisted else ["-p", "no:twisted"]
    result = pytester.runpytest_subprocess(*options, timeout=300)
    result.assert_outcomes(passed=count, errors=errors)
    return result


def test_entry_point_costs_nothing() -> None:
    """Whoever has mailfw installed and does not use the fixture pays for no more than this module."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"mailfw": PLUGIN}
    code = f"import sys, pytest; before = set(sys.modules); import {PLUGIN}; print(sorted(set(sys.modules) - before))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['mailfw', 'mailfw.trap', 'mailfw.trap.plugin']"


def test_pytest_finds_it(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed, it is there without being asked for, and starts nothing in a suite that does not use it."""
    metadata = pytester.mkdir("mailfw-0.dist-info")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mailfw\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(f"[pytest11]\nmailfw = {PLUGIN}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pytester.path), str(ROOT)]))
    suite = """
import sys

def test_nothing_started():
    assert not any(name.startswith("mailfw.app") or name.startswith("twisted") for name in sys.modules)

def test_there(mailfw):
    assert mailfw.smtp.port
"""
    pytester.makepyfile(test_suite=suite)
    pytester.runpytest_subprocess("-p", "no:twisted", timeout=300).assert_outcomes(passed=2)


def test_each_test_begins_empty(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
connections = []

@pytest.mark.parametrize("number", range(3))
def test_empty(mailfw, number):
    assert list(mailfw.outbox) == [] and mailfw.accounts == []
    assert not any(connection.sock and connection.file for connection in connections)
    jsmith = mailfw.account("jsmith")
    assert list(jsmith) == []
    send(mailfw, ["jsmith@localhost", "somebody@example.com"])
    assert len(jsmith) == len(mailfw.outbox) == 1
    mailfw.catchAll()
""",
        count=3,
    )


def test_a_failure_that_nobody_met_is_told(pytester: pytest.Pytester) -> None:
    """And the next test begins without it."""
    result = passes(
        pytester,
        """
def test_unmet(mailfw):
    mailfw.failNext("451 4.7.1 not now", stage="mail_from", times=2)
    mailfw.failNext("550 5.1.1 nobody", recipient="x@localhost")
    with pytest.raises(smtplib.SMTPSenderRefused):
        send(mailfw)

def test_empty(mailfw):
    assert mailfw.unmet == []
    mailfw.account("jsmith")
    send(mailfw)

def test_forgotten(mailfw):
    mailfw.failNext("451 4.7.1 not now", stage="mail_from")
    assert mailfw.unmet == ['"451 4.7.1 not now" at mail_from']
    mailfw.forgetFailures()
""",
        count=3,
        errors=1,
    )
    told = '*nobody met: "451 4.7.1 not now" at mail_from; "550 5.1.1 nobody" at rcpt_to for x@localhost'
    result.stdout.fnmatch_lines([told])


def test_who_is_still_connected_is_cut_off(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
connections = []

def test_stays(mailfw):
    connections.append(smtplib.SMTP(*mailfw.smtp))
    assert connections[0].noop()[0] == 250

def test_is_gone(mailfw):
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
        connections[0].noop()
    connections[0].close()
""",
        count=2,
    )


def test_recipients(pytester: pytest.Pytester) -> None:
    """Accounts get their mail, other names of our own are refused, the rest would leave; or everything is caught."""
    passes(
        pytester,
        """
def test_ours_and_theirs(mailfw):
    jsmith = mailfw.account("jsmith")
    send(mailfw, ["jsmith+shop@localhost", "a@example.com", "b@example.net"])
    assert jsmith[0].recipients == ("jsmith@localhost",) and jsmith[0].sender == "shop@example.org"
    assert [message.recipients for message in mailfw.outbox] == [("a@example.com", "b@example.net")]
    assert mailfw.outbox.waitFor(recipient="B@example.net", timeout=60).sender == "shop@example.org"
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(mailfw, "nobody@localhost")
    assert refused.value.recipients["nobody@localhost"][0] == 550

def test_account_elsewhere(mailfw):
    mailfw.account("customer@example.com")
    send(mailfw, ["customer@example.com", "other@example.com"])
    assert len(mailfw.account("customer@example.com")) == 1
    assert mailfw.outbox[0].recipients == ("other@example.com",)

def test_catch_all(mailfw):
    mailfw.catchAll()
    send(mailfw, ["nobody@localhost", "Somebody+x@example.com"])
    assert [account.address for account in mailfw.accounts] == ["nobody@localhost", "somebody+x@example.com"]
    assert [len(account) for account in mailfw.accounts] == [1, 1]
    assert len(mailfw.outbox) == 0
""",
        count=3,
    )


def test_configuration(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmailfw_domains = example.org example.net\nmailfw_catch_all = true\n")
    passes(
        pytester,
        """
def test_domains(mailfw):
    assert mailfw.account("jsmith").address == "jsmith@example.org"
    send(mailfw, ["jsmith@example.org", "someone@example.com"])
    assert [len(account) for account in mailfw.accounts] == [1, 1]
""",
        count=1,
    )


def test_waiting(pytester: pytest.Pytester) -> None:
    """A message that comes later is waited for; each is returned once; what does not come is told of with what did."""
    passes(
        pytester,
        """
import re
import threading
import time

def test_later(mailfw):
    jsmith = mailfw.account("jsmith")
    timer = threading.Timer(0.1, send, [mailfw])
    timer.start()
    began = time.monotonic()
    assert jsmith.waitFor(subject="Hello", timeout=120).text.startswith("Hello!")
    assert time.monotonic() - began < 60
    timer.join()

def test_once_each(mailfw):
    jsmith = mailfw.account("jsmith")
    for body in ("one", "two"):
        send(mailfw, body=body)
    assert [jsmith.waitFor("Hello").text.strip(), mailfw.account("jsmith").waitFor("Hello").text.strip()] == ["one", "two"]
    with pytest.raises(AssertionError) as error:
        jsmith.waitFor("Hello", timeout=0.05)
    assert str(error.value).count("'Hello' (returned before)") == 2
    assert len(jsmith) == 2

def test_not_there(mailfw):
    jsmith = mailfw.account("jsmith")
    send(mailfw, subject="Something else")
    with pytest.raises(AssertionError) as error:
        jsmith.waitFor(subject=re.compile("^Hello$"), timeout=0.05)
    assert str(error.value) == (
        "no message with subject='^Hello$' came to jsmith@localhost's INBOX within 0.05 seconds; "
        "what is there: from <shop@example.org>: 'Something else'"
    )
    assert jsmith.waitFor(re.compile("else$"), text="Hello!", sender="shop@example.org")
""",
        count=3,
    )


def test_whose_reactor(pytester: pytest.Pytester) -> None:
    """Who waits in a thread where nothing can come is told so. A reactor that somebody runs already is used, and left running."""
    passes(
        pytester,
        """
def test_deferred_of_another_thread(mailfw):
    with pytest.raises(RuntimeError, match="waitFor"):
        mailfw.account("jsmith").whenReceived("Hello")
""",
        count=1,
    )
    pytester.makeconftest(
        """
import threading
from twisted.internet import reactor

started = threading.Event()
reactor.callWhenRunning(started.set)
thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True)
thread.start()
started.wait(60)

def pytest_unconfigure():
    assert reactor.running and not [each for each in reactor.getReaders() if hasattr(each, "port")]
    reactor.callFromThread(reactor.stop)
    thread.join(60)
    print("stopped" if not thread.is_alive() else "still there")
"""
    )
    result = passes(
        pytester,
        """
def test_it_serves(mailfw):
    jsmith = mailfw.account("jsmith")
    send(mailfw)
    assert jsmith.waitFor("Hello", timeout=60)
""",
        count=1,
    )
    result.stdout.fnmatch_lines(["stopped"])


def test_failures(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_stages(mailfw):
    mailfw.account("jsmith")
    mailfw.failNext("451 4.7.1 slow down", recipient="JSmith@localhost")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(mailfw)
    assert refused.value.recipients == {"jsmith@localhost": (451, b"4.7.1 slow down")}
    mailfw.failNext("554 5.7.1 no thanks", stage="end_of_message", times=2)
    for _ in range(2):
        with pytest.raises(smtplib.SMTPDataError) as refused:
            send(mailfw)
        assert (refused.value.smtp_code, refused.value.smtp_error) == (554, b"5.7.1 no thanks")
    mailfw.failNext("421 4.3.2 going down", stage="mail_from")
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        send(mailfw)
    assert refused.value.smtp_code == 421
    assert send(mailfw) == {} and len(mailfw.account("jsmith")) == 1

@pytest.mark.parametrize("reply, stage, text", [
    ("250 fine", "rcpt_to", "no reply of an error"),
    ("451 5.7.1 both", "rcpt_to", "no reply of an error"),
    ("451 4.7.1 two\\r\\nlines", "rcpt_to", "no reply of an error"),
    ("451 4.7.1 x", "stored", "nobody is answered at stored"),
    ("451 4.7.1 x", "rcpt", "rcpt"),
])
def test_nonsense(mailfw, reply, stage, text):
    with pytest.raises(ValueError, match=text):
        mailfw.failNext(reply, stage=stage)
""",
        count=6,
    )


def test_every_service(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
import imaplib
import poplib

def test_reading(mailfw):
    jsmith = mailfw.account("jsmith", password="secret")
    context = mailfw.tls
    for server in (smtplib.SMTP(*mailfw.submission), smtplib.SMTP_SSL(*mailfw.submissions, context=context)):
        with server:
            if not isinstance(server, smtplib.SMTP_SSL):
                server.starttls(context=context)
            server.login("jsmith", "secret")
            server.sendmail("anything@example.org", ["jsmith@localhost"], b"Subject: x\\r\\n\\r\\nx\\r\\n")
    for pop in (poplib.POP3(*mailfw.pop3), poplib.POP3_SSL(*mailfw.pop3s, context=context)):
        pop.user("jsmith")
        pop.pass_("secret")
        assert pop.stat()[0] == 2
        pop.quit()
    for imap in (imaplib.IMAP4(*mailfw.imap), imaplib.IMAP4_SSL(*mailfw.imaps, ssl_context=context)):
        imap.login(jsmith.address, jsmith.password)
        assert imap.select()[1] == [b"2"]
        imap.create("Read")
        imap.copy("1", "Read")
        imap.logout()
    assert len(jsmith.mailbox("Read")) == 2
    assert len(jsmith.mailbox("There is none")) == 0
    with smtplib.SMTP(*mailfw.smtp) as server:
        server.ehlo()
        assert not server.has_extn("starttls")
        server.login("jsmith", "secret")
    with smtplib.SMTP(*mailfw.submission) as server, pytest.raises(smtplib.SMTPAuthenticationError):
        server.login("jsmith", "wrong")

def test_same_ports(mailfw, mailfwServer):
    assert mailfw.smtp == mailfwServer.smtp and str(mailfw.smtp) == f"127.0.0.1:{mailfw.smtp.port}"
""",
        count=2,
    )


def test_pytest_twisted(pytester: pytest.Pytester) -> None:
    """The reactor of the test run serves; whoever would hold it up is told so."""
    passes(
        pytester,
        """
import pytest_twisted
from twisted.internet.threads import deferToThread

@pytest_twisted.ensureDeferred
async def test_await(mailfw):
    jsmith = mailfw.account("jsmith")
    arriving = jsmith.whenReceived(subject="Hello", timeout=60)
    await deferToThread(send, mailfw)
    message = await arriving
    assert message.sender == "shop@example.org" and list(jsmith) == [message]
    with pytest.raises(AssertionError, match="within 0.05 seconds"):
        await jsmith.whenReceived(subject="Hello", timeout=0.05)

@pytest_twisted.inlineCallbacks
def test_inline_callbacks(mailfw):
    mailfw.failNext("451 4.7.1 not now", stage="mail_from")
    with pytest.raises(smtplib.SMTPSenderRefused):
        yield deferToThread(send, mailfw)
    assert mailfw.accounts == []

def test_blocking(mailfw):
    with pytest.raises(RuntimeError, match="await whenReceived"):
        mailfw.account("jsmith").waitFor(subject="Hello")

@pytest.fixture
def sent(mailfw):
    sending = deferToThread(send, mailfw, "somebody@example.com")
    yield mailfw.outbox.waitFor("Hello", timeout=60)
    pytest_twisted.blockon(sending)

def test_fixture(sent):
    assert sent.recipients == ("somebody@example.com",)

waiting = []

def test_waits_no_longer_than_itself(mailfw):
    waiting.append(mailfw.account("jsmith").whenReceived("Hello", timeout=60))

def test_after_it(mailfw):
    from twisted.internet import reactor
    waiting[0].addErrback(waiting.append)
    assert "while the test ran" in str(waiting[1].value) and not reactor.getDelayedCalls()
""",
        count=6,
        isTwisted=True,
    )
