"""Python's imaplib and imapclient against our server, on real sockets and in real threads, with and without TLS."""

import datetime
import email
import imaplib
import ipaddress
import ssl
import threading
import time
import zlib

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from imapclient import IMAPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory

from mailfw.imap.server import imap, imaps
from mailfw.storage.memory import memory
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World
from mailfw.values import MessageSource, Target

pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")

MESSAGE = b"From: a@example.org\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\r\nHello there.\r\n"


class ThreadedStoreContext(FakeStoreContext):
    """Opens stores as production does."""

    isInline = False

    def __init__(self):
        super().__init__("")
        self.reactor = reactor

    def now(self):
        return time.time()


@pytest.fixture(scope="module")
def certificate():
    """A certificate for 127.0.0.1 and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return signed.public_bytes(pem), secret


@pytest.fixture
def trust(certificate):
    """What a client needs to believe that certificate."""
    return ssl.create_default_context(cadata=certificate[0].decode())


@pytest.fixture
def realWorld(certificate, tmp_path):
    store = memory.openStore("", ThreadedStoreContext())
    world = World(store, clock=reactor, directory=str(tmp_path))
    world.context.spool.prepare()
    world.context.tls = PrivateCertificate.loadPEM(b"".join(certificate)).options()
    yield world
    pytest_twisted.blockon(Deferred.fromCoroutine(store.close()))


@pytest.fixture
def serve(realWorld):
    """Starts a service; returns its port. All ends with the test."""
    ports = []

    def start(service):
        factory = service.factory(realWorld.context)
        if service.isTLS:
            factory = TLSMemoryBIOFactory(realWorld.context.tls, isClient=False, wrappedFactory=factory)
        ports.append(reactor.listenTCP(0, factory, interface="127.0.0.1"))
        return ports[-1].getHost().port

    yield start
    for port in ports:
        pytest_twisted.blockon(port.stopListening())
    pytest_twisted.blockon(realWorld.context.sessions.stop(5))


def useImaplib(client):
    """What scripts do with imaplib."""
    assert client.login("jsmith", "mailfw")[0] == "OK"
    assert client.append("INBOX", "(\\Flagged)", imaplib.Time2Internaldate(1e9), MESSAGE)[0] == "OK"
    assert client.select()[1] == [b"1"]
    status, [(_, octets), _] = client.fetch("1", "(RFC822 FLAGS)")
    assert (status, octets) == ("OK", MESSAGE)
    assert client.search(None, "FLAGGED", "SUBJECT", '"hello"')[1] == [b""]
    client.literal = "GRÜSSE".encode()
    assert client.uid("SEARCH", "CHARSET", "UTF-8", "SUBJECT")[1] == [b"1"]
    assert client.copy("1", "Archive")[0] == "OK"
    assert client.store("1", "+FLAGS", "\\Deleted")[0] == "OK"
    assert client.expunge()[1] == [b"1"]
    assert client.create('"a b/c"')[0] == "OK"
    assert b'(\\HasNoChildren) "/" "a b/c"' in client.list()[1]
    assert client.status("Archive", "(MESSAGES UIDNEXT)")[1] == [b"Archive (MESSAGES 1 UIDNEXT 2)"]
    assert client.logout()[0] == "BYE"


@pytest_twisted.ensureDeferred
async def test_imaplib(serve):
    port = serve(imap)
    await deferToThread(lambda: useImaplib(imaplib.IMAP4("127.0.0.1", port, timeout=120)))


@pytest_twisted.ensureDeferred
async def test_imaplibUnderTLS(serve, trust):
    port = serve(imaps)
    await deferToThread(lambda: useImaplib(imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=trust, timeout=120)))


@pytest_twisted.ensureDeferred
async def test_imaplibWithSTARTTLS(serve, trust):
    port = serve(imap)

    def session():
        client = imaplib.IMAP4("127.0.0.1", port, timeout=120)
        assert client.starttls(trust)[0] == "OK"
        assert "STARTTLS" not in client.capabilities
        useImaplib(client)

    await deferToThread(session)


class _Deflated:
    """A socket's octets under DEFLATE, for imaplib to read and write."""

    def __init__(self, socket):
        self._socket = socket
        self._deflater = zlib.compressobj(wbits=-15)
        self._inflater = zlib.decompressobj(wbits=-15)
        self._heard = b""
        self.octets = self.inflated = 0

    def send(self, data):
        self._socket.sendall(self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH))

    def _more(self):
        data = self._socket.recv(65536)
        assert data, "the server has hung up"
        inflated = self._inflater.decompress(data)
        self.octets += len(data)
        self.inflated += len(inflated)
        self._heard += inflated

    def readline(self):
        while b"\n" not in self._heard:
            self._more()
        line, end, self._heard = self._heard.partition(b"\n")
        return line + end

    def read(self, size):
        while len(self._heard) < size:
            self._more()
        data, self._heard = self._heard[:size], self._heard[size:]
        return data


class Compressing(imaplib.IMAP4_SSL):
    """Compresses as soon as it has logged in."""

    def login(self, user, password):
        logged = super().login(user, password)
        imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")
        assert self._simple_command("COMPRESS", "DEFLATE")[0] == "OK"
        self.deflated = _Deflated(self.sock)
        self.send, self.readline, self.read = self.deflated.send, self.deflated.readline, self.deflated.read
        return logged


@pytest_twisted.ensureDeferred
async def test_imaplibUnderCompressionAndTLS(serve, trust):
    port = serve(imaps)
    await deferToThread(lambda: useImaplib(Compressing("127.0.0.1", port, ssl_context=trust, timeout=120)))


@pytest_twisted.ensureDeferred
async def test_a_large_message_under_compression(serve, trust, realWorld):
    text = b"".join(b"line %d of a text that is said again and again\r\n" % number for number in range(100_000))
    await realWorld.context.store.deliver(MessageSource(b"Subject: x\r\n\r\n" + text), [Target("jsmith@localhost")])
    port = serve(imaps)

    def session():
        client = Compressing("127.0.0.1", port, ssl_context=trust, timeout=120)
        client.login("jsmith", "mailfw")
        client.select()
        _, [(_, octets), _] = client.fetch("1", "(BODY.PEEK[TEXT])")
        assert octets == text
        assert client.append("INBOX", "", imaplib.Time2Internaldate(1e9), b"Subject: y\r\n\r\n" + text)[0] == "OK"
        assert client.deflated.octets * 4 < client.deflated.inflated
        client.logout()

    await deferToThread(session)


@pytest_twisted.ensureDeferred
async def test_imapclient(serve):
    port = serve(imap)

    def session():
        client = IMAPClient("127.0.0.1", port, ssl=False, timeout=120)
        client.plain_login("jsmith", "mailfw")
        assert client.id_({"name": "test"})[0][:2] == (b"name", b"mailfw")
        assert client.namespace().personal == (("", "/"),)
        client.create_folder("Entwürfe & mehr/台北")
        assert "Entwürfe & mehr/台北" in [name for _, _, name in client.list_folders()]
        assert client.find_special_folder(b"\\Trash") == "Trash"
        for number in range(3):
            client.append("INBOX", MESSAGE.replace(b"there", b"%d" % number), [b"kw"])
        assert client.select_folder("INBOX")[b"EXISTS"] == 3
        assert client.search(["TEXT", "hello 2"]) == [3]
        fetched = client.fetch([1, 2, 3], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "BODY.PEEK[]"])
        assert fetched[2][b"ENVELOPE"].subject == b"=?utf-8?q?gr=C3=BC=C3=9Fe?="
        assert email.message_from_bytes(fetched[3][b"BODY[]"])["From"] == "a@example.org"
        client.add_flags([1], [b"\\Seen"])
        assert set(client.get_flags([1])[1]) >= {b"\\Seen", b"kw"}
        client.move([2], "Archive")
        client.delete_messages([1])
        client.uid_expunge([1])
        assert client.search() == [3]
        client.unselect_folder()
        client.rename_folder("Archive", "Attic")
        assert client.folder_status("Attic", ["MESSAGES"])[b"MESSAGES"] == 1
        client.logout()

    await deferToThread(session)


@pytest_twisted.ensureDeferred
async def test_idle(serve, realWorld):
    port = serve(imap)
    isIdling, hasHeard = threading.Event(), threading.Event()
    heard = []

    def session():
        client = IMAPClient("127.0.0.1", port, ssl=False, timeout=120)
        client.login("jsmith", "mailfw")
        client.select_folder("INBOX")
        client.idle()
        isIdling.set()
        heard.extend(client.idle_check(timeout=120))
        hasHeard.set()
        client.idle_done()
        client.logout()

    done = deferToThread(session)
    await deferToThread(isIdling.wait, 10)
    await realWorld.context.store.deliver(MessageSource(MESSAGE), [Target("jsmith@localhost")])
    await done
    assert (1, b"EXISTS") in heard


@pytest_twisted.ensureDeferred
async def test_large_messages(serve, trust):
    """Larger than every buffer and spool on the way, both ways, under TLS."""
    port = serve(imaps)
    message = b"Subject: large\r\n\r\n" + bytes(range(1, 256)) * 40_000

    def session():
        client = imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=trust, timeout=120)
        client.login("jsmith", "mailfw")
        with client.socket() as sock:
            sock.sendall(b"x APPEND INBOX {%d+}\r\n%b\r\n" % (len(message), message))
            assert client.readline().startswith(b"x OK")
            client.select()
            _, [(_, octets), _] = client.fetch("1", "BODY.PEEK[]")
            assert octets == message
            _, [(_, octets), _] = client.fetch("1", "BODY.PEEK[]<5000000.70000>")
            assert octets == message[5_000_000:5_070_000]

    await deferToThread(session)
