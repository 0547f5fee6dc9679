"""Other people's hooks: OpenDKIM and pymilter by the milter protocol, postgrey by the policy protocol."""

import contextlib
import os
import re
import shutil
import smtplib
import subprocess
from pathlib import Path

import pytest

from mailfw.testing.process import HOST, waitFor

SYSTEM_PYTHON = "/usr/bin/python3"
PYMILTER = '''
import sys, Milter
class Own(Milter.Base):
    def __init__(self): self.id = Milter.uniqueID()
    def connect(self, name, family, address): self.said = [repr((name, address))]; return Milter.CONTINUE
    def hello(self, name): self.said.append("hello " + name); return Milter.CONTINUE
    def envfrom(self, sender, *words):
        self.said.append("from " + sender)
        return Milter.TEMPFAIL if "later" in sender else Milter.CONTINUE
    def envrcpt(self, recipient, *words):
        self.said.append("to " + recipient)
        if "mbrain" in recipient:
            self.setreply("553", "5.7.7", "not him")
            return Milter.REJECT
        return Milter.CONTINUE
    def header(self, name, value): self.said.append("field " + name); return Milter.CONTINUE
    def eoh(self): return Milter.CONTINUE
    def body(self, chunk): self.said.append("body %d" % len(chunk)); return Milter.CONTINUE
    def eom(self):
        self.addheader("X-Said", "; ".join(self.said))
        self.addheader("X-Top", "yes", 0)
        self.chgheader("Subject", 1, "changed")
        self.replacebody("another body\\r\\n")
        return Milter.CONTINUE
Milter.factory = Own
Milter.set_flags(Milter.ADDHDRS + Milter.CHGHDRS + Milter.CHGBODY)
Milter.runmilter("own", sys.argv[1], 60)
'''


def need(name, *words):
    """Skip where a program is missing, or does not do that; fail where it must be there."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if path is None or (words and subprocess.run([path, *words], capture_output=True, check=False).returncode):
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed, and CI must have it")
        pytest.skip(f"{' '.join((name, *words))} is not installed")
    return path


@contextlib.contextmanager
def program(socket, *words):
    """A program that listens on a Unix socket."""
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:

        def isReady():
            assert process.poll() is None, process.stderr.read().decode()
            return Path(socket).exists()

        waitFor(isReady, str(words[0]))
        os.chmod(socket, 0o666)
        yield process
    finally:
        process.terminate()
        process.wait(120)
        process.stderr.close()


@pytest.fixture
def hooked(configured):
    """A server with those hooks."""
    return lambda *hooks: configured("".join(f"[[hook]]\n{hook}\n" for hook in hooks))


def test_pymilter(hooked, tmp_path):
    need(SYSTEM_PYTHON, "-c", "import Milter")
    script, socket = tmp_path / "own.py", tmp_path / "pymilter"
    script.write_text(PYMILTER)
    with program(socket, SYSTEM_PYTHON, script, f"unix:{socket}"):
        server = hooked(f'plugin = "milter:unix:{socket}"')
        refused = server.send(b"Subject: x\r\nX: y\r\n\r\nhello\r\n", "jsmith@localhost", "mbrain@localhost")
        assert refused == {"mbrain@localhost": (553, b"5.7.7 not him")}
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            server.send(b"Subject: x\r\n\r\n", sender="later@example.org")
        assert caught.value.smtp_code == 451
        (message,) = server.read()
        header, body = message.split(b"\r\n\r\n", 1)
        assert body == b"another body\r\n"
        assert b"\r\nX-Top: yes\r\nSubject: changed\r\n" in header
        said = re.search(rb"X-Said: (.*?)(?:\r\n\S|$)", header, re.DOTALL)[1]
        assert b"hello client.example" in said and b"from <a@example.org>" in said and b"field Subject; field X; body 7" in said
        server.stop()


def test_opendkimSignsAndVerifies(hooked, tmp_path):
    opendkim = need("opendkim")
    config = tmp_path / "opendkim.conf"
    config.write_text("RequireSafeKeys false\n")
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", key, "2048"], check=True, capture_output=True)
    key.chmod(0o600)
    socket = tmp_path / "opendkim"
    words = ["-f", "-x", config, "-p", f"local:{socket}", "-d", "localhost", "-s", "sel", "-k", key, "-b", "s"]
    with program(socket, opendkim, *words, "-c", "relaxed/simple"):
        server = hooked(f'plugin = "milter:unix:{socket}"')
        server.send(b"From: Mr Brain <mbrain@localhost>\r\nSubject: signed\r\n\r\nhello\r\n", sender="mbrain@localhost")
        (message,) = server.read()
        signature = message.index(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=localhost; s=sel;")
        assert message.index(b"Received: ") < signature < message.index(b"\r\nSubject: signed")
        verify(message, key)
        server.stop()


def verify(message, key):
    """The signature is right, by RFC 6376 §3.7, worked out here."""
    import base64
    import hashlib

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding

    header, body = message.split(b"\r\n\r\n", 1)
    fields = re.findall(rb"(?:^|\r\n)([^\s:]+):((?:[^\r\n]|\r\n[ \t])*)", header)
    (raw,) = [value for name, value in fields if name == b"DKIM-Signature"]
    tags = dict(re.findall(rb"(\w+)=([^;]*)", re.sub(rb"\s+", b"", raw)))
    assert base64.b64decode(tags[b"bh"]) == hashlib.sha256(body.rstrip(b"\r\n") + b"\r\n").digest()

    def relaxed(name, value):
        return name.lower() + b":" + re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()

    left = list(fields)
    signed = []
    for name in tags[b"h"].lower().split(b":"):
        for at in range(len(left) - 1, -1, -1):
            if left[at][0].lower() == name:
                signed.append(relaxed(*left.pop(at)))
                break
    signed.append(relaxed(b"DKIM-Signature", re.sub(rb"(\bb=)[^;]*", rb"\1", raw)))
    public = serialization.load_pem_private_key(key.read_bytes(), None).public_key()
    public.verify(base64.b64decode(tags[b"b"]), b"\r\n".join(signed), padding.PKCS1v15(), hashes.SHA256())


def test_postgrey(hooked, tmp_path, run):
    postgrey = need("postgrey")
    socket = tmp_path / "postgrey"
    directory = tmp_path / "db"
    directory.mkdir()
    words = [f"--unix={socket}", f"--dbdir={directory}", "--delay=1", "--user=root", "--group=root"]
    with program(socket, postgrey, *words):
        server = hooked(f'plugin = "policy:unix:{socket}"')
        swaks = ["swaks", "--server", HOST, "--port", server.ports["smtp"], "--from", "a@example.org", "--to", "jsmith@localhost"]
        said = run(*swaks, status=24).decode()
        assert re.search("<\\*\\* 450 4.* Greylisted", said, re.IGNORECASE)
        waitFor(lambda: b"250 2.0.0 accepted" in run(*swaks, status=None), "postgrey's patience")
        (message,) = server.read()
        assert b"\r\nX-Greylist: delayed" in message
        server.stop()
