"""Programs that send: swaks and msmtp."""

import re

import pytest


def swaks(server, run, service, subject, *options):
    words = ["swaks", "--server", "127.0.0.1", "--port", server.ports[service], "--helo", "client.example"]
    envelope = ["--from", "mbrain@localhost", "--to", "jsmith@localhost", "--header", f"Subject: {subject}"]
    return run(*words, *envelope, *options).decode()


def test_swaksPipelines(server, run):
    said = swaks(server, run, "smtp", "pipelined", "--pipeline")
    assert re.search("250[ -]PIPELINING", said)
    assert server.subjects() == ["pipelined"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaksAuthenticatesUnderTLS(server, run, mechanism):
    login = ["--auth", mechanism, "--auth-user", "mbrain", "--auth-password", "mailfw"]
    trusted = ["--tls", "--tls-verify", "--tls-ca-path", server.certificate]
    said = swaks(server, run, "submission", "under TLS", *login, *trusted)
    assert "235" in said
    assert server.subjects() == ["under TLS"]


def test_swaksWithAWrongPassword(server, run):
    login = ["--auth", "PLAIN", "--auth-user", "mbrain", "--auth-password", "wrong", "--tls"]
    words = ["swaks", "--server", "127.0.0.1", "--port", server.ports["submission"]]
    said = run(*words, "--from", "mbrain@localhost", "--to", "jsmith@localhost", *login, status=28).decode()
    assert "535" in said


def test_msmtp(server, run, tmp_path, letter):
    rc = tmp_path / "msmtprc"
    for service, starttls in (("submission", "on"), ("submissions", "off")):
        rc.write_text(
            f"account default\nhost 127.0.0.1\nport {server.ports[service]}\nfrom mbrain@localhost\n"
            f"auth plain\nuser mbrain\npassword mailfw\n"
            f"tls on\ntls_starttls {starttls}\ntls_trust_file {server.certificate}\n"
        )
        rc.chmod(0o600)
        run("msmtp", "-C", rc, "jsmith@localhost", stdin=letter(service).replace(b"\r\n", b"\n"))
    assert server.subjects() == ["submission", "submissions"]
