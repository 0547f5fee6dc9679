"""Other people's programs on the files of our stores: Dovecot, mutt, and Python's mailbox module."""

import mailbox
import os
import pwd
import shutil
import tempfile
from pathlib import Path

import pytest

SUBJECTS = ["one", "two", "three"]

onMaildir = pytest.mark.parametrize("running", ["maildir:mail"], indirect=True, ids=["maildir"])
onTextFile = pytest.mark.parametrize("running", ["textfile:mail"], indirect=True, ids=["textfile"])


@pytest.fixture
def stored(server, letter):
    """A server with three messages for jsmith, the first one read, and a folder."""
    server.deliver(*(letter(subject, f"This is {subject}.", "From here on", ">From there on", ".") for subject in SUBJECTS))
    with server.imap() as imap:
        imap.create("Work/Plans")
        imap.append("Work/Plans", None, None, letter("plan"))
        imap.select("INBOX")
        imap.store("1", "+FLAGS", "\\Seen")
    return server


def body(subject: str) -> str:
    return f"This is {subject}.\nFrom here on\n>From there on\n.\n"


@pytest.fixture
def forDovecot():
    """Makes a copy of a Maildir that Dovecot may read: it never works as root. Returns a configuration for it."""
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))

    def copy(maildir: Path) -> Path:
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        shutil.copytree(maildir, base / "mail")
        if os.geteuid() == 0:
            base.chmod(0o755)
            for path in [base / "mail", *(base / "mail").rglob("*")]:
                os.chown(path, owner.pw_uid, owner.pw_gid)
        configuration = base / "dovecot.conf"
        configuration.write_text(
            f"protocols = imap\nssl = no\nlog_path = /dev/stderr\nbase_dir = {base}/run\nstate_dir = {base}/state\n"
            f"mail_location = maildir:{base}/mail\nmail_uid = {owner.pw_uid}\nmail_gid = {owner.pw_gid}\n"
            "first_valid_uid = 1\nfirst_valid_gid = 1\nnamespace inbox {\n  inbox = yes\n  separator = /\n}\n"
        )
        return configuration

    yield copy
    shutil.rmtree(base)


@onMaildir
def test_dovecotReadsOurMaildir(stored, run, forDovecot):
    configuration = forDovecot(stored.data / "mail" / "jsmith")
    script = b'1 LIST "" *\r\n2 SELECT INBOX\r\n3 FETCH 1:* (FLAGS BODY.PEEK[])\r\n4 STATUS Work/Plans (MESSAGES)\r\n5 LOGOUT\r\n'
    said = run("imap", "-c", configuration, stdin=script, USER="jsmith", HOME=str(configuration.parent)).decode()
    assert "Work/Plans" in said
    assert "* 3 EXISTS" in said
    assert "* STATUS Work/Plans (MESSAGES 1)" in said
    assert [line for line in said.splitlines() if "FETCH (FLAGS (\\Seen" in line]
    for subject in SUBJECTS:
        assert body(subject).replace("\n", "\r\n") in said


@onMaildir
def test_muttReadsOurMaildir(stored, terminal, tmp_path):
    checkInMutt(stored.data / "mail" / "jsmith", terminal, tmp_path)


@onTextFile
def test_muttReadsOurTextFile(stored, terminal, tmp_path):
    checkInMutt(stored.data / "mail" / "JSMITH.TXT", terminal, tmp_path)


def checkInMutt(path, terminal, home):
    rc = home / "muttrc"
    rc.write_text(f"set folder={home}\nset sort=date-received\n")
    screen = terminal("mutt", "-n", "-R", "-F", rc, "-f", path, HOME=str(home), TERM="xterm")
    shown = screen.shows("three")
    assert "one" in shown and "two" in shown
    screen.type("/", "two", "Enter", "Enter")
    assert "Subject: two" in screen.shows("This is two.")


@onMaildir
def test_pythonReadsOurMaildir(stored):
    messages = checkMessages(mailbox.Maildir(stored.data / "mail" / "jsmith", create=False), body)
    assert [message.get_flags() for message in messages] == ["S", "", ""]


@onTextFile
def test_pythonReadsOurTextFile(stored):
    """A line that begins with From_ is quoted there, whatever number of `>` is before it."""
    path = stored.data / "mail" / "JSMITH.TXT"
    checkMessages(mailbox.mbox(path, create=False), lambda subject: body(subject).replace("From ", ">From "))


def checkMessages(box, expected):
    messages = sorted(box, key=lambda message: SUBJECTS.index(message["Subject"]))
    assert [message["Subject"] for message in messages] == SUBJECTS
    assert [message.get_payload().replace("\r\n", "\n") for message in messages] == [expected(subject) for subject in SUBJECTS]
    return messages


@onTextFile
def test_whatAnotherProgramAddsIsServed(stored, letter, waitFor):
    box = mailbox.mbox(stored.data / "mail" / "JSMITH.TXT", create=False)
    box.lock()
    box.add(letter("added from outside").replace(b"\r\n", b"\n"))
    box.close()
    waitFor(lambda: stored.subjects() == [*SUBJECTS, "added from outside"], "the message that another program added")


@onMaildir
def test_whatAnotherProgramDeliversIsServed(stored, letter, waitFor):
    box = mailbox.Maildir(stored.data / "mail" / "jsmith", create=False)
    box.add(letter("added from outside").replace(b"\r\n", b"\n"))
    waitFor(
        lambda: sorted(stored.subjects()) == sorted([*SUBJECTS, "added from outside"]), "the message that another program added"
    )
