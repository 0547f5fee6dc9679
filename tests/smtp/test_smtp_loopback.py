"""Python's smtplib against our server on real sockets, with and without TLS, into a store of two dictionaries."""

import contextlib
import datetime
import ipaddress
import smtplib
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
from zope.interface import implementer

from mailfw.delivery.router import Router
from mailfw.interfaces import IMailStore
from mailfw.net.sessions import SessionRegistry
from mailfw.smtp.server import lmtp, smtp, submission, submissions
from mailfw.testing.fakes import NoStore
from mailfw.testing.world import World
from mailfw.values import Fate, Outcome

pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")

MESSAGE = b"Subject: x\r\nTo: jsmith@localhost\r\n\r\n.\r\n..dots\r\n" + "ümlaut\r\n".encode()


@implementer(IMailStore)
class Shelf(NoStore):
    """Keeps messages by account."""

    def __init__(self):
        self.messages = {}

    async def deliver(self, message, targets):
        for target in targets:
            self.messages.setdefault(target.account, []).append(message.read())
        return [Outcome(Fate.DELIVERED)] * len(targets)


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
def shelf():
    return Shelf()


@pytest.fixture
def serve(shelf, certificate, tmp_path):
    """Starts a service; returns its port. All ends with the test."""
    world = World(shelf, directory=str(tmp_path))
    context = world.context
    context.router = Router(world.directory, shelf)
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


@pytest_twisted.ensureDeferred
async def test_smtplib(serve, shelf):
    port = serve(smtp)

    def converse():
        with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
            refused = client.sendmail("sender@example.org", ["jsmith@localhost", "nobody@localhost"], MESSAGE)
            assert refused["nobody@localhost"][0] == 550
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("sender@example.org", ["x@example.org"], MESSAGE)
            assert client.verify("jsmith")[0] == 252
            assert client.help().startswith(b"2.0.0 commands:")

    await deferToThread(converse)
    (message,) = shelf.messages["jsmith@localhost"]
    assert message.startswith(b"Return-Path: <sender@example.org>\r\nReceived: from ")
    assert message.endswith(b"\r\n" + MESSAGE)


@pytest_twisted.ensureDeferred
async def test_smtplib_with_starttls_and_auth(serve, shelf, trust):
    port = serve(submission)

    def converse():
        with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
            client.starttls(context=trust)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("mbrain", "wrong")
            client.login("mbrain@localhost", "mailfw")
            client.sendmail("mbrain@localhost", "jsmith@localhost", MESSAGE, mail_options=["BODY=8BITMIME"])
            with pytest.raises(smtplib.SMTPSenderRefused):
                client.sendmail("jsmith@localhost", "jsmith@localhost", MESSAGE)

    await deferToThread(converse)
    (message,) = shelf.messages["jsmith@localhost"]
    assert b" with ESMTPSA (TLSv1." in message
    assert b"\r\nMessage-ID: <" in message


@pytest_twisted.ensureDeferred
async def test_smtplib_with_implicit_tls_and_a_large_message(serve, shelf, trust):
    port = serve(submissions)
    large = MESSAGE + b"0123456789abcdef\r\n" * 100_000

    def converse():
        with smtplib.SMTP_SSL("127.0.0.1", port, timeout=120, context=trust) as client:
            client.login("mbrain", "mailfw")
            client.sendmail("mbrain@localhost", ["jsmith@localhost", "mbrain@localhost"], large)

    await deferToThread(converse)
    assert shelf.messages["jsmith@localhost"][0].endswith(large)
    assert b" with ESMTPSA (TLSv1." in shelf.messages["jsmith@localhost"][0]
    assert shelf.messages["mbrain@localhost"][0].endswith(large)


@pytest_twisted.ensureDeferred
async def test_smtplib_speaks_lmtp(serve, shelf):
    port = serve(lmtp)

    def converse():
        with smtplib.LMTP("127.0.0.1", port) as client:
            assert client.sendmail("", ["mbrain@localhost"], MESSAGE) == {}

    await deferToThread(converse)
    assert shelf.messages["mbrain@localhost"][0].startswith(b"Return-Path: <>\r\n")


def readAll(connection):
    """Everything that comes until the server closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest_twisted.ensureDeferred
async def test_the_last_reply_arrives_though_more_was_sent(serve):
    port = serve(smtp)

    def converse(*said):
        with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
            connection.recv(1000)
            for data in said:
                connection.sendall(data)
            return readAll(connection)

    assert (await deferToThread(converse, b"x" * 300_000)).startswith(b"500 ")
    assert (await deferToThread(converse, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)).startswith(b"421 ")
    assert await deferToThread(converse, b"QUIT\r\n") == b"221 2.0.0 good bye\r\n"


@pytest_twisted.ensureDeferred
async def test_nothing_before_tls_is_seen_after_it(serve, shelf, trust):
    port = serve(smtp)

    def converse():
        with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
            connection.recv(1000)
            connection.sendall(b"EHLO x\r\n")
            connection.recv(1000)
            connection.sendall(b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n")
            return readAll(connection)

    assert b"sender OK" not in await deferToThread(converse)


@pytest_twisted.ensureDeferred
async def test_a_client_that_talks_before_the_banner(serve):
    port = serve(smtp)
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        # The reactor is held here, so the client has spoken when its connection is accepted.
        connection.sendall(b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nQUIT\r\n")
        said = await deferToThread(readAll, connection)
    assert said.startswith(b"554 ")
    assert said.count(b"\r\n") == 1
