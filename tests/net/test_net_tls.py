"""Channel bindings and client certificates, over real TLS on loopback, seen from both ends."""

from __future__ import annotations

import base64
import datetime
import hashlib
import select
import socket

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from mailfw.auth.certificate import Certificates
from mailfw.auth.chain import chain
from mailfw.errors import AuthenticationFailed
from mailfw.imap.server import imap, imaps
from mailfw.interfaces import IIdentitySource, IVerifierSource
from mailfw.net.sessions import SessionRegistry
from mailfw.net.tls import askForCertificates, channelBinding, tlsOf, verifiedCertificate
from mailfw.pop3.server import pop3s
from mailfw.sasl.exchange import Logins
from mailfw.sasl.external import ExternalClient
from mailfw.sasl.scram import ScramClient
from mailfw.sasl.steps import SCRAM
from mailfw.sasl.verifier import Verifier
from mailfw.sasl.wire import encode
from mailfw.smtp.server import submission, submissions
from mailfw.storage.memory import memory
from mailfw.testing.fakes import FakeAuthenticator, FakeStoreContext
from mailfw.testing.world import World
from mailfw.values import Identity

pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")

PATIENCE = 60
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
SHA256 = hashes.SHA256()


class Authority:
    """Issues certificates."""

    def __init__(self, name="authority", key=None, algorithm=SHA256):
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.algorithm = algorithm
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(self.name, self.name, self.key.public_key(), 1, NOW - DAY, NOW + DAY)
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        self.certificate = builder.sign(self.key, algorithm)

    def issue(self, *names, usage=x509.ExtendedKeyUsageOID.CLIENT_AUTH, ends=DAY):
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
        serial = x509.random_serial_number()
        builder = x509.CertificateBuilder(self.name, subject, key.public_key(), serial, NOW - 2 * DAY, NOW + ends)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        return builder.sign(self.key, self.algorithm), key


AUTHORITY, STRANGER = Authority(), Authority()
MBRAIN = x509.RFC822Name("mbrain@localhost")
SERVER = Authority("server").issue(x509.DNSName("localhost"), usage=x509.ExtendedKeyUsageOID.SERVER_AUTH)


def serverOptions(certificate, key, isOld=False):
    options = CertificateOptions(privateKey=key, certificate=certificate, raiseMinimumTo=TLSVersion.TLSv1_2)
    context = options.getContext()
    if isOld:
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
    return context


@implementer(IOpenSSLServerConnectionCreator)
class Creator:
    """What Twisted asks for a server's half of TLS."""

    def __init__(self, context):
        self.context = context

    def serverConnectionForTLS(self, protocol):
        return SSL.Connection(self.context, None)


@implementer(IVerifierSource, IIdentitySource)
class Accounts(FakeAuthenticator):
    """Every account has verifiers."""

    def mechanisms(self):
        return SCRAM

    async def verifier(self, user, mechanism):
        password = self.passwords.get(self.canonical(user))
        return Verifier.fromPassword(mechanism, password, b"0123456789abcdef", 4096) if password else None

    async def identify(self, user):
        return await self.identityOf(user)

    async def identityOf(self, user):
        if self.canonical(user) not in self.passwords:
            raise AuthenticationFailed
        return Identity(self.canonical(user))


@pytest.fixture
def serve(tmp_path):
    """Starts a service; returns its port."""
    store = memory.openStore("", FakeStoreContext(str(tmp_path)))
    world = World(store, directory=str(tmp_path))
    world.users = Accounts(world.users.passwords)
    context = world.context
    context.reactor, context.sessions = reactor, SessionRegistry(reactor)
    sources = chain([world.users, Certificates(["localhost"], {})])
    context.logins = Logins(sources, world.users, kinds=sources.kinds, identities=sources, domain="localhost", secret=b"x")
    ports = []

    def start(service, certificate=SERVER[0], key=SERVER[1], isOld=False, asks=True):
        tls = serverOptions(certificate, key, isOld)
        if asks:
            askForCertificates(tls, [AUTHORITY.certificate])
        context.tls = Creator(tls)
        factory = service.factory(context)
        if service.isTLS:
            factory = TLSMemoryBIOFactory(context.tls, isClient=False, wrappedFactory=factory)
        ports.append(reactor.listenTCP(0, factory, interface="127.0.0.1"))
        return ports[-1].getHost().port

    yield start
    for port in ports:
        pytest_twisted.blockon(port.stopListening())
    pytest_twisted.blockon(context.sessions.stop(5))
    pytest_twisted.blockon(Deferred.fromCoroutine(store.close()))


class Client:
    """A blocking client on pyOpenSSL, which tells what Python's ssl does not."""

    def __init__(self, port, shown=None):
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if shown is not None:
            certificate, key = shown
            self.context.use_certificate(certificate)
            self.context.use_privatekey(key)
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.tls = None
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def secure(self, session=None):
        self.tls = SSL.Connection(self.context, self.socket)
        self.tls.set_connect_state()
        if session is not None:
            self.tls.set_session(session)
        self._wait(self.tls.do_handshake)
        return self

    def _wait(self, call, *arguments):
        while True:
            try:
                return call(*arguments)
            except SSL.WantReadError:
                assert select.select([self.socket], [], [], PATIENCE)[0]

    def line(self):
        while b"\r\n" not in self.pending:
            data = self._wait(self.tls.recv, 4096) if self.tls is not None else self.socket.recv(4096)
            assert data
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\r\n")
        return line

    def send(self, line):
        if self.tls is not None:
            self._wait(self.tls.sendall, line + b"\r\n")
        else:
            self.socket.sendall(line + b"\r\n")

    def until(self, *starts):
        lines = [self.line()]
        while not lines[-1].startswith(starts):
            lines.append(self.line())
        return lines

    def binding(self, kind):
        """The client's own view of the channel."""
        if kind == "tls-exporter":
            return self.tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        certificate = self.tls.get_peer_certificate(as_cryptography=True)
        return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


def authenticate(client, mechanism, prompt=b"+ ", begin=b"a AUTHENTICATE ", good=b"a OK"):
    """Both halves; the last line."""
    initial = mechanism.start()
    client.send(begin + mechanism.name.encode() + b" " + (encode(initial) or b"="))
    while True:
        line = client.until(prompt, good, b"a NO", b"a BAD", b"5", b"-ERR")[-1]
        if not line.startswith(prompt):
            return line
        client.send(encode(mechanism.respond(base64.b64decode(line[len(prompt) :]))))


def mechanismsIn(line):
    return [word.removeprefix(b"AUTH=").decode() for word in line.strip(b"]").split() if word.startswith(b"AUTH=")]


# --- Channel binding ---


@pytest.mark.parametrize("kind", ["tls-exporter", "tls-server-end-point"])
@pytest.mark.parametrize("name", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"])
@pytest_twisted.ensureDeferred
async def test_aLoginIsBoundToTheChannel(serve, name, kind):
    port = serve(imaps)

    def converse():
        with Client(port).secure() as client:
            assert name in mechanismsIn(client.line().partition(b"]")[0])
            return authenticate(client, ScramClient(name, "mbrain", "mailfw", binding=(kind, client.binding(kind))))

    assert (await deferToThread(converse)).startswith(b"a OK")


@pytest_twisted.ensureDeferred
async def test_aLoginBoundToAnotherChannelFails(serve):
    """What somebody in the middle would do: pass on what a client said in another connection."""
    port = serve(imaps)

    def converse():
        with Client(port).secure() as one, Client(port).secure() as other:
            one.line()
            other.line()
            mechanism = ScramClient(
                "SCRAM-SHA-256-PLUS", "mbrain", "mailfw", binding=("tls-exporter", one.binding("tls-exporter"))
            )
            return authenticate(other, mechanism)

    assert (await deferToThread(converse)).startswith(b"a NO [AUTHENTICATIONFAILED]")


@pytest_twisted.ensureDeferred
async def test_whoSawNoPlusIsTheVictimOfSomebody(serve):
    port = serve(imaps)

    def converse():
        with Client(port).secure() as client:
            client.line()
            mechanism = ScramClient("SCRAM-SHA-256", "mbrain", "mailfw", binding=("tls-exporter", b"x"))
            return authenticate(client, mechanism)

    assert (await deferToThread(converse)).startswith(b"a NO [AUTHENTICATIONFAILED]")


@pytest.mark.parametrize(
    ("service", "hello", "begin", "good"),
    [
        (submissions, b"EHLO x", b"AUTH ", b"235 "),
        (pop3s, b"CAPA", b"AUTH ", b"+OK"),
    ],
    ids=["SMTP", "POP3"],
)
@pytest_twisted.ensureDeferred
async def test_inTheOtherProtocolsToo(serve, service, hello, begin, good):
    port = serve(service)

    def converse():
        with Client(port).secure() as client:
            client.line()
            client.send(hello)
            said = client.until(b"250 ", b".")
            assert any(b" SCRAM-SHA-256-PLUS " in line for line in said)
            mechanism = ScramClient(
                "SCRAM-SHA-256-PLUS", "mbrain", "mailfw", binding=("tls-exporter", client.binding("tls-exporter"))
            )
            return authenticate(client, mechanism, b"334 " if good == b"235 " else b"+ ", begin, good)

    assert (await deferToThread(converse)).startswith(good)


@pytest.mark.parametrize(
    ("service", "commands", "starts"),
    [(imap, [b"b STARTTLS"], b"b OK"), (submission, [b"EHLO x", b"STARTTLS"], b"220 2.0.0")],
    ids=["IMAP", "SMTP"],
)
@pytest_twisted.ensureDeferred
async def test_afterSTARTTLS(serve, service, commands, starts):
    port = serve(service)

    def converse():
        with Client(port) as client:
            assert b"-PLUS" not in client.line()
            for command in commands:
                client.send(command)
                said = client.until(starts, b"250 ")
                assert not any(b"-PLUS" in line for line in said)
            client.secure()
            client.send(b"c CAPABILITY" if service is imap else b"EHLO x")
            said = client.until(b"c OK", b"250 ")
            assert any(b"SCRAM-SHA-256-PLUS" in line for line in said)
            mechanism = ScramClient(
                "SCRAM-SHA-256-PLUS", "mbrain", "mailfw", binding=("tls-exporter", client.binding("tls-exporter"))
            )
            if service is imap:
                return authenticate(client, mechanism)
            return authenticate(client, mechanism, b"334 ", b"AUTH ", b"235 ")

    assert (await deferToThread(converse)).startswith((b"a OK", b"235 "))


@pytest_twisted.ensureDeferred
async def test_beforeTLS13OnlyTheCertificateBinds(serve):
    port = serve(imaps, isOld=True)

    def converse(kind):
        with Client(port).secure() as client:
            assert client.tls.get_protocol_version_name() == "TLSv1.2"
            client.line()
            return authenticate(
                client, ScramClient("SCRAM-SHA-256-PLUS", "mbrain", "mailfw", binding=(kind, client.binding(kind)))
            )

    assert (await deferToThread(converse, "tls-server-end-point")).startswith(b"a OK")
    assert (await deferToThread(converse, "tls-exporter")).startswith(b"a NO")


def handshake(server, shown=None, maximum=None):
    """Both ends of TLS in memory, done with the handshake."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if maximum is not None:
        context.set_max_proto_version(maximum)
    if shown is not None:
        context.use_certificate(shown[0])
        context.use_privatekey(shown[1])
    ends = [SSL.Connection(server, None), SSL.Connection(context, None)]
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    for _ in range(6):
        for here, there in (ends[::-1], ends):
            try:
                here.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                there.bio_write(here.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return ends


@pytest.mark.parametrize(
    ("signature", "expected"),
    [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512"), (None, None)],
)
def test_theCertificateIsHashedAsItWasSigned(signature, expected):
    authority = Authority("server", ed25519.Ed25519PrivateKey.generate() if signature is None else None, signature)
    certificate, key = authority.issue()
    server, client = handshake(serverOptions(certificate, key))
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert channelBinding(server, "tls-server-end-point") == (hashlib.new(expected, der).digest() if expected else None)
    exported = channelBinding(server, "tls-exporter")
    assert exported is not None
    assert exported == channelBinding(client, "tls-exporter")
    assert channelBinding(server, "tls-unique") is None


def test_beforeTheHandshakeThereIsNothingToBindTo():
    server = SSL.Connection(serverOptions(*SERVER), None)
    server.set_accept_state()
    assert channelBinding(server, "tls-exporter") is None
    assert verifiedCertificate(server) is None
    assert tlsOf(None) is None
    assert tlsOf(object()) is None


# --- Client certificates ---

OTHERS = {
    "none": None,
    "a stranger's": STRANGER.issue(MBRAIN),
    "expired": AUTHORITY.issue(MBRAIN, ends=-DAY),
    "for servers": AUTHORITY.issue(MBRAIN, usage=x509.ExtendedKeyUsageOID.SERVER_AUTH),
}


@pytest.mark.parametrize("isOld", [False, True])
def test_aVerifiedCertificate(isOld):
    context = serverOptions(*SERVER, isOld=isOld)
    askForCertificates(context, [Authority("another").certificate, AUTHORITY.certificate])
    shown = AUTHORITY.issue(MBRAIN)
    server, _ = handshake(context, shown)
    assert verifiedCertificate(server) == shown[0].public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("which", OTHERS)
@pytest.mark.parametrize("isOld", [False, True])
def test_anotherCertificateIsNoneButDoesNoHarm(which, isOld):
    context = serverOptions(*SERVER, isOld=isOld)
    askForCertificates(context, [AUTHORITY.certificate])
    server, client = handshake(context, OTHERS[which])
    assert verifiedCertificate(server) is None
    client.send(b"hello")
    server.bio_write(client.bio_read(4096))
    assert server.recv(10) == b"hello"


def test_nobodyIsAskedUnlessConfigured():
    server, _ = handshake(serverOptions(*SERVER), AUTHORITY.issue(MBRAIN))
    assert verifiedCertificate(server) is None
    assert server.get_peer_certificate(as_cryptography=True) is None


@pytest_twisted.ensureDeferred
async def test_aClientWithACertificateLogsIn(serve):
    port = serve(imaps)

    def converse(shown, user=""):
        with Client(port, shown).secure() as client:
            greeting = client.line()
            return "EXTERNAL" in mechanismsIn(greeting.partition(b"]")[0]), authenticate(client, ExternalClient(user))

    offered, answer = await deferToThread(converse, AUTHORITY.issue(MBRAIN))
    assert offered
    assert answer.endswith(b"logged in as mbrain@localhost")
    offered, answer = await deferToThread(converse, AUTHORITY.issue(MBRAIN), "jsmith")
    assert offered
    assert answer.startswith(b"a NO [AUTHENTICATIONFAILED]")
    offered, answer = await deferToThread(converse, AUTHORITY.issue(x509.RFC822Name("nobody@localhost")))
    assert answer.startswith(b"a NO [AUTHENTICATIONFAILED]")
    for shown in OTHERS.values():
        offered, answer = await deferToThread(converse, shown)
        assert not offered
        assert answer.startswith(b"a NO [CANNOT]")


# --- The greeting ---


@pytest_twisted.ensureDeferred
async def test_nobodyIsGreetedBeforeTheHandshake(serve):
    port = serve(imaps)

    def converse():
        with Client(port) as client:
            client.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.socket.recv(1)
            client.socket.settimeout(PATIENCE)
            return client.secure().line()

    assert (await deferToThread(converse)).startswith(b"* OK ")
