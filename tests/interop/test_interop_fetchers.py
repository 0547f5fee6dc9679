"""Programs that fetch by POP3 and IMAP: fetchmail and getmail."""

import pytest

MESSAGES = 3


@pytest.mark.parametrize("service", ["pop3", "imap"])
def test_fetchmail(server, run, tmp_path, letter, service):
    server.deliver(*(letter(f"number {n}") for n in range(MESSAGES)))
    rc, inbox = tmp_path / "fetchmailrc", tmp_path / "inbox"
    rc.write_text(
        f"poll 127.0.0.1 service {server.ports[service]} protocol {service} {'uidl' if service == 'pop3' else ''}\n"
        f'user jsmith password mailfw sslproto "" keep mda "cat >> {inbox}"\n'
    )
    rc.chmod(0o600)
    fetch = ["fetchmail", "-f", rc, "--nosyslog", "--pidfile", tmp_path / "pid", "--idfile", tmp_path / "ids"]
    home = {"HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path), "LC_ALL": "C"}
    run(*fetch, **home)
    first = inbox.read_bytes()
    assert [first.count(f"Subject: number {n}\n".encode()) for n in range(MESSAGES)] == [1] * MESSAGES
    assert first.count(b"Hello there.\n.\nFrom me.\n") == MESSAGES

    server.deliver(letter("new"))
    run(*fetch, **home)
    assert inbox.read_bytes().count(b"Subject:") == MESSAGES + 1
    run(*fetch, status=1, **home)  # 1: there is nothing new


def test_fetchmailEmptiesTheMaildropUnderTLS(server, run, tmp_path, letter):
    server.deliver(letter("one"), letter("two"))
    rc, inbox = tmp_path / "fetchmailrc", tmp_path / "inbox"
    rc.write_text(
        f"poll localhost service {server.ports['pop3']} protocol pop3\n"
        f'user jsmith password mailfw sslproto TLS1.2+ sslcertck sslcertfile {server.certificate} nokeep mda "cat >> {inbox}"\n'
    )
    rc.chmod(0o600)
    home = {"HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path), "LC_ALL": "C"}
    run("fetchmail", "-f", rc, "--nosyslog", "--pidfile", tmp_path / "pid", **home)
    assert inbox.read_bytes().count(b"Subject:") == 2
    assert server.subjects() == []


@pytest.mark.parametrize(
    ("service", "retriever"),
    [
        ("pop3", "SimplePOP3Retriever"),
        ("pop3s", "SimplePOP3SSLRetriever"),
        ("imap", "SimpleIMAPRetriever"),
        ("imaps", "SimpleIMAPSSLRetriever"),
    ],
)
def test_getmail(server, run, tmp_path, letter, service, retriever):
    server.deliver(*(letter(f"number {n}") for n in range(MESSAGES)))
    inbox = tmp_path / "inbox"
    rc = tmp_path / "getmailrc"
    trust = f"ca_certs = {server.certificate}\n" if service.endswith("s") else ""
    rc.write_text(
        f"[retriever]\ntype = {retriever}\nserver = 127.0.0.1\nport = {server.ports[service]}\n"
        f"username = jsmith\npassword = mailfw\n{trust}"
        f"[destination]\ntype = MDA_external\npath = /bin/sh\narguments = ('-c', 'cat >> {inbox}')\n"
        "allow_root_commands = true\n"
        "[options]\nread_all = false\ndelete = false\ndelivered_to = false\nreceived = false\n"
    )
    fetch = ["getmail", f"--getmaildir={tmp_path}", f"--rcfile={rc}"]
    run(*fetch)
    first = inbox.read_bytes().replace(b"\r\n", b"\n")
    assert [first.count(f"Subject: number {n}\n".encode()) for n in range(MESSAGES)] == [1] * MESSAGES
    assert first.count(b"\n\nHello there.\n.\nFrom me.\n") == MESSAGES
    server.deliver(letter("new"))
    run(*fetch)
    assert inbox.read_bytes().count(b"Subject:") == MESSAGES + 1
