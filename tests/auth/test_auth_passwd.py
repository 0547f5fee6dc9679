"""`passwd:FILE` – Dovecot's and htpasswd's files, and reading them again."""

from __future__ import annotations

import os

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor

from mailfw.auth import hashes, passwd
from mailfw.auth.hashing import Hasher
from mailfw.auth.passwd import PasswdFile, parseFile
from mailfw.errors import AccountSuspended, AuthenticationFailed
from mailfw.testing.authenticator import AuthContext, resultOf
from mailfw.values import Identity, PasswordCredentials

EVERYTHING = b"""\
# users of example.org

mbrain:{PLAIN}mailfw:1000:1000:M. Brain,,,:/home/mbrain:/bin/sh:userdb_mail=maildir:~/Maildir
jsmith@example.org:$1$abcdefgh$9/qw5butusb3Cvots7amV.
Anna@Example.NET:{SHA256-CRYPT}$5$EbLXM2lG2onK/nZQ$jHKKJ7oR1HNwDW6/FVlGFHUo.TrygCN6nHbsKhd6G27::::::
web:$apr1$abcdefgh$bD.CH5NBnKuILjBO2Gcvl0\r
  # indented comment
locked:!:1001:1001::/home/locked::
away:{PLAIN}mailfw::::::nologin=y
home:{PLAIN}mailfw::::::allow_nets=192.0.2.0/24,2001:db8::/32 nodelay
"""


class Desk:
    """A file and the source that reads it."""

    def __init__(self, directory, content=EVERYTHING):
        self.context = AuthContext(str(directory))
        self.path = self.context.path("users")
        self.age = 1000.0
        self.write(content)
        self.source = passwd.plugin.openAuthenticator("users", self.context)

    def write(self, content):
        """Replace the file; its time stamp is an hour ago and a little later each time."""
        with open(self.path, "wb") as file:
            file.write(content)
        self.age -= 1
        os.utime(self.path, (0, self.context.now() - self.age))

    def logIn(self, user, password="mailfw", peer="192.0.2.1"):
        return resultOf(self.source.authenticate(PasswordCredentials(user, password, "imap", peer)))

    def canLogIn(self, user, password="mailfw", peer="192.0.2.1"):
        try:
            self.logIn(user, password, peer)
        except AuthenticationFailed:
            return False
        return True


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.mark.parametrize("user", ["mbrain", "jsmith", "web", "mbrain@example.org", "WEB@example.org"])
def test_usersOfBothFormatsLogIn(desk, user):
    assert desk.logIn(user) == Identity(user.lower().removesuffix("@example.org") + "@example.org")
    assert not desk.canLogIn(user, "wrong")


@pytest.mark.parametrize("password", ["", "mail\0fw", "\ud800", "x" * 100_000])
def test_whatCanBeNobodysPasswordCostsNoWork(desk, monkeypatch, password):
    work = []
    for name in ("verify", "pretend"):
        monkeypatch.setattr(Hasher, name, lambda *about: work.append(about))
    for user in ("mbrain", "nobody"):
        assert not desk.canLogIn(user, password)
    assert work == []


def test_usersOfOtherDomainsLogIn(desk):
    assert desk.logIn("anna@example.net", "pässword") == Identity("anna@example.net")
    assert not desk.canLogIn("anna", "pässword")


def test_lockedAndSuspendedUsers(desk):
    assert not desk.canLogIn("locked", "!")
    with pytest.raises(AccountSuspended):
        desk.logIn("away")
    with pytest.raises(AuthenticationFailed) as caught:
        desk.logIn("away", "wrong")
    assert caught.type is AuthenticationFailed


@pytest.mark.parametrize(
    ("peer", "isAllowed"), [("192.0.2.200", True), ("2001:db8::5", True), ("198.51.100.1", False), ("", False), ("/run/x", False)]
)
def test_allowedNetworks(desk, peer, isAllowed):
    assert desk.canLogIn("home", peer=peer) == isAllowed
    assert desk.canLogIn("mbrain", peer=peer)


def test_listsItsUsers(desk):
    for account in ("mbrain@example.org", "anna@example.net", "locked@example.org", "away@example.org"):
        assert resultOf(desk.source.hasAccount(account))
    assert not resultOf(desk.source.hasAccount("anna@example.org"))


def test_aChangedFileIsReadAgain(desk):
    assert desk.canLogIn("mbrain")
    desk.write(b"mbrain:{PLAIN}neu\nnewcomer:{PLAIN}neu\n")
    assert not desk.canLogIn("mbrain")
    assert desk.canLogIn("mbrain", "neu")
    assert desk.canLogIn("newcomer", "neu")
    assert not desk.canLogIn("jsmith")


def test_anUnchangedFileIsNotReadAgain(desk, monkeypatch):
    monkeypatch.setattr(passwd, "parseFile", None)
    assert desk.canLogIn("mbrain")


def test_aChangeWithinTheSameTickOfTheClockIsSeen(desk):
    now = desk.context.now()
    for password in (b"one", b"two"):
        with open(desk.path, "wb") as file:
            file.write(b"mbrain:{PLAIN}" + password)
        os.utime(desk.path, (0, now))
        desk.context.clock.advance(0.1)
        assert desk.canLogIn("mbrain", password.decode())


def test_theLastContentHoldsWhileTheFileIsAway(desk, logged):
    os.rename(desk.path, desk.path + ".away")
    for _ in range(3):
        assert desk.canLogIn("mbrain")
    assert logged() == [f"{desk.path} cannot be read, its last content holds: No such file or directory"]
    desk.write(b"mbrain:{PLAIN}neu\n")
    assert desk.canLogIn("mbrain", "neu")


def test_theFileIsNeverWritten(desk):
    os.chmod(desk.path, 0o400)
    before = os.stat(desk.path)
    assert desk.canLogIn("mbrain")
    after = os.stat(desk.path)
    assert (after.st_mtime_ns, after.st_ino, after.st_size) == (before.st_mtime_ns, before.st_ino, before.st_size)
    with open(desk.path, "rb") as file:
        assert file.read() == EVERYTHING
    assert sorted(os.listdir(desk.context.data)) == ["users"]


@pytest.mark.parametrize("argument", ["", "missing", "."])
def test_aFileThatCannotBeReadIsNamedAtTheStart(tmp_path, argument):
    with pytest.raises(ValueError, match=r"passwd: needs|cannot be read: "):
        passwd.plugin.openAuthenticator(argument, AuthContext(str(tmp_path)))


def test_mistakesAreNamedAndCostNobodyElseAnything():
    table = parseFile(
        b"fine:{PLAIN}x\n"
        b"no colon\n"
        b":{PLAIN}x\n"
        b"otp:{OTP}secret\n"
        b"bare:secret\n"
        b"fine:{PLAIN}twice\n"
        b"\xff:{PLAIN}x\n"
        b"a b:{PLAIN}x\n"
        b"net:{PLAIN}x::::::allow_nets=secretnet\n"
        b"last:{PLAIN}x",
        "example.org",
    )
    assert set(table.entries) == {"fine@example.org", "last@example.org"}
    assert table.entries["fine@example.org"].password == "{PLAIN}x"
    assert [number for number, _ in table.mistakes] == [2, 3, 4, 5, 6, 7, 8, 9]
    mistakes = dict(table.mistakes)
    assert "{OTP}" in mistakes[4]
    assert not any("secret" in mistakes[number] for number in (4, 5))
    assert "{PLAIN}" not in repr(table)


def test_mistakesAreLoggedWithFileAndLine(tmp_path, logged):
    desk = Desk(tmp_path, b"mbrain:{PLAIN}mailfw\notp:{OTP}x\n")
    assert logged() == [f"{desk.path} line 2: unknown password scheme {{OTP}}"]
    assert desk.canLogIn("mbrain")


@given(st.binary(max_size=300))
def test_anyOctetsAreAFile(content):
    table = parseFile(content, "example.org")
    assert len(table.passwords) == len(table.entries)


@given(
    st.dictionaries(
        st.text("abcdefghijklmnop.-+_", min_size=1, max_size=12).map(lambda name: f"{name}@example.org"),
        st.text(
            st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters=":\x7f\x85\xa0\xad"), min_size=1, max_size=20
        ),
        max_size=6,
    )
)
def test_whatIsWrittenIsRead(users):
    content = "".join(f"{user}:{{PLAIN}}{password}:::::\n" for user, password in users.items())
    table = parseFile(content.encode(), "example.org")
    assert not table.mistakes
    assert {user: entry.password.removeprefix("{PLAIN}") for user, entry in table.entries.items()} == users


@pytest_twisted.ensureDeferred
async def test_worksInThreads(tmp_path):
    path = tmp_path / "users"
    path.write_text(f"mbrain:{hashes.make('mailfw')}\n")
    source = PasswdFile(str(path), "example.org", Hasher(reactor, reactor.seconds), reactor)
    assert await source.authenticate(PasswordCredentials("mbrain", "mailfw")) == Identity("mbrain@example.org")
    path.write_text("jsmith:{PLAIN}mailfw\n")
    assert await source.authenticate(PasswordCredentials("jsmith", "mailfw")) == Identity("jsmith@example.org")
    with pytest.raises(AuthenticationFailed):
        await source.authenticate(PasswordCredentials("mbrain", "mailfw"))
