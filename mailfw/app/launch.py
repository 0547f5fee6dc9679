"""`twistd mailfw`: the options, and the way from them to a service tree, with every foreseeable obstacle told in one clear line.

What can be foreseen is looked at here, before twistd forks and while stderr is still the terminal: the configuration, the
data directory and its lock, the certificates, the ports. Whatever is in the way is printed without a traceback, and the exit
status is 1.
"""

from __future__ import annotations

import os
import pwd
import sys
import time
from typing import TYPE_CHECKING, Any

from twisted.python.usage import CompleteDirs, CompleteFiles, Completions, UsageError
from twisted.python.usage import Options as UsageOptions

if TYPE_CHECKING:
    from mailfw.app.configuration import Source
    from mailfw.app.server import Server


class Options(UsageOptions):
    """What may follow `twistd mailfw`."""

    synopsis = "[options]"
    longdesc = (
        "Serves mail: SMTP (25, submission, LMTP), POP3 and IMAP. With --config FILE, as the file says; other options "
        "override it. Without, development mode: on loopback, standard ports + 1000, mail in ./mailfw-data, accounts "
        'mbrain@localhost and jsmith@localhost with password "mailfw".'
    )
    optParameters = [
        ["config", "c", None, "configuration file (TOML); `mailfw check-config FILE` shows its mistakes"],
        ["data", "d", None, "data directory"],
        ["hostname", None, None, "what the server calls itself"],
        ["store", "s", None, "where mail is kept: sqlite:mail, maildir:PATH, textfile:PATH, memory:, or a plugin's own prefix"],
    ]
    compData = Completions(optActions={"config": CompleteFiles("*.toml"), "data": CompleteDirs()})

    def __init__(self) -> None:
        super().__init__()
        self.update(domain=[], auth=[], listen=[])

    def opt_domain(self, name: str) -> None:
        """A domain whose mail ends here; may be repeated, the first one is the main one."""
        self["domain"].append(name)

    def opt_auth(self, specification: str) -> None:
        """A source of accounts: accounts:, passwd:FILE, cred:unix, or a plugin's own prefix; may be repeated, asked in order."""
        self["auth"].append(specification)

    def opt_listen(self, value: str) -> None:
        """SERVICE=ENDPOINT, as in imap=tcp:1143:interface=127.0.0.1, smtp=25 or imap=localhost:1143; may be repeated. Given once,
        it replaces all listeners."""
        service, equals, endpoint = value.partition("=")
        if not equals or not service or not endpoint:
            raise UsageError(f'--listen "{value}" is not SERVICE=ENDPOINT, as in imap=tcp:1143:interface=127.0.0.1')
        self["listen"].append({"service": service, "endpoint": endpoint})

    def source(self) -> Source:
        """The configuration that the options mean."""
        from mailfw.app.configuration import Source

        given: dict[tuple[str | int, ...], Any] = {
            ("data",): self["data"],
            ("hostname",): self["hostname"],
            ("store",): self["store"],
            ("domains",): self["domain"] or None,
            ("auth", "sources"): self["auth"] or None,
            ("listen",): self["listen"] or None,
        }
        given = {path: value for path, value in given.items() if value is not None}
        return Source(os.path.abspath(self["config"]) if self["config"] else "", given)


def makeService(options: Options) -> Server:
    """The service tree, everything foreseeable checked. Exits with status 1 and one clear line where it is of no use to go on."""
    from mailfw.app.configuration import ConfigurationError
    from mailfw.app.problem import Problem

    try:
        return _makeService(options)
    except ConfigurationError as error:
        message = "\n".join(f"mailfw: {line}" for line in str(error).splitlines())
    except Problem as problem:
        message = f"mailfw: {problem}"
    print(message, file=sys.stderr)
    raise SystemExit(1)


def _makeService(options: Options) -> Server:
    from twisted.internet import reactor

    from mailfw.app.catalogue import plugins
    from mailfw.app.datadir import DataDirectory
    from mailfw.app.server import Server

    runner: Any = options.parent if options.parent is not None else {}
    source = options.source()
    configuration = source.read(plugins())
    data = DataDirectory(configuration.data, _owner(runner))
    data.claim()
    _heedNoClock(reactor)
    try:
        server = Server(source, configuration, data, reactor, runner)
        server.prepare()
    except BaseException:
        data.release()
        raise
    return server


def _heedNoClock(reactor: Any) -> None:
    """Have the reactor count seconds that no change of the system's clock touches. By the clock, which Twisted goes by, one that
    is put back an hour lengthens every deadline, and every wait after a wrong password, by an hour; put forward, it ends all
    sessions. Must come before anything is scheduled.
    """
    reactor.seconds = time.monotonic


def _owner(runner: Any) -> tuple[int, int] | None:
    """The user and group that twistd will change to."""
    uid, gid = runner.get("uid"), runner.get("gid")
    if uid is None and gid is None:
        return None
    uid = os.geteuid() if uid is None else uid
    return uid, pwd.getpwuid(uid).pw_gid if gid is None else gid
