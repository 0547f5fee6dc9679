"""The running server: the service tree, from binding ports to a graceful stop.

The order of things: `prepare` finds what is in the way before twistd forks; `privilegedStartService` binds the ports, as root
where twistd is; `startService` opens stores and accounts under the user that the process now runs as, then lets connections
in; the relay begins once the reactor runs. `stopService` accepts nobody any more, gives sessions and deliveries
`Limits.stopTimeout` seconds, closes the stores and lets go of the data directory. A second SIGTERM or Ctrl-C cuts sessions off
at once.

SIGHUP reads the whole configuration again: on any mistake everything stays as it was.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from types import TracebackType
from typing import Any, NoReturn

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import ILogObserver, Logger, globalLogPublisher
from twisted.python.components import Componentized

from mailfw import __version__
from mailfw.app import development
from mailfw.app.administration import Administration
from mailfw.app.catalogue import plugins
from mailfw.app.configuration import ConfigurationError, Source
from mailfw.app.context import System
from mailfw.app.control import ControlSocket
from mailfw.app.datadir import DataDirectory
from mailfw.app.endpoints import isFamilyMissing, obstacle
from mailfw.app.figures import Figures
from mailfw.app.listener import Listener, cannotListen
from mailfw.app.logs import LineObserver, LogFile, Output, StandardOutput, renderer, syslogOutput
from mailfw.app.manhole import Door
from mailfw.app.outgoing import RelayService
from mailfw.app.problem import Problem
from mailfw.app.readiness import Readiness
from mailfw.app.sections import Configuration
from mailfw.app.signals import StopSignals
from mailfw.app.tls import Certificates
from mailfw.interfaces import IInsideService
from mailfw.net.peer import Networks
from mailfw.plugins import Kind, PluginError

SWITCH_INTERVAL = 0.0005
"""Seconds after which Python lets another thread run: reader threads render beside the reactor without stalling it."""

YOUNG_OBJECTS = 10_000
"""Objects made before Python looks for cycles among them. With its own 700, a STORE on 100,000 messages stalls the reactor for
50 ms in collections; what is there when the server is up is never looked at again."""


def _fixed(configuration: Configuration) -> dict[str, Any]:
    """What only a restart changes, by the key that people know it by."""
    return {
        "data": configuration.data,
        "store": configuration.store,
        "listen": configuration.listen,
        "auth.sources": configuration.auth.sources,
        "auth.rehash": configuration.auth.rehash,
        "auth.masters": configuration.auth.masters,
        "auth.master_separator": configuration.auth.masterSeparator,
        "the first of domains": configuration.domains[0],
        "tls": configuration.tls is None,
        "dns": configuration.dns,
        "log.format": configuration.log.format,
        "log.file": configuration.log.file,
        "limits.stall_time": configuration.netLimits().stallTime,
        "mailboxes": configuration.mailboxes,
        "expire": configuration.expire,
        "plugin": configuration.plugin,
    }


_log = Logger("mailfw.app")


class Server(MultiService):
    """All of mailfw in one service.

    :param source: where the configuration came from, for reading it again.
    :param data: claimed by us.
    :param runner: twistd's own options, or twist's; a mapping.
    """

    def __init__(self, source: Source, configuration: Configuration, data: DataDirectory, reactor: Any, runner: Any) -> None:
        super().__init__()
        self.source = source
        self.configuration = configuration
        self.data = data
        self.since = time.time()
        self.certificates: Certificates | None = None
        self.listeners: list[Listener] = []
        self.system: System | None = None
        self.door = Door(data.file("console"), self, reactor)
        self.readiness = Readiness(self, reactor)
        self.figures = Figures(self, reactor)
        self._reactor = reactor
        self._runner = runner
        self._isTwistd = "nodaemon" in runner
        self._isDaemon = self._isTwistd and not (runner.get("nodaemon") or runner.get("debug"))
        self._terminal: int | None = None
        self._isBound = False
        self._output: Output | None = None
        self._observer: LineObserver | None = None

    # --- Before the fork -------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Find what would keep the server from starting.

        :raises Problem: in one clear line.
        """
        self.certificates = self._loadCertificates(self.configuration)
        for listen in self.configuration.listen:
            for binding in listen.bindings():
                isInside = IInsideService.providedBy(_service(listen.service))
                self.listeners.append(
                    Listener(listen.service, binding, self._reactor, Networks.parse(listen.proxy), isInside)
                )
        self._refuseWithoutCertificate()
        obstacles = [(each.service, each.binding, error) for each in self.listeners if (error := obstacle(each.binding))]
        missing = [each for each in obstacles if each[1].isOptional and isFamilyMissing(each[2])]
        if len(obstacles) > len(missing):
            raise cannotListen([each for each in obstacles if each not in missing])
        self.listeners = [each for each in self.listeners if each.binding not in [binding for _, binding, _ in missing]]
        for each in self.listeners:
            each.setServiceParent(self)
        self._chooseLog()
        if self._isDaemon:
            self._terminal = os.dup(2)

    def _loadCertificates(self, configuration: Configuration) -> Certificates | None:
        certificate, key = self.data.file("certificate.pem"), self.data.file("key.pem")
        if configuration.tls is not None:
            tls = configuration.tls
            return Certificates.load(tls.certificate, tls.key or "", configuration.hostname, tls.clientCA or "")
        if not self.source.isDevelopment:
            return None
        from mailfw.app.selfsigned import ensureCertificate

        ensureCertificate(certificate, key, configuration.hostname)
        for path in (certificate, key):
            self.data.give(path)
        return Certificates.load(certificate, key, configuration.hostname)

    def _refuseWithoutCertificate(self) -> None:
        if self.certificates is None:
            services = {each.service for each in self.listeners}
            needing = sorted(word for word in services if _service(word).isTLS)
            if needing:
                raise Problem(f"{', '.join(needing)} cannot be served without a certificate: say [tls] certificate and key")

    def _chooseLog(self) -> None:
        """Where twistd's own options say, or else the configuration."""
        log, runner = self.configuration.log, self._runner
        if runner.get("logger"):
            return
        if runner.get("syslog"):
            self._observer = LineObserver(syslogOutput(str(runner.get("prefix") or "mailfw")), renderer("text"), log.level)
            return
        path = str(runner.get("logfile") or "") if self._isTwistd else ""
        if not path and log.file != "-":
            path = self.configuration.path(log.file)
        if path == "-" and self._isDaemon:
            raise Problem("a daemon cannot log to stdout: give twistd --logfile FILE, or -n to stay in the foreground")
        if not path and not self._isTwistd:
            return  # twist logs to where its own options say
        if not path and self._isDaemon:
            path = "twistd.log"
        try:
            self._output = LogFile(os.path.abspath(path)) if path not in ("", "-") else StandardOutput()
        except OSError as error:
            raise Problem(f"log file {path} cannot be written: {error.strerror}") from None
        if isinstance(self._output, LogFile):
            self.data.give(self._output.path)
        self._observer = LineObserver(self._output, renderer(log.format), log.level)

    def setServiceParent(self, parent: Any) -> None:
        """Join twistd's application, and give it our way of writing events."""
        if self._observer is not None and self._isTwistd and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    # --- Starting --------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Bind every port."""
        super().privilegedStartService()
        try:
            for listener in self.listeners:
                listener.bind()
        except Problem as problem:
            self._giveUp(problem)
        self._isBound = True

    def startService(self) -> None:
        """Open stores and accounts, and let connections in."""
        if not self._isBound:
            self.privilegedStartService()  # twist does not call it
        if self._observer is not None and not self._isTwistd:
            globalLogPublisher.addObserver(self._observer)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self.data.notePid()
        try:
            self.system = System(self.configuration, self.data, self._reactor, self._isLoopback)
            self.system.isServing = True
            self.system.context.tls = self.certificates
            self._openListeners(self.system)
            administration = Administration(self.system, self)
            control = ControlSocket(self.data.file("control"), administration.perform, self._reactor, self.system.outgoing.crew)
            control.setServiceParent(self)
            self.door.setServiceParent(self)
            super().startService()
        except Problem as problem:
            self._giveUp(problem)
        except OSError as error:
            self._giveUp(Problem(f"{error.filename or self.data.path} cannot be used: {error.strerror}"))
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        self._reactor.callWhenRunning(lambda: Deferred.fromCoroutine(self._ready()))
        if self._terminal is not None:
            os.close(self._terminal)

    def _openListeners(self, system: System) -> None:
        for listener in self.listeners:
            service = _service(listener.service)
            factory = service.factory(self if listener.isInside else system.context)
            tls = self.certificates if service.isTLS else None
            listener.gate.open(factory, tls, listener.proxies, self._reactor)

    async def _ready(self) -> None:
        """Once the reactor runs."""
        assert self.system is not None
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)
        self.system.watchdog.start(self._reactor)
        StopSignals(self._reactor, self._hurry)
        RelayService(self.system.outgoing, self._reactor).setServiceParent(self)
        domains = ", ".join(self.configuration.domains)
        where = ", ".join(f"{each.service} {each.address}" for each in self.listeners if each.address)
        _log.info("mailfw {version} serves {domains}: {where}", version=__version__, domains=domains, where=where)
        if not self.source.isDevelopment:
            return
        hasAccounts = False
        if self._isLoopback:
            try:
                hasAccounts = await self.system.demonstrate()
            except Exception:
                _log.failure("the accounts for trying out could not be made")
        if not self._isDaemon and sys.__stdout__ is not None:
            addresses = [(each.service, each.address) for each in self.listeners if each.address]
            print(development.banner(addresses, self.configuration, hasAccounts), file=sys.__stdout__, flush=True)

    @property
    def _isLoopback(self) -> bool:
        return all(each.binding.isLoopback for each in self.listeners)

    def _giveUp(self, problem: Problem) -> NoReturn:
        """Leave, with one line for whoever started us: twistd prints an exception's traceback unless the hook is changed."""
        line = f"mailfw: {problem}\n"
        if self._terminal is not None:
            os.write(self._terminal, line.encode())
            _log.critical("{problem}", problem=problem)
        sys.excepthook = _shortly
        self.data.release()
        raise problem

    # --- While it runs ---------------------------------------------------------------------------------------------

    def reload(self) -> list[str]:
        """Read the configuration again and use what can be used without a restart.

        Returns what was done or why nothing was, line by line.
        """
        assert self.system is not None
        try:
            fresh = self.source.read(plugins())
            certificates = self._loadCertificates(fresh)
            failed = self.system.reload(fresh)
        except (ConfigurationError, Problem) as error:
            said = [*str(error).splitlines(), "nothing was reloaded: the server goes on as it was"]
            for line in said:
                _log.error("{line}", line=line)
            return said
        if certificates is not None and self.certificates is not None:
            self.certificates.replace(certificates)
        old, self.configuration = self.configuration, fresh
        if self._observer is not None:
            self._observer.setLevel(fresh.log.level)
        if isinstance(self._output, LogFile):
            self._output.reopen()
        said = ["reloaded", *failed]
        before, after = _fixed(old), _fixed(fresh)
        waiting = [key for key in before if before[key] != after[key]]
        if waiting:
            said.append(f"only a restart makes these changes: {', '.join(waiting)}")
        for line in said:
            _log.info("{line}", line=line)
        return said

    # --- Stopping --------------------------------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """Stop gracefully."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        _log.info("stopping")
        inside = [each for each in self.listeners if each.isInside]
        first = [service for service in self if service not in inside]
        await DeferredList([maybeDeferred(service.stopService) for service in first], consumeErrors=True)
        if self.system is not None:
            seconds = self.configuration.netLimits().stopTimeout
            relayed = Deferred.fromCoroutine(self.system.outgoing.stop(seconds))
            await self.system.context.sessions.stop(seconds)
            await relayed
        await DeferredList([each.stopService() for each in inside], consumeErrors=True)
        if self.system is not None:
            await self.system.close()
        self.data.release()
        _log.info("stopped")

    def _hurry(self) -> None:
        """Whoever stops the server has no patience."""
        assert self.system is not None
        _log.warn("stopping at once")
        self.system.context.sessions.cutOff()
        self.system.outgoing.relay.cutOff()


def _service(word: str) -> Any:
    """The plugin of a listening service. :raises Problem: it cannot be used."""
    try:
        return plugins().find(Kind.SERVICE, word)
    except PluginError as error:
        raise Problem(str(error)) from None


def _shortly(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """An exception hook that shows a problem in one line, and everything else as ever."""
    if isinstance(error, Problem):
        print(f"mailfw: {error}", file=sys.__stderr__)
    else:
        sys.__excepthook__(kind, error, traceback)
