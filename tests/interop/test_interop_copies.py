"""Programs that keep a copy and ask only for what is new: NeoMutt and mutt with QRESYNC, mutt with COMPRESS, offlineimap3,
IMAPClient with CONDSTORE."""

from __future__ import annotations

import re
import ssl
import threading

import imapclient
import pytest

HOST = "127.0.0.1"


def subjects(maildir):
    return sorted(
        line.removeprefix("Subject: ")
        for path in maildir.glob("[cn]*/*")
        for line in path.read_text().splitlines()
        if line.startswith("Subject: ")
    )


# --- NeoMutt and mutt -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["neomutt", "mutt"])
def reader(request, server, terminal, tmp_path):
    """Starts the program with its cache of headers and QRESYNC; what it says to the server is in `log`."""
    rc = tmp_path / "rc"
    rc.write_text(
        f"set ssl_starttls=no\nset ssl_force_tls=no\nset imap_pass=mailfw\nset header_cache={tmp_path}/cache\n"
        f"set folder=imap://jsmith@{HOST}:{server.ports['imap']}/\nset spoolfile=imap://jsmith@{HOST}:{server.ports['imap']}/INBOX\n"
        "set imap_qresync=yes\nset imap_condstore=yes\nset sleep_time=0\nset quit=yes\nset sort=date-received\nset mark_old=no\n"
        'set index_format="%3C %Z %s"\nset confirmappend=no\nset move=no\nset delete=yes\n'
    )
    if request.param == "mutt":  # NeoMutt is not built for it
        with rc.open("a") as file:
            file.write("set imap_deflate=yes\n")
    log = tmp_path / "log"
    options = ("-d", "3", "-l", log) if request.param == "neomutt" else ()
    return lambda: terminal(request.param, "-n", "-F", rc, *options, HOME=str(tmp_path), TERM="xterm"), log


def test_whatChangedSinceLastTime(reader, server, letter, waitFor):
    start, log = reader
    server.deliver(*(letter(f"number {n}") for n in range(1, 6)))
    screen = start()
    screen.shows("number 5")
    screen.type("q")
    waitFor(lambda: not screen.isRunning, "its end")

    with server.imap() as imap:
        imap.select("INBOX")
        imap.store("2", "+FLAGS", "\\Flagged")
        imap.store("4", "+FLAGS", "\\Deleted")
        imap.expunge()
    server.deliver(letter("number 6"))
    screen = start()
    shown = screen.shows("number 6")
    assert "number 4" not in shown
    assert re.search(r"! number 2", shown), shown
    assert re.findall(r"number (\d)", shown) == ["1", "2", "3", "5", "6"]
    if log.exists():
        assert "QRESYNC (" in "".join(path.read_text(errors="replace") for path in log.parent.glob("log*"))

    # What is deleted here is gone there.
    screen.type("d", "$")
    waitFor(lambda: len(server.subjects()) == 4, "the message to be expunged")


# --- offlineimap3 -----------------------------------------------------------------------------------------------------


@pytest.fixture
def offlineimap(server, run, tmp_path):
    """Synchronises once; what is local is under `tmp_path / "local"`."""
    rc = tmp_path / "offlineimaprc"
    rc.write_text(
        f"[general]\nmetadata = {tmp_path}/metadata\naccounts = one\nui = basic\n\n"
        "[Account one]\nlocalrepository = near\nremoterepository = far\n\n"
        f"[Repository near]\ntype = Maildir\nlocalfolders = {tmp_path}/local\n\n"
        f"[Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {server.ports['imaps']}\nremoteuser = jsmith\n"
        f"remotepass = mailfw\nssl = yes\nsslcacertfile = {server.certificate}\n"
    )
    return lambda: run("offlineimap", "-o", "-c", rc, HOME=str(tmp_path))


def test_offlineimap(server, offlineimap, tmp_path, letter):
    inbox = tmp_path / "local" / "INBOX"
    server.deliver(letter("far one"), letter("far two"))
    with server.imap() as imap:
        imap.create("Work/Plans")
        imap.append("Work/Plans", None, None, letter("plan"))
    offlineimap()
    assert subjects(inbox) == ["far one", "far two"]
    assert subjects(tmp_path / "local" / "Work.Plans") == ["plan"]

    (inbox / "new" / "1790000000.1.here").write_bytes(letter("near").replace(b"\r\n", b"\n"))
    for _ in range(2):
        offlineimap()
        assert sorted(server.subjects()) == subjects(inbox) == ["far one", "far two", "near"]

    with server.imap() as imap:
        imap.select("INBOX")
        imap.store("1", "+FLAGS", "\\Flagged")
        imap.store("2", "+FLAGS", "\\Deleted")
        imap.expunge()
    next(path for path in inbox.glob("[cn]*/*") if "Subject: near" in path.read_text()).unlink()
    for _ in range(2):
        offlineimap()
        assert server.subjects() == subjects(inbox) == ["far one"]
    assert ["F" in path.name.rpartition(",")[2] for path in inbox.glob("[cn]*/*")] == [True]


# --- IMAPClient -------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(server):
    trust = ssl.create_default_context(cafile=str(server.certificate))
    with imapclient.IMAPClient(HOST, server.ports["imaps"], ssl_context=trust, timeout=120) as client:
        client.login("jsmith", "mailfw")
        yield client


def test_imapclientWithCondstore(server, client, letter):
    server.deliver(letter("one"), letter("two"), letter("three"))
    client.enable("CONDSTORE")
    opened = client.select_folder("INBOX")
    since = opened[b"HIGHESTMODSEQ"]
    assert since
    with server.imap() as imap:
        imap.select("INBOX")
        imap.store("2", "+FLAGS", "\\Flagged")
    (changed,) = client.fetch(client.search(), ["FLAGS"], [f"CHANGEDSINCE {since}"]).items()
    assert imapclient.FLAGGED in changed[1][b"FLAGS"]
    assert changed[1][b"MODSEQ"][0] > since
    assert client.search(["MODSEQ", str(changed[1][b"MODSEQ"][0])]) == [changed[0]]
    client.create_folder("Kept")
    client.move([changed[0]], "Kept")
    assert client.folder_status("Kept", ["MESSAGES", "HIGHESTMODSEQ"])[b"MESSAGES"] == 1


def test_imapclientHearsWhileItIdles(server, client, letter):
    client.select_folder("INBOX")
    client.idle()
    sender = threading.Thread(target=server.deliver, args=(letter("new"),))
    sender.start()
    heard = client.idle_check(timeout=120)
    sender.join()
    client.idle_done()
    assert (1, b"EXISTS") in heard
    (uid,) = client.search()
    assert client.fetch([uid], ["ENVELOPE"])[uid][b"ENVELOPE"].subject == b"new"
