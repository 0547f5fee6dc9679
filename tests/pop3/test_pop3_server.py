"""POP3 as a client in memory sees it: states, rules, faults, limits."""

import base64
import contextlib
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mailfw import errors
from mailfw.net.limits import Limits
from mailfw.pop3.maildrop import CHUNK
from mailfw.pop3.server import pop3s
from mailfw.sasl.client import chooseMechanism
from mailfw.sasl.exchange import Logins
from mailfw.values import Identity


def lines(data: bytes) -> list[bytes]:
    return data.split(b"\r\n")[:-1]


# --- Coming in -------------------------------------------------------------------------------------------------------


def test_theGreetingHasNoTimestampBecauseAPOPIsNotOffered(client):
    assert client.said() == b"+OK mail.localhost POP3 server ready\r\n"
    assert client.say(b"APOP jsmith " + b"0" * 32).startswith(b"-ERR")


def test_userAndPass(client):
    assert lines(client.logIn()) == [b"+OK now the password", b"+OK 3 messages (90 octets)"]
    assert client.say(b"STAT") == b"+OK 3 90\r\n"


def test_anUnknownUserIsAnsweredLikeAWrongPassword(client):
    client.said()
    unknown = client.say(b"USER nobody", b"PASS mailfw")
    wrong = client.say(b"USER jsmith", b"PASS wrong")
    assert unknown == wrong == b"+OK now the password\r\n-ERR [AUTH] authentication failed\r\n"


def test_passWithoutUser(client):
    client.said()
    assert client.say(b"PASS mailfw") == b"-ERR USER comes first\r\n"
    client.say(b"USER jsmith", b"PASS wrong")
    assert client.say(b"PASS mailfw") == b"-ERR USER comes first\r\n"


def test_fiveFailedLoginsEndTheSession(client):
    client.said()
    for _ in range(4):
        client.say(b"USER jsmith", b"PASS wrong")
        assert not client.transport.isClosed
    assert client.say(b"USER jsmith", b"PASS wrong", b"USER jsmith").count(b"\r\n") == 2
    assert client.transport.isClosed


def test_aGuardHoldsBackALoginAndNobodyElse(world, connect):
    class Guard:
        def delayFor(self, peer, user=""):
            return 8.0 if user == "jsmith" else 0.0

        async def admit(self, user, peer):
            return contextlib.nullcontext()

        def failed(self, *what):
            self.what = what

        def succeeded(self, *what):
            self.what = what

    guard = Guard()
    world.context.logins = Logins(world.users, guard=guard)
    slow, quick = connect(), connect()
    slow.said()
    assert slow.say(b"USER jsmith", b"PASS mailfw", b"STAT") == b"+OK now the password\r\n"
    assert quick.logIn(b"mbrain").endswith(b"+OK 0 messages (0 octets)\r\n")
    world.advance(8)
    assert lines(slow.said()) == [b"+OK 3 messages (90 octets)", b"+OK 3 90"]
    assert guard.what == (Identity("jsmith@localhost"), "pop3", "127.0.0.1")


def test_aClientThatLeavesWhileItIsHeldBackLeavesNothingBehind(world, connect):
    class Guard:
        delayFor = staticmethod(lambda peer, user="": 8.0)
        failed = succeeded = staticmethod(lambda *what: None)

    class Nobody:
        async def authenticate(self, credentials):
            raise AssertionError("asked for somebody who has left")

    world.context.logins = Logins(Nobody(), guard=Guard())
    client = connect()
    client.logIn()
    client.transport.hangUp()
    assert not world.clock.getDelayedCalls()


@pytest.mark.parametrize("hasInitial", [True, False])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_authentication(client, mechanism, hasInitial):
    client.said()
    mine = chooseMechanism([mechanism], "jsmith", "mailfw", mayUsePlaintext=True)
    initial = mine.start()
    if initial is not None and hasInitial:
        said = client.say(b"AUTH " + mechanism.encode() + b" " + base64.b64encode(initial))
    else:
        said = client.say(b"auth " + mechanism.lower().encode())
        if initial is not None:
            assert said == b"+ \r\n"
            said = client.say(base64.b64encode(initial))
    while said.startswith(b"+ "):
        said = client.say(base64.b64encode(mine.respond(base64.b64decode(said[2:]))))
    assert said == b"+OK 3 messages (90 octets)\r\n"


def test_anExchangeCanBeCancelled(client):
    client.said()
    assert client.say(b"AUTH PLAIN") == b"+ \r\n"
    assert client.say(b"*") == b"-ERR authentication cancelled\r\n"
    assert client.logIn().endswith(b"octets)\r\n")


def test_aResponseThatIsNotBase64EndsTheExchange(client):
    client.said()
    client.say(b"AUTH PLAIN")
    assert client.say(b"STAT!") == b"-ERR not base64\r\n"
    assert client.say(b"STAT") == b"-ERR STAT is not for authorization state\r\n"


def test_mechanismsAreListedForOldClients(client):
    client.said()
    assert lines(client.say(b"AUTH")) == [b"+OK mechanisms follow", b"PLAIN", b"LOGIN", b"."]


def test_aMaildropIsOneSessionsAtATime(connect):
    first, second, other = connect(), connect(), connect(service=pop3s)
    first.logIn()
    assert second.logIn().endswith(b"-ERR [IN-USE] maildrop is in use by another session\r\n")
    assert other.logIn().endswith(b"-ERR [IN-USE] maildrop is in use by another session\r\n")
    assert connect().logIn(b"mbrain").endswith(b"+OK 0 messages (0 octets)\r\n")
    first.say(b"QUIT")
    assert second.logIn().endswith(b"+OK 3 messages (90 octets)\r\n")
    second.transport.hangUp()
    assert other.logIn().endswith(b"+OK 3 messages (90 octets)\r\n")


def test_aStoreThatFailsAtLoginGivesTheMaildropBack(client, inbox):
    inbox.fault = errors.Unavailable()
    assert client.logIn().endswith(b"-ERR [SYS/TEMP] temporarily unavailable, try again later\r\n")
    assert client.logIn().endswith(b"octets)\r\n")


def test_aPluginThatRaisesIsLoggedAndCostsOneCommand(client, inbox, logged):
    inbox.fault = ZeroDivisionError("path /var/secret")
    assert client.logIn().endswith(b"-ERR [SYS/TEMP] temporarily unavailable, try again later\r\n")
    assert client.logIn().endswith(b"octets)\r\n")
    assert logged(ZeroDivisionError) == 1


# --- TLS and capabilities --------------------------------------------------------------------------------------------


def capabilities(client) -> list[bytes]:
    said = lines(client.say(b"CAPA"))
    assert said[0].startswith(b"+OK") and said[-1] == b"."
    return said[1:-1]


ALWAYS = [b"TOP", b"UIDL", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"EXPIRE NEVER", b"LOGIN-DELAY 0"]
ALWAYS += [b"UTF8 USER", b"LANG", b"IMPLEMENTATION mailfw"]


def test_capabilitiesOnLoopback(client):
    client.said()
    assert capabilities(client) == [*ALWAYS, b"USER", b"SASL PLAIN LOGIN", b"STLS"]
    client.logIn()
    assert capabilities(client) == [*ALWAYS, b"USER", b"SASL PLAIN LOGIN"]


def test_farAwayPasswordsNeedTLS(world, connect):
    client = connect(peer="192.0.2.1")
    client.said()
    assert capabilities(client) == [*ALWAYS, b"STLS"]
    assert client.say(b"USER jsmith") == b"-ERR not without TLS\r\n"
    assert client.say(b"PASS mailfw") == b"-ERR not without TLS\r\n"
    assert client.say(b"AUTH PLAIN AGpzbWl0aABtYWlsZnc=") == b"-ERR that mechanism is not offered here\r\n"
    assert client.say(b"STLS") == b"+OK begin TLS\r\n"
    assert client.transport.isTLS
    assert capabilities(client) == [*ALWAYS, b"USER", b"SASL PLAIN LOGIN"]
    assert client.say(b"STLS") == b"-ERR STLS is not offered here\r\n"
    assert client.logIn().endswith(b"octets)\r\n")


def test_noCertificateNoTLS(world, connect):
    world.context.tls = None
    client = connect(peer="192.0.2.1")
    client.said()
    assert capabilities(client) == ALWAYS
    assert client.say(b"STLS") == b"-ERR STLS is not offered here\r\n"


def test_whatIsInjectedBehindSTLSIsNeverLookedAt(client):
    client.said()
    assert client.say(b"STLS", b"USER jsmith") == b"+OK begin TLS\r\n"
    assert client.transport.isClosed
    assert not client.transport.isTLS


def test_aNameGivenBeforeTLSIsForgotten(client):
    client.said()
    client.say(b"USER jsmith")
    client.say(b"STLS")
    assert client.say(b"PASS mailfw") == b"-ERR USER comes first\r\n"


def test_tlsFromTheFirstOctet(connect):
    client = connect(peer="192.0.2.1", service=pop3s)
    client.said()
    assert capabilities(client) == [*ALWAYS, b"USER", b"SASL PLAIN LOGIN"]


def test_languages(client):
    client.said()
    assert lines(client.say(b"LANG")) == [b"+OK languages follow", b"en English", b"i-default Default language", b"."]
    assert client.say(b"LANG *") == b"+OK en English\r\n"
    assert client.say(b"LANG EN-GB") == b"+OK en English\r\n"
    assert client.say(b"LANG tlh") == b"-ERR no such language here\r\n"


def test_utf8IsForAuthorizationState(client):
    client.said()
    assert client.say(b"UTF8").startswith(b"+OK")
    client.logIn()
    assert client.say(b"UTF8").startswith(b"-ERR")


# --- Reading ---------------------------------------------------------------------------------------------------------


def test_listings(client):
    client.logIn()
    assert lines(client.say(b"LIST")) == [b"+OK 3 messages (90 octets)", b"1 29", b"2 36", b"3 25", b"."]
    assert client.say(b"LIST 2") == b"+OK 2 36\r\n"
    assert lines(client.say(b"UIDL")) == [b"+OK unique ids follow", b"1 id11", b"2 id12", b"3 id13", b"."]
    assert client.say(b"UIDL 3") == b"+OK 3 id13\r\n"
    for command in (b"LIST 4", b"UIDL 4", b"RETR 4", b"TOP 4 0", b"DELE 4"):
        assert client.say(command) == b"-ERR no such message\r\n"


def test_anEmptyMaildrop(client):
    client.logIn(b"mbrain")
    assert client.say(b"STAT") == b"+OK 0 0\r\n"
    assert lines(client.say(b"LIST")) == [b"+OK 0 messages (0 octets)", b"."]
    assert lines(client.say(b"UIDL")) == [b"+OK unique ids follow", b"."]


def test_retrieving(client):
    client.logIn()
    assert client.say(b"RETR 1") == b"+OK 29 octets\r\nSubject: one\r\n\r\nfirst\r\n..dot\r\n.\r\n"


def test_anEmptyMessage(client, inbox):
    inbox.messages[20] = b""
    client.logIn()
    assert client.say(b"RETR 4") == b"+OK 0 octets\r\n.\r\n"


def test_top(client):
    client.logIn()
    assert client.say(b"TOP 2 0").partition(b"\r\n")[2] == b"Subject: two\r\n\r\n.\r\n"
    assert client.say(b"TOP 2 2").partition(b"\r\n")[2] == b"Subject: two\r\n\r\nsecond\r\nline\r\n.\r\n"
    assert client.say(b"TOP 2 99").partition(b"\r\n")[2] == b"Subject: two\r\n\r\nsecond\r\nline\r\nline\r\n.\r\n"


def test_topOfALargeMessage(client, inbox):
    """However long the header is, all of it is the top; and what stands below the top is not read."""
    header = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 70) for number in range(1000))
    inbox.messages = {21: header + b"\r\nfirst\r\nsecond\r\n" + b"more\r\n" * 1_000_000}
    client.logIn()
    assert client.say(b"TOP 1 1").partition(b"\r\n")[2] == header + b"\r\nfirst\r\n.\r\n"
    assert inbox.octetsRead < 1_000_000


def test_numbersStandWhileOthersDeliverAndExpunge(client, inbox):
    client.logIn()
    del inbox.messages[12]
    inbox.messages[14] = b"new"
    assert client.say(b"STAT") == b"+OK 3 90\r\n"
    assert client.say(b"LIST 3") == b"+OK 3 25\r\n"
    assert client.say(b"RETR 3").startswith(b"+OK 25 octets\r\nSubject: three")
    for command in (b"RETR 2", b"TOP 2 0", b"UIDL 2"):
        assert client.say(command) == b"-ERR [SYS/TEMP] message has been expunged\r\n"
    assert lines(client.say(b"UIDL"))[1:-1] == [b"1 id11", b"3 id13"]
    assert client.say(b"RETR 4") == b"-ERR no such message\r\n"


def test_aFaultBeforeTheFirstOctetOfAMessageIsAnswered(client, inbox, logged):
    client.logIn()
    inbox.fault = errors.Unavailable()
    assert client.say(b"RETR 1") == b"-ERR [SYS/TEMP] temporarily unavailable, try again later\r\n"
    inbox.fault = OSError("disk")
    assert client.say(b"RETR 1", b"NOOP") == b"-ERR [SYS/TEMP] temporarily unavailable, try again later\r\n+OK\r\n"
    assert logged(OSError) == 1


def test_aMessageThatCannotBeReadToItsEndIsNeverTakenForWhole(client, inbox, logged):
    inbox.messages[20] = b"x" * (CHUNK + 10)
    client.logIn()
    inbox.gate = Deferred()
    client.say(b"RETR 4")
    gate, inbox.gate = inbox.gate, Deferred()
    gate.callback(None)
    inbox.fault = OSError("disk")
    inbox.gate.callback(None)
    said = client.said()
    assert said.startswith(b"+OK") and not said.endswith(b".\r\n")
    assert client.transport.isClosed
    assert logged(OSError) == 1


def test_nothingIsReadAheadOfASlowClient(client, inbox):
    message = b"y" * 78 + b"\r\n"
    inbox.messages[20] = message * 40_000
    client.logIn()
    client.transport.isReading = False
    client.transport.send(b"RETR 4\r\n")
    assert len(client.transport.output) < 2 * CHUNK
    client.transport.isReading = True
    body = b""
    while not body.endswith(b"\r\n.\r\n"):
        body += client.said()
    assert body.partition(b"\r\n")[2] == message * 40_000 + b".\r\n"


def test_aHundredThousandMessagesAreListedInPieces(client, inbox):
    inbox.messages = dict.fromkeys(range(1, 100_001), b"tiny")
    client.logIn()
    client.transport.isReading = False
    client.transport.send(b"LIST\r\n")
    assert len(client.transport.output) < 200_000
    client.transport.isReading = True
    listing = b""
    while not listing.endswith(b"\r\n.\r\n"):
        listing += client.said()
    assert listing.count(b"\r\n") == 100_002
    assert client.say(b"UIDL").count(b"\r\n") == 100_002


# --- Deleting --------------------------------------------------------------------------------------------------------


def test_deletingHappensAtQuit(client, inbox):
    client.logIn()
    assert client.say(b"DELE 2") == b"+OK marked deleted\r\n"
    for command in (b"DELE 2", b"RETR 2", b"LIST 2", b"UIDL 2", b"TOP 2 0"):
        assert client.say(command) == b"-ERR no such message\r\n"
    assert client.say(b"STAT") == b"+OK 2 54\r\n"
    assert lines(client.say(b"LIST"))[1:-1] == [b"1 29", b"3 25"]
    assert lines(client.say(b"UIDL"))[1:-1] == [b"1 id11", b"3 id13"]
    assert len(inbox.messages) == 3
    assert client.say(b"QUIT") == b"+OK goodbye\r\n"
    assert client.transport.isClosed
    assert sorted(inbox.messages) == [11, 13]


def test_rsetTakesMarksAway(client, inbox):
    client.logIn()
    client.say(b"DELE 1", b"DELE 3")
    assert client.say(b"RSET") == b"+OK 3 messages (90 octets)\r\n"
    assert client.say(b"STAT") == b"+OK 3 90\r\n"
    client.say(b"QUIT")
    assert len(inbox.messages) == 3
    assert not inbox.applied


def test_withoutQuitNothingIsDeleted(world, connect, inbox):
    client = connect()
    client.logIn()
    client.say(b"DELE 1")
    client.transport.hangUp()
    idle = connect()
    idle.logIn()
    idle.say(b"DELE 1")
    world.advance(601)
    assert idle.transport.isClosed
    assert len(inbox.messages) == 3


def test_whatCannotBeDeletedIsSaid(connect, inbox, logged):
    for fault, said in [
        (errors.NoPermission(), b"-ERR [SYS/PERM] nothing was deleted: permission denied\r\n"),
        (errors.UIDValidityChanged(), b"-ERR [SYS/TEMP] nothing was deleted: mailbox has been replaced\r\n"),
        (OSError("disk"), b"-ERR [SYS/TEMP] temporarily unavailable, try again later\r\n"),
    ]:
        client = connect()
        client.logIn()
        client.say(b"DELE 1")
        inbox.fault = fault
        assert client.say(b"QUIT") == said
        assert client.transport.isClosed
    assert len(inbox.messages) == 3
    assert logged(OSError) == 1


def test_deletingWhatSomebodyElseExpungedIsNoError(client, inbox):
    client.logIn()
    client.say(b"DELE 1", b"DELE 2")
    del inbox.messages[11]
    assert client.say(b"QUIT") == b"+OK goodbye\r\n"
    assert sorted(inbox.messages) == [13]


# --- Limits ----------------------------------------------------------------------------------------------------------


def test_badCommandsAreAnsweredMoreAndMoreSlowlyAndEndTheSession(world, connect):
    client = connect()
    client.said()
    for _ in range(5):
        assert client.say(b"HELO") == b"-ERR unknown command\r\n"
    assert client.say(b"HELO") == b""
    for _ in range(200):
        world.advance(0.05)
        if client.transport.isClosed:
            break
        client.say(b"HELO")
    assert client.transport.isClosed


def test_pipelinedBadCommandsAreCutOffToo(world, connect):
    client = connect()
    client.said()
    said = client.say(*[b"x"] * 1000)
    for _ in range(200):
        world.advance(0.05)
        said += client.said()
    assert lines(said) == [b"-ERR unknown command"] * 19 + [b"-ERR too many bad commands"]


def test_anIdleClientIsLeftWithoutAWord(world, connect):
    """RFC 1939 §3: no response is sent when the timer runs out."""
    client = connect()
    client.logIn()
    world.advance(599)
    assert client.say(b"NOOP") == b"+OK\r\n"
    world.advance(599)
    assert not client.transport.isClosed
    world.advance(2)
    assert client.transport.isClosed
    assert client.said() == b""


def test_whoDoesNotLogInIsLeftSooner(world, connect):
    client = connect()
    world.advance(121)
    assert client.transport.isClosed


def test_whoAsksNowAndThenMustLogInAllTheSame(world, connect):
    client = connect()
    for _ in range(12):
        assert not client.transport.isClosed
        client.say(b"CAPA")
        world.advance(10)
    assert client.transport.isClosed


def test_anEndlessLine(client):
    client.said()
    client.transport.send(b"x" * 5000)
    assert client.said() == b"-ERR line too long\r\n"
    assert client.transport.isClosed


def test_tooManyConnections(world, connect):
    world.context.limits = Limits(connections=0)
    protocol = pop3s.factory(world.context).buildProtocol(None)
    assert protocol.farewell == b"-ERR [SYS/TEMP] too many connections\r\n"


def test_aStoppingServerFinishesTheCommandAndSaysSo(world, client, inbox):
    client.logIn()
    client.say(b"DELE 1")
    inbox.gate = Deferred()
    client.say(b"RETR 2")
    world.context.sessions.stop(10)
    gate, inbox.gate = inbox.gate, None
    gate.callback(None)
    said = client.said()
    assert b"\r\n.\r\n-ERR [SYS/TEMP] server is stopping, try again later\r\n" in said
    assert client.transport.isClosed
    assert len(inbox.messages) == 3


def test_whoIsConnectedIsSeen(world, client):
    def seen():
        return [(info.service, info.state, info.account) for info in world.context.sessions.infos()]

    assert seen() == [("pop3", "authorization", "")]
    client.logIn()
    assert seen() == [("pop3", "transaction", "jsmith@localhost")]


# --- Any octets ------------------------------------------------------------------------------------------------------

STATES = {
    "authorization": b"",
    "name given": b"USER jsmith\r\n",
    "challenged": b"AUTH PLAIN\r\n",
    "transaction": b"USER jsmith\r\nPASS mailfw\r\n",
    "marked": b"USER jsmith\r\nPASS mailfw\r\nDELE 1\r\n",
}

words = st.sampled_from(
    b"USER PASS AUTH APOP CAPA LANG UTF8 STAT LIST UIDL RETR TOP DELE NOOP RSET QUIT * = 1 2 0 -1 99999999999 PLAIN en".split()
) | st.sampled_from([b" ", b"\r\n", b"\n"])
noise = st.lists(words | st.binary(max_size=6)).map(b"".join)


@settings(max_examples=250)
@given(state=st.sampled_from(sorted(STATES)), data=noise, at=st.lists(st.integers(0, 80)))
def test_anyOctetsInAnyState(newClient, state, data, at):
    """The answers are the same however the input was cut, and afterwards the session still answers, or is closed."""
    cuts = [0, *sorted(at), len(data)]
    whole = play(newClient(), state, [data])
    assert play(newClient(), state, [data[low:high] for low, high in itertools.pairwise(cuts)]) == whole
    said, isClosed, last = whole
    assert isClosed or REPLY.fullmatch(last)
    assert REPLY.fullmatch(said.partition(b"\r\n")[0])


REPLY = re.compile(rb"(\+OK|-ERR)( [^\r\n]*)?|\+ [A-Za-z0-9+/=]*")


def play(client, state, pieces):
    """What is said to these pieces in that state; whether the connection was closed; and what is said to NOOP then."""
    client.transport.send(STATES[state])
    for piece in pieces:
        client.transport.send(piece)
        client.world.advance()
    for _ in range(50):
        client.world.advance(0.5)
    said, isClosed = client.said(), client.transport.isClosed
    client.say(b"")
    client.world.advance(1)
    client.said()
    last = client.say(b"NOOP")
    client.world.advance(1)
    last += client.said()
    client.transport.hangUp()
    return said, isClosed or client.transport.isClosed, last.removesuffix(b"\r\n")
