"""Python's poplib against our server on real sockets, with and without TLS."""

import contextlib
import datetime
import ipaddress
import poplib
import socket
import ssl

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory

from mailfw.net.sessions import SessionRegistry
from mailfw.pop3.server import pop3, pop3s

pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")


@pytest.fixture(scope="module")
def certificate():
    """A certificate for 127.0.0.1 and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = builder.add_extension(address, critical=False).add_extension(x509.BasicConstraints(True, None), critical=True)
    signed = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return signed, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.fixture
def trust(certificate):
    """What a client needs to believe that certificate."""
    return ssl.create_default_context(cadata=certificate[0].decode())


@pytest.fixture
def serve(world, certificate):
    """Starts a service; returns its port. All ends with the test."""
    context = world.context
    context.tls = PrivateCertificate.loadPEM(b"".join(certificate)).options()
    context.reactor = reactor
    context.sessions = SessionRegistry(reactor)
    ports = []

    def start(service):
        factory = service.factory(context)
        if service.isTLS:
            factory = TLSMemoryBIOFactory(context.tls, isClient=False, wrappedFactory=factory)
        ports.append(reactor.listenTCP(0, factory, interface="127.0.0.1"))
        return ports[-1].getHost().port

    yield start
    for port in ports:
        pytest_twisted.blockon(port.stopListening())
    pytest_twisted.blockon(context.sessions.stop(5))


def readAndDeleteAll(client):
    """What a mail program does."""
    client.user("jsmith")
    client.pass_("mailfw")
    count, octets = client.stat()
    sizes = [int(line.split()[1]) for line in client.list()[1]]
    assert sum(sizes) == octets
    ids = [line.split()[1] for line in client.uidl()[1]]
    assert len(set(ids)) == count
    messages = [b"\r\n".join([*client.retr(number)[1], b""]) for number in range(1, count + 1)]
    assert [len(message) for message in messages] == sizes
    assert client.top(1, 0)[1][-1] == b""
    for number in range(1, count + 1):
        client.dele(number)
    client.quit()
    return messages


@pytest_twisted.ensureDeferred
async def test_poplib(serve, inbox):
    port, stored = serve(pop3), list(inbox.messages.values())
    assert await deferToThread(lambda: readAndDeleteAll(poplib.POP3("127.0.0.1", port, timeout=120))) == stored
    assert not inbox.messages


@pytest_twisted.ensureDeferred
async def test_poplibUnderTLS(serve, inbox, trust):
    port, stored = serve(pop3s), list(inbox.messages.values())
    assert await deferToThread(lambda: readAndDeleteAll(poplib.POP3_SSL("127.0.0.1", port, timeout=120, context=trust))) == stored
    assert not inbox.messages


@pytest_twisted.ensureDeferred
async def test_poplibWithSTLS(serve, inbox, trust):
    port, stored = serve(pop3), list(inbox.messages.values())

    def session():
        client = poplib.POP3("127.0.0.1", port, timeout=120)
        assert "STLS" in client.capa()
        client.stls(trust)
        assert "STLS" not in client.capa()
        return readAndDeleteAll(client)

    assert await deferToThread(session) == stored


@pytest_twisted.ensureDeferred
async def test_twoSessions(serve):
    port = serve(pop3)

    def session():
        first, second = (poplib.POP3("127.0.0.1", port, timeout=120) for _ in range(2))
        for client in (first, second):
            client.user("jsmith")
        first.pass_("mailfw")
        with pytest.raises(poplib.error_proto, match="IN-USE"):
            second.pass_("mailfw")
        first.sock.shutdown(socket.SHUT_RDWR)
        first.close()
        for _ in range(100):
            second.user("jsmith")
            with contextlib.suppress(poplib.error_proto):
                return second.pass_("mailfw")
        raise AssertionError("the maildrop is still held")

    assert (await deferToThread(session)).startswith(b"+OK")


@pytest.mark.parametrize("service", [pop3, pop3s], ids=["clear", "TLS"])
@pytest_twisted.ensureDeferred
async def test_aLargeMessage(serve, inbox, trust, service):
    """Longer than every buffer on the way, with a dot wherever one hurts."""
    message = b"Subject: large\r\n\r\n" + b"." * 61 + b"\r\n" + b".\r\n" * 100_000 + b"...\r\n" * 400_000
    inbox.messages = {1: message}
    port = serve(service)

    def session():
        client = (
            poplib.POP3_SSL("127.0.0.1", port, timeout=120, context=trust) if service.isTLS else poplib.POP3("127.0.0.1", port)
        )
        client.user("jsmith")
        client.pass_("mailfw")
        return b"\r\n".join([*client.retr(1)[1], b""])

    assert await deferToThread(session) == message


@pytest_twisted.ensureDeferred
async def test_aClientThatLeavesInTheMiddle(serve, inbox, world):
    inbox.messages = {1: b"x" * 20_000_000}
    port = serve(pop3)

    def session():
        with socket.create_connection(("127.0.0.1", port), timeout=120) as sock:
            sock.sendall(b"USER jsmith\r\nPASS mailfw\r\nRETR 1\r\n")
            sock.recv(100_000)

    await deferToThread(session)
    farewell = await deferToThread(lambda: poplib.POP3("127.0.0.1", port).quit())
    assert farewell.startswith(b"+OK")
