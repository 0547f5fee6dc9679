"""Our IMAP client against Dovecot, in an instance of its own on loopback, with and without TLS."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate, trustRootFromCertificates

from mailfw.errors import AuthenticationFailed, MailboxExists, Refusal
from mailfw.imap.client import ALL, Security, connect, idle, select
from mailfw.imap.grammar.answers import Exists
from mailfw.imap.grammar.fetch import Attribute, BodySection
from mailfw.imap.grammar.mailboxes import StatusItem
from mailfw.imap.grammar.modifiers import Resync
from mailfw.imap.grammar.searching import Return
from mailfw.message.criteria import Header
from mailfw.message.section import Section
from mailfw.message.sort import Kind, SortKey
from mailfw.message.thread import Algorithm
from mailfw.values import MessageSource

HOST = "127.0.0.1"
WHOLE = BodySection(Section(), b"BODY[]", isPeek=True)

pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")


def freePorts(count):
    """Ports that nobody uses now, nor is given by the system to connect from: Dovecot cannot be asked for any."""
    ports = []
    for port in random.sample(range(15000, 32000), 1000):
        with contextlib.suppress(OSError), contextlib.closing(socket.create_server((HOST, port))):
            ports.append(port)
        if len(ports) == count:
            break
    return ports


def makeCertificate():
    """For 127.0.0.1, and its key; PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    signed = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return signed.public_bytes(pem), secret


class Dovecot:
    """A running Dovecot. :ivar port: of IMAP, and :ivar securePort: of IMAP under TLS."""

    def __init__(self, program, base):
        self.base = base
        self.port, self.securePort = freePorts(2)
        certificate, key = makeCertificate()
        self.trust = trustRootFromCertificates([Certificate.loadPEM(certificate)])
        (base / "certificate.pem").write_bytes(certificate)
        (base / "key.pem").write_bytes(key)
        (base / "users").write_text("jsmith:{PLAIN}mailfw\n")
        (base / "mail").mkdir()
        owner = pwd.getpwnam("nobody")
        os.chown(base / "mail", owner.pw_uid, owner.pw_gid)
        base.chmod(0o755)
        (base / "dovecot.conf").write_text(
            f"protocols = imap\nlisten = {HOST}\nlog_path = {base}/log\nbase_dir = {base}/run\nstate_dir = {base}/state\n"
            f"mail_location = maildir:{base}/mail/%u\nmail_home = {base}/mail/%u\n"
            f"mail_uid = {owner.pw_uid}\nmail_gid = {owner.pw_gid}\n"
            "first_valid_uid = 1\nfirst_valid_gid = 1\ndisable_plaintext_auth = no\nauth_mechanisms = plain scram-sha-256\n"
            f"ssl = yes\nssl_cert = <{base}/certificate.pem\nssl_key = <{base}/key.pem\n"
            f"passdb {{\n driver = passwd-file\n args = {base}/users\n}}\nuserdb {{\n driver = static\n args = \n}}\n"
            f"service imap-login {{\n inet_listener imap {{\n port = {self.port}\n }}\n"
            f" inet_listener imaps {{\n port = {self.securePort}\n ssl = yes\n }}\n}}\n"
            "protocol imap {\n mail_plugins = imap_zlib\n}\n"
            "namespace inbox {\n inbox = yes\n separator = /\n}\n"
        )
        self.process = subprocess.Popen([program, "-F", "-c", str(base / "dovecot.conf")], stderr=subprocess.STDOUT)

    def isUp(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Dovecot ended:\n{self.said}")
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                return connection.recv(1) == b"*"
        except OSError:
            return False

    @property
    def said(self):
        log = self.base / "log"
        return log.read_text() if log.exists() else ""

    def stop(self):
        self.process.terminate()
        self.process.wait(120)


@pytest.fixture(scope="module")
def dovecot():
    program = shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None and os.environ.get("CI") == "true":
        pytest.fail("dovecot is not installed, and CI must have it")
    if program is None or os.geteuid() != 0:
        pytest.skip("dovecot is not installed, or cannot be started by this user")
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))  # its users must reach it, which a test's own directory forbids
    server = Dovecot(program, base)
    yield server
    server.stop()
    shutil.rmtree(base)


@pytest.fixture
def logIn(dovecot, waitFor):
    """Makes clients that have logged in."""
    waitFor(dovecot.isUp, "Dovecot")
    clients = []

    async def make(security=Security.NONE):
        port = dovecot.securePort if security is Security.TLS else dovecot.port
        client = await connect(reactor, HOST, port, security, trustRoot=dovecot.trust, timeout=120)
        clients.append(client)
        await client.logIn("jsmith", "mailfw", mayUsePlaintext=True)
        return client

    yield make
    for client in clients:
        if client.connection.lost is None:
            pytest_twisted.blockon(Deferred.fromCoroutine(client.logOut()))


@pytest.fixture
def empty(logIn):
    """A client that has logged in, nothing in the mailbox it has selected, and that mailbox."""

    async def make(name):
        client = await logIn()
        try:
            await client.create(name)
        except MailboxExists:
            await client.delete(name)
            await client.create(name)
        return client, await select(client, name)

    return make


def message(subject, body="Hello there.\r\n"):
    return (
        f"From: =?utf-8?q?J=C3=BCrgen?= <a@x.example>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\n{body}".encode()
    )


@pytest.mark.parametrize("security", Security)
@pytest_twisted.ensureDeferred
async def test_waysIn(logIn, security):
    client = await logIn(security)
    assert client.connection.isTLS == (security is not Security.NONE)
    assert client.has("IDLE")
    assert "Dovecot" in (await client.identify(("name", "mailfw")))["name"]


@pytest_twisted.ensureDeferred
async def test_aCertificateForNobody(dovecot, waitFor):
    """Whose certificate nobody vouches for gets no password."""
    waitFor(dovecot.isUp, "Dovecot")
    for security, port in ((Security.TLS, dovecot.securePort), (Security.STARTTLS, dovecot.port)):
        with pytest.raises(Exception, match=r"certificate|TLS"):
            await connect(reactor, HOST, port, security, timeout=120)


@pytest_twisted.ensureDeferred
async def test_aWrongPassword(dovecot, waitFor):
    waitFor(dovecot.isUp, "Dovecot")
    client = await connect(reactor, HOST, dovecot.port, Security.NONE, timeout=120)
    with pytest.raises(AuthenticationFailed):
        await client.logIn("jsmith", "wrong", mayUsePlaintext=True)
    await client.logOut()


@pytest_twisted.ensureDeferred
async def test_mailboxes(logIn):
    client = await logIn()
    await client.create("Entwürfe & mehr/台北")
    listed, counters = await client.listMailboxes("Entw*", status=[StatusItem.MESSAGES])
    assert {one.name for one in listed} >= {"Entwürfe & mehr/台北"}
    assert counters["Entwürfe & mehr/台北"].items["MESSAGES"] == 0
    await client.delete("Entwürfe & mehr/台北")
    with pytest.raises(Refusal, match="exist"):
        await client.status("Entwürfe & mehr/台北", StatusItem.MESSAGES)


@pytest_twisted.ensureDeferred
async def test_messages(empty):
    client, box = await empty("Messages")
    for number, subject in enumerate(("one", "two", "three")):
        assert (await client.append("Messages", message(subject), ["\\Seen"], date=1e9)).uid == number + 1
    wanted = (Attribute.ENVELOPE, Attribute.BODY_STRUCTURE, Attribute.INTERNAL_DATE, WHOLE)
    found = [one async for one in box.fetch(ALL, *wanted)]
    assert [one.section(WHOLE) for one in found] == [message("one"), message("two"), message("three")]
    assert found[0].envelope.author[0].address == b"a@x.example"
    assert {one.internalDate for one in found} == {1e9}
    await box.store((1,), ("\\Flagged", "kw"))
    assert box.view.flags[1] >= {"\\Flagged", "kw"}
    assert list((await box.search(Header("Subject", "two"))).all) == [2]
    assert (await box.search(Header("Subject", "t"), Return.COUNT)).count == 2
    assert list(await box.sort([SortKey(Kind.SUBJECT)])) == [1, 3, 2]
    assert set((await box.thread(Algorithm.REFERENCES)).numbers) == {1, 2, 3}
    await client.create("Target")
    assert list((await box.copy((1, 3), "Target")).sources) == [1, 3]
    assert list((await box.move((2,), "Target")).sources) == [2]
    assert (box.view.exists, str(box.view.uids)) == (2, "1,3")
    await client.delete("Target")


@pytest_twisted.ensureDeferred
async def test_largeMessages(empty):
    client, box = await empty("Large")
    large = message("large", "0123456789abcdef\r\n" * 200_000)
    await client.append("Large", MessageSource(large))
    assert b"".join([piece async for piece in box.download(1)]) == large
    client.connection.literalLimit = 0
    await client.append("Large", MessageSource(large))
    assert [len(one.section(WHOLE)) async for one in box.fetch((1, 2), WHOLE)] == [len(large)] * 2


@pytest_twisted.ensureDeferred
async def test_resynchronisation(empty, logIn):
    client, _ = await empty("Resync")
    for number in range(5):
        await client.append("Resync", message(str(number)))
    await client.enable("QRESYNC")
    known = (await select(client, "Resync")).view
    await select(client, "INBOX")
    other = await select(await logIn(), "Resync")
    await other.store((2,), ("\\Flagged",))
    await other.store((1, 4), ("\\Deleted",))
    await other.expunge()
    box = await select(client, "Resync", resync=Resync(known.uidValidity, known.highestModSeq))
    assert str(box.view.vanished) == "1,4"
    assert [one.uid for one in box.changed] == [2]
    assert box.view.exists == 3


@pytest_twisted.ensureDeferred
async def test_newsWhileIdle(empty, logIn):
    client, box = await empty("News")
    async with await idle(client) as news:
        await (await logIn()).append("News", message("new"))
        async for answer in news:
            if answer == Exists(1):
                break
    assert [one.uid async for one in box.fetch(ALL, Attribute.UID)] == [1]


@pytest_twisted.ensureDeferred
async def test_compression(logIn):
    client = await logIn()
    await client.compress()
    await client.append("INBOX", message("compressed", "0123456789abcdef\r\n" * 20_000))
    box = await select(client, "INBOX")
    assert max([len(one.section(WHOLE)) async for one in box.fetch(ALL, WHOLE)]) > 360_000
