"""`cred:SPEC` – checkers of twisted.cred as sources of accounts."""

from __future__ import annotations

import pytest
from twisted.cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed

from mailfw.auth import cred
from mailfw.errors import AuthenticationFailed, AuthenticationUnavailable
from mailfw.interfaces import IUserList
from mailfw.testing.authenticator import AuthContext, resultOf
from mailfw.values import Identity, PasswordCredentials


def opened(spec, data="."):
    return cred.plugin.openAuthenticator(spec, AuthContext(str(data)))


def logIn(source, user, password="mailfw"):
    return resultOf(source.authenticate(PasswordCredentials(user, password)))


def test_memory():
    source = opened("memory:mbrain:mailfw")
    assert logIn(source, "mbrain@example.org") == Identity("mbrain@example.org")
    with pytest.raises(AuthenticationFailed):
        logIn(source, "mbrain@example.net")
    assert resultOf(source.hasAccount("mbrain@example.org"))
    assert not resultOf(source.hasAccount("mbrain@example.net"))


def test_file(tmp_path):
    path = tmp_path / "users"
    path.write_text("mbrain:mailfw\njsmith@example.org:mailfw\nanna@example.net:mailfw\n")
    source = opened(f"file:{path}")
    for account in ("mbrain@example.org", "jsmith@example.org", "anna@example.net"):
        assert logIn(source, account) == Identity(account)
        assert resultOf(source.hasAccount(account))
    assert not resultOf(source.hasAccount("nobody@example.org"))


def test_unixListsTheSystemsUsers():
    source = opened("unix")
    assert resultOf(source.hasAccount("root@example.org"))
    assert not resultOf(source.hasAccount("no-such-user@example.org"))
    with pytest.raises(AuthenticationFailed):
        logIn(source, "no-such-user")


@pytest.mark.parametrize("spec", ["", "nothing", "nothing:at:all"])
def test_unknownCheckersAreNamedWithThoseThatThereAre(spec):
    with pytest.raises(ValueError, match=r"no such checker \(there are .*file.*memory") as caught:
        opened(spec)
    assert f"cred:{spec}:" in str(caught.value)


def test_argumentsThatMakeNoSense():
    with pytest.raises(ValueError, match="cred:memory:a: "):
        opened("memory:a")


def test_checkersOfSomethingElseAreRefused():
    with pytest.raises(ValueError, match="takes no passwords"):
        cred.adapt(AllowAnonymousAccess(), "example.org")


class Checker:
    """A checker that answers as it is told."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def requestAvatarId(self, credentials):
        self.asked.append(credentials.username)
        return self.answer()


def test_answersComeWhenTheyCome():
    pending = Deferred()
    source = cred.adapt(Checker(lambda: pending), "example.org")
    outcome = []
    Deferred.fromCoroutine(source.authenticate(PasswordCredentials("mbrain", "mailfw"))).addBoth(outcome.append)
    assert outcome == []
    pending.callback(b"whoever")
    assert outcome == [Identity("mbrain@example.org")]


def test_anonymousIsNobody():
    source = cred.adapt(Checker(lambda: succeed(())), "example.org")
    with pytest.raises(AuthenticationFailed):
        logIn(source, "mbrain")


def test_aCheckerThatBreaksIsUnavailable(logged):

    def breakDown():
        raise ZeroDivisionError

    checker = Checker(breakDown)
    with pytest.raises(AuthenticationUnavailable):
        logIn(cred.adapt(checker, "example.org"), "mbrain")
    assert logged() == [f"the checker {checker} failed"]


def test_aCheckerIsAskedForLocalPartAndAddress():
    def refuse():
        raise UnauthorizedLogin

    checker = Checker(refuse)
    source = cred.adapt(checker, "example.org")
    for user in ("MBrain", "anna@example.net"):
        with pytest.raises(AuthenticationFailed):
            logIn(source, user)
    assert checker.asked == [b"mbrain", b"mbrain@example.org", b"anna@example.net"]


def test_strangersCheckersListNoUsers():
    assert not IUserList.providedBy(cred.adapt(Checker(dict), "example.org"))
    assert IUserList.providedBy(cred.adapt(InMemoryUsernamePasswordDatabaseDontUse(), "example.org"))
