"""Programs that keep a mailbox open or a copy of it: mbsync, neomutt, IMAPClient, and Python's own libraries."""

import imaplib
import poplib
import smtplib
import socket
import ssl
from pathlib import Path

import imapclient
import pytest

HOST = "127.0.0.1"


def localSubjects(maildir: Path) -> list[str]:
    lines = [line for path in maildir.glob("[cn]*/*") for line in path.read_text().splitlines()]
    return sorted(line.removeprefix("Subject: ") for line in lines if line.startswith("Subject: "))


@pytest.fixture
def mbsync(server, run, tmp_path):
    """Synchronises once; what is local is under `tmp_path / "local"`."""
    local = tmp_path / "local"
    local.mkdir()
    rc = tmp_path / "mbsyncrc"
    rc.write_text(
        f"IMAPAccount far\nHost localhost\nPort {server.ports['imap']}\nUser jsmith\nPass mailfw\n"
        f"SSLType STARTTLS\nCertificateFile {server.certificate}\n\n"
        "IMAPStore far\nAccount far\n\n"
        f"MaildirStore near\nPath {local}/\nInbox {local}/INBOX\nSubFolders Verbatim\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove Both\nExpunge Both\nSyncState *\n"
    )
    return lambda: run("mbsync", "-c", rc, "-a", HOME=str(tmp_path))


def test_mbsync(server, mbsync, tmp_path, letter):
    inbox = tmp_path / "local" / "INBOX"
    server.deliver(letter("far one"), letter("far two"))
    with server.imap() as imap:
        imap.create("Work/Plans")
        imap.append("Work/Plans", None, None, letter("plan"))
    mbsync()
    assert localSubjects(inbox) == ["far one", "far two"]
    assert localSubjects(tmp_path / "local" / "Work" / "Plans") == ["plan"]

    # The other way, and what has been synchronised is not so again.
    (inbox / "new" / "1790000000.1.here").write_bytes(letter("near").replace(b"\r\n", b"\n"))
    for _ in range(2):
        mbsync()
        assert sorted(server.subjects()) == localSubjects(inbox) == ["far one", "far two", "near"]

    # Flags and deletions both ways.
    with server.imap() as imap:
        imap.select("INBOX")
        imap.store("1", "+FLAGS", "\\Flagged")
        imap.store("2", "+FLAGS", "\\Deleted")
        imap.expunge()
    mine = next(path for path in inbox.glob("[cn]*/*") if b"Subject: near" in path.read_bytes())
    mine.rename(
        inbox
        / "cur"
        / (mine.name.partition(":")[0].partition(",U=")[0] + "," + mine.name.partition(",")[2].partition(":")[0] + ":2,S")
    )
    for _ in range(2):
        mbsync()
        assert sorted(server.subjects()) == localSubjects(inbox) == ["far one", "near"]
    assert [path.name.endswith(":2,F") for path in inbox.glob("[cn]*/*") if b"far one" in path.read_bytes()] == [True]
    with server.imap() as imap:
        imap.select("INBOX")
        assert imap.search(None, "SEEN", "SUBJECT", "near")[1] != [b""]


@pytest.mark.parametrize(("service", "scheme"), [("imap", "imap"), ("pop3", "pop")])
def test_neomutt(server, terminal, tmp_path, letter, service, scheme):
    server.deliver(letter("A matter of importance", "Read me aloud."), letter("Another one"))
    rc = tmp_path / "neomuttrc"
    rc.write_text(
        f"set ssl_starttls=no\nset ssl_force_tls=no\nset {scheme}_pass=mailfw\nset header_cache=''\n"
        f"set folder='{scheme}://jsmith@{HOST}:{server.ports[service]}/'\nset spoolfile=$folder\n"
        "set mail_check=1\nset sleep_time=0\nset quit=yes\nset pop_delete=no\nset sort=date-received\n"
    )
    screen = terminal("neomutt", "-n", "-F", rc, HOME=str(tmp_path), TERM="xterm")
    screen.shows("A matter of importance")
    screen.shows("Another one")
    screen.type("/", "importance", "Enter", "Enter")
    screen.shows("Read me aloud.")
    screen.shows("Mr Brain")


def test_imapclient(server, letter):
    server.deliver(letter("first"), letter("second"))
    trust = ssl.create_default_context(cafile=str(server.certificate))
    with imapclient.IMAPClient(HOST, server.ports["imaps"], ssl_context=trust, timeout=120) as client:
        client.login("jsmith", "mailfw")
        client.create_folder("Ablage/Größe")
        assert ("INBOX" in [name for _, _, name in client.list_folders()]) and client.folder_exists("Ablage/Größe")
        assert client.select_folder("INBOX")[b"EXISTS"] == 2
        (uid,) = client.search(["SUBJECT", "second"])
        fetched = client.fetch([uid], ["ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[]", "RFC822.SIZE", "INTERNALDATE"])[uid]
        assert fetched[b"ENVELOPE"].subject == b"second"
        assert fetched[b"ENVELOPE"].from_[0].mailbox == b"mbrain"
        assert fetched[b"BODYSTRUCTURE"][:2] == (b"text", b"plain") or fetched[b"BODYSTRUCTURE"][:2] == (b"TEXT", b"PLAIN")
        assert fetched[b"BODY[]"].endswith(letter("second")) and len(fetched[b"BODY[]"]) == fetched[b"RFC822.SIZE"]
        client.add_flags([uid], [imapclient.FLAGGED, b"$Forwarded"])
        assert set(client.get_flags([uid])[uid]) >= {imapclient.FLAGGED, b"$Forwarded"}
        client.copy([uid], "Ablage/Größe")
        client.move([uid], "Ablage/Größe")
        client.append("Ablage/Größe", letter("third"), [imapclient.SEEN])
        assert client.select_folder("Ablage/Größe")[b"EXISTS"] == 3
        client.idle()
        server.deliver(letter("fourth"))
        client.idle_done()
        client.delete_folder("Ablage/Größe")
    assert server.subjects() == ["first", "fourth"]


def test_pythonsLibraries(server, letter):
    trust = ssl.create_default_context(cafile=str(server.certificate))
    with smtplib.SMTP(HOST, server.ports["submission"], timeout=120) as smtp:
        smtp.starttls(context=trust)
        smtp.login("mbrain", "mailfw")
        assert smtp.sendmail("mbrain@localhost", ["jsmith@localhost"], letter("sent")) == {}
    with smtplib.LMTP(HOST, server.ports["lmtp"]) as lmtp:
        assert lmtp.sendmail("mbrain@localhost", ["jsmith@localhost"], letter("handed over")) == {}

    pop = poplib.POP3(HOST, server.ports["pop3"], timeout=120)
    pop.stls(trust)
    pop.user("jsmith")
    pop.pass_("mailfw")
    sizes = [int(line.split()[1]) for line in pop.list()[1]]
    read = [b"\r\n".join([*pop.retr(number)[1], b""]) for number in (1, 2)]
    assert [len(message) for message in read] == sizes
    assert read[0].endswith(b"\r\n\r\nHello there.\r\n.\r\nFrom me.\r\n")
    pop.dele(1)
    pop.quit()

    with imaplib.IMAP4(HOST, server.ports["imap"], timeout=120) as imap:
        imap.starttls(trust)
        imap.login("jsmith", "mailfw")
        assert imap.select("INBOX")[1] == [b"1"]
        assert imap.fetch("1", "(BODY.PEEK[])")[1][0][1] == read[1]
        imap.store("1", "+FLAGS", "\\Deleted")
        imap.expunge()
    assert server.subjects() == []


def test_theConversationThatEveryIntroductionPrints(server):
    """Typed by hand: no angle brackets, a space after the colon, lower case (SMTP), then read by POP3."""
    with socket.create_connection((HOST, server.ports["smtp"]), timeout=120) as sock, sock.makefile("rwb") as wire:
        assert wire.readline().startswith(b"220 ")
        for typed, code in [
            (b"helo test", b"250 "),
            (b"mail from: test@sample.com", b"250 "),
            (b"rcpt to: jsmith@localhost", b"250 "),
            (b"data", b"354 "),
            (b"Subject: typed\r\n\r\nby hand\r\n.", b"250 "),
            (b"quit", b"221 "),
        ]:
            wire.write(typed + b"\r\n")
            wire.flush()
            assert wire.readline().startswith(code), typed
    assert server.subjects() == ["typed"]
