"""The shared loop as a session drives it: PLAIN, LOGIN, SCRAM, what is offered, and what the guard hears."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from mailfw.errors import AccountSuspended, AuthenticationFailed, AuthenticationUnavailable, NotSupported
from mailfw.sasl.client import chooseMechanism
from mailfw.sasl.exchange import MECHANISMS, Logins
from mailfw.sasl.plain import LoginClient, PlainClient
from mailfw.sasl.scram import ScramClient
from mailfw.sasl.steps import MESSAGE_LIMIT, SCRAM, MalformedResponse
from mailfw.sasl.verifier import Verifier
from mailfw.sasl.wire import decodeInitialResponse, decodeResponse, encode
from mailfw.values import CertificateCredentials, Identity, PasswordCredentials, TokenCredentials, accountName


def run(coroutine):
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for something")


def isMBrain(user):
    try:
        return accountName(user, "example.org") == "mbrain@example.org"
    except ValueError:
        return False


class Accounts:
    """mbrain with the password `mailfw`, suspended or away when told so; counts what it is asked."""

    def __init__(self):
        self.isSuspended = self.isAway = False
        self.asked = []
        self._verifiers = {name: Verifier.fromPassword(name, "mailfw", b"0123456789abcdef", 10_000) for name in SCRAM}

    def mechanisms(self):
        return SCRAM

    async def authenticate(self, credentials):
        self.asked.append(credentials)
        if self.isAway:
            raise AuthenticationUnavailable
        if not isMBrain(credentials.user) or credentials.password != "mailfw":
            raise AuthenticationFailed
        return await self.identify(credentials.user)

    async def verifier(self, user, mechanism):
        return self._verifiers[mechanism] if isMBrain(user) else None

    async def identify(self, user):
        if self.isSuspended:
            raise AccountSuspended
        return Identity("mbrain@example.org")


@define
class Guard:
    heard: list = field(factory=list)
    turns: list = field(factory=list)

    def delayFor(self, peer, user=""):
        return 2.0 if peer == "192.0.2.66" else 0.0

    async def admit(self, user, peer):
        return self.turn(user)

    @contextmanager
    def turn(self, user):
        before = len(self.heard)
        try:
            yield
        finally:
            self.turns.append((user, len(self.heard) - before))

    def failed(self, user, service, peer, reason):
        self.heard.append(("failed", user, service, peer, reason))

    def succeeded(self, identity, service, peer):
        self.heard.append(("succeeded", identity, service, peer))


@pytest.fixture
def accounts():
    return Accounts()


@pytest.fixture
def guard():
    return Guard()


@pytest.fixture
def logins(accounts, guard):
    return Logins(accounts, accounts, domain="example.org", secret=b"secret", guard=guard)


def converse(logins, client, sendsInitial=True):
    """Both halves until the server knows; whether the client believes it is checked too."""
    exchange = logins.begin(client.name, service="imap", peer="192.0.2.1")
    initial = client.start()
    answer = run(exchange.step(initial if sendsInitial else None))
    if not sendsInitial and initial is not None:
        assert answer == b""
        answer = run(exchange.step(initial))
    while not isinstance(answer, Identity):
        answer = run(exchange.step(client.respond(answer)))
    assert client.isDone
    return answer


MBRAIN = Identity("mbrain@example.org")


@pytest.mark.parametrize("kind", [PlainClient, LoginClient, *SCRAM])
@pytest.mark.parametrize("sendsInitial", [True, False])
@pytest.mark.parametrize("user", ["mbrain", "mbrain@example.org", "MBrain@Example.ORG"])
def test_everyMechanismLogsIn(logins, guard, kind, sendsInitial, user):
    client = ScramClient(kind, user, "mailfw") if isinstance(kind, str) else kind(user, "mailfw")
    assert converse(logins, client, sendsInitial) == MBRAIN
    assert guard.heard == [("succeeded", MBRAIN, "imap", "192.0.2.1")]
    assert guard.turns == [(user, 1)]


@pytest.mark.parametrize("kind", [PlainClient, LoginClient, *SCRAM])
@pytest.mark.parametrize(("user", "password"), [("mbrain", "wrong"), ("nobody", "mailfw")])
def test_everyMechanismRefusesInTheSameWords(logins, guard, kind, user, password):
    client = ScramClient(kind, user, password) if isinstance(kind, str) else kind(user, password)
    with pytest.raises(AuthenticationFailed) as caught:
        converse(logins, client)
    assert caught.type is AuthenticationFailed
    assert str(caught.value) == "authentication failed"
    assert guard.heard == [("failed", user, "imap", "192.0.2.1", "wrong password or unknown user")]
    assert guard.turns == [(user, 1)]


@pytest.mark.parametrize("kind", [PlainClient, "SCRAM-SHA-256"])
def test_suspendedIsSaidOnlyToWhoKnowsThePassword(logins, accounts, guard, kind):
    accounts.isSuspended = True

    def log(password):
        client = ScramClient(kind, "mbrain", password) if isinstance(kind, str) else kind("mbrain", password)
        with pytest.raises(AuthenticationFailed) as caught:
            converse(logins, client)
        return caught.type

    assert log("wrong") is AuthenticationFailed
    assert log("mailfw") is AccountSuspended
    assert [heard[-1] for heard in guard.heard] == ["wrong password or unknown user", "suspended"]


def test_unavailableIsNoFailedLogin(logins, accounts, guard):
    accounts.isAway = True
    with pytest.raises(AuthenticationUnavailable):
        converse(logins, PlainClient("mbrain", "mailfw"))
    assert guard.heard == []


def test_saltIsTheSameHoweverAnUnknownNameIsSpelt(logins):
    def salt(user):
        answer = run(logins.begin("SCRAM-SHA-256").step(b"n,,n=%b,r=c" % user))
        return answer.partition(b",s=")[2]

    assert salt(b"nobody") == salt(b"Nobody") == salt(b"nobody@example.org") == salt(b"nobody@EXAMPLE.org")
    assert salt(b"nobody") != salt(b"nobody@example.net")
    assert salt(b"mbrain") == salt(b"MBRAIN@example.org")


@pytest.mark.parametrize("authorizeAs", ["mbrain", "mbrain@example.org", "MBRAIN@EXAMPLE.ORG", ""])
def test_onesOwnAuthorizationIdentityIsTaken(logins, authorizeAs):
    assert converse(logins, PlainClient("mbrain", "mailfw", authorizeAs)) == MBRAIN
    assert converse(logins, ScramClient("SCRAM-SHA-256", "mbrain", "mailfw", authorizeAs)) == MBRAIN


@pytest.mark.parametrize("authorizeAs", ["jsmith", "mbrain@example.net", " ", "a b"])
def test_nobodyActsForAnother(logins, authorizeAs):
    with pytest.raises(AuthenticationFailed):
        converse(logins, PlainClient("mbrain", "mailfw", authorizeAs))
    with pytest.raises(AuthenticationFailed):
        converse(logins, ScramClient("SCRAM-SHA-256", "mbrain", "mailfw", authorizeAs))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"mbrain",
        b"\0mbrain",
        b"\0mbrain\0",
        b"\0\0mailfw",
        b"\0mbrain\0mailfw\0",
        b"\0mbrain\0\xff",
        b"\xff\0mbrain\0mailfw",
        b"\0" + b"m" * 513 + b"\0mailfw",
        b"\0mbrain\0" + b"m" * 1025,
        b"\0mbrain\0" + b"m" * MESSAGE_LIMIT,
    ],
)
def test_malformedPlainNeverReachesTheAuthenticator(logins, accounts, guard, message):
    with pytest.raises(MalformedResponse):
        run(logins.begin("PLAIN").step(message))
    assert accounts.asked == []
    assert len(guard.heard) == 1


@pytest.mark.parametrize("answers", [[b""], [b"mbrain", b""], [b"m\0"], [b"\xff"], [b"mbrain", b"\xff"], [b"m" * 513]])
def test_malformedLoginNeverReachesTheAuthenticator(logins, accounts, answers):
    exchange = logins.begin("LOGIN")
    assert run(exchange.step(None)) == b"Username:"
    with pytest.raises(MalformedResponse):
        for answer in answers:
            assert run(exchange.step(answer)) == b"Password:"
    assert accounts.asked == []


def test_serviceAndPeerReachTheAuthenticator(logins, accounts):
    converse(logins, PlainClient("mbrain", "mailfw"))
    run(logins.password("mbrain", "mailfw", service="pop3", peer="192.0.2.2"))
    assert [(asked.service, asked.peer) for asked in accounts.asked] == [("imap", "192.0.2.1"), ("pop3", "192.0.2.2")]


def test_finalMessageMustBeAnsweredEmptily(logins):
    exchange = logins.begin("SCRAM-SHA-256")
    client = ScramClient("SCRAM-SHA-256", "mbrain", "mailfw")
    final = run(exchange.step(client.respond(run(exchange.step(client.start())))))
    assert final.startswith(b"v=")
    with pytest.raises(MalformedResponse):
        run(exchange.step(b"more"))
    with pytest.raises(RuntimeError):
        run(exchange.step(b""))


def test_anExchangeIsUsedOnce(logins):
    exchange = logins.begin("PLAIN")
    with pytest.raises(AuthenticationFailed):
        run(exchange.step(b"\0mbrain\0wrong"))
    with pytest.raises(RuntimeError):
        run(exchange.step(b"\0mbrain\0mailfw"))


def test_passwordStaysOutOfReprs(logins, accounts):
    converse(logins, PlainClient("mbrain", "mailfw"))
    assert "mailfw" not in repr(accounts.asked)


# --- What is offered ---


def binding(kind):
    return b"channel"


def test_offersWhatTheConnectionAllows(logins, accounts):
    plus = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN")
    assert logins.mechanisms(True, binding) == plus
    assert logins.mechanisms(True, lambda kind: None) == plus[2:]
    assert logins.mechanisms(True) == ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN")
    assert logins.mechanisms(False) == ("SCRAM-SHA-256", "SCRAM-SHA-1")
    assert Logins(accounts).mechanisms(True, binding) == ("PLAIN", "LOGIN")
    everything = Logins(accounts, accounts, kinds=[PasswordCredentials, TokenCredentials, CertificateCredentials])
    assert everything.mechanisms(True, binding, b"certificate") == MECHANISMS
    assert everything.mechanisms(True) == ("SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN")
    assert everything.mechanisms(False, None, b"certificate") == ("EXTERNAL", "SCRAM-SHA-256", "SCRAM-SHA-1")
    assert Logins(accounts, kinds=[TokenCredentials]).mechanisms(True, None, b"certificate") == ("OAUTHBEARER", "XOAUTH2")
    accounts.mechanisms = lambda: ()
    assert logins.mechanisms(True) == ("PLAIN", "LOGIN")


def test_offersWhatIsConfigured(accounts):
    accounts.mechanisms = lambda: ()
    offered = Logins(accounts, accounts, offered=["SCRAM-SHA-256", "PLAIN"])
    assert offered.mechanisms(True, binding) == ("SCRAM-SHA-256", "PLAIN")
    with pytest.raises(ValueError, match="no such mechanism: SCRAM-MD5"):
        Logins(accounts, offered=["SCRAM-MD5"])


def test_beginsOnlyWhatIsOffered(logins):
    for name in ("CRAM-MD5", "SCRAM-SHA-256-PLUS", ""):
        with pytest.raises(NotSupported):
            logins.begin(name)
    with pytest.raises(NotSupported):
        logins.begin("PLAIN", mayUsePlaintext=False)
    assert run(logins.begin("plain").step(b"\0mbrain\0mailfw")) == MBRAIN


def test_yFlagIsATamperedOfferOnlyWherePlusWasOffered(logins, accounts):
    client = ScramClient("SCRAM-SHA-256", "mbrain", "mailfw", binding=("tls-exporter", b"channel"))
    with pytest.raises(AuthenticationFailed):
        run(logins.begin("SCRAM-SHA-256", binding=binding).step(client.start()))
    withoutPlus = Logins(accounts, accounts, offered=["SCRAM-SHA-256"])
    assert run(withoutPlus.begin("SCRAM-SHA-256", binding=binding).step(client.start())).startswith(b"r=")


def test_delayIsTheGuards(logins, accounts):
    assert logins.delayFor("192.0.2.66") == 2.0
    assert Logins(accounts).delayFor("192.0.2.66") == 0.0


# --- The client's choice ---


@pytest.mark.parametrize(
    ("offered", "mayUsePlaintext", "binding", "name"),
    [
        (MECHANISMS, True, ("tls-exporter", b"x"), "SCRAM-SHA-256-PLUS"),
        (MECHANISMS, True, None, "SCRAM-SHA-256"),
        (["login", "scram-sha-1", "plain"], True, None, "SCRAM-SHA-1"),
        (["LOGIN", "PLAIN"], True, None, "PLAIN"),
        (["LOGIN"], True, None, "LOGIN"),
        (["LOGIN", "PLAIN"], False, None, None),
        (["GSSAPI"], True, None, None),
    ],
)
def test_clientChoosesTheSafest(offered, mayUsePlaintext, binding, name):
    if name is None:
        with pytest.raises(NotSupported):
            chooseMechanism(offered, "mbrain", "mailfw", mayUsePlaintext=mayUsePlaintext, binding=binding)
    else:
        chosen = chooseMechanism(offered, "mbrain", "mailfw", mayUsePlaintext=mayUsePlaintext, binding=binding)
        assert chosen.name == name


def test_clientOfPlainAndLoginSaysNoMoreThanThereIs():
    for client in (PlainClient("mbrain", "mailfw"), LoginClient("mbrain", "mailfw")):
        client.start()
        with pytest.raises(AuthenticationFailed):
            for _ in range(3):
                client.respond(b"more?")
    with pytest.raises(ValueError, match="NUL"):
        PlainClient("mbrain", "mail\0fw")


# --- On the wire ---


@given(st.binary(max_size=300))
def test_base64ComesBack(data):
    assert decodeResponse(encode(data)) == data


def test_equalsSignIsAnEmptyInitialResponse():
    assert decodeInitialResponse(b"=") == b""
    with pytest.raises(MalformedResponse):
        decodeResponse(b"=")


@pytest.mark.parametrize("line", [b"*", b"AA", b"AAA", b"AA==AA==", b"A A=", b"AB==", b"AAAA\r\n", b"AAA-", b"A" * 12292])
def test_badBase64IsMalformed(line):
    with pytest.raises(MalformedResponse):
        decodeResponse(line)


@given(st.sampled_from(["PLAIN", "LOGIN", "SCRAM-SHA-256"]), st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_anyOctetsEndInARefusalOrAChallenge(name, messages):
    source = ACCOUNTS
    exchange = Logins(source, source, domain="example.org").begin(name)
    for message in messages:
        try:
            answer = run(exchange.step(message))
        except AuthenticationFailed:
            return
        assert isinstance(answer, bytes)


ACCOUNTS = Accounts()
