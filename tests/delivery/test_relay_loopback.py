"""The relay on real sockets: a name server, a mail server with TLS, a Unix socket, a server that says nothing, and Postfix's."""

import contextlib
import datetime
import ipaddress
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection
from twisted.internet.threads import deferToThread

from mailfw.delivery.bounce import Bouncer
from mailfw.delivery.destination import Destinations, Hop, Security
from mailfw.delivery.dns import Resolver, asker
from mailfw.delivery.queue import Queue, Submission
from mailfw.delivery.relay import Relay
from mailfw.delivery.routes import Host, HostRoute, MXRoute, Routes
from mailfw.delivery.sessions import Calling, Sessions
from mailfw.errors import Unreachable
from mailfw.smtp.client import Timeouts
from mailfw.testing.remote import FEATURES, Remote
from mailfw.testing.resolver import DNSServer, FakeResolver
from mailfw.values import Address, Envelope, Fate, MessageSource, Recipient

pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")

CONTENT = b"Subject: x\r\n\r\n.\r\n" + b"line of a longer message\r\n" * 40_000


@pytest.fixture(scope="module")
def certificate():
    """For mx.far.example, its own authority; as PEM with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.far.example")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("mx.far.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = builder.add_extension(names, critical=False).add_extension(x509.BasicConstraints(True, None), critical=True)
    signed = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return signed + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@contextlib.asynccontextmanager
async def listening(remote, listen=None):
    """A remote on a port of 127.0.0.1; its port."""
    factory = Factory.forProtocol(remote.connection)
    factory.noisy = False
    port = listen(factory) if listen else reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        yield port.getHost()
    finally:
        await port.stopListening()


async def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        waiting = Deferred()
        reactor.callLater(0.01, waiting.callback, None)
        await waiting
    assert condition()


def answers(port):
    with contextlib.closing(socket.socket()) as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


async def settled():
    """Whatever is closing, closes."""
    await until(lambda: not any(isinstance(each, Connection) for each in (*reactor.getReaders(), *reactor.getWriters())))
    await deferLater(reactor, 0)  # an abortion is told one turn later


async def bring(route, *addresses):
    delivery = route.begin(Envelope(Address("me", "example.org")))
    for address in addresses or ("a@far.example",):
        await delivery.recipient(Recipient(Address.parse(address)))
    try:
        return await delivery.commit(MessageSource(CONTENT))
    finally:
        await route.close()
        await settled()


@pytest_twisted.ensureDeferred
async def test_from_the_queue_by_the_dns_over_tls(tmp_path, certificate):
    remote = Remote((*FEATURES, "STARTTLS"), tls=PrivateCertificate.loadPEM(certificate).options())
    zone = {"far.example MX": ["10 mx.far.example."], "mx.far.example A": ["127.0.0.1"]}
    names = reactor.listenUDP(0, DNSServer(zone), interface="127.0.0.1")
    resolver = Resolver(reactor, asker([f"127.0.0.1:{names.getHost().port}"]))
    queue = Queue.open(str(tmp_path / "queue.sqlite"), reactor=reactor)
    async with listening(remote) as host:
        destinations = Destinations(resolver, "mail.example.org", port=host.port, isOurs=lambda address: False)
        routes = Routes(MXRoute(destinations, Sessions(reactor, "mail.example.org")))
        relay = Relay(queue, routes, Bouncer("mail.example.org"), reactor)
        relay.start()
        people = tuple(Recipient(Address(f"u{n}", "far.example")) for n in range(3))
        await queue.enqueue([Submission(Envelope(Address("me", "example.org"), people))], MessageSource(CONTENT))
        await until(lambda: remote.messages)
        await relay.stop()
        await settled()
    await resolver.close()
    await names.stopListening()
    assert await queue.count() == 0
    await queue.close()
    (received,) = remote.messages
    assert received.isTLS
    assert received.content == CONTENT
    assert len(received.recipients) == 3


@pytest.mark.parametrize("name", ["mx.far.example", "mx.other.example"])
@pytest.mark.parametrize("isTrusted", [True, False])
@pytest_twisted.ensureDeferred
async def test_verified_tls_wants_a_certificate_for_the_host_by_somebody_trusted(certificate, name, isTrusted):
    remote = Remote((*FEATURES, "STARTTLS"), tls=PrivateCertificate.loadPEM(certificate).options())
    trusted = trustRootFromCertificates([Certificate.loadPEM(certificate)]) if isTrusted else None
    async with listening(remote) as host:
        sessions = Sessions(reactor, "mail.example.org", trustRoot=trusted)
        hop = Hop(name, "127.0.0.1", host.port, Security.VERIFIED)
        if isTrusted and name == "mx.far.example":
            session = await sessions.open(hop)
            assert session.channel.isTLS
        else:
            with pytest.raises(Unreachable) as caught:
                await sessions.open(hop)
            assert caught.value.status == "4.7.5"
        await sessions.close()
        await settled()
    assert remote.messages == []


@pytest_twisted.ensureDeferred
async def test_tls_from_the_first_octet(certificate):
    remote = Remote(FEATURES)
    options = PrivateCertificate.loadPEM(certificate).options()
    trusted = trustRootFromCertificates([Certificate.loadPEM(certificate)])

    def listen(factory):
        return reactor.listenSSL(0, factory, options, interface="127.0.0.1")

    async with listening(remote, listen) as address:
        host = Host("127.0.0.1", address.port, Security.VERIFIED, isTLS=True)
        route = HostRoute(host, FakeResolver(), Sessions(reactor, "mail.example.org", trustRoot=trusted))
        (outcome,) = await bring(route)
        assert outcome.fate is Fate.DELIVERED
    assert remote.messages[0].content == CONTENT


@pytest_twisted.ensureDeferred
async def test_lmtp_on_a_unix_socket():
    remote = Remote(isLMTP=True, answer=lambda line: "550 5.1.1 no" if line.startswith("RCPT") and "<b@" in line else None)
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/lmtp"
        async with listening(remote, lambda factory: reactor.listenUNIX(path, factory)):
            route = HostRoute(
                Host.parse(f"unix:{path}", 24), FakeResolver(), Sessions(reactor, "mail.example.org"), Calling(isLMTP=True)
            )
            outcomes = await bring(route, "a@x.example", "b@x.example")
            assert [outcome.fate for outcome in outcomes] == [Fate.DELIVERED, Fate.FAILED]


@pytest_twisted.ensureDeferred
async def test_who_accepts_and_says_nothing_is_left_when_time_is_up():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        sessions = Sessions(reactor, "mail.example.org", timeouts=Timeouts().capped(0.2))
        route = HostRoute(Host("127.0.0.1", silent.getsockname()[1]), FakeResolver(), sessions)
        with pytest.raises(Unreachable, match="no answer"):
            await bring(route)


@pytest_twisted.ensureDeferred
async def test_nobody_listens():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(Unreachable, match="cannot connect"):
        await bring(HostRoute(Host("127.0.0.1", port), FakeResolver(), Sessions(reactor, "mail.example.org")))


@pytest.mark.interop
@pytest.mark.parametrize("options", [[], ["-8"], ["-p"], ["-e"]], ids=["all", "no 8BITMIME", "no PIPELINING", "no EHLO"])
@pytest_twisted.ensureDeferred
async def test_into_the_sink_of_postfix(options):
    program = shutil.which("smtp-sink", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postfix/sbin")
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("smtp-sink is not installed")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as chosen:
        port = chosen.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)  # the sink gives root's rights away
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        process = subprocess.Popen([program, *options, *user, "-d", f"{directory}/%M.", f"127.0.0.1:{port}", "10"])
        try:
            await until(lambda: answers(port))
            route = HostRoute(Host("127.0.0.1", port), FakeResolver(), Sessions(reactor, "mail.example.org"))
            outcomes = await bring(route, "a@x.example", "b@x.example")
        finally:
            process.terminate()
            await deferToThread(process.wait)
        assert [outcome.fate for outcome in outcomes] == [Fate.DELIVERED] * 2
        kept = [path.read_bytes() for path in Path(directory).iterdir()]
    assert any(CONTENT.replace(b"\r\n", b"\n").strip() in content for content in kept)
