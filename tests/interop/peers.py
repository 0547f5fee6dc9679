"""Other people's mail servers, each with a configuration, a spool and mailboxes of its own below one directory, on loopback.

They shed root's rights themselves, so only root can start them. None touches what the system's own instance of it may have.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from attrs import define

from mailfw.testing.process import HOST, PATIENCE, waitFor

SYSTEM = os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postfix/sbin:/usr/lib/dovecot"


@define
class Peer:
    """A server that runs. :ivar mail: where its Maildirs are, by local part."""

    port: int
    mail: Path
    log: Path

    def messages(self, user: str = "jsmith", count: int = 1) -> list[EmailMessage]:
        """What is in somebody's INBOX, once there are so many."""
        waitFor(lambda: len(self._files(user)) >= count, f"{count} messages for {user}; {self._said()}")
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in self._files(user)]  # type: ignore[misc]

    def _files(self, user: str) -> list[Path]:
        return sorted(path for box in ("new", "cur") for path in (self.mail / user).rglob(f"{box}/*"))

    def _said(self) -> str:
        logs = (path for path in self.log.parent.iterdir() if path.is_file() and "log" in path.name)
        return "\n".join(path.read_text(errors="replace") for path in logs)


def program(name: str, isOptional: bool = False) -> str:
    """The path of a program that root can start. CI has all but optional ones."""
    path = shutil.which(name, path=SYSTEM)
    missing = f"{name} is not installed" if path is None else "it takes root to start it" if os.geteuid() else ""
    if missing or path is None:
        (pytest.fail if os.environ.get("CI") == "true" and not isOptional else pytest.skip)(missing)
    return path


def freePort() -> int:
    """One that nobody has, below those that the system gives to whoever connects: none of them takes it meanwhile."""
    while True:
        port = random.randrange(15000, 32000)
        with contextlib.suppress(OSError), contextlib.closing(socket.create_server((HOST, port))):
            return port


def answers(port: int) -> bool:
    with contextlib.closing(socket.socket()) as caller:
        return caller.connect_ex((HOST, port)) == 0


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A directory that everybody may enter: pytest's own are the user's alone."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        mail = Path(directory) / "mail"
        mail.mkdir()
        shutil.chown(mail, "nobody", "nogroup")
        yield Path(directory)


POSTFIX = """
compatibility_level = 3.6
queue_directory = {base}/spool
data_directory = {base}/data
maillog_file = {base}/log
maillog_file_prefixes = {base}
myhostname = mx.far.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
relayhost = {relayhost}
virtual_mailbox_domains = far.example
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = inline:{{ jsmith@far.example=jsmith/, mbrain@far.example=mbrain/ }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_relay_restrictions = permit_mynetworks,reject
disable_dns_lookups = yes
notify_classes =
"""


@contextlib.contextmanager
def postfix(relayTo: int = 0) -> Iterator[Peer]:
    """Postfix for far.example. :param relayTo: port of the host that takes everything else."""
    command = program("postfix")
    nobody = pwd.getpwnam("nobody")
    with place() as base:
        port = freePort()
        for name in ("etc", "spool", "data"):
            (base / name).mkdir()
        shutil.chown(base / "data", "postfix")
        relayhost = f"[{HOST}]:{relayTo}" if relayTo else ""
        text = POSTFIX.format(base=base, relayhost=relayhost, uid=nobody.pw_uid, gid=nobody.pw_gid)
        (base / "etc" / "main.cf").write_text(text)
        lines = Path("/usr/share/postfix/master.cf.dist").read_text().splitlines()
        (base / "etc" / "master.cf").write_text("\n".join(_service(line, port) for line in lines) + "\n")
        subprocess.run([command, "-c", base / "etc", "start"], check=True, capture_output=True, timeout=PATIENCE)
        try:
            waitFor(lambda: answers(port), "Postfix")
            yield Peer(port, base / "mail", base / "log")
        finally:
            subprocess.run([command, "-c", base / "etc", "stop"], check=False, capture_output=True, timeout=PATIENCE)


def _service(line: str, port: int) -> str:
    """A line of master.cf, its service outside any chroot, and SMTP on another port."""
    words = line.split()
    if len(words) < 8 or line.startswith(("#", " ")):
        return line
    words[4] = "n"
    if words[:2] == ["smtp", "inet"]:
        words[0] = f"{HOST}:{port}"
    return " ".join(words)


DOVECOT = """
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = lmtp
listen = 127.0.0.1
ssl = no
mail_location = maildir:~/
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
userdb {{
  driver = passwd-file
  args = username_format=%n {base}/users
}}
passdb {{
  driver = passwd-file
  args = username_format=%n {base}/users
}}
service lmtp {{
  inet_listener lmtp {{
    port = {port}
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@far.example
}}
"""


@contextlib.contextmanager
def dovecot() -> Iterator[Peer]:
    """Dovecot's LMTP."""
    command = program("dovecot")
    with place() as base:
        port = freePort()
        (base / "users").write_text("".join(f"{name}:{{PLAIN}}x::::{base}/mail/{name}::\n" for name in ("jsmith", "mbrain")))
        (base / "dovecot.conf").write_text(DOVECOT.format(base=base, port=port))
        with (base / "said").open("wb") as said:
            subprocess.run([command, "-c", base / "dovecot.conf"], check=True, stdout=said, stderr=said, timeout=PATIENCE)
        try:
            waitFor(lambda: answers(port), "Dovecot")
            yield Peer(port, base / "mail", base / "log")
        finally:
            os.kill(int((base / "run" / "master.pid").read_text()), signal.SIGTERM)
            waitFor(lambda: not (base / "run" / "master.pid").exists(), "Dovecot's end")


EXIM = """
primary_hostname = mx.far.example
exim_path = {command}
exim_user = nobody
exim_group = nogroup
never_users =
deliver_drop_privilege = true
spool_directory = {base}/spool
log_file_path = {base}/%slog
pid_file_path = {base}/pid
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
tls_advertise_hosts =
dsn_advertise_hosts = *
chunking_advertise_hosts = *
acl_smtp_rcpt = rcpt
acl_smtp_data = data
begin acl
rcpt:
  deny local_parts = ! jsmith : ! mbrain
       message = no such user
  accept domains = far.example
  deny message = relaying denied
data:
  accept
begin routers
here:
  driver = accept
  local_parts = jsmith : mbrain
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {base}/mail/$local_part_data
  maildir_format
  create_directory
  user = nobody
  group = nogroup
begin retry
* * F,2h,15m
"""


@contextlib.contextmanager
def exim() -> Iterator[Peer]:
    """Exim for far.example."""
    command = program("exim4", isOptional=True)  # Debian installs it or Postfix, not both
    with place() as base:
        port = freePort()
        (base / "spool").mkdir()
        for path in (base, base / "spool"):
            shutil.chown(path, "nobody", "nogroup")
        (base / "exim.conf").write_text(EXIM.format(command=command, base=base, port=port))
        with (base / "said").open("wb") as said:
            process = subprocess.Popen([command, "-C", str(base / "exim.conf"), "-bdf"], stdout=said, stderr=said)
        try:
            waitFor(lambda: answers(port) or process.poll() is not None, "Exim")
            if process.poll() is not None:
                pytest.skip(f"Exim does not run here: {(base / 'said').read_text().strip()}")
            yield Peer(port, base / "mail", base / "mainlog")
        finally:
            process.terminate()
            process.wait(PATIENCE)


PEERS = {"postfix": postfix, "exim": exim}
"""Servers for far.example that speak SMTP."""
