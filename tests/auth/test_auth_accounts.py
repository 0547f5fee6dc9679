"""`accounts:` – what an administrator does, and what becomes of logins after it."""

from __future__ import annotations

import os
import stat
import time

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from mailfw.auth import accounts, hashes
from mailfw.auth.accounts import AlreadyThere, Imported, ImportRefused, NoSuchAccount, NoSuchAlias
from mailfw.auth.rows import Alias
from mailfw.errors import AccountSuspended, AuthenticationFailed, InvalidName, Refusal, Unavailable
from mailfw.sasl.exchange import Logins
from mailfw.sasl.scram import ScramClient
from mailfw.testing.authenticator import AuthContext, resultOf
from mailfw.values import Identity, PasswordCredentials, Quota


class Desk:
    """An administrator's desk: the accounts of one data directory, with the verbs called and waited for."""

    def __init__(self, context):
        self.context = context
        self.open()

    def open(self):
        self.source = accounts.plugin.openAuthenticator("", self.context)

    def reopen(self):
        resultOf(self.source.close())
        self.open()

    def __getattr__(self, verb):
        return lambda *given, **named: resultOf(getattr(self.source, verb)(*given, **named))

    @property
    def operations(self):
        return self.source._hasher.operations

    def logIn(self, user, password, service="imap"):
        return resultOf(self.source.authenticate(PasswordCredentials(user, password, service, "192.0.2.1")))

    def canLogIn(self, user, password, service="imap"):
        try:
            self.logIn(user, password, service)
        except AuthenticationFailed:
            return False
        return True

    def stored(self, user):
        """The password as it is stored."""
        return resultOf(self.source._find(user)).password


@pytest.fixture
def desk(tmp_path):
    desk = Desk(AuthContext(str(tmp_path)))
    yield desk
    resultOf(desk.source.close())


@pytest.fixture
def mbrain(desk):
    desk.addUser("mbrain", "mailfw")
    return desk


# --- Accounts ---


def test_anAccountIsThereAndStays(desk):
    desk.addUser("MBrain@Example.ORG", "mailfw", isAdmin=True, quota=1 << 30)
    desk.reopen()
    (account,) = desk.listUsers()
    assert (account.name, account.isAdmin, account.isSuspended, account.quota) == ("mbrain@example.org", True, False, 1 << 30)
    assert account.created == desk.context.now()
    assert desk.logIn("mbrain", "mailfw") == Identity("mbrain@example.org", isAdmin=True)
    assert desk.quotaOf("mbrain@example.org") == Quota(1 << 30)
    assert desk.quotaOf("nobody@example.org") == Quota()


def test_theFileIsForNobodyElse(mbrain):
    path = mbrain.context.path("accounts.sqlite")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, "rb") as file:
        assert b"mailfw" not in file.read()


def test_noPasswordIsStoredInClear(mbrain):
    assert mbrain.stored("mbrain").startswith("{ARGON2ID}")


def test_nothingIsDoneTwice(mbrain):
    with pytest.raises(AlreadyThere, match=r"there is an account mbrain@example\.org already"):
        mbrain.addUser("MBRAIN@example.org", "other")
    assert mbrain.canLogIn("mbrain", "mailfw")
    assert len(mbrain.listUsers()) == 1


@pytest.mark.parametrize("address", ["", "@example.org", "a b@example.org", "a@", "a\r\nb", "<a@b>", "a@b@c", "x" * 400])
def test_badAddressesAreRefused(desk, address):
    for verb in (desk.addUser, desk.addAlias):
        with pytest.raises(InvalidName) as caught:
            verb(address, "mailfw")
        assert str(caught.value).isprintable()
    assert desk.listUsers() == []


@pytest.mark.parametrize("password", ["", "a\tb", "\0", "x" * 1025])
def test_badPasswordsAreRefused(mbrain, password):
    with pytest.raises(Refusal, match="the password"):
        mbrain.addUser("jsmith", password)
    with pytest.raises(Refusal, match="the password"):
        mbrain.setPassword("mbrain", password)
    assert mbrain.canLogIn("mbrain", "mailfw")


def test_aNewPasswordEndsTheOld(mbrain):
    mbrain.logIn("mbrain", "mailfw")
    mbrain.setPassword("mbrain", "neu")
    assert not mbrain.canLogIn("mbrain", "mailfw")
    assert mbrain.canLogIn("mbrain", "neu")


def test_suspendedAccountsAreShutOutAtOnceAndComeBack(mbrain):
    mbrain.logIn("mbrain", "mailfw")
    mbrain.suspend("mbrain")
    with pytest.raises(AccountSuspended):
        mbrain.logIn("mbrain", "mailfw")
    with pytest.raises(AccountSuspended):
        mbrain.identify("mbrain")
    with pytest.raises(AuthenticationFailed) as caught:
        mbrain.logIn("mbrain", "wrong")
    assert caught.type is AuthenticationFailed
    assert mbrain.hasAccount("mbrain@example.org")
    mbrain.resume("mbrain")
    assert mbrain.canLogIn("mbrain", "mailfw")


def test_removedAccountsAreGoneAtOnce(mbrain):
    mbrain.logIn("mbrain", "mailfw")
    appPassword = mbrain.addAppPassword("mbrain", "telephone")
    mbrain.removeUser("mbrain")
    assert not mbrain.canLogIn("mbrain", "mailfw")
    assert not mbrain.canLogIn("mbrain", appPassword)
    mbrain.addUser("mbrain", "neu")
    assert not mbrain.canLogIn("mbrain", appPassword)
    assert mbrain.listAppPasswords("mbrain") == []


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("setPassword", ["neu"]),
        ("suspend", []),
        ("resume", []),
        ("removeUser", []),
        ("addAppPassword", ["telephone"]),
        ("listAppPasswords", []),
        ("removeAppPassword", ["telephone"]),
    ],
)
def test_verbsNameTheAccountThatIsMissing(mbrain, verb, more):
    with pytest.raises(NoSuchAccount, match=r"there is no account nobody@example\.net"):
        getattr(mbrain, verb)("nobody@example.net", *more)


def test_adminsAreTheOldestFirstAndNotSuspended(desk):
    for name in ("zoe", "anna", "mbrain"):
        desk.addUser(name, "mailfw", isAdmin=name != "mbrain")
    assert desk.admins() == ["zoe@example.org", "anna@example.org"]
    desk.suspend("zoe")
    assert desk.admins() == ["anna@example.org"]


# --- App passwords ---


def test_anAppPasswordIsNoGoodForAnothersAccount(mbrain):
    appPassword = mbrain.addAppPassword("mbrain", "telephone")
    for password, isGood in (("mailfw", True), (appPassword, False)):
        waiting = mbrain.source.authenticate(PasswordCredentials("mbrain", password, "imap", isForAnother=True))
        if isGood:
            assert resultOf(waiting).account == "mbrain@example.org"
        else:
            with pytest.raises(AuthenticationFailed):
                resultOf(waiting)


def test_anAppPasswordLogsInBesideTheOther(mbrain):
    appPassword = mbrain.addAppPassword("mbrain", "telephone")
    assert len(appPassword.replace("-", "")) >= 16
    assert mbrain.canLogIn("mbrain", appPassword)
    assert mbrain.canLogIn("mbrain", appPassword.replace("-", "").upper())
    assert mbrain.canLogIn("mbrain", appPassword.replace("-", " "))
    assert mbrain.canLogIn("mbrain", "mailfw")
    mbrain.setPassword("mbrain", "neu")
    assert mbrain.canLogIn("mbrain", appPassword)
    assert mbrain.addAppPassword("mbrain", "laptop") != appPassword


def test_anAppPasswordIsItsAccountsAlone(mbrain):
    appPassword = mbrain.addAppPassword("mbrain", "telephone")
    mbrain.addUser("jsmith", "mailfw")
    assert not mbrain.canLogIn("jsmith", appPassword)


def test_anAppPasswordMayBeForOneServiceAlone(mbrain):
    appPassword = mbrain.addAppPassword("mbrain", "scanner", service="submission")
    assert mbrain.canLogIn("mbrain", appPassword, "submission")
    assert not mbrain.canLogIn("mbrain", appPassword, "imap")


def test_appPasswordsAreListedWithTheirLastUse(mbrain):
    appPassword = mbrain.addAppPassword("mbrain", "telephone")
    made = mbrain.context.now()
    (entry,) = mbrain.listAppPasswords("mbrain")
    assert (entry.name, entry.created, entry.lastUsed) == ("telephone", made, None)
    assert appPassword not in repr(entry)
    mbrain.context.clock.advance(7200)
    mbrain.logIn("mbrain", appPassword)
    mbrain.context.clock.advance(60)
    mbrain.logIn("mbrain", appPassword)
    assert mbrain.listAppPasswords("mbrain")[0].lastUsed == made + 7200


def test_aRemovedAppPasswordIsGone(mbrain):
    appPassword = mbrain.addAppPassword("mbrain", "telephone")
    mbrain.logIn("mbrain", appPassword)
    mbrain.removeAppPassword("mbrain", "telephone")
    assert not mbrain.canLogIn("mbrain", appPassword)
    with pytest.raises(Refusal, match="there is no app password telephone"):
        mbrain.removeAppPassword("mbrain", "telephone")


def test_appPasswordsHaveNamesOfTheirOwn(mbrain):
    mbrain.addAppPassword("mbrain", "telephone")
    with pytest.raises(AlreadyThere):
        mbrain.addAppPassword("mbrain", "telephone")
    for name in ("", " ", "a\nb", "x" * 101):
        with pytest.raises(InvalidName):
            mbrain.addAppPassword("mbrain", name)


def test_aSuspendedAccountsAppPasswordsAreSuspended(mbrain):
    appPassword = mbrain.addAppPassword("mbrain", "telephone")
    mbrain.suspend("mbrain")
    with pytest.raises(AccountSuspended):
        mbrain.logIn("mbrain", appPassword)


# --- Import, rehash, SCRAM ---


def test_importedAccountsLogInWithWhatTheyHave(desk):
    lines = [("mbrain@example.org", "{PLAIN}mailfw"), ("jsmith", "$1$abcdefgh$9/qw5butusb3Cvots7amV."), ("locked", "!")]
    assert desk.importUsers(iter(lines)) == Imported(3, 0)
    assert desk.stored("mbrain") == "{PLAIN}mailfw"
    assert desk.canLogIn("mbrain", "mailfw")
    assert desk.canLogIn("jsmith", "mailfw")
    assert not desk.canLogIn("locked", "mailfw")


def test_importingAgainReplacesPasswords(mbrain):
    assert mbrain.importUsers([("mbrain", "{PLAIN}neu"), ("jsmith", "{PLAIN}neu")]) == Imported(1, 1)
    assert not mbrain.canLogIn("mbrain", "mailfw")
    assert mbrain.canLogIn("mbrain", "neu")
    assert mbrain.importUsers([("jsmith", "{PLAIN}neu")]) == Imported(0, 1)


def test_aBadLineStopsTheWholeImport(desk):
    with pytest.raises(ImportRefused) as caught:
        desk.importUsers([("mbrain", "{PLAIN}x"), ("jsmith", "{WHIRLPOOL}secret"), ("a b", "{PLAIN}x"), ("anna", "secret")])
    assert [number for number, _ in caught.value.mistakes] == [2, 3, 4]
    assert "{WHIRLPOOL}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert desk.listUsers() == []


def test_aWeakSchemeIsReplacedAtTheNextLogin(desk):
    desk.importUsers([("mbrain", "$1$abcdefgh$9/qw5butusb3Cvots7amV.")])
    assert not desk.canLogIn("mbrain", "wrong")
    assert desk.stored("mbrain").startswith("$1$")
    assert desk.canLogIn("mbrain", "mailfw")
    assert hashes.isStrong(desk.stored("mbrain"))
    assert desk.canLogIn("mbrain", "mailfw")


def test_rehashCanBeSwitchedOff(desk):
    desk.context.rehash = False
    desk.reopen()
    desk.importUsers([("mbrain", "{PLAIN}mailfw")])
    desk.logIn("mbrain", "mailfw")
    assert desk.stored("mbrain") == "{PLAIN}mailfw"
    assert desk.source.mechanisms() == {"SCRAM-SHA-256", "SCRAM-SHA-1"}


def test_aPasswordChangedMeanwhileIsNotOverwritten(desk):
    desk.importUsers([("mbrain", "{PLAIN}mailfw")])
    stale = resultOf(desk.source._find("mbrain"))
    desk.setPassword("mbrain", "neu")
    resultOf(desk.source._upgrade(stale, "mailfw"))
    assert desk.canLogIn("mbrain", "neu")
    assert not desk.canLogIn("mbrain", "mailfw")


def scramLogIn(desk, user, password):
    logins = Logins(desk.source, desk.source, domain="example.org", secret=b"secret")
    exchange = logins.begin("SCRAM-SHA-256")
    client = ScramClient("SCRAM-SHA-256", user, password)
    answer = resultOf(exchange.step(client.start()))
    while not isinstance(answer, Identity):
        answer = resultOf(exchange.step(client.respond(answer)))
    return answer


def test_scramWorksFromTheFirstDay(mbrain):
    assert scramLogIn(mbrain, "mbrain", "mailfw") == Identity("mbrain@example.org")
    with pytest.raises(AuthenticationFailed):
        scramLogIn(mbrain, "mbrain", "wrong")
    mbrain.setPassword("mbrain", "neu")
    with pytest.raises(AuthenticationFailed):
        scramLogIn(mbrain, "mbrain", "mailfw")
    assert scramLogIn(mbrain, "mbrain", "neu")
    mbrain.suspend("mbrain")
    with pytest.raises(AccountSuspended):
        scramLogIn(mbrain, "mbrain", "neu")


def test_scramIsOfferedWhenEveryoneCanUseIt(mbrain):
    both = {"SCRAM-SHA-256", "SCRAM-SHA-1"}
    assert mbrain.source.mechanisms() == both
    mbrain.importUsers([("jsmith", "{PLAIN}mailfw"), ("anna", "{PLAIN}mailfw")])
    assert mbrain.source.mechanisms() == set()
    mbrain.reopen()
    assert mbrain.source.mechanisms() == set()
    mbrain.logIn("jsmith", "mailfw")
    assert mbrain.source.mechanisms() == set()
    mbrain.suspend("anna")
    assert mbrain.source.mechanisms() == both
    mbrain.resume("anna")
    assert mbrain.source.mechanisms() == set()
    mbrain.logIn("anna", "mailfw")
    assert mbrain.source.mechanisms() == both
    assert scramLogIn(mbrain, "anna", "mailfw")


def test_importedVerifiersServeScram(desk):
    made = hashes.makeVerifiers("mailfw")
    desk.importUsers([("mbrain", "{SCRAM-SHA-256}" + made["SCRAM-SHA-256"])])
    assert desk.source.mechanisms() == {"SCRAM-SHA-256"}
    assert scramLogIn(desk, "mbrain", "mailfw")
    assert desk.canLogIn("mbrain", "mailfw")
    assert desk.source.mechanisms() == {"SCRAM-SHA-256", "SCRAM-SHA-1"}
    assert scramLogIn(desk, "mbrain", "mailfw")


# --- Time ---


def test_aPollingClientPaysOnce(mbrain):
    for _ in range(5):
        mbrain.logIn("mbrain", "mailfw")
    assert mbrain.operations == 1
    mbrain.context.clock.advance(601)
    mbrain.logIn("mbrain", "mailfw")
    assert mbrain.operations == 2


def test_anUnknownUserCostsAsMuchAsAWrongPasswordInEveryScheme(desk, monkeypatch):
    """Unknown names are compared with what some account has, so that they show the same mixture of schemes."""
    desk.importUsers([("mbrain", "{PLAIN}mailfw"), ("jsmith", "$1$abcdefgh$9/qw5butusb3Cvots7amV.")])
    compared = []
    monkeypatch.setattr(hashes, "verify", lambda stored, password: compared.append(stored[:3]) or False)
    for number in range(40):
        assert not desk.canLogIn(f"nobody{number}", "wrong")
    assert set(compared) == {"{PL", "$1$"}
    compared.clear()
    for _ in range(5):
        assert not desk.canLogIn("nobody1", "wrong")
    assert len(set(compared)) == 1


def test_aStrangersRightPasswordIsNotRememberedForAnUnknownUser(mbrain):
    assert not mbrain.canLogIn("nobody", "mailfw")
    assert not mbrain.canLogIn("nobody", "mailfw")
    assert mbrain.operations == 2


def test_importIsFast(desk):
    lines = [(f"user{number}@example.org", "{SHA}5ncVHFLBw+7eUF94Y/c8jw3lmjM=") for number in range(5000)]
    started = time.process_time()
    assert desk.importUsers(lines) == Imported(5000, 0)
    assert time.process_time() - started < 5
    desk.reopen()
    assert len(desk.listUsers()) == 5000


# --- Faults ---


def test_aLoginSucceedsWhereNothingCanBeWritten(desk, monkeypatch):
    desk.importUsers([("mbrain", "{PLAIN}mailfw")])

    async def refuse(job):
        raise Unavailable("the disk is full")

    monkeypatch.setattr(desk.source, "_change", refuse)
    assert desk.canLogIn("mbrain", "mailfw")
    with pytest.raises(Unavailable):
        desk.setPassword("mbrain", "neu")


def test_aDamagedFileIsNoFailedLogin(mbrain):
    resultOf(mbrain.source._database.write(lambda connection: connection.execute("DROP TABLE account")))
    with pytest.raises(Refusal) as caught:
        mbrain.logIn("mbrain", "mailfw")
    assert caught.value.isTemporary


class ThreadedContext(AuthContext):
    """The real reactor, and threads."""

    @property
    def reactor(self):
        return reactor


@pytest_twisted.ensureDeferred
async def test_worksInThreads(tmp_path):
    context = ThreadedContext(str(tmp_path), isInline=False)
    source = accounts.plugin.openAuthenticator("", context)
    users = [f"user{number}" for number in range(20)]
    await gatherResults([Deferred.fromCoroutine(source.addUser(user, f"mailfw {user}")) for user in users])
    logins = [source.authenticate(PasswordCredentials(user, f"mailfw {user}")) for user in users]
    identities = await gatherResults([Deferred.fromCoroutine(login) for login in logins])
    assert [identity.account for identity in identities] == [f"{user}@example.org" for user in users]
    assert source.mechanisms() == {"SCRAM-SHA-256", "SCRAM-SHA-1"}
    imported = await source.importUsers((f"other{number}", "{PLAIN}mailfw") for number in range(100))
    assert imported == Imported(100, 0)
    assert source.mechanisms() == set()
    with pytest.raises(AuthenticationFailed):
        await source.authenticate(PasswordCredentials("nobody", "mailfw"))
    await source.close()
    with pytest.raises(Refusal) as caught:
        await source.authenticate(PasswordCredentials("user1", "mailfw"))
    assert caught.value.isTemporary


# --- Aliases ---


def test_aliasesLeadWhereTheyAreTold(desk):
    desk.addAlias("Info", ["MBrain", "someone@Elsewhere.Example"])
    desk.addAlias("info@example.org", ["jsmith@example.org", "mbrain@example.org"])
    desk.reopen()
    targets = ("MBrain@example.org", "someone@elsewhere.example", "jsmith@example.org", "mbrain@example.org")
    assert desk.listAliases() == [Alias("info@example.org", targets)]
    assert desk.aliasTargets("INFO@example.org") == list(targets)
    desk.removeAlias("info")
    assert desk.listAliases() == []
    with pytest.raises(NoSuchAlias, match="there is no alias info"):
        desk.removeAlias("info")


def test_anAliasNeedsATarget(desk):
    with pytest.raises(Refusal, match="needs a target"):
        desk.addAlias("info", [])
    with pytest.raises(InvalidName):
        desk.addAlias("info", ["not an address"])
    assert desk.listAliases() == []
