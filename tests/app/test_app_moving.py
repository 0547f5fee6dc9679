"""`mailfw store`, by the running server and without one."""

from __future__ import annotations

import imaplib
import json
import mailbox
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.app import moving
from mailfw.app.datadir import DataDirectory
from mailfw.app.problem import Problem
from mailfw.app.remote import Remote
from mailfw.app.tasks import PATIENCE, Tasks
from mailfw.moving import Progress

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["beside a running server", "alone"])
def system(request: pytest.FixtureRequest, tmp_path: Path, start: Any) -> None:
    """A system in development mode, whether or not a server runs."""
    if request.param == "alone":
        (tmp_path / "mailfw-data").mkdir()
    else:
        start().waitFor("mailfw is up")


def maildir(directory: Path, count: int = 3) -> None:
    """The mail of two people, as Dovecot keeps it."""
    directory.mkdir()
    for person in ("jsmith", "mbrain"):
        box = mailbox.Maildir(directory / person)
        for number in range(count):
            box.add(f"Subject: {number} for {person}\n\nHello\n")
        box.add_folder("Work").add("Subject: Work\n\nHello\n")
    names = sorted(os.listdir(directory / "jsmith" / "new"))
    lines = [f"{7 * at} :{name}" for at, name in enumerate(names, 1)]
    (directory / "jsmith" / "dovecot-uidlist").write_text("\n".join(["3 V1400000000 N100 G0", *lines, ""]))


def summary(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[int, int]]:
    """What was copied, and what was there, of each account."""
    accounts = json.loads(done.stdout)["accounts"]
    return {
        one["account"]: (sum(box["copied"] for box in one["mailboxes"]), sum(box["already"] for box in one["mailboxes"]))
        for one in accounts
    }


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What is wrong; how far it came before is told only where it takes a while."""
    return re.sub(r"^(copying|importing|exporting) .*\n", "", done.stderr, flags=re.MULTILINE)


def test_mailIsCopiedOnce(system: None, command: Command, tmp_path: Path) -> None:
    maildir(tmp_path / "old")
    words = ("store", "copy", f"maildir:{tmp_path}/old", "sqlite:mail", "--json")
    assert summary(command(*words)) == {"jsmith@localhost": (4, 0), "mbrain@localhost": (4, 0)}
    assert summary(command(*words)) == {"jsmith@localhost": (0, 4), "mbrain@localhost": (0, 4)}
    mailbox.Maildir(tmp_path / "old" / "jsmith").add("Subject: late\n\nHello\n")
    done = command(*words[:-1], "--account", "jsmith")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split() == ["jsmith@localhost", "2", "1", "4", "24", "B"]
    assert done.stderr == "copying jsmith@localhost\n"


def test_theRunningServersOwnMailGoesOutAndComesIn(start: Any, command: Command, tmp_path: Path) -> None:
    server = start()
    server.waitFor("mailfw is up")
    maildir(tmp_path / "old")
    done = command("store", "copy", f"maildir:{tmp_path}/old", "sqlite:mail", "--account", "jsmith=mbrain")
    assert "jsmith@localhost → mbrain@localhost" in done.stdout
    with imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=120) as client:
        client.login("mbrain", "mailfw")
        client.select("INBOX")
        assert client.response("UIDVALIDITY")[1] == [b"1400000000"]
        assert client.uid("search", "ALL")[1] == [b"7 14 21"]
        client.append("INBOX", "(\\Flagged)", '"01-Jan-2020 12:00:00 +0000"', b"Subject: new\r\n\r\nHello\r\n")
    done = command("store", "copy", "sqlite:mail", f"textfile:{tmp_path}/text", "--account", "mbrain")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "text" / "MBRAIN.TXT").read_text()
    assert text.count("Subject: ") == 4 and "Subject: new" in text


def test_whatCannotBeCopiedIsSaidInOneLine(system: None, command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    missing = f"sqlite:{tmp_path}/nowhere"
    for words, said in (
        (("sqlite:mail", "sqlite:mail"), "a store cannot be copied to itself"),
        (("sqlite:mail", "sqlite:./mail/?shards=2"), "a store cannot be copied to itself"),
        (("sqlite:mail", f"sqlite:{tmp_path}/mailfw-data/mail"), "a store cannot be copied to itself"),
        ((missing, "sqlite:mail"), f"there is no store {missing}: {tmp_path}/nowhere is no directory that this user can see"),
        ((f"maildir:{tmp_path}/empty", "sqlite:mail", "--account", "x"), f"maildir:{tmp_path}/empty has no account x@localhost"),
    ):
        done = command("store", "copy", *words)
        assert (complaint(done), done.returncode) == (f"mailfw: {said}\n", 1)
    assert not (tmp_path / "nowhere").exists()


def test_aStoreInWhichAnotherServerWorksIsLeftAlone(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mailfw-data").mkdir()
    (tmp_path / "other" / "mail").mkdir(parents=True)
    other = DataDirectory(str(tmp_path / "other"))
    other.claim()
    try:
        done = command("store", "copy", f"sqlite:{tmp_path}/other/mail", "sqlite:mail")
    finally:
        other.release()
    assert done.returncode == 1
    assert f"data directory {tmp_path}/other is in use by another mailfw (pid {os.getpid()})" in done.stderr


@pytest.mark.parametrize("lock", ["a directory", "somebody's", "a pipe"])
def test_whatOthersCallALockIsNoneOfOurs(command: Command, tmp_path: Path, lock: str) -> None:
    """`/var/mail` has `/var/lock` beside it."""
    (tmp_path / "mailfw-data").mkdir()
    (tmp_path / "var").mkdir()
    maildir(tmp_path / "var" / "mail")
    if lock == "a directory":
        (tmp_path / "var" / "lock").mkdir()
    elif lock == "a pipe":
        os.mkfifo(tmp_path / "var" / "lock")
    else:
        (tmp_path / "var" / "lock").write_text("precious")
    done = command("store", "copy", f"maildir:{tmp_path}/var/mail", "sqlite:mail", "--json")
    assert done.returncode == 0, done.stderr
    assert summary(done) == {"jsmith@localhost": (4, 0), "mbrain@localhost": (4, 0)}
    assert lock != "somebody's" or (tmp_path / "var" / "lock").read_text() == "precious"


def test_theServersOwnStoreIsOpenedOnceHoweverItIsCalled(start: Any, command: Command, tmp_path: Path) -> None:
    """Two that write into one store would give numbers twice. Of text files the flags are in the state, wherever that is."""
    server = start("--store=textfile:mail")
    server.waitFor("mailfw is up")
    with imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=30) as client:
        client.login("mbrain", "mailfw")
        client.append("INBOX", "(\\Flagged $Work)", '"01-Jan-2020 12:00:00 +0000"', b"Subject: new\r\n\r\nHello\r\n")
        (validity,) = client.status("INBOX", "(UIDVALIDITY)")[1]
    words = f"textfile:{tmp_path}/mailfw-data/mail/", f"textfile:{tmp_path}/mailfw-data/later", "--account", "mbrain"
    done = command("store", "copy", *words)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "mailfw-data" / "state").glob("*.sqlite"))) == 2
    server.stop()
    server = start("--store=textfile:later")
    server.waitFor("mailfw is up")
    with imaplib.IMAP4("127.0.0.1", server.port("imap"), timeout=30) as client:
        client.login("mbrain", "mailfw")
        assert client.status("INBOX", "(UIDVALIDITY)")[1] == [validity]
        client.select("INBOX", readonly=True)
        flags = client.fetch("1", "FLAGS")[1][0]
        assert b"\\Flagged" in flags and b"$Work" in flags


def test_aStoreIsNotMendedWhileAServerIsAtWork(start: Any, command: Command, tmp_path: Path) -> None:
    """Whoever asks: it takes away files of large messages that no row names yet."""
    start().waitFor("mailfw is up")
    remote = Remote.connect(str(tmp_path / "mailfw-data" / "control"))
    assert remote is not None
    for isRehearsal in (True, False):
        task = remote.perform("task start", name="store repair", isRehearsal=isRehearsal)
        with pytest.raises(Problem, match="stop the server first"):
            while not remote.perform("task follow", task=task)["isDone"]:
                pass
    remote.close()


def test_aStoreThatIsNotWholeIsSeen(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mailfw-data").mkdir()
    maildir(tmp_path / "old")
    command("store", "copy", f"maildir:{tmp_path}/old", "sqlite:mail", "--account", "jsmith")
    done = command("store", "check")
    assert (done.stdout, done.returncode) == ("the store is whole\n", 0)
    for shard in (tmp_path / "mailfw-data" / "mail").glob("mail*.sqlite"):
        with sqlite3.connect(shard) as connection:
            connection.execute("UPDATE mailbox SET messages = messages + 1 WHERE messages = 3")
    done = command("store", "check", "--json")
    assert done.returncode == 1
    assert {each["kind"] for each in json.loads(done.stdout)} == {"counters", "totals"}


def test_theRunningServerLooksItself(start: Any, command: Command) -> None:
    start().waitFor("mailfw is up")
    assert command("store", "check").stdout == "the store is whole\n"


def test_aTaskIsFollowedByWhoeverAsksAndEndsWhenItIsStopped(monkeypatch: pytest.MonkeyPatch) -> None:
    class System:
        reactor = Clock()

    async def endless(system: System, progress: Progress) -> None:
        while True:
            progress.messages += 1
            progress.check()
            step: Deferred[None] = Deferred()
            system.reactor.callLater(1, step.callback, None)
            await step

    def done(operation: str, **arguments: Any) -> Deferred[Any]:
        asked: Deferred[Any] = Deferred.fromCoroutine(tasks.perform(operation, arguments))
        System.reactor.advance(PATIENCE)
        return asked

    def refused(operation: str, **arguments: Any) -> str:
        said: list[str] = []
        done(operation, **arguments).addErrback(lambda failure: said.append(str(failure.check(Problem) and failure.value)))
        return said[0]

    monkeypatch.setitem(moving.OPERATIONS, "endless", endless)
    tasks = Tasks(System())  # type: ignore[arg-type]
    number = done("task start", name="endless").result
    assert "another endless is under way" in refused("task start", name="endless")
    followers = [done("task follow", task=number) for _ in range(2)]
    assert [each.result["isDone"] for each in followers] == [False, False]
    done("task stop", task=number)
    System.reactor.advance(1)
    for _ in range(2):
        assert "endless was stopped; give the command again" in refused("task follow", task=number)


def mbox(path: Path, count: int) -> None:
    box = mailbox.mbox(path)
    for number in range(count):
        box.add(f"Subject: {number}\n\nHello\nFrom here\n")
    box.flush()


def test_mailComesFromFilesOnce(system: None, command: Command, tmp_path: Path) -> None:
    command("user", "add", "jsmith", "--password-stdin", given="mailfw\n")  # a server has made it
    mbox(tmp_path / "mbox", 3)
    done = command("store", "import", "jsmith", "mbox", "--json")
    assert done.returncode == 0, done.stderr
    [one] = json.loads(done.stdout)["accounts"]
    assert (one["account"], one["target"]) == (str(tmp_path / "mbox"), "jsmith@localhost")
    assert [(box["name"], box["copied"], box["already"]) for box in one["mailboxes"]] == [("INBOX", 3, 0)]
    mbox(tmp_path / "mbox", 1)
    done = command("store", "import", "jsmith", "mbox", "--mailbox", "INBOX")
    assert done.stdout.splitlines()[1].split()[-5:] == ["1", "1", "3", "32", "B"], done.stderr
    for words, said in (
        (("jsmith", "nowhere"), f"{tmp_path}/nowhere cannot be read: No such file or directory"),
        (("nobody", "mbox"), "there is no account nobody@localhost: add it with mailfw user add nobody@localhost"),
    ):
        done = command("store", "import", *words)
        assert (complaint(done), done.returncode) == (f"mailfw: {said}\n", 1)


def test_mailGoesIntoFilesAndBack(system: None, command: Command, tmp_path: Path) -> None:
    for name in ("jsmith", "mbrain"):
        command("user", "add", name, "--password-stdin", given="mailfw\n")
    mbox(tmp_path / "Work.mbox", 3)
    command("store", "import", "jsmith", "Work.mbox")
    done = command("store", "export", "jsmith", "out", "--mailbox", "Work", "--json")
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == ["Work.mbox"]
    done = command("store", "import", "mbrain", "out")
    assert done.stdout.splitlines()[1].split()[-5:] == ["1", "3", "0", "96", "B"]
    done = command("store", "export", "jsmith", "out")
    assert complaint(done) == f"mailfw: {tmp_path}/out cannot be written: something is there already\n"


def test_mailComesFromAnotherServer(start: Any, command: Command, tmp_path: Path) -> None:
    server = start()
    server.waitFor("mailfw is up")
    port = server.port("imap")
    with imaplib.IMAP4("127.0.0.1", port, timeout=120) as client:
        client.login("jsmith", "mailfw")
        client.append("INBOX", "(\\Flagged)", '"01-Jan-2020 12:00:00 +0000"', b"Subject: new\r\n\r\nHello\r\n")
        client.append("Sent", None, None, b"Subject: sent\r\n\r\nHello\r\n")
    (tmp_path / "password").write_text("mailfw\n")
    words = ("store", "import", "mbrain", f"imap://jsmith@127.0.0.1:{port}/", "--password-file", "password")
    refused = command(*words)
    assert "cannot prove who it is" in refused.stderr and refused.returncode == 1
    for expected in ((2, 0), (0, 2)):
        assert summary(command(*words, "--insecure", "--json")) == {f"imap://jsmith@127.0.0.1:{port}/": expected}
    with imaplib.IMAP4("127.0.0.1", port, timeout=120) as client:
        client.login("mbrain", "mailfw")
        client.select("INBOX")
        [text] = client.fetch("1", "(FLAGS INTERNALDATE)")[1]
        assert b"\\Flagged" in text and b"1-Jan-2020 12:00:00 +0000" in text
    for url, said in (
        ("imap://jsmith:x@127.0.0.1/", "a password does not belong into a URL"),
        ("imap://127.0.0.1/", "is no address of an IMAP account"),
        ("imap://jsmith@127.0.0.1:99999/", "is no address of an IMAP account"),
    ):
        assert said in command("store", "import", "mbrain", url, "--password-file", "password").stderr
    wrong = command(*words, "--insecure", "--folder", "Nix")
    assert "has no mailbox 'Nix'" in wrong.stderr


def test_aStoreIsMendedWhenNoServerRuns(start: Any, command: Command, tmp_path: Path) -> None:
    (tmp_path / "mailfw-data").mkdir()
    maildir(tmp_path / "old")
    command("store", "copy", f"maildir:{tmp_path}/old", "sqlite:mail", "--account", "jsmith")
    for file in (tmp_path / "mailfw-data" / "mail").glob("*.sqlite"):
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE mailbox SET unseen = unseen + 1 WHERE name = 'INBOX'")
        connection.close()
    done = command("store", "repair")
    assert "Nothing was changed" in done.stdout and command("store", "check").returncode == 1
    done = command("store", "repair", "--yes", "--json")
    assert [one["kind"] for one in json.loads(done.stdout)] == ["counters", "index"], done.stderr
    assert command("store", "check").returncode == 0
    assert command("store", "repair").stdout == "there is nothing to mend\n"
    start().waitFor("mailfw is up")
    done = command("store", "repair")
    assert (done.stderr, done.returncode) == ("mailfw: store repair needs the store for itself: stop the server first\n", 1)
