"""Dovecot, mutt, neomutt, mbsync and Python's mailbox module at work on our files, while we see what they do.

Each program is real. A missing one skips its tests, except in CI.
"""

from __future__ import annotations

import mailbox
import os
import pty
import pwd
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailfw.interfaces import ISimpleStore
from mailfw.storage.maildir import MaildirStore, maildir
from mailfw.storage.textfile import textfile
from mailfw.testing.fakes import START, FakeStoreContext
from mailfw.testing.samples import CONTENTS, LETTER, REPLY
from mailfw.values import Entry, Flag, MessageSource, NewMessage

pytestmark = pytest.mark.interop

ACCOUNT = "mbrain@example.org"
PATIENCE = 120.0  # seconds, for a program to end


def needs(program: str) -> str:
    """The path of a program that a test is about."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is missing")
        pytest.skip(f"{program} is not installed")
    return found


def context(root: Path) -> FakeStoreContext:
    return FakeStoreContext(str(root), ("example.org",), Clock())


def add(store: ISimpleStore, content: bytes, *flags: str, folder: str = "INBOX", date: float | None = START) -> Entry:
    message = NewMessage(MessageSource(content), frozenset(flags), date)
    (entry,) = store.append(ACCOUNT, folder, [(store.newKey(ACCOUNT, folder, message), message)])
    return entry


def flagsByKey(store: ISimpleStore, folder: str = "INBOX") -> dict[str, frozenset[str] | None]:
    return {entry.key: entry.flags for entry in store.scan(ACCOUNT, folder)}


def withLF(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def inTerminal(arguments: list[str], home: Path) -> None:
    """Run a program that wants a terminal, until it ends."""
    master, slave = pty.openpty()
    environment = {"TERM": "xterm", "HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    process = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
    os.close(slave)
    shown = b""
    deadline = time.monotonic() + PATIENCE
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    shown += os.read(master, 65536)
                except OSError:
                    break
        assert process.wait(max(0.1, deadline - time.monotonic())) == 0, shown
    finally:
        process.kill()
        process.wait()
        os.close(master)


# --- mutt and neomutt ---

Mutt = Callable[[Path, int, str], list[bytes]]


@pytest.fixture(params=["mutt", "neomutt"])
def mutt(request: pytest.FixtureRequest, tmp_path: Path) -> Mutt:
    """Open a mailbox, press keys, leave; returns so many of its messages as the program had them before that."""
    program = needs(request.param)
    out = tmp_path / "messages"

    def run(box: Path, count: int, keys: str) -> list[bytes]:
        out.mkdir()
        (tmp_path / "Mail").mkdir()
        pipes = "<next-entry>".join(f"<pipe-message>cat > {out}/{number}<enter>" for number in range(count))
        settings = [
            "set sort=date-received", "unset mark_old", "set move=no", "set quit=yes", "set wait_key=no",
            "unset pipe_decode", "set delete=yes", "unset confirmappend", "set auto_tag=no", "set resolve=no", "set read_inc=0",
        ]  # fmt: skip
        commands = [piece for setting in settings for piece in ("-e", setting)]
        push = f'push "<first-entry>{pipes}{keys}<exit>"'
        inTerminal([program, "-n", "-F", "/dev/null", "-f", str(box), *commands, "-e", push], tmp_path)
        return [(out / str(number)).read_bytes() for number in range(count)]

    return run


def test_muttReadsAndFlagsATextFile(mutt: Mutt, tmp_path: Path) -> None:
    store = textfile.openSimpleStore("mail", context(tmp_path))
    contents = [LETTER, CONTENTS["mbox separators"], REPLY]
    entries = [add(store, content, date=START + at) for at, content in enumerate(contents)]
    box = tmp_path / "mail" / "MBRAIN.TXT"
    inode = box.stat().st_ino
    seen = mutt(box, 3, "<first-entry><flag-message><next-entry><set-flag>r<last-entry><display-message><exit><sync-mailbox>")
    assert [message.partition(b"\n")[2] for message in seen[::2]] == [withLF(content) for content in contents[::2]]
    assert b">From x\n>>From x\n" in seen[1]
    assert b"Status: " in box.read_bytes()
    assert box.stat().st_ino == inode
    found = list(store.scan(ACCOUNT, "INBOX"))
    assert [entry.key for entry in found] == [entry.key for entry in entries]
    assert [store.read(ACCOUNT, "INBOX", entry) for entry in found] == contents


def test_muttRemovesFromATextFile(mutt: Mutt, tmp_path: Path) -> None:
    store = textfile.openSimpleStore("mail", context(tmp_path))
    entries = [add(store, content, date=START + at) for at, content in enumerate([LETTER, REPLY, LETTER])]
    mutt(tmp_path / "mail" / "MBRAIN.TXT", 0, "<first-entry><next-entry><delete-message><sync-mailbox>")
    assert [entry.key for entry in store.scan(ACCOUNT, "INBOX")] == [entries[0].key, entries[2].key]
    latest = add(store, REPLY)
    assert store.read(ACCOUNT, "INBOX", latest) == REPLY


def test_muttReadsAndFlagsAMaildir(mutt: Mutt, tmp_path: Path) -> None:
    store = maildir.openSimpleStore("mail", context(tmp_path))
    first = add(store, LETTER, "$Junk")
    second = add(store, REPLY)
    keys = "<limit>~s ^Lunch<enter><flag-message><limit>~s Re:<enter><set-flag>r<limit>all<enter><sync-mailbox>"
    seen = mutt(tmp_path / "mail" / "mbrain", 2, keys)
    assert {withLF(message) for message in seen} == {withLF(LETTER), withLF(REPLY)}
    found = flagsByKey(store)
    assert found[first.key] == {Flag.FLAGGED, "$Junk"}
    assert Flag.ANSWERED in (found[second.key] or ())
    assert [store.read(ACCOUNT, "INBOX", entry) for entry in store.scan(ACCOUNT, "INBOX")] == [LETTER, REPLY]


# --- mbsync ---


def test_mbsyncCopiesOurMaildirBothWays(tmp_path: Path) -> None:
    program = needs("mbsync")
    store = maildir.openSimpleStore("mail", context(tmp_path))
    first = add(store, LETTER, Flag.SEEN)
    second = add(store, REPLY)
    config = tmp_path / "mbsyncrc"
    (tmp_path / "copy").mkdir()
    config.write_text(
        f"MaildirStore ours\nInbox {tmp_path}/mail/mbrain\nPath {tmp_path}/mail/mbrain/\n\n"
        f"MaildirStore theirs\nInbox {tmp_path}/copy/INBOX\nPath {tmp_path}/copy/\n\n"
        f"Channel all\nFar :ours:\nNear :theirs:\nCreate Near\nExpunge Both\nSyncState *\nCopyArrivalDate yes\n"
    )

    def sync() -> None:
        done = subprocess.run([program, "-c", str(config), "-a"], capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr

    sync()
    sync()
    keys = [first.key, second.key]
    assert [entry.key for entry in store.scan(ACCOUNT, "INBOX")] == keys
    copies = mailbox.Maildir(str(tmp_path / "copy" / "INBOX"), create=False)
    assert len(copies) == 2
    copies.add(b"Subject: theirs\n\nbody\n")
    for key, message in copies.items():
        if message["Subject"] == "Re: Lunch":
            message.add_flag("F")
            copies[key] = message
    sync()
    sync()
    found = list(store.scan(ACCOUNT, "INBOX"))
    assert [entry.key for entry in found][:2] == keys and len(found) == 3
    assert found[1].flags == {Flag.FLAGGED}
    assert store.read(ACCOUNT, "INBOX", found[0]) == LETTER
    assert store.read(ACCOUNT, "INBOX", found[2]).startswith(b"Subject: theirs\r\n")
    store.remove(ACCOUNT, "INBOX", [found[0]])
    sync()
    assert len(mailbox.Maildir(str(tmp_path / "copy" / "INBOX"), create=False)) == 2


# --- Dovecot ---


class Dovecot:
    """doveadm on our Maildir, as a user of its own where we are root (Dovecot reads no mail as root)."""

    def __init__(self, root: Path) -> None:
        self._program = needs("doveadm")
        self._root = root
        self._owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        group = subprocess.run(["id", "-gn", self._owner.pw_name], capture_output=True, text=True, check=True).stdout.strip()
        (root / "run").mkdir()
        self._config = root / "dovecot.conf"
        self._config.write_text(
            f"base_dir={root}/run\ndefault_internal_user={self._owner.pw_name}\ndefault_login_user={self._owner.pw_name}\n"
            f"default_internal_group={group}\nlog_path={root}/run/log\nssl=no\nprotocols=\nfirst_valid_uid=0\nfirst_valid_gid=0\n"
            f"mail_uid={self._owner.pw_uid}\nmail_gid={self._owner.pw_gid}\nmail_location=maildir:{root}/mail/mbrain\n"
            f"mail_home={root}/run\nmail_plugins=listescape\nnamespace inbox {{\n inbox=yes\n separator=/\n}}\n"
        )
        self._config.chmod(0o644)

    def __call__(self, *arguments: str, data: bytes = b"") -> str:
        """What doveadm prints."""
        self._open()
        command = [self._program, "-c", str(self._config), *arguments]
        environment = {**os.environ, "USER": self._owner.pw_name, "HOME": f"{self._root}/run"}
        done = subprocess.run(command, input=data, capture_output=True, env=environment, cwd="/", timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        assert b"Error" not in done.stderr and b"Warning" not in done.stderr, done.stderr
        return done.stdout.decode()

    def _open(self) -> None:
        """Give the files to Dovecot's user, and let it walk to them."""
        if os.geteuid():
            return
        for directory in [self._root, *self._root.parents][:4]:
            directory.chmod(directory.stat().st_mode | 0o011)
        for directory, directories, files in os.walk(self._root):
            for name in directories + files:
                os.chown(os.path.join(directory, name), self._owner.pw_uid, self._owner.pw_gid, follow_symlinks=False)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Where every user can walk to, which is not so in pytest's own directory: each run of it closes that anew."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def dovecot(tmp_path: Path) -> Dovecot:
    return Dovecot(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> MaildirStore:
    found = maildir.openSimpleStore("mail", context(tmp_path))
    assert isinstance(found, MaildirStore)
    return found


def test_dovecotReadsWhatWeWrite(dovecot: Dovecot, store: MaildirStore) -> None:
    contents = [LETTER, CONTENTS["bare LF"], CONTENTS["mbox separators"], b"Subject: x\r\n\r\nno end"]
    for content in contents:
        add(store, content, Flag.SEEN)
    sizes = dovecot("fetch", "size.virtual size.physical", "mailbox", "INBOX", "all").split("\f")
    assert [int(part.split()[1]) for part in sizes if part.strip()] == [
        len(content) + content.count(b"\n") - content.count(b"\r\n") for content in contents
    ]
    assert "Tomorrow?" in dovecot("fetch", "text", "mailbox", "INBOX", "1")
    assert dovecot("fetch", "date.received", "mailbox", "INBOX", "1").strip().startswith("date.received: 2026-09-21")
    assert [store.read(ACCOUNT, "INBOX", entry) for entry in store.scan(ACCOUNT, "INBOX")] == contents


def test_dovecotAndWeSeeEachOthersFlagsAndKeywords(dovecot: Dovecot, store: MaildirStore) -> None:
    first = add(store, LETTER, Flag.SEEN, "Ours")
    second = add(store, REPLY)
    assert "\\Seen" in dovecot("fetch", "flags", "mailbox", "INBOX", "1")
    assert "Ours" in dovecot("fetch", "flags", "mailbox", "INBOX", "1")
    dovecot("flags", "add", "\\Flagged $Forwarded Theirs", "mailbox", "INBOX", "2")
    dovecot("flags", "remove", "\\Seen", "mailbox", "INBOX", "1")
    assert flagsByKey(store) == {first.key: {"Ours"}, second.key: {Flag.FLAGGED, "$Forwarded", "Theirs"}}
    entries = list(store.scan(ACCOUNT, "INBOX"))
    store.setFlags(ACCOUNT, "INBOX", [(entry, frozenset(["Theirs", "Third", Flag.ANSWERED])) for entry in entries])
    for number in ("1", "2"):
        shown = dovecot("fetch", "flags", "mailbox", "INBOX", number)
        assert "Theirs" in shown and "Third" in shown and "\\Answered" in shown and "\\Flagged" not in shown
    assert [store.read(ACCOUNT, "INBOX", entry) for entry in entries] == [LETTER, REPLY]


def test_dovecotsMessagesRemovalsAndUIDsAreSeen(dovecot: Dovecot, store: MaildirStore) -> None:
    mine = add(store, LETTER, Flag.SEEN)
    dovecot("save", "-m", "INBOX", data=withLF(REPLY))
    entries = list(store.scan(ACCOUNT, "INBOX"))
    assert len(entries) == 2
    assert [entry.size for entry in entries] == [len(store.read(ACCOUNT, "INBOX", entry)) for entry in entries]
    theirs = next(entry for entry in entries if entry.key != mine.key)
    assert store.read(ACCOUNT, "INBOX", theirs) == REPLY
    found = store.uids(ACCOUNT, "INBOX")
    assert found is not None
    shown = dovecot("fetch", "uid", "mailbox", "INBOX", "all").replace("\f", "").split()
    assert sorted(found[2].values()) == sorted(map(int, shown[1::2]))
    assert set(found[2]) == {mine.key, theirs.key}
    dovecot("expunge", "mailbox", "INBOX", "uid", str(found[2][mine.key]))
    assert [entry.key for entry in store.scan(ACCOUNT, "INBOX")] == [theirs.key]
    store.remove(ACCOUNT, "INBOX", [theirs])
    assert dovecot("search", "mailbox", "INBOX", "all").strip() == ""


@pytest.mark.parametrize("name", ["Work/Plans", "Entwürfe", "a.b", "~x/~y", r"a\b", "a&b", "INBOX/sub", ".lead", "台北", "end "])
def test_dovecotAndWeNameFoldersAlike(dovecot: Dovecot, store: MaildirStore, name: str) -> None:
    store.createFolder(ACCOUNT, name)
    add(store, LETTER, folder=name)
    assert name in dovecot("mailbox", "list").split("\n")
    assert dovecot("mailbox", "status", "messages", name).rstrip("\n").endswith("messages=1")
    dovecot("mailbox", "create", f"{name}-too")
    assert f"{name}-too" in store.folders(ACCOUNT)
    dovecot("mailbox", "delete", name)
    assert name not in store.folders(ACCOUNT)


# --- Python's mailbox module ---


def test_pythonReadsOurTextFile(tmp_path: Path) -> None:
    store = textfile.openSimpleStore("mail", context(tmp_path))
    add(store, LETTER)
    add(store, CONTENTS["mbox separators"])
    box = mailbox.mbox(str(tmp_path / "mail" / "MBRAIN.TXT"), create=False)
    assert len(box) == 2
    assert box[0]["Subject"] == "Lunch" and box[0].get_payload() == "Tomorrow?\n"
    assert box[0].get_from() == "jsmith@example.org Mon Sep 21 14:13:20 2026 +0000"


def test_pythonReadsAndFlagsOurMaildir(tmp_path: Path) -> None:
    store = maildir.openSimpleStore("mail", context(tmp_path))
    assert isinstance(store, MaildirStore)
    add(store, LETTER, Flag.SEEN, Flag.FORWARDED)
    store.createFolder(ACCOUNT, "Work")
    box = mailbox.Maildir(str(tmp_path / "mail" / "mbrain"), create=False)
    assert box.list_folders() == ["Work"]
    ((key, message),) = box.items()
    assert message["Subject"] == "Lunch" and message.get_flags() == "PSa"
    message.add_flag("F")
    box[key] = message
    (entry,) = store.scan(ACCOUNT, "INBOX")
    assert entry.flags is not None and Flag.FLAGGED in entry.flags
