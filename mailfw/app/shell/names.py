"""The names that a prompt starts with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mailfw.app.desk import Desk
from mailfw.app.shell.configtree import Tree
from mailfw.app.shell.lessons import Help
from mailfw.app.shell.mail import Store
from mailfw.app.shell.page import Page, Shown
from mailfw.app.shell.screen import Watch
from mailfw.app.shell.services import Services
from mailfw.app.shell.sessions import Sessions, Trace
from mailfw.app.shell.verbs import Queue

if TYPE_CHECKING:
    from mailfw.app.server import Server


class Leave(Shown):
    """`exit`, which may be called or not."""

    def __call__(self, status: int = 0) -> None:
        raise SystemExit(status)

    async def page(self) -> Page:
        raise SystemExit(0)


def watch(thing: Any, every: float = 2.0) -> Watch:
    """Show something again and again until a key is pressed. :param thing: what can be shown, or a function that returns it."""

    async def make() -> Page:
        seen: Any = thing
        if callable(seen) and not isinstance(seen, Shown):
            seen = seen()
        if isinstance(seen, Shown):
            return await seen.page()
        return seen if isinstance(seen, Page) else Page([repr(seen)])

    return Watch(make, every)


def namespace(server: Server, who: str) -> dict[str, Any]:
    """The names for somebody's prompt."""
    assert server.system is not None
    system = server.system

    def trace(*words: str, seconds: float | None = None) -> Trace:
        """What sessions say, as they say it: of an account, an address, a protocol, a service, or an id."""
        return Trace(system, words, seconds)

    names: dict[str, Any] = {
        "store": Store(system, who),
        "sessions": Sessions(system),
        "trace": trace,
        "queue": Queue(Desk(system, isRunning=True)),
        "services": Services(server),
        "config": Tree(lambda: server.configuration),
        "watch": watch,
        "server": server,
        "exit": Leave(),
        "quit": Leave(),
    }
    names["help"] = Help(dict(names))
    return names


Names = Callable[[str], dict[str, Any]]
"""Makes the names for somebody's prompt."""
