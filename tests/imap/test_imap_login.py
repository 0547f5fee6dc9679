"""Logging in by challenge and response, and what a session says of it."""

import pytest

from mailfw.errors import AuthenticationUnavailable
from mailfw.imap.grammar.commands import Authenticate, Login
from mailfw.sasl.exchange import Logins
from mailfw.sasl.scram import ScramClient
from mailfw.sasl.verifier import Verifier
from mailfw.sasl.wire import decodeBase64, encode
from mailfw.values import Identity


class Verifiers:
    """Keeps a SCRAM verifier for jsmith."""

    def mechanisms(self):
        return ("SCRAM-SHA-256",)

    async def verifier(self, user, mechanism):
        return Verifier.fromPassword(mechanism, "mailfw", b"salt" * 4, 4096) if user == "jsmith" else None

    async def identify(self, user):
        return Identity("jsmith@localhost")


@pytest.fixture
def scramWorld(world):
    world.context.logins = Logins(world.users, Verifiers(), domain="localhost", secret=b"fake")
    return world


def authenticate(client, mechanism, isInitial):
    """Speak SCRAM as a client does; the server's last word."""
    first = encode(mechanism.start())
    said = client.say(b"a AUTHENTICATE SCRAM-SHA-256" + (b" " + first if isInitial else b""))
    if not isInitial:
        assert said == b"+ \r\n"
        said = client.say(first)
    while said.startswith(b"+ "):
        said = client.say(encode(mechanism.respond(decodeBase64(said[2:-2]))))
    return said


@pytest.mark.parametrize("isInitial", [False, True])
def test_scram(scramWorld, connect, isInitial):
    client = connect()
    assert b" AUTH=SCRAM-SHA-256 " in client.said()
    mechanism = ScramClient("SCRAM-SHA-256", "jsmith", "mailfw")
    assert authenticate(client, mechanism, isInitial).startswith(b"a OK [CAPABILITY ")
    assert mechanism.isDone


@pytest.mark.parametrize(("user", "password"), [("jsmith", "wrong"), ("nobody", "mailfw")])
def test_scram_with_the_wrong_password(scramWorld, connect, user, password):
    client = connect()
    client.said()
    said = authenticate(client, ScramClient("SCRAM-SHA-256", user, password), isInitial=True)
    assert said == b"a NO [AUTHENTICATIONFAILED] authentication failed\r\n"


def test_scram_needs_no_tls(scramWorld, connect):
    client = connect(peer="192.0.2.7")
    assert b"LOGINDISABLED AUTH=SCRAM-SHA-256]" in client.said()
    assert authenticate(client, ScramClient("SCRAM-SHA-256", "jsmith", "mailfw"), True).startswith(b"a OK")


def test_sources_that_cannot_tell_are_no_failed_login(world, client, monkeypatch):
    async def unavailable(credentials):
        raise AuthenticationUnavailable()

    client.said()
    monkeypatch.setattr(world.users, "authenticate", unavailable)
    for _ in range(world.context.limits.authFailures + 1):
        assert client.say(b"a LOGIN jsmith mailfw").startswith(b"a NO [UNAVAILABLE]")
    assert not client.transport.isClosed


def test_a_secret_is_in_no_repr():
    assert "mailfw" not in repr(Login(b"jsmith", b"mailfw"))
    assert "mailfw" not in repr(Authenticate("PLAIN", b"mailfw"))
