"""SCRAM: the RFCs' own conversations, every way of getting it wrong, and scramp as a stranger on the other end."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scramp import ScramClient as Stranger

from mailfw.errors import AuthenticationFailed
from mailfw.sasl.scram import ScramClient, ScramServer, decodeName, encodeName
from mailfw.sasl.steps import SCRAM, Challenge, Failed, NeedVerifier, Succeeded
from mailfw.sasl.verifier import Verifier, makeUp

RFC_5802 = (
    "SCRAM-SHA-1",
    b"fyko+d2lbbFgONRv9qkxdawL",
    b"3rfcNHYJY1ZVvWVs7j",
    "QSXCR+Q6sek8bf92",
    b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
)
RFC_7677 = (
    "SCRAM-SHA-256",
    b"rOprNGfwEbeRWgbNEkqO",
    b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    "W22ZaJ0SNY7soEsUEjb6gQ==",
    b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)


def challenge(server: ScramServer, first: bytes, verifier: Verifier) -> bytes:
    """The server's first message."""
    step = server.start(first)
    assert isinstance(step, NeedVerifier), step
    step = step.resume(verifier)
    assert isinstance(step, Challenge), step
    return step.data


def verifierFor(mechanism: str, password: str = "pencil") -> Verifier:
    return Verifier.fromPassword(mechanism, password, b"salt of sixteen.", 4096)


@pytest.mark.parametrize("example", [RFC_5802, RFC_7677], ids=["RFC 5802 §5", "RFC 7677 §3"])
def test_serverHoldsTheConversationOfTheRFC(example):
    name, _clientNonce, serverNonce, salt, first, serverFirst, final, serverFinal = example
    server = ScramServer(name, nonce=lambda: serverNonce)
    verifier = Verifier.fromPassword(name, "pencil", base64.b64decode(salt), 4096)
    assert challenge(server, first, verifier) == serverFirst
    assert server.respond(final) == Succeeded("user", "", serverFinal)


@pytest.mark.parametrize("example", [RFC_5802, RFC_7677], ids=["RFC 5802 §5", "RFC 7677 §3"])
def test_clientHoldsTheConversationOfTheRFC(example):
    name, clientNonce, _serverNonce, _salt, first, serverFirst, final, serverFinal = example
    client = ScramClient(name, "user", "pencil", nonce=lambda: clientNonce)
    assert client.start() == first
    assert client.respond(serverFirst) == final
    assert not client.isDone
    assert client.respond(serverFinal) == b""
    assert client.isDone


@pytest.mark.parametrize("name", SCRAM)
@pytest.mark.parametrize("password", ["pencil", "I\u00adX", "pässword", "ﬁ ligature"])
def test_aStrangersClientLogsIn(name, password):
    stranger = Stranger([name], "mbrain@example.org", password)
    server = ScramServer(name)
    stranger.set_server_first(challenge(server, stranger.get_client_first().encode(), verifierFor(name, password)).decode())
    step = server.respond(stranger.get_client_final().encode())
    assert isinstance(step, Succeeded)
    assert step.user == "mbrain@example.org"
    stranger.set_server_final(step.data.decode())


def test_passwordsOfTodaysCharactersWork():
    server, client = ScramServer("SCRAM-SHA-256"), ScramClient("SCRAM-SHA-256", "mbrain", "🐧 in the 🌊")
    verifier = verifierFor("SCRAM-SHA-256", "🐧 in the 🌊")
    assert isinstance(server.respond(client.respond(challenge(server, client.start(), verifier))), Succeeded)


@pytest.mark.parametrize("name", SCRAM)
def test_wrongPasswordAndUnknownUserFailInTheSameWords(name):
    outcomes = []
    for verifier in (verifierFor(name, "another"), makeUp(name, "nobody@example.org", b"secret")):
        server = ScramServer(name)
        client = ScramClient(name, "mbrain", "pencil")
        outcomes.append(server.respond(client.respond(challenge(server, client.start(), verifier))))
    assert outcomes == [Failed("wrong password or unknown user")] * 2


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=,r=abc",
        b"n,,n=user",
        b"n,,n=user,r=",
        b"n,,n=user,r=a b",
        b"n,,n=user,r=" + b"a" * 257,
        b"n,,n=us=er,r=abc",
        b"n,,n=us=2cer,r=abc",
        b"n,,n=\xff,r=abc",
        b"n,,n=us\0er,r=abc",
        b"n,,n=" + b"u" * 513 + b",r=abc",
        b"n,a=,n=user,r=abc",
        b"n,user,n=user,r=abc",
        b"n,,m=must,n=user,r=abc",
        b"n,,n=user,r=abc,",
        b"n,,n=user,r=abc\r\n",
        b"x,,n=user,r=abc",
        b"p=,,n=user,r=abc",
    ],
)
def test_malformedFirstMessageIsRefused(first):
    step = ScramServer("SCRAM-SHA-256").start(first)
    assert isinstance(step, Failed)
    assert step.isMalformed


@pytest.mark.parametrize(
    "spoil",
    [
        lambda final: b"",
        lambda final: final.rpartition(b",p=")[0],
        lambda final: final.replace(b"c=biws", b"c=eSws"),
        lambda final: final.replace(b"c=biws", b"c=biwt"),
        lambda final: final.replace(b",r=", b",r=x"),
        lambda final: final[:-4] + b"AAA=",
        lambda final: final.rpartition(b",p=")[0] + b",p=AAAA",
        lambda final: final.rpartition(b",p=")[0] + b",p=" + base64.b64encode(bytes(32)),
        lambda final: final.rpartition(b",p=")[0] + b",p=" + base64.b64encode(bytes(33)),
        lambda final: final + b"\r\n",
        lambda final: final + b",x=y",
    ],
)
def test_spoiledFinalMessageIsRefused(spoil):
    server, client = ScramServer("SCRAM-SHA-256"), ScramClient("SCRAM-SHA-256", "mbrain", "pencil")
    final = client.respond(challenge(server, client.start(), verifierFor("SCRAM-SHA-256")))
    assert isinstance(server.respond(spoil(final)), Failed)


def test_extensionsAreSignedAndPassedOver():
    server = ScramServer("SCRAM-SHA-256", nonce=lambda: b"s")
    challenge(server, b"n,,n=user,r=c,x=something", verifierFor("SCRAM-SHA-256"))
    step = server.respond(b"c=biws,r=cs,y=else,p=" + base64.b64encode(bytes(32)))
    assert step == Failed("wrong password or unknown user")


def test_authorizationIdentityIsHandedOn():
    server, client = ScramServer("SCRAM-SHA-256"), ScramClient("SCRAM-SHA-256", "a,b=c", "pencil", authorizeAs="d,=")
    step = server.respond(client.respond(challenge(server, client.start(), verifierFor("SCRAM-SHA-256"))))
    assert isinstance(step, Succeeded)
    assert (step.user, step.authorizeAs) == ("a,b=c", "d,=")


# --- Channel binding ---


def bind(kind: str) -> bytes | None:
    return b"channel data" if kind == "tls-exporter" else None


def converse(name, clientBinding, serverBinding, serverName=None):
    """What the server says at the end when both sides know the password."""
    server, client = ScramServer(serverName or name, serverBinding), ScramClient(name, "u", "pencil", binding=clientBinding)
    step = server.start(client.start())
    if isinstance(step, NeedVerifier):
        step = server.respond(client.respond(step.resume(verifierFor("SCRAM-SHA-256")).data))
    return step


def test_bothBindToTheSameChannel():
    assert isinstance(converse("SCRAM-SHA-256-PLUS", ("tls-exporter", b"channel data"), bind), Succeeded)


def test_anotherChannelIsAManInTheMiddle():
    assert converse("SCRAM-SHA-256-PLUS", ("tls-exporter", b"his data"), bind) == Failed("another channel binding")


def test_bindingOfAnUnknownTypeFails():
    step = converse("SCRAM-SHA-256-PLUS", ("tls-unique", b"channel data"), bind)
    assert step == Failed("no channel binding tls-unique here")


def test_hiddenPlusIsNoticed():
    assert isinstance(converse("SCRAM-SHA-256", ("tls-exporter", b"channel data"), bind), Failed)


def test_clientThatCouldBindIsWelcomeWhereNoPlusIsOffered():
    assert isinstance(converse("SCRAM-SHA-256", ("tls-exporter", b"channel data"), None), Succeeded)


def test_mechanismAndFlagMustFit():
    plain, plus = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
    assert isinstance(converse(plain, None, bind, serverName=plus), Failed)
    assert isinstance(converse(plus, ("tls-exporter", b"channel data"), bind, serverName=plain), Failed)


def test_plusNeedsABinding():
    with pytest.raises(ValueError, match="channel binding"):
        ScramClient("SCRAM-SHA-256-PLUS", "user", "pencil")


# --- The client's distrust ---


@pytest.mark.parametrize(
    "serverFirst",
    [
        b"",
        b"r=other,s=c2FsdA==,i=4096",
        b"r=c,s=c2FsdA==,i=4096",
        b"r=cs,s=,i=4096",
        b"r=cs,s=c2FsdA==,i=0",
        b"r=cs,s=c2FsdA==,i=9999999999",
        b"r=cs,s=c2FsdA=,i=4096",
        b"m=x,r=cs,s=c2FsdA==,i=4096",
    ],
)
def test_clientRefusesABadServer(serverFirst):
    client = ScramClient("SCRAM-SHA-256", "user", "pencil", nonce=lambda: b"c")
    with pytest.raises(AuthenticationFailed):
        client.respond(serverFirst)


@pytest.mark.parametrize("final", [b"", b"e=invalid-proof", b"v=AAAA", b"v=" + base64.b64encode(bytes(32))])
def test_clientDoesNotBelieveAServerThatDoesNotKnowThePassword(final):
    client = ScramClient("SCRAM-SHA-256", "user", "pencil", nonce=lambda: b"c")
    client.respond(b"r=cs,s=c2FsdA==,i=4096")
    with pytest.raises(AuthenticationFailed):
        client.respond(final)
    assert not client.isDone


# --- Properties ---


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_namesComeBack(name):
    assert decodeName(encodeName(name)) == name


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_anyOctetsYieldAStep(first, final):
    server = ScramServer("SCRAM-SHA-256")
    step = server.start(first)
    if isinstance(step, NeedVerifier):
        step.resume(verifierFor("SCRAM-SHA-256"))
        assert isinstance(server.respond(final), Failed)
    else:
        assert isinstance(step, Failed)
