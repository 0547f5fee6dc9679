"""The client against our own server, on every kind of store, on a fake clock; and against servers that are scripted to be bad."""

from __future__ import annotations

import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.errors import AuthenticationFailed, NoSuchMailbox, NotSupported, Refusal, Vanished
from mailfw.imap.client import ALL, Connection, GarbledAnswer, IMAPClient, Mailbox, TLSFailed, idle, select, startTLS
from mailfw.imap.client.idling import RENEWAL
from mailfw.imap.client.view import View
from mailfw.imap.grammar import answers
from mailfw.imap.grammar.answers import Exists, Expunged
from mailfw.imap.grammar.fetch import Attribute, BodySection
from mailfw.imap.grammar.fetched import Fetched
from mailfw.imap.grammar.framing import ResponseLimits
from mailfw.imap.grammar.listing import Returned
from mailfw.imap.grammar.mailboxes import StatusItem
from mailfw.imap.grammar.modifiers import Resync
from mailfw.imap.grammar.search import AnyOf
from mailfw.imap.grammar.searching import Return
from mailfw.imap.server import imap
from mailfw.message.criteria import HasFlag, Header
from mailfw.message.section import Section
from mailfw.message.sort import Kind, SortKey
from mailfw.message.thread import Algorithm
from mailfw.sasl.plain import PlainClient
from mailfw.storage.maildir import maildir
from mailfw.storage.memory import memory
from mailfw.storage.opening import openStore
from mailfw.storage.sqlite import sqlite
from mailfw.storage.textfile import textfile
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World
from mailfw.values import FlagChange, MessageSource, UIDSet

STORES = {
    "memory": (memory, ""),
    "sqlite": (sqlite, "mail?shards=1"),
    "maildir": (maildir, "mail"),
    "textfile": (textfile, "mail"),
}
WHOLE = BodySection(Section(), b"BODY[]", isPeek=True)


class Transport:
    """A client's transport in memory, which keeps what was written until somebody takes it."""

    def __init__(self):
        self.written = []
        self.isClosed = self.isPaused = self.isTLS = False
        self.producer = None

    def write(self, data):
        self.written.append(data)

    def abortConnection(self):
        self.isClosed = True
        self.connection.connectionLost()

    def startTLS(self, options):
        self.isTLS = True

    def registerProducer(self, producer, streaming):
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def pauseProducing(self):
        self.isPaused = True

    def resumeProducing(self):
        self.isPaused = False

    def take(self):
        data, self.written = b"".join(self.written), []
        if self.producer is not None:
            self.producer.resumeProducing()
        return data


class Wired:
    """A client, wired to our server."""

    def __init__(self, world):
        self.world = world
        self.server = world.connect(imap)
        self.transport = Transport()
        self.said = b""
        self.connection = self.transport.connection = Connection(world.clock)
        self.connection.makeConnection(self.transport)
        self.client = IMAPClient(self.connection)

    def pump(self):
        """Carry octets both ways; whether there were any."""
        sent = self.transport.take()
        if sent:
            self.server.send(sent)
        self.said += self.server.take()
        said = b"" if self.transport.isPaused else self.said[:65536]
        self.said = self.said[len(said) :]
        if said:
            self.connection.dataReceived(said)
        if self.server.isClosed and not self.transport.isClosed and not said:
            self.connection.connectionLost()
            return True
        return bool(sent or said)


class Clients:
    """Clients in a world, and what runs them."""

    def __init__(self, world):
        self.world = world
        self.wired = []

    def __call__(self):
        self.wired.append(Wired(self.world))
        client = self.wired[-1].client
        self.run(client.greeted())
        self.run(client.logIn("jsmith", "mailfw", mayUsePlaintext=True))
        return client

    def settle(self):
        """Until nothing more happens."""
        for _ in range(10_000):
            isBusy = [one.pump() for one in self.wired]
            self.world.advance()
            if not any(isBusy) and not any(one.transport.written for one in self.wired):
                return
        raise AssertionError("this does not end")

    def run(self, coroutine):
        """The result of something that waits."""
        outcome = []
        Deferred.fromCoroutine(coroutine).addBoth(outcome.append)
        self.settle()
        assert outcome, "it waits for something that is not coming"
        if hasattr(outcome[0], "raiseException"):
            outcome[0].raiseException()
        return outcome[0]


@pytest.fixture(params=STORES)
def clients(request, tmp_path):
    """Makes clients that have logged in, in a world with that store."""
    plugin, argument = STORES[request.param]
    clock = Clock()
    world = World(
        openStore(plugin, argument, FakeStoreContext(str(tmp_path), clock=clock)), clock=clock, directory=str(tmp_path / "spool")
    )
    world.context.spool.prepare()
    made = Clients(world)
    yield made
    for one in made.wired:
        one.server.hangUp()
        one.connection.connectionLost()
    world.advance()
    world.closeStore()


def message(subject, body="Hello there.\r\n"):
    return f"From: a@x.example\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x.example>\r\n\r\n{body}".encode()


async def collect(stream):
    return [item async for item in stream]


# --- Against our server ----------------------------------------------------------------------------------------------


def test_mailboxes(clients):
    client = clients()

    async def session():
        await client.create("Entwürfe & mehr/台北")
        listed, counters = await client.listMailboxes(returns=[Returned.SUBSCRIBED])
        assert "Entwürfe & mehr/台北" in {one.name for one in listed}
        assert not counters
        await client.rename("Entwürfe & mehr/台北", "Plans")
        await client.subscribe("Plans")
        listed, _ = await client.listMailboxes("Pl%", returns=[Returned.SUBSCRIBED])
        assert [one.name for one in listed if one.has("\\subscribed")] == ["Plans"]
        assert (await client.status("Plans", StatusItem.MESSAGES, StatusItem.UIDNEXT)).items == {"MESSAGES": 0, "UIDNEXT": 1}
        await client.delete("Plans")
        with pytest.raises(NoSuchMailbox):
            await client.status("Plans", StatusItem.MESSAGES)
        assert (await client.namespaces()).personal == (("", "/"),)
        assert (await client.identify(("name", "test"), ("os", None)))["name"] == "mailfw"

    clients.run(session())


def test_messages(clients):
    client = clients()

    async def session():
        for number, subject in enumerate(("one", "two", "grün")):
            appended = await client.append("INBOX", message(subject), ["\\Seen"] if number else [], date=1e9 + number)
            assert appended.uid == number + 1
        box = await select(client, "INBOX")
        assert (box.view.exists, box.view.uidNext, box.view.uidValidity) == (3, 4, appended.uidValidity)
        wanted = (Attribute.ENVELOPE, Attribute.INTERNAL_DATE, Attribute.BODY_STRUCTURE, Attribute.SIZE, WHOLE)
        found = await collect(box.fetch(ALL, *wanted))
        assert [one.section(WHOLE) for one in found] == [message("one"), message("two"), message("grün")]
        assert [one.internalDate for one in found] == [1e9, 1e9 + 1, 1e9 + 2]
        assert all(one.size == len(one.section(WHOLE)) and one.body.kind == b"text" for one in found)
        assert found[2].envelope.subject.decode() == "grün"

        assert not await box.store((1, 2), ("\\Flagged", "kw"))
        assert box.view.flags[2] >= {"\\Seen", "\\Flagged", "kw"}
        await box.store((2,), ("\\Seen",), FlagChange.REMOVE, isSilent=True)
        assert "\\Seen" not in box.view.flags[2]
        assert "kw" in box.view.keywords

        assert list((await box.search(Header("Subject", "GRÜN"))).all) == [3]
        counted = await box.search(AnyOf((HasFlag("kw"), HasFlag("\\Seen"))), Return.COUNT, Return.MAX)
        assert (counted.count, counted.maximum) == (3, 3)
        assert list(await box.sort([SortKey(Kind.SUBJECT, isReverse=True)])) == [2, 1, 3]
        assert (await box.thread(Algorithm.ORDEREDSUBJECT)).depths == (0, 0, 0)

        copied = await box.copy(UIDSet.of(1, 3), "Archive")
        assert list(copied.sources) == [1, 3]
        assert len(copied.targets) == 2
        moved = await box.move((2,), "Trash")
        assert list(moved.sources) == [2]
        assert (box.view.exists, str(box.view.uids)) == (2, "1,3")
        await box.store((1,), ("\\Deleted",))
        await box.expunge((1, 3))
        assert (box.view.exists, box.view.uid(1)) == (1, 3)
        assert not await collect(box.fetch((), Attribute.UID))
        await box.unselect()
        with pytest.raises(RuntimeError):
            await box.expunge()

    clients.run(session())


def test_large_messages(clients):
    client = clients()
    large = message("large", "0123456789abcdef\r\n" * 20_000)

    async def session():
        await client.append("INBOX", MessageSource(large))
        box = await select(client, "INBOX", isReadOnly=True)
        pieces = [piece async for piece in box.download(1, size=100_000)]
        assert b"".join(pieces) == large
        assert [len(piece) for piece in pieces][:-1] == [100_000] * (len(pieces) - 1)
        assert b"".join([piece async for piece in box.download(1, start=300_000)]) == large[300_000:]
        with pytest.raises(Vanished):
            async for _ in box.download(77):
                pass

    clients.run(session())


def test_literalsThatMustBeAskedFor(clients):
    """A server without LITERAL+: the same message, in the same order, between other commands."""
    client = clients()
    client.connection.literalLimit = 0

    async def session():
        first = Deferred.fromCoroutine(client.append("INBOX", message("one", "x" * 100_000)))
        second = Deferred.fromCoroutine(client.append("Nowhere", message("two")))
        third = Deferred.fromCoroutine(client.append("INBOX", message("three")))
        await client.noop()
        assert (await first).uid == 1
        with pytest.raises(NoSuchMailbox):
            await second
        assert (await third).uid == 2

    clients.run(session())


def test_whoComesBackIsToldOnlyWhatIsNew(clients):
    """CONDSTORE and QRESYNC, as an offline cache uses them."""
    client, other = clients(), clients()

    async def session():
        for number in range(5):
            await client.append("INBOX", message(str(number)))
        await client.enable("QRESYNC")
        assert client.enabled >= {"QRESYNC"}
        box = await select(client, "INBOX")
        known = box.view
        await box.unselect()

        otherBox = await select(other, "INBOX")
        await otherBox.store((2,), ("\\Flagged",))
        await otherBox.store((1, 4), ("\\Deleted",))
        await otherBox.expunge()

        box = await select(client, "INBOX", resync=Resync(known.uidValidity, known.highestModSeq))
        assert str(box.view.vanished) == "1,4"
        assert [(one.uid, "\\Flagged" in one.flags) for one in box.changed] == [(2, True)]
        assert box.view.exists == 3
        assert box.view.highestModSeq > known.highestModSeq
        found = await collect(box.fetch(ALL, Attribute.FLAGS, changedSince=known.highestModSeq, wantsVanished=True))
        assert [one.uid for one in found] == [2]
        await otherBox.store((3,), ("\\Seen",))
        assert str(await box.store((2, 3), ("kw",), unchangedSince=box.view.highestModSeq)) == "3"
        await otherBox.store((5,), ("\\Deleted",))
        await otherBox.expunge((5,))
        await client.noop()
        assert (box.view.exists, 5 in box.view.flags) == (2, False)
        box = await select(client, "Archive")
        assert box.view.exists == 0

    clients.run(session())


def test_idle(clients):
    client, other = clients(), clients()
    heard = []

    async def session():
        await client.append("INBOX", message("one"))
        box = await select(client, "INBOX")
        await collect(box.fetch(ALL, Attribute.FLAGS))
        otherBox = await select(other, "INBOX")
        async with await idle(client) as news:
            with pytest.raises(RuntimeError):
                await client.noop()
            await other.append("INBOX", message("two"))
            await otherBox.store((1,), ("\\Flagged",))
            await otherBox.store((1,), ("\\Deleted",))
            await otherBox.expunge()
            async for answer in news:
                heard.append(answer)
                if isinstance(answer, answers.Vanished):
                    break
        await client.noop()
        assert (box.view.exists, box.view.uid(1)) == (1, None)

    clients.run(session())
    assert Exists(2) in heard
    assert any(isinstance(answer, Fetched) and answer.uid == 1 and "\\Flagged" in answer.flags for answer in heard)
    assert answers.Vanished(UIDSet.of(1)) in heard


def test_idleIsBegunAnew(clients):
    client = clients()
    news = clients.run(idle(client))
    clients.wired[0].server.take()
    for _ in range(2):
        clients.world.advance(RENEWAL)
        sent = clients.wired[0].transport.take()
        assert sent == b"DONE\r\n"
        clients.wired[0].server.send(sent)
        clients.settle()
    clients.run(news.done())
    clients.run(client.noop())
    assert clients.run(collect(news)) == []


def test_manyCommandsAtOnce(clients):
    client = clients()

    async def session():
        appended = [Deferred.fromCoroutine(client.append("INBOX", message(str(number)))) for number in range(20)]
        box = await select(client, "INBOX")
        assert [(await one).uid for one in appended] == list(range(1, 21))
        streams = [box.fetch((number,), Attribute.UID, WHOLE) for number in range(1, 21)]
        for number, stream in enumerate(streams):
            (found,) = await collect(stream)
            assert (found.uid, found.section(WHOLE)) == (number + 1, message(str(number)))

    clients.run(session())


def test_otherCommandsWhileFetching(clients):
    """Whoever asks for something else in the middle of a FETCH is not left waiting for himself."""
    client = clients()

    async def session():
        for number in range(30):
            await client.append("INBOX", message(str(number), "x" * 100_000))
        box = await select(client, "INBOX")
        seen = 0
        async for found in box.fetch(ALL, WHOLE):
            await box.store((found.uid,), ("\\Seen",))
            seen += 1
        assert seen == 30

    clients.run(session())


def test_aSlowReaderStopsTheServer(clients):
    client = clients()

    async def session():
        for number in range(40):
            await client.append("INBOX", message(str(number), "x" * 100_000))
        box = await select(client, "INBOX")
        return box.fetch(ALL, WHOLE)

    stream = clients.run(session())
    assert clients.wired[0].transport.isPaused
    assert len(clients.run(collect(stream))) == 40
    assert not clients.wired[0].transport.isPaused


def test_aStreamCanBeLeft(clients):
    client = clients()

    async def session():
        for number in range(30):
            await client.append("INBOX", message(str(number), "x" * 100_000))
        box = await select(client, "INBOX")
        async with box.fetch(ALL, WHOLE) as stream:
            async for _ in stream:
                break
        await client.noop()

    clients.run(session())


def test_loggingIn(clients):
    wired = Wired(clients.world)
    clients.wired.append(wired)
    client = wired.client
    clients.run(client.greeted())
    with pytest.raises(AuthenticationFailed):
        clients.run(client.authenticate(PlainClient("jsmith", "wrong")))
    with pytest.raises(NotSupported):
        clients.run(client.logIn("jsmith", "mailfw"))
    clients.run(client.logIn("jsmith", "mailfw", mayUsePlaintext=True))
    assert client.isAuthenticated
    assert "AUTH=PLAIN" not in client.capabilities
    clients.run(client.logOut())
    with pytest.raises(ConnectionError):
        clients.run(client.noop())


# --- Against servers that are bad --------------------------------------------------------------------------------------


class Scripted:
    """A client whose server says what a test wants."""

    def __init__(
        self, greeting=b"* OK [CAPABILITY IMAP4rev1 IDLE STARTTLS SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN] hello\r\n", limits=None
    ):
        self.clock = Clock()
        self.transport = Transport()
        self.connection = self.transport.connection = Connection(self.clock, limits=limits)
        self.connection.makeConnection(self.transport)
        self.client = IMAPClient(self.connection)
        self.say(greeting)

    def say(self, data):
        self.connection.dataReceived(data)

    def begin(self, coroutine):
        """What becomes of it: a list, empty until then."""
        outcome = []
        Deferred.fromCoroutine(coroutine).addBoth(outcome.append)
        return outcome


@pytest.fixture
def scripted():
    return Scripted()


def failed(outcome, kind):
    assert outcome
    assert outcome[0].check(kind), outcome[0]
    return True


@pytest.mark.parametrize(
    "say",
    [
        lambda client: client.create("a", "\\Sent)\r\n9 LOGOUT"),
        lambda client: client.enable("x\r\n9 LOGOUT"),
        lambda client: client.append("a", b"x", ["a\r\nb"]),
        lambda client: client.login("a\0b", "c"),
        lambda client: client.perform(iter((b"NOOP\r\n9 LOGOUT",))),
    ],
)
def test_nobodyPutsACommandIntoACommand(scripted, say):
    assert failed(scripted.begin(say(scripted.client)), ValueError)
    assert scripted.transport.take() == b""
    again = scripted.begin(scripted.client.noop())
    scripted.say(b"%d OK\r\n" % int(scripted.transport.take().split()[0]))
    assert again == [None]


def test_whatCameBeforeTLSCountsNoMore(scripted):
    outcome = scripted.begin(startTLS(scripted.client, object()))
    scripted.say(b"1 OK begin\r\n")
    assert scripted.transport.isTLS
    assert not scripted.client.capabilities
    scripted.connection.handshakeCompleted()
    assert outcome == [None]


@pytest.mark.parametrize(
    "said", [b"1 OK begin\r\n* CAPABILITY IMAP4rev1\r\n", b"1 OK begin\r\n* CAP", b"1 NO no\r\n", b"1 BAD what\r\n"]
)
def test_noTLSWhereSomebodySpeaksBetween(scripted, said):
    outcome = scripted.begin(startTLS(scripted.client, object()))
    scripted.say(said)
    assert failed(outcome, TLSFailed)
    assert not scripted.transport.isTLS
    assert scripted.transport.isClosed


def test_noTLSWhereNoLoginIsWanted():
    scripted = Scripted(b"* PREAUTH welcome\r\n")
    scripted.begin(scripted.client.greeted())
    assert failed(scripted.begin(startTLS(scripted.client, object())), TLSFailed)
    assert scripted.transport.isClosed


def test_turnedAway():
    scripted = Scripted(b"* BYE too many\r\n")
    assert failed(scripted.begin(scripted.client.greeted()), ConnectionError)


def test_passwordsAreNotShownInTheClear(scripted):
    scripted.client.capabilities -= {"AUTH=SCRAM-SHA-256"}
    assert failed(scripted.begin(scripted.client.logIn("u", "p")), NotSupported)
    assert scripted.transport.written == []


def test_aServerThatProvesNothing(scripted):
    outcome = scripted.begin(scripted.client.logIn("u", "p"))
    scripted.say(b"1 OK [CAPABILITY IMAP4rev1] welcome\r\n")
    assert failed(outcome, ConnectionError)
    assert scripted.transport.isClosed


def test_aChallengeThatIsNone(scripted):
    outcome = scripted.begin(scripted.client.logIn("u", "p"))
    scripted.say(b"+ !!!\r\n")
    assert scripted.transport.take().endswith(b"*\r\n")
    scripted.say(b"1 BAD cancelled\r\n")
    assert failed(outcome, AuthenticationFailed)


def test_garbage(scripted):
    """What is garbled fails the commands that may have wanted it, and nothing else."""
    outcome = scripted.begin(scripted.client.listMailboxes())
    scripted.say(b'* LIST () "/" a\r\n* LIST (((\r\n1 OK done\r\n')
    assert failed(outcome, GarbledAnswer)
    again = scripted.begin(scripted.client.noop())
    scripted.say(b"2 OK\r\n")
    assert again == [None]


@pytest.mark.parametrize("said", [b"x" * 2000, b"* LIST {5000}\r\n", b"7 OK what\r\n"])
def test_theEndOfPatience(said):
    scripted = Scripted(limits=ResponseLimits(line=1000, response=3000))
    outcome = scripted.begin(scripted.client.noop())
    scripted.say(said)
    assert failed(outcome, ConnectionError)
    assert scripted.transport.isClosed


def test_silence(scripted):
    outcome = scripted.begin(scripted.client.noop())
    scripted.clock.advance(299)
    assert not outcome
    scripted.clock.advance(1)
    assert failed(outcome, ConnectionError)


def test_byeSaysWhy(scripted):
    outcome = scripted.begin(scripted.client.noop())
    scripted.say(b"* BYE [UNAVAILABLE] closing time\r\n")
    scripted.connection.connectionLost()
    assert failed(outcome, ConnectionError)
    assert "closing time" in str(outcome[0].value)


def test_idleRefused(scripted):
    outcome = scripted.begin(idle(scripted.client))
    scripted.say(b"1 NO not now\r\n")
    assert failed(outcome, Refusal)
    assert not scripted.client.listeners


@pytest.mark.parametrize("said", [b"1 OK what for\r\n", b"+ idling\r\n1 OK that is enough\r\n"])
def test_idleEndedByTheServer(scripted, said):
    outcome = scripted.begin(idle(scripted.client))
    scripted.say(said)
    if said.startswith(b"1"):
        assert failed(outcome, NotSupported)
    else:
        assert scripted.begin(collect(outcome[0])) == [[]]
        assert scripted.begin(outcome[0].done()) == [None]
    scripted.transport.take()
    again = scripted.begin(scripted.client.noop())
    assert scripted.transport.take() == b"2 NOOP\r\n"
    scripted.say(b"2 OK\r\n")
    assert again == [None]


def test_idleCutOff(scripted):
    outcome = scripted.begin(idle(scripted.client))
    scripted.say(b"+ idling\r\n")
    taken = scripted.begin(collect(outcome[0]))
    scripted.clock.advance(RENEWAL - 1)
    scripted.connection.connectionLost()
    assert failed(taken, ConnectionError)


def test_compression(scripted):
    outcome = scripted.begin(scripted.client.compress())
    deflater = zlib.compressobj(wbits=-15)
    said = deflater.compress(b"* 1 EXISTS\r\n") + deflater.flush(zlib.Z_SYNC_FLUSH)
    heard = []
    scripted.client.listeners.append(heard.append)
    scripted.transport.take()
    scripted.say(b"1 OK now\r\n" + said)
    assert outcome == [None]
    assert heard == [Exists(1)]
    again = scripted.begin(scripted.client.noop())
    assert zlib.decompressobj(-15).decompress(scripted.transport.take()) == b"2 NOOP\r\n"
    said = deflater.compress(b"2 OK done\r\n") + deflater.flush(zlib.Z_SYNC_FLUSH)
    for octet in said:
        scripted.say(bytes((octet,)))
    assert again == [None]


def test_aLittleThatIsVeryMuch():
    """A megabyte of zeros in a thousand octets ends the session, and is never in memory as a whole."""
    scripted = Scripted(limits=ResponseLimits(line=10_000, response=10_000))
    scripted.begin(scripted.client.compress())
    deflater = zlib.compressobj(wbits=-15)
    scripted.say(b"1 OK now\r\n")
    outcome = scripted.begin(scripted.client.noop())
    scripted.say(deflater.compress(b"0" * 50_000_000) + deflater.flush())
    assert failed(outcome, ConnectionError)
    assert scripted.transport.isClosed


def test_aMailboxThatIsClosedByAnother(scripted):
    """What is said before CLOSED is of the mailbox before (RFC 7162 §3.2.11)."""
    scripted.client.capabilities |= {"QRESYNC"}
    first = scripted.begin(select(scripted.client, "a"))
    scripted.say(b"* 5 EXISTS\r\n1 OK [READ-WRITE]\r\n")
    second = scripted.begin(select(scripted.client, "b"))
    scripted.say(b"* 6 EXISTS\r\n* OK [CLOSED]\r\n* 2 EXISTS\r\n2 OK [READ-ONLY]\r\n")
    assert (first[0].view.exists, second[0].view.exists, second[0].view.isReadOnly) == (6, 2, True)
    third = scripted.begin(select(scripted.client, "c"))
    scripted.say(b"* OK [CLOSED]\r\n3 NO [NONEXISTENT] no\r\n")
    assert failed(third, NoSuchMailbox)
    assert scripted.client.view is None


# --- The view --------------------------------------------------------------------------------------------------------


def fetched(number, uid):
    return Fetched(number=number, uid=uid, flags=frozenset())


def test_numbersAreKept():
    view = View("x", False)
    view.apply(Exists(5))
    for number, uid in ((1, 10), (2, 20), (4, 40)):
        view.apply(fetched(number, uid))
    assert view.apply(Expunged(2)) == answers.Vanished(UIDSet.of(20))
    assert [view.uid(number) for number in range(1, 6)] == [10, None, 40, None, None]
    assert view.apply(Expunged(2)) == Expunged(2)
    assert [view.uid(number) for number in range(1, 4)] == [10, 40, None]
    assert (view.exists, view.flags.keys()) == (3, {10, 40})


def test_whatVanishesUnknownMakesNumbersUncertain():
    view = View("x", False)
    view.apply(Exists(5))
    for number, uid in ((1, 10), (2, 20), (4, 40)):
        view.apply(fetched(number, uid))
    view.apply(answers.Vanished(UIDSet.of(10, 30)))
    assert [view.uid(number) for number in (1, 2, 3)] == [20, None, None]
    assert view.exists == 3


def test_aServerThatClaimsAnything():
    view = View("x", False)
    for answer in itertools.chain(
        (Exists(4294967295), fetched(4294967295, 4294967295), Expunged(4294967295), Expunged(0)),
        (answers.Vanished(UIDSet(((1, 4294967295),))), fetched(0, 7), Exists(0), Expunged(1)),
    ):
        view.apply(answer)
    assert view.exists == 0


# --- Whatever a server says --------------------------------------------------------------------------------------------

REPLIES = (b"OK", b"NO [TRYCREATE] no", b"BAD what", b"OK [COPYUID 1 2 3]")
UNTAGGED = (
    b"5 EXISTS", b"2 EXPUNGE", b"0 EXPUNGE", b"VANISHED 1:9", b"VANISHED (EARLIER) 4", b"OK [CLOSED]",
    b"3 FETCH (UID 9 FLAGS (a))", b"1 FETCH (BODY[] {2}\r\nhi)", b"SEARCH 1 2", b"LIST () NIL x", b"LIST (((",
    b'ESEARCH (TAG "3") COUNT 2', b"BYE bye", b"CAPABILITY ESEARCH", b"ENABLED IMAP4REV2",
)  # fmt: skip
SAID = [
    *(b"%d %b\r\n" % (tag, reply) for tag in range(1, 7) for reply in REPLIES),
    *(b"* %b\r\n" % data for data in UNTAGGED),
    *(b"+ idling\r\n", b"+ !!!\r\n", b"\r\n", b"* 1 FETCH (BODY[] {9}\r\n", b"x", b"\0\xff"),
]


@given(st.lists(st.sampled_from(SAID), max_size=25), st.integers(1, 20))
def test_nothingThatAServerSaysBreaksTheClient(said, size):
    """Every command ends, with the connection at the latest, and by no other error than those that are promised."""
    scripted = Scripted(limits=ResponseLimits(line=1000, response=2000))
    client = scripted.client
    client.view = View("x", False)
    box = Mailbox(client, client.view)
    outcomes = [
        scripted.begin(coroutine)
        for coroutine in (
            client.append("x", b"message"),
            box.copy((1, 2), "y"),
            box.search(HasFlag("kw")),
            collect(box.fetch(ALL, Attribute.UID, WHOLE)),
            select(client, "z"),
            idle(client),
        )
    ]
    data = b"".join(said)
    for start in range(0, len(data), size):
        scripted.say(data[start : start + size])
    scripted.connection.connectionLost()
    for outcome in outcomes:
        assert outcome
        if hasattr(outcome[0], "check"):
            assert outcome[0].check(ConnectionError, Refusal, GarbledAnswer), outcome[0]
