"""curl, as the banner and the README tell people to use it."""


def send(server, run, tmp_path, message, service="smtp", *options):
    file = tmp_path / "message"
    file.write_bytes(message)
    envelope = ["--mail-from", "mbrain@localhost", "--mail-rcpt", "jsmith@localhost"]
    run("curl", "-sS", server.url(service), *envelope, "-T", file, "--cacert", server.certificate, *options)


def test_smtp(server, run, tmp_path, letter):
    send(server, run, tmp_path, letter("in clear"))
    send(server, run, tmp_path, letter("by STARTTLS"), "smtp", "--ssl-reqd")
    assert server.subjects() == ["in clear", "by STARTTLS"]


def test_submission(server, run, tmp_path, letter):
    send(server, run, tmp_path, letter("by STARTTLS"), "submission", "--ssl-reqd", "-u", "mbrain:mailfw")
    send(server, run, tmp_path, letter("by TLS"), "submissions", "-u", "mbrain:mailfw")
    assert server.subjects() == ["by STARTTLS", "by TLS"]


def test_pop3(server, run, letter):
    server.deliver(letter("one"), letter("two"))
    for service in ("pop3", "pop3s"):
        curl = ["curl", "-sS", "-u", "jsmith:mailfw", "--cacert", server.certificate]
        sizes = dict(line.split() for line in run(*curl, server.url(service, "/")).splitlines())
        assert list(sizes) == [b"1", b"2"]
        first = run(*curl, server.url(service, "/1"))
        assert first.endswith(letter("one")) and len(first) == int(sizes[b"1"])
        ids = [line.split()[1] for line in run(*curl, "-X", "UIDL", server.url(service, "/")).splitlines()]
        assert len(set(ids)) == 2


def test_imap(server, run, tmp_path, letter):
    server.deliver(letter("hello"), letter("goodbye"))
    file = tmp_path / "appended"
    file.write_bytes(letter("appended"))
    for service in ("imap", "imaps"):
        curl = ["curl", "-sS", "-u", "jsmith:mailfw", "--cacert", server.certificate]
        assert b"INBOX" in run(*curl, server.url(service, "/"))
        assert run(*curl, server.url(service, "/INBOX;MAILINDEX=1")).endswith(letter("hello"))
        assert run(*curl, server.url(service, "/INBOX?SUBJECT%20goodbye")).strip() == b"* SEARCH 2"
    run(*curl, "-T", file, server.url("imaps", "/INBOX"))
    assert run(*curl, server.url("imaps", "/INBOX;MAILINDEX=3")) == letter("appended")
