"""Names on disk: reversible, never colliding, never outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.errors import InvalidName
from mailfw.storage import paths

TRICKY = st.sampled_from(list("./\\~%^&-_ AaBbTtXxZz0:,=\0\n\r\x7fäÄßſıİµςΣ日\U0001f600\u0301"))
LEVEL = st.text(st.one_of(TRICKY, st.characters(codec="utf-8")), min_size=1, max_size=12).filter(lambda text: "/" not in text)
FOLDER = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(lambda name: name.split("/")[0].upper() != "INBOX")
LOCAL = st.text(st.one_of(TRICKY, st.characters(codec="utf-8")), min_size=1, max_size=12)
DOMAIN = st.sampled_from(["example.org", "example.net", "localhost", "foo.txt", "txt", "a.b.c", "new", "[192.0.2.1]"])
ACCOUNT = st.builds("{}@{}".format, LOCAL, DOMAIN)
SPECIAL = ["cur", "new", "tmp", "a", "a.b", "example.net", "foo.txt", "localhost", "subscriptions", "dovecot-uidlist", "x"]
NEAR_ACCOUNT = st.builds("{}@{}".format, st.sampled_from(SPECIAL), DOMAIN)


def assertSafe(component: str) -> None:
    assert component not in ("", ".", "..")
    assert "/" not in component and "\0" not in component
    assert len(component.encode()) <= 255


@given(FOLDER)
def test_aMaildirFolderComesBack(folder: str) -> None:
    component = paths.maildirFolder(folder)
    assertSafe(component)
    assert component.isascii()
    assert component[0] == "." and component[1] != "."
    if "\0" not in folder:
        assert paths.maildirFolderName(component) == folder


@given(FOLDER)
def test_aTextFolderComesBack(folder: str) -> None:
    path = paths.textFolder(folder)
    for component in path.split("/"):
        assertSafe(component)
        assert not component.startswith(".") and not component.endswith((".", " ", ".TXT"))
    assert paths.textFolderName(path) == folder


@given(st.text(st.one_of(TRICKY, st.characters(codec="utf-8"))))
def test_whateverIsOnDiskIsOneFoldersPathOrNone(path: str) -> None:
    folder = paths.textFolderName(path)
    assert folder is None or paths.textFolder(folder) == path


@given(ACCOUNT)
def test_anAccountsPlaceComesBack(account: str) -> None:
    place = paths.maildirAccount(account, "example.org")
    assert paths.maildirAccountName(place, "example.org") == account
    file, directory = paths.textAccount(account, "example.org")
    assert paths.textAccountName(file, "example.org") == account
    for component in [*place.split("/"), *file.split("/"), *directory.split("/")]:
        assertSafe(component)
        assert not component.startswith(".")


@given(NEAR_ACCOUNT, NEAR_ACCOUNT, FOLDER, FOLDER)
def test_noTwoTextFilesShareAPath(one: str, other: str, folder: str, otherFolder: str) -> None:
    def paths_(account: str, name: str) -> list[str]:
        file, directory = paths.textAccount(account, "example.org")
        return [f"{file}.TXT", f"{directory}/{paths.textFolder(name)}.TXT", directory]

    mine, theirs = paths_(one, folder), paths_(other, otherFolder)
    assert len(set(mine)) == 3
    if one != other:
        assert not set(mine) & set(theirs)
    assert (mine[1] == theirs[1]) == ((one, folder) == (other, otherFolder))


@given(NEAR_ACCOUNT, NEAR_ACCOUNT)
def test_noTwoMaildirsShareADirectory(one: str, other: str) -> None:
    mine, theirs = paths.maildirAccount(one, "example.org"), paths.maildirAccount(other, "example.org")
    assert (mine == theirs) == (one == other)
    assert theirs not in {f"{mine}/{child}" for child in ("cur", "new", "tmp", "subscriptions", "dovecot-uidlist")}


@pytest.mark.parametrize(
    ("folder", "component"),
    [
        ("Work/Plans", ".Work.Plans"),
        ("a.b", r".a\2eb"),
        ("~x/~y", r".\7ex.\7ey"),
        ("x~", ".x~"),
        (r"a\2eb", r".a\5c2eb"),
        ("a&b", ".a&-b"),
        ("Entwürfe", ".Entw&APw-rfe"),
        (".lead", r".\2elead"),
        ("..", r".\2e\2e"),
        ("INBOX/sub", ".INBOX.sub"),
        ("台北", ".&U,BTFw-"),
    ],
)
def test_maildirFoldersAreSpelledAsDovecotSpellsThem(folder: str, component: str) -> None:
    assert paths.maildirFolder(folder) == component
    assert paths.maildirFolderName(component) == folder


@pytest.mark.parametrize(("component", "folder"), [(".Entwürfe", "Entwürfe"), (".R&D", "R&D"), (r".a\b", r"a\b")])
def test_otherSpellingsOnDiskAreUnderstood(component: str, folder: str) -> None:
    assert paths.maildirFolderName(component) == folder


@pytest.mark.parametrize("component", ["cur", "..gone", ".", ".a..b", ".INBOX", ".Inbox.x", ".a&AC8-b", ".a\\2fb", ".\udcff"])
def test_whatIsNoFolderIsNotListed(component: str) -> None:
    assert paths.maildirFolderName(component) is None


@pytest.mark.parametrize(
    ("folder", "path"),
    [
        ("Sent", "SENT"),
        ("Sent Messages", "SENT MESSAGES"),
        ("sent", "^SENT"),
        ("SENT", "S^E^N^T"),
        ("Entwürfe", "ENTWÜRFE"),
        ("Work/Plans", "WORK/PLANS"),
        ("INBOX/Plans", "INBOX/PLANS"),
        ("..", "%2E%2E"),
        ("A.Txt", "A%2ETXT"),
        ("100%", "100%25"),
        ("X^y", "X%5EY"),
    ],
)
def test_textFoldersAreInCapitals(folder: str, path: str) -> None:
    assert paths.textFolder(folder) == path
    assert paths.textFolderName(path) == folder


def test_accountsStandWhereTheDocumentsSay() -> None:
    assert paths.textAccount("mbrain@example.org", "example.org") == ("MBRAIN", "MBRAIN")
    assert paths.textAccount("john.smith@example.org", "example.org") == ("JOHN.SMITH", "JOHN%2ESMITH")
    assert paths.textAccount("mbrain@example.net", "example.org") == ("EXAMPLE.NET/MBRAIN", "EXAMPLE.NET/MBRAIN")
    assert paths.textAccount("mbrain@localhost", "example.org") == ("LOCALHOST./MBRAIN", "LOCALHOST./MBRAIN")
    assert paths.maildirAccount("mbrain@example.org", "example.org") == "mbrain"
    assert paths.maildirAccount("john.smith@example.net", "example.org") == "example.net/john.smith"
    assert paths.maildirAccount("cur@example.net", "example.org") == "example.net/%63ur"
    assert paths.maildirAccount("../x@example.org", "example.org") == "%2E.%2Fx"


@pytest.mark.parametrize("folder", ["", "/", "a//b", "/a", "a/", "Inbox", "inbox/x", "x" * 300, "é" * 200, "\ud800"])
def test_whatCannotBeOnDiskIsRefused(folder: str) -> None:
    with pytest.raises(InvalidName):
        paths.maildirFolder(folder)
    with pytest.raises(InvalidName):
        paths.textFolder(folder)


@pytest.mark.parametrize("account", ["mbrain", "@example.org", "x" * 256 + "@example.org", "\ud800@example.org"])
def test_whatIsNoAccountIsRefused(account: str) -> None:
    with pytest.raises(InvalidName):
        paths.maildirAccount(account, "example.org")
    with pytest.raises(InvalidName):
        paths.textAccount(account, "example.org")


def test_aDeepTextFolderIsRefused() -> None:
    with pytest.raises(InvalidName):
        paths.textFolder("/".join(["x" * 200] * 20))
