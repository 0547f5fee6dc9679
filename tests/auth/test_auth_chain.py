"""Several sources as one: who is asked, and whose word counts."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mailfw.auth.chain import PATIENCE, chain
from mailfw.errors import AccountSuspended, AuthenticationFailed, AuthenticationUnavailable, TokenRefused
from mailfw.interfaces import (
    IAliases,
    IAuthenticator,
    IClosable,
    ICredentialKinds,
    IIdentitySource,
    IQuotas,
    IUserList,
    IVerifierSource,
)
from mailfw.sasl.verifier import Verifier
from mailfw.testing.authenticator import resultOf
from mailfw.values import CertificateCredentials, Identity, PasswordCredentials, Quota, TokenCredentials

CREDENTIALS = PasswordCredentials("mbrain", "mailfw")
MBRAIN, ADMIN = Identity("mbrain@example.org"), Identity("mbrain@example.org", isAdmin=True)


@implementer(IAuthenticator)
class Source:
    def __init__(self, answer):
        self.answer = answer
        self.isAsked = False

    async def authenticate(self, credentials):
        self.isAsked = True
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


NO, AWAY, SUSPENDED = AuthenticationFailed, AuthenticationUnavailable, AccountSuspended


@pytest.mark.parametrize(
    ("answers", "outcome", "asked"),
    [
        ([], NO, 0),
        ([NO()], NO, 1),
        ([MBRAIN, NO()], MBRAIN, 1),
        ([NO(), ADMIN], ADMIN, 2),
        ([NO(), NO(), NO()], NO, 3),
        ([AWAY(), MBRAIN], MBRAIN, 2),
        ([AWAY(), NO()], AWAY, 2),
        ([NO(), AWAY()], AWAY, 2),
        ([SUSPENDED(), MBRAIN], SUSPENDED, 1),
        ([NO(), SUSPENDED()], SUSPENDED, 2),
    ],
)
def test_sourcesAreAskedInOrder(answers, outcome, asked):
    sources = [Source(answer) for answer in answers]
    waiting = chain(sources).authenticate(CREDENTIALS)
    if isinstance(outcome, Identity):
        assert resultOf(waiting) == outcome
    else:
        with pytest.raises(outcome) as caught:
            resultOf(waiting)
        assert caught.type is outcome
    assert [source.isAsked for source in sources] == [True] * asked + [False] * (len(sources) - asked)


@implementer(IUserList, IAliases, IClosable)
class Listing(Source):
    def __init__(self, users=(), admins=(), aliases=None):
        super().__init__(NO())
        self.users, self.administrators, self.aliases = users, list(admins), aliases or {}
        self.isClosed = False

    async def hasAccount(self, account):
        return account in self.users

    async def admins(self):
        return self.administrators

    async def aliasTargets(self, address):
        return self.aliases.get(address, [])

    async def close(self):
        self.isClosed = True


def test_listsAreJoined():
    parts = [
        Source(NO()),
        Listing(["a@x"], ["a@x"], {"i@x": ["a@x"]}),
        Listing(["b@x"], ["b@x"], {"i@x": ["b@x"], "j@x": ["b@x"]}),
    ]
    whole = chain(parts)
    assert [resultOf(whole.hasAccount(name)) for name in ("a@x", "b@x", "c@x")] == [True, True, False]
    assert resultOf(whole.admins()) == ["a@x", "b@x"]
    assert [resultOf(whole.aliasTargets(name)) for name in ("i@x", "j@x", "k@x")] == [["a@x"], ["b@x"], []]
    resultOf(whole.close())
    assert all(part.isClosed for part in parts[1:])


@implementer(IVerifierSource)
class Verifying(Source):
    def __init__(self, identity, verifiers, mechanisms=("SCRAM-SHA-256", "SCRAM-SHA-1")):
        super().__init__(NO())
        self.identity, self.verifiers, self.offered = identity, verifiers, mechanisms
        self.asked = 0

    def mechanisms(self):
        return self.offered

    async def verifier(self, user, mechanism):
        self.asked += 1
        return self.verifiers.get(mechanism)

    async def identify(self, user):
        return self.identity


ONE, TWO = Verifier(b"1", 1, b"", b""), Verifier(b"2", 2, b"", b"")


def test_verifiersAreServedOnlyWhenAllCan():
    assert not IVerifierSource.providedBy(chain([Verifying(MBRAIN, {}), Source(NO())]))
    assert not IVerifierSource.providedBy(chain([]))
    whole = chain([Verifying(MBRAIN, {}, ["SCRAM-SHA-256"]), Verifying(MBRAIN, {})])
    assert whole.mechanisms() == {"SCRAM-SHA-256"}


def test_theIdentityIsThatOfTheSourceWhoseVerifierWasUsed():
    whole = chain([Verifying(ADMIN, {}), Verifying(MBRAIN, {"SCRAM-SHA-1": ONE})])
    assert resultOf(whole.verifier("mbrain", "SCRAM-SHA-1")) == ONE
    assert resultOf(whole.identify("mbrain")) == MBRAIN


def test_whoHasNoVerifierAnyMoreIsNobody():
    """A source may have forgotten the user since the exchange began."""
    with pytest.raises(AuthenticationFailed):
        resultOf(chain([Verifying(ADMIN, {}), Verifying(MBRAIN, {})]).identify("mbrain"))


def test_everySourceIsAskedForAVerifierWhoeverHasIt():
    parts = [Verifying(MBRAIN, {"SCRAM-SHA-256": ONE}), Verifying(MBRAIN, {"SCRAM-SHA-256": TWO})]
    whole = chain(parts)
    assert resultOf(whole.verifier("mbrain", "SCRAM-SHA-256")) == ONE
    assert resultOf(whole.verifier("mbrain", "SCRAM-SHA-1")) is None
    assert [part.asked for part in parts] == [2, 2]


# --- Tokens and certificates ---

TOKEN = TokenCredentials("", "token")


@implementer(ICredentialKinds)
class TokenSource(Source):
    kinds = frozenset({TokenCredentials})


@implementer(IIdentitySource)
class Naming(Source):
    """Answers passwords with `answer`, and names with `named`."""

    def __init__(self, named):
        super().__init__(NO())
        self.named = named

    async def identityOf(self, user):
        if isinstance(self.named, Exception):
            raise self.named
        return self.named


def test_aSourceIsAskedOnlyForWhatItJudges():
    passwords, tokens = Source(MBRAIN), TokenSource(MBRAIN)
    whole = chain([passwords, tokens])
    assert whole.kinds == {PasswordCredentials, TokenCredentials}
    resultOf(whole.authenticate(TOKEN))
    assert (passwords.isAsked, tokens.isAsked) == (False, True)
    tokens.isAsked = False
    resultOf(whole.authenticate(CREDENTIALS))
    assert (passwords.isAsked, tokens.isAsked) == (True, False)
    with pytest.raises(AuthenticationFailed):
        resultOf(whole.authenticate(CertificateCredentials("", b"")))


@pytest.mark.parametrize(
    ("others", "outcome"),
    [
        ([], MBRAIN),
        ([Source(NO())], MBRAIN),
        ([Naming(ADMIN)], ADMIN),
        ([Naming(NO())], NO),
        ([Naming(NO()), Naming(ADMIN)], ADMIN),
        ([Naming(SUSPENDED()), Naming(ADMIN)], SUSPENDED),
        ([Naming(MBRAIN), Naming(SUSPENDED())], MBRAIN),
        ([Naming(AWAY()), Naming(ADMIN)], AWAY),
    ],
)
def test_whetherThereIsSuchAnAccountIsSaidByWhoKnowsAccounts(others, outcome):
    waiting = chain([*others, TokenSource(MBRAIN)]).authenticate(TOKEN)
    if isinstance(outcome, Identity):
        assert resultOf(waiting) == outcome
    else:
        with pytest.raises(outcome) as caught:
            resultOf(waiting)
        assert caught.type is outcome


def test_aSourceOfTokensDoesNotEndScram():
    whole = chain([Verifying(MBRAIN, {"SCRAM-SHA-256": ONE}), TokenSource(ADMIN)])
    assert "SCRAM-SHA-256" in whole.mechanisms()
    assert resultOf(whole.identify("mbrain")) == MBRAIN
    assert not IVerifierSource.providedBy(chain([Verifying(MBRAIN, {}), Source(NO()), TokenSource(ADMIN)]))
    assert not IVerifierSource.providedBy(chain([TokenSource(ADMIN)]))


def test_whyATokenWasRefusedIsKept():
    with pytest.raises(TokenRefused) as caught:
        resultOf(chain([TokenSource(TokenRefused("expired")), TokenSource(NO())]).authenticate(TOKEN))
    assert caught.value.reason == "expired"
    with pytest.raises(AuthenticationUnavailable):
        resultOf(chain([TokenSource(TokenRefused("expired")), TokenSource(AWAY())]).authenticate(TOKEN))


@implementer(IQuotas)
class Keeping(Source):
    def __init__(self, quota):
        super().__init__(NO())
        self.quota = quota

    async def quotaOf(self, account):
        return self.quota


def test_quotasAreOfTheFirstWhoHasSetOne():
    first, second = Quota(messages=10), Quota(1 << 30)
    assert resultOf(chain([Source(NO()), Keeping(Quota()), Keeping(first), Keeping(second)]).quotaOf("x@y")) == first
    assert resultOf(chain([Source(NO()), Keeping(Quota())]).quotaOf("x@y")) == Quota()


class Silent(Source):
    async def authenticate(self, credentials):
        self.isAsked = True
        await Deferred()


@pytest.mark.parametrize(("next_", "outcome"), [(MBRAIN, MBRAIN), (NO(), AWAY)])
def test_aSourceThatNeverAnswersIsAway(next_, outcome):
    """Logins of a user take turns: one that never ends would be his last."""
    clock = Clock()
    judged = []
    Deferred.fromCoroutine(chain([Silent(None), Source(next_)], clock).authenticate(CREDENTIALS)).addBoth(judged.append)
    clock.advance(PATIENCE - 1)
    assert judged == []
    clock.advance(1)
    (said,) = judged
    assert said == outcome if isinstance(outcome, Identity) else said.check(outcome)
    assert clock.getDelayedCalls() == []


def test_whoSaysNothingHasNotSaidThatThereIsNobody():
    class Forgetful(Listing):
        async def hasAccount(self, account):
            pass

    with pytest.raises(TypeError, match="neither yes nor no"):
        resultOf(chain([Forgetful(), Listing(["a@x"])]).hasAccount("a@x"))
