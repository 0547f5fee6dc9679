"""Masters: who may enter the accounts of others, in which ways, and what nobody may."""

from __future__ import annotations

import contextlib

import pytest

from mailfw.errors import AccountSuspended, AuthenticationFailed
from mailfw.sasl.bearer import OAuthBearerClient
from mailfw.sasl.exchange import Logins, Masters
from mailfw.sasl.external import ExternalClient
from mailfw.sasl.plain import LoginClient, PlainClient
from mailfw.sasl.scram import ScramClient
from mailfw.sasl.steps import SCRAM
from mailfw.sasl.verifier import Verifier
from mailfw.values import CertificateCredentials, Identity, PasswordCredentials, TokenCredentials, accountName

PASSWORDS = {
    "mbrain@example.org": "mailfw",
    "jsmith@example.org": "smith",
    "support@example.org": "master",
    "a*b@example.org": "star",
}
ADMINS = ("jsmith@example.org",)
ENTERED = Identity("mbrain@example.org", authenticatedAs="support@example.org")


def run(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for something")


class Accounts:
    """Every password is the token and the certificate of its account too."""

    def __init__(self):
        self.asked = []
        self.suspended = set()

    def mechanisms(self):
        return SCRAM

    async def authenticate(self, credentials):
        self.asked.append(credentials)
        if isinstance(credentials, PasswordCredentials):
            if PASSWORDS.get(self.canonical(credentials.user)) != credentials.password:
                raise AuthenticationFailed
            return await self.identityOf(credentials.user)
        proof = credentials.token if isinstance(credentials, TokenCredentials) else credentials.certificate.decode()
        for name, password in PASSWORDS.items():
            if password == proof:
                return await self.identityOf(name)
        raise AuthenticationFailed

    async def verifier(self, user, mechanism):
        password = PASSWORDS.get(self.canonical(user))
        return Verifier.fromPassword(mechanism, password, b"0123456789abcdef", 10_000) if password else None

    async def identify(self, user):
        return await self.identityOf(user)

    async def identityOf(self, user):
        name = self.canonical(user)
        if name not in PASSWORDS:
            raise AuthenticationFailed
        if name in self.suspended:
            raise AccountSuspended
        return Identity(name, isAdmin=name in ADMINS)

    @staticmethod
    def canonical(user):
        try:
            return accountName(user, "example.org")
        except ValueError:
            return ""


class Guard:
    def __init__(self):
        self.heard, self.delayed = [], []

    def delayFor(self, peer, user=""):
        self.delayed.append(user)
        return 0.0

    async def admit(self, user, peer):
        return contextlib.nullcontext()

    def failed(self, user, service, peer, reason):
        self.heard.append(("failed", user))

    def succeeded(self, identity, service, peer):
        self.heard.append(("succeeded", identity))


@pytest.fixture
def accounts():
    return Accounts()


@pytest.fixture
def guard():
    return Guard()


def open_(accounts, guard, masters):
    kinds = [PasswordCredentials, TokenCredentials, CertificateCredentials]
    return Logins(accounts, accounts, kinds=kinds, identities=accounts, masters=masters, domain="example.org", guard=guard)


@pytest.fixture
def logins(accounts, guard):
    return open_(accounts, guard, Masters(frozenset({"support@example.org"}), "*"))


@pytest.fixture
def withoutMasters(accounts, guard):
    return open_(accounts, guard, Masters(frozenset(), "*"))


def converse(logins, client):
    exchange = logins.begin(client.name, certificate=getattr(client, "certificate", None))
    answer = run(exchange.step(client.start()))
    while not isinstance(answer, Identity):
        answer = run(exchange.step(client.respond(answer)))
    return answer


def external(certificate, user):
    client = ExternalClient(user)
    client.certificate = certificate
    return client


WAYS = {
    "PLAIN, authzid": lambda user, password="master": PlainClient("support", password, user),
    "PLAIN, name": lambda user, password="master": PlainClient(f"{user}*support", password),
    "PLAIN, both": lambda user, password="master": PlainClient(f"{user}*support@example.org", password, user),
    "LOGIN, name": lambda user, password="master": LoginClient(f"{user}*SUPPORT", password),
    "SCRAM, authzid": lambda user, password="master": ScramClient("SCRAM-SHA-256", "support", password, user),
    "SCRAM, name": lambda user, password="master": ScramClient("SCRAM-SHA-256", f"{user}*support", password),
    "OAUTHBEARER": lambda user, password="master": OAuthBearerClient(password, user),
    "EXTERNAL": lambda user, password="master": external(password.encode(), user),
}


@pytest.mark.parametrize("way", WAYS)
def test_aMasterEntersAnAccount(logins, guard, way):
    assert converse(logins, WAYS[way]("mbrain")) == ENTERED
    assert guard.heard == [("succeeded", ENTERED)]


def test_asMastersDoWithPOP3AndIMAPsLogin(logins):
    assert run(logins.password("mbrain*support", "master")) == ENTERED
    assert run(logins.password("mbrain@example.org*support@example.org", "master")) == ENTERED


@pytest.mark.parametrize("way", WAYS)
def test_aMasterIsNoAdministratorThere(logins, way):
    assert converse(logins, WAYS[way]("jsmith")) == Identity("jsmith@example.org", authenticatedAs="support@example.org")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("user", "password"), [("nobody", "master"), ("mbrain", "wrong"), ("mbrain", "mailfw")])
def test_whatAMasterMayNot(logins, guard, way, user, password):
    if way in ("OAUTHBEARER", "EXTERNAL") and password == "mailfw":
        pytest.skip("there the password says who that is: mbrain, who may")
    with pytest.raises(AuthenticationFailed):
        converse(logins, WAYS[way](user, password))
    assert [word for word, _ in guard.heard] == ["failed"]


@pytest.mark.parametrize("way", WAYS)
def test_thereAreNoneByDefault(withoutMasters, way):
    with pytest.raises(AuthenticationFailed):
        converse(withoutMasters, WAYS[way]("mbrain"))


@pytest.mark.parametrize("way", WAYS)
def test_aSuspendedAccountIsNotEntered(logins, accounts, way):
    accounts.suspended.add("mbrain@example.org")
    with pytest.raises(AccountSuspended):
        converse(logins, WAYS[way]("mbrain"))


def test_aSuspendedMasterEntersNothing(logins, accounts):
    accounts.suspended.add("support@example.org")
    with pytest.raises(AccountSuspended):
        converse(logins, PlainClient("support", "master", "mbrain"))


def test_othersWhoNameOneAnotherStayOutside(logins):
    for client in (PlainClient("jsmith", "smith", "mbrain"), PlainClient("mbrain*jsmith", "smith")):
        with pytest.raises(AuthenticationFailed):
            converse(logins, client)


def test_theAuthorizationIdentityCountsBeforeTheName(logins):
    assert converse(logins, PlainClient("jsmith*support", "master", "mbrain")) == ENTERED


def test_theSeparatorInAnOrdinaryName(logins, guard):
    assert run(logins.password("a*b", "star")) == Identity("a*b@example.org")
    assert guard.heard == [("succeeded", Identity("a*b@example.org"))]


def test_aMasterIsHimselfToo(logins):
    assert run(logins.password("support", "master")) == Identity("support@example.org")
    assert converse(logins, PlainClient("support", "master", "support")) == Identity("support@example.org")


def test_appPasswordsAreToldThatTheyAreNoGood(logins, accounts):
    converse(logins, PlainClient("support", "master", "mbrain"))
    run(logins.password("mbrain*support", "master"))
    run(logins.password("support", "master"))
    converse(logins, PlainClient("support", "master", "Support@example.org"))
    assert [asked.isForAnother for asked in accounts.asked] == [True, True, False, False]


def test_guessesAreCountedForTheMaster(logins, guard):
    for user in ("mbrain", "jsmith"):
        with pytest.raises(AuthenticationFailed):
            run(logins.password(f"{user}*support", "wrong"))
        with pytest.raises(AuthenticationFailed):
            converse(logins, ScramClient("SCRAM-SHA-256", f"{user}*support", "wrong"))
    assert guard.heard == [("failed", "support")] * 4
    logins.delayFor("192.0.2.1", "mbrain*support")
    assert guard.delayed == ["support"]
