"""How the administrator's command reaches a system: through the running server's control socket, or, when none runs, by taking
the data directory's lock and doing the work itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from mailfw.app.place import Place
from mailfw.app.problem import Problem
from mailfw.app.remote import Remote


class Access:
    """Performs `administration` operations on the system at a place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def perform(self, operation: str, **arguments: Any) -> Any:
        """Have an operation done; what comes of it. :raises Problem: it was not done; one clear line."""
        remote = Remote.connect(os.path.join(self._place.data, "control"))
        if remote is None:
            return self._performHere(operation, arguments)
        try:
            return remote.perform(operation, **arguments)
        finally:
            remote.close()

    def alone(self, operation: str, **arguments: Any) -> Any:
        """Have something done that takes long and that no server may do. :raises Problem: one runs; and as `perform`."""
        remote = Remote.connect(os.path.join(self._place.data, "control"))
        if remote is not None:
            remote.close()
            raise Problem(f"{operation} needs the store for itself: stop the server first")
        return self._performHere(operation, arguments, lambda progress: None)

    def follow(self, operation: str, tell: Callable[[dict[str, Any]], object], **arguments: Any) -> Any:
        """Have something done that takes long (`tasks`); what comes of it. Who interrupts it ends it, and can begin it again.

        :param tell: is given how far it is, from time to time.
        :raises Problem:
        """
        remote = Remote.connect(os.path.join(self._place.data, "control"))
        if remote is None:
            return self._performHere(operation, arguments, tell)
        try:
            task = remote.perform("task start", name=operation, **arguments)
            while True:
                try:
                    said = remote.perform("task follow", task=task)
                except KeyboardInterrupt:
                    remote.close()
                    remote = Remote.connect(os.path.join(self._place.data, "control"))
                    if remote is None:
                        raise Problem("interrupted, and the server is gone") from None
                    remote.perform("task stop", task=task)
                    continue
                tell(said["progress"])
                if said["isDone"]:
                    return said["result"]
        finally:
            if remote is not None:
                remote.close()

    def logFile(self) -> str | None:
        """Where the system's log is, as its configuration says; None: on the server's standard output."""
        from mailfw.app.catalogue import plugins
        from mailfw.app.configuration import ConfigurationError, Source

        try:
            configuration = Source(self._place.file, {("data",): self._place.data}).read(plugins())
        except ConfigurationError as error:
            raise Problem(str(error)) from None
        return None if configuration.log.file == "-" else configuration.path(configuration.log.file)

    def _performHere(
        self, operation: str, arguments: dict[str, Any], tell: Callable[[dict[str, Any]], object] | None = None
    ) -> Any:
        from mailfw.app.administration import Administration
        from mailfw.app.catalogue import plugins
        from mailfw.app.configuration import ConfigurationError, Source
        from mailfw.app.context import System
        from mailfw.app.datadir import DataDirectory, DataInUse

        async def work(reactor: Any) -> Any:
            system = System(configuration, data, reactor)
            try:
                administration = Administration(system)
                if tell is None:
                    return await administration.perform(operation, arguments)
                task = await administration.perform("task start", {"name": operation, **arguments})
                said = {"isDone": False}
                while not said["isDone"]:
                    said = await administration.perform("task follow", {"task": task})
                    tell(said["progress"])
                return said["result"]
            finally:
                await system.close()

        place = self._place
        if not place.file and not os.path.isdir(place.data):
            raise Problem(f"there is no data directory {place.data}")
        try:
            configuration = Source(place.file, {("data",): place.data}).read(plugins())
        except ConfigurationError as error:
            raise Problem(str(error)) from None
        data = DataDirectory(place.data)
        with _asOwner(place.data):
            try:
                data.claim()
            except DataInUse as inUse:
                raise Problem(
                    f"process {inUse.pid} holds data directory {place.data} and does not answer at its control socket: "
                    "it is starting or stopping, or another command is at work; try again"
                ) from None
            try:
                return _run(work)
            finally:
                data.release()


def _run(work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Run the reactor for as long as the work takes. :raises Problem: the work was refused, or interrupted."""
    from twisted.internet import reactor as globalReactor
    from twisted.internet.defer import Deferred
    from twisted.logger import globalLogBeginner
    from twisted.python.failure import Failure

    from mailfw.errors import Refusal

    reactor: Any = globalReactor
    outcome: list[Any] = []
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)

    def begin() -> None:
        done: Deferred[Any] = Deferred.fromCoroutine(work(reactor))
        done.addBoth(outcome.append)
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:
        raise Problem("interrupted; what was under way may or may not have been done")
    [result] = outcome
    if isinstance(result, Failure):
        if isinstance(result.value, Refusal):
            raise Problem(result.value.text)
        result.raiseException()
    return result


@contextmanager
def _asOwner(path: str) -> Iterator[None]:
    """Let root work as the owner of the data directory, so that no file there comes to belong to root."""
    status = os.stat(path) if os.path.isdir(path) else None
    if os.geteuid() != 0 or status is None or status.st_uid == 0:
        yield
        return
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(os.getgid())
