"""OAUTHBEARER, XOAUTH2 and EXTERNAL: what they take, how they refuse, and whose account is entered in the end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.errors import AccountSuspended, AuthenticationFailed, AuthenticationUnavailable, TokenRefused
from mailfw.sasl.bearer import OAuthBearerClient, OAuthBearerServer, XOAuth2Client, XOAuth2Server
from mailfw.sasl.exchange import Logins
from mailfw.sasl.external import ExternalClient
from mailfw.sasl.steps import MESSAGE_LIMIT, Challenge, Failed, MalformedResponse, NeedToken
from mailfw.values import CertificateCredentials, Identity, PasswordCredentials, TokenCredentials

MBRAIN = Identity("mbrain@example.org")
REFUSED = TokenRefused("expired", scope="mail", discovery="https://id.example.org/x")


def run(coroutine):
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for something")


class Source:
    """Knows the token `good`, the certificate `der` and the password `mailfw`, all mbrain's; or does as it is told."""

    def __init__(self):
        self.asked = []
        self.outcome = None

    async def authenticate(self, credentials):
        self.asked.append(credentials)
        if self.outcome is not None:
            raise self.outcome
        proof = (
            getattr(credentials, "token", "")
            or getattr(credentials, "password", "")
            or getattr(credentials, "certificate", b"").decode()
        )
        if proof not in ("good", "mailfw", "der"):
            raise TokenRefused("expired") if isinstance(credentials, TokenCredentials) else AuthenticationFailed
        return MBRAIN


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def logins(source):
    return Logins(source, kinds=[PasswordCredentials, TokenCredentials, CertificateCredentials], domain="example.org")


def converse(logins, client, certificate=None, sendsInitial=True):
    """Both halves to the end; whether the client believes it is checked too."""
    exchange = logins.begin(client.name, service="imap", peer="192.0.2.1", certificate=certificate)
    initial = client.start()
    if not sendsInitial:
        assert run(exchange.step(None)) == b""
    answer = run(exchange.step(initial))
    while not isinstance(answer, Identity):
        answer = run(exchange.step(client.respond(answer)))
    assert client.isDone
    return answer


# --- OAUTHBEARER and XOAUTH2 ---


@pytest.mark.parametrize("sendsInitial", [True, False])
@pytest.mark.parametrize(
    "client",
    [
        lambda: OAuthBearerClient("good"),
        lambda: OAuthBearerClient("good", "mbrain"),
        lambda: XOAuth2Client("good", "MBrain@Example.org"),
    ],
)
def test_aGoodTokenLogsIn(logins, source, client, sendsInitial):
    assert converse(logins, client(), sendsInitial=sendsInitial) == MBRAIN
    [asked] = source.asked
    assert (asked.token, asked.service, asked.peer) == ("good", "imap", "192.0.2.1")
    assert "good" not in repr(asked)


@pytest.mark.parametrize("user", ["jsmith", "mbrain@example.net", "a b", "mbrain,"])
@pytest.mark.parametrize("client", [OAuthBearerClient, XOAuth2Client])
def test_aTokenIsForItsOwnersAccountAlone(logins, client, user):
    mine = client("good", user)
    with pytest.raises(AuthenticationFailed):
        converse(logins, mine)
    assert not mine.isDone


@pytest.mark.parametrize(
    ("client", "silence", "explanation"),
    [
        (
            OAuthBearerClient,
            b"\x01",
            {"status": "invalid_token", "scope": "mail", "openid-configuration": "https://id.example.org/x"},
        ),
        (XOAuth2Client, b"", {"status": "401", "schemes": "bearer", "scope": "mail"}),
    ],
)
def test_aRefusedTokenIsExplained(logins, source, client, silence, explanation):
    source.outcome = REFUSED
    mine = client("bad", "mbrain")
    exchange = logins.begin(mine.name)
    said = run(exchange.step(mine.start()))
    assert json.loads(said) == explanation
    assert mine.respond(said) == silence
    assert mine.explanation == said
    assert not mine.isDone
    with pytest.raises(TokenRefused):
        run(exchange.step(silence))
    with pytest.raises(RuntimeError):
        run(exchange.step(silence))


@pytest.mark.parametrize("answer", [b"", b"\x01", b"\0\0", b"n,,\x01auth=Bearer good\x01\x01"])
def test_whateverIsAnsweredToTheExplanationItHasFailed(logins, source, answer):
    exchange = logins.begin("OAUTHBEARER")
    assert json.loads(run(exchange.step(b"n,,\x01auth=Bearer bad\x01\x01"))) == {"status": "invalid_token"}
    with pytest.raises(AuthenticationFailed):
        run(exchange.step(answer))
    assert len(source.asked) == 1


def test_suspendedIsSaidToTheOwner(logins, source):
    source.outcome = AccountSuspended()
    with pytest.raises(AccountSuspended):
        converse(logins, OAuthBearerClient("good"))


def test_aProviderThatIsAwayIsNoFailedLogin(logins, source):
    source.outcome = AuthenticationUnavailable()
    with pytest.raises(AuthenticationUnavailable):
        converse(logins, OAuthBearerClient("good"))


@pytest.mark.parametrize(
    "message",
    [b"n,,\x01\x01", b"n,,\x01auth=\x01\x01", b"n,,\x01auth=Bearer\x01\x01", b"n,a=mbrain,\x01host=x\x01port=143\x01\x01"],
)
def test_whoSendsNoTokenLearnsWhereToGetOne(logins, source, message):
    source.outcome = REFUSED
    assert b"openid-configuration" in run(logins.begin("OAUTHBEARER").step(message))
    assert source.asked[0].token == ""


def test_theExampleOfTheRFC():
    message = (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    step = OAuthBearerServer().start(message)
    assert (step.user, step.token) == ("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"n,,",
        b"n,,\x01",
        b"n,,\x01auth=Bearer good\x01",
        b"n,,\x01auth=Bearer good\x01\x01\x01",
        b"n,,auth=Bearer good\x01\x01",
        b"p=tls-unique,,\x01auth=Bearer good\x01\x01",
        b"n,a=,\x01auth=Bearer good\x01\x01",
        b"n,a=m=brain,\x01auth=Bearer good\x01\x01",
        b"n,a=\xff,\x01auth=Bearer good\x01\x01",
        b"n,a=m\0,\x01auth=Bearer good\x01\x01",
        b"n,a=" + b"m" * 513 + b",\x01auth=Bearer good\x01\x01",
        b"n,,\x01auth=Basic good\x01\x01",
        b"n,,\x01auth=Bearer go od\x01\x01",
        b"n,,\x01auth=Bearer g\xc3\xbcd\x01\x01",
        b"n,,\x01auth=Bearer good\x01auth=Bearer bad\x01\x01",
        b"n,,\x01auth\x01\x01",
        b"n,,\x01=x\x01\x01",
        b"n,,\x01auth=Bearer g\0od\x01\x01",
        b"n,,\x01auth=Bearer " + b"x" * MESSAGE_LIMIT + b"\x01\x01",
    ],
)
def test_malformedOAuthBearerNeverReachesTheSource(logins, source, message):
    with pytest.raises(MalformedResponse):
        run(logins.begin("OAUTHBEARER").step(message))
    assert source.asked == []


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"user=mbrain\x01",
        b"auth=Bearer good\x01user=mbrain\x01\x01",
        b"user=mbrain\x01auth=Bearer good\x01",
        b"user=m\0\x01auth=Bearer good\x01\x01",
        b"user=\xff\x01auth=Bearer good\x01\x01",
        b"user=" + b"m" * 513 + b"\x01auth=Bearer good\x01\x01",
        b"user=mbrain\x01auth=Bearer go,od\x01\x01",
    ],
)
def test_malformedXOAuth2NeverReachesTheSource(logins, source, message):
    with pytest.raises(MalformedResponse):
        run(logins.begin("XOAUTH2").step(message))
    assert source.asked == []


@pytest.mark.parametrize("scheme", [b"bearer", b"BEARER", b"Bearer  "])
def test_theSchemeIsReadInAnyCase(scheme):
    assert OAuthBearerServer().respond(b"n,,\x01auth=" + scheme + b" good\x01\x01").token == "good"


TOKENS = st.from_regex(r"[A-Za-z0-9._~+/-]{1,60}={0,2}", fullmatch=True)
USERS = st.text(st.characters(exclude_characters="\0\x01", exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(USERS, TOKENS)
def test_whatAClientSaysAServerUnderstands(user, token):
    for client, server in ((OAuthBearerClient(token, user), OAuthBearerServer()), (XOAuth2Client(token, user), XOAuth2Server())):
        step = server.start(client.start())
        assert (step.user, step.token) == (user, token)


@given(st.sampled_from([OAuthBearerServer, XOAuth2Server]), st.binary(max_size=200))
def test_anyOctetsAreATokenOrMalformed(server, data):
    assert isinstance(server().start(data), NeedToken | Failed)
    assert server().start(None) == Challenge()


def test_aLongTokenFits(logins):
    token = "x" * 8000
    step = OAuthBearerServer().start(OAuthBearerClient(token, "mbrain@example.org").start())
    assert step.token == token


# --- EXTERNAL ---


@pytest.mark.parametrize("sendsInitial", [True, False])
@pytest.mark.parametrize("user", ["", "mbrain", "MBRAIN@example.org"])
def test_aCertificateLogsIn(logins, source, user, sendsInitial):
    assert converse(logins, ExternalClient(user), b"der", sendsInitial) == MBRAIN
    assert source.asked == [CertificateCredentials(user, b"der", "imap", "192.0.2.1")]


def test_aCertificateIsForItsOwnersAccountAlone(logins):
    with pytest.raises(AuthenticationFailed):
        converse(logins, ExternalClient("jsmith"), b"der")
    with pytest.raises(AuthenticationFailed):
        converse(logins, ExternalClient(), b"another")


@pytest.mark.parametrize("message", [b"m\0", b"\xff", b"m" * 513])
def test_malformedExternalNeverReachesTheSource(logins, source, message):
    with pytest.raises(MalformedResponse):
        run(logins.begin("EXTERNAL", certificate=b"der").step(message))
    assert source.asked == []


def test_clientsSayNoMoreThanThereIs():
    for client, challenge in ((ExternalClient(), b""), (OAuthBearerClient("x"), b""), (XOAuth2Client("x", "y"), b"")):
        client.start()
        with pytest.raises(AuthenticationFailed):
            client.respond(challenge)
