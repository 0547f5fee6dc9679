"""`sessions` and `trace`: who is connected, and what they say."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mailfw.app.quantities import sizeText, spanText
from mailfw.app.shell.page import Line, Page, Shown, Style, table
from mailfw.app.shell.screen import Live, Screen, Watch
from mailfw.app.shell.wire import WIRES, Wire
from mailfw.net.sessions import infoOf
from mailfw.net.tap import Taps
from mailfw.values import accountName

if TYPE_CHECKING:
    from mailfw.app.context import System
    from mailfw.net.connection import Connection

LOOK = 0.25
"""Seconds after which a session that says nothing is looked at."""

BEFORE = 100
"""Lines that are remembered of a session before it is known whose it is."""


class Selector:
    """Which sessions are meant: those of an account, of an address, of a protocol or a service, or one, by its id.

    :param words: one of them has to be true; none: all sessions are meant.
    """

    def __init__(self, words: tuple[str, ...], domain: str) -> None:
        self._words = {word.lower() for word in words}
        self._accounts = {name for name in (_account(word, domain) for word in words) if name}

    def __contains__(self, connection: Connection) -> bool:
        if not self._words:
            return True
        names = (connection.id, connection.protocol, connection.listener.service, connection.peer.host, str(connection.peer))
        return not self._words.isdisjoint(name.lower() for name in names) or connection.account in self._accounts

    def mayBecome(self, connection: Connection) -> bool:
        """Whether a session that is not meant may still turn out to be."""
        return bool(self._accounts) and not connection.account


def _account(word: str, domain: str) -> str:
    try:
        return accountName(word, domain)
    except ValueError:
        return ""


class Sessions(Shown):
    """`sessions`: the table of who is connected; called, that of some of them, or a live one."""

    def __init__(self, system: System, words: tuple[str, ...] = ()) -> None:
        self._system = system
        self._selector = Selector(words, system.configuration.domains[0])

    def __call__(self, *words: str, live: bool = False, every: float = 1.0) -> Shown | Live:
        """Those of an account, an address, a protocol, a service, or an id. :param every: seconds, where it is live."""
        chosen = Sessions(self._system, words) if words else self
        return Watch(chosen.page, every) if live else chosen

    def stop(self) -> str:
        """End them, each after its command under way."""
        chosen = self._chosen()
        for connection in chosen:
            connection.stop()
        return f"{len(chosen)} told to end"

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._chosen())

    def __len__(self) -> int:
        return len(self._chosen())

    def __repr__(self) -> str:
        return repr(self._page())

    async def page(self) -> Page:
        return self._page()

    def _chosen(self) -> list[Connection]:
        return [each for each in self._system.context.sessions if each in self._selector]

    def _page(self) -> Page:
        now = self._system.context.now()
        rows = []
        for each in sorted(map(infoOf, self._chosen()), key=lambda info: info.since):
            tls, sizes = "yes" if each.isTLS else "", (sizeText(each.octetsIn), sizeText(each.octetsOut))
            what = (each.id, each.account, each.peer, each.protocol, each.state, each.mailbox, tls)
            rows.append((*what, *sizes, spanText(now - each.since)))
        heads = ("SESSION", "WHO", "WHERE", "PROTOCOL", "STATE", "MAILBOX", "TLS", "IN#", "OUT#", "AGE#")
        return Page(table(heads, rows, "nobody is connected"))


class _Ear:
    """Hears one session, and says what it may. Of one that is not meant yet it remembers the last lines.

    :param say: takes the lines. :param forget: called when the session is over.
    """

    def __init__(
        self, connection: Connection, selector: Selector, say: Callable[[Line], None], forget: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._selector = selector
        self._tell = say
        self._forget = forget
        self._before: deque[Line] | None = deque(maxlen=BEFORE)
        self._isTLS = connection.isTLS
        kind = WIRES.get(connection.protocol, Wire)
        self._wire = kind(self._say, lambda: bool(connection.account))

    def begin(self, word: str) -> None:
        """Say that there is a session."""
        tls = ", TLS" if self._isTLS else ""
        who = f" as {self._connection.account}" if self._connection.account else ""
        self._say(f"-- {word} from {self._connection.peer}{who}{tls}", Style.ASIDE)

    def heard(self, line: bytes) -> None:
        self.look()
        self._wire.heard(line)

    def readPast(self, octets: int) -> None:
        self._wire.readPast(octets)

    def told(self, data: bytes) -> None:
        self.look()
        self._wire.told(data)

    def ended(self) -> None:
        self.look()
        self._wire.ended()
        self._say("-- closed", Style.ASIDE)
        self._forget()

    def look(self) -> None:
        """Notice what has become of the session since."""
        if self._isTLS != self._connection.isTLS:
            self._isTLS = self._connection.isTLS
            self._say("-- TLS from here on", Style.ASIDE)
        if self._before is not None and self._connection in self._selector:
            before, self._before = self._before, None
            for line in before:
                self._tell(line)
        elif self._before is not None and not self._selector.mayBecome(self._connection):
            self._before.clear()

    def _say(self, text: str, style: Style) -> None:
        line = Line(f"{self._connection.id}  {text}\n", style)
        if self._before is None:
            self._tell(line)
        else:
            self._before.append(line)
            self.look()


class Trace(Live):
    """What some sessions say, as they say it, those that begin meanwhile too; see `wire` for what is masked.

    :param seconds: after which it ends; None: when a key is pressed.
    """

    def __init__(self, system: System, words: tuple[str, ...], seconds: float | None) -> None:
        self._system = system
        self._words = words
        self._seconds = seconds
        self._selector = Selector(words, system.configuration.domains[0])
        self._ears: dict[Connection, _Ear] = {}
        self._lost = 0

    async def run(self, screen: Screen) -> None:
        """Show it until it ends."""
        until = f"for {self._seconds:g} s" if self._seconds is not None else "until a key is pressed"
        screen.write(Line(f"-- listening to {', '.join(self._words) or 'everybody'} {until}\n", Style.ASIDE))
        sessions = self._system.context.sessions
        for connection in sessions:
            self._listen(connection, screen, "already there,")
        unwatch = sessions.watch(lambda connection: self._listen(connection, screen, "connected"))
        try:
            await self._listenUntilKey(screen)
        finally:
            unwatch()
            for connection, ear in self._ears.items():
                Taps.detach(connection, ear)
            self._ears.clear()

    async def _listenUntilKey(self, screen: Screen) -> None:
        """Now and then look who has logged in meanwhile: the answer to that is the last that was heard of it."""
        clock = self._system.context.reactor
        end = clock.seconds() + self._seconds if self._seconds is not None else math.inf
        while (left := end - clock.seconds()) > 0 and not await screen.untilKey(min(LOOK, left)):
            for ear in list(self._ears.values()):
                ear.look()

    def _listen(self, connection: Connection, screen: Screen, word: str) -> None:
        if connection not in self._selector and not self._selector.mayBecome(connection):
            return
        ear = _Ear(connection, self._selector, lambda line: self._write(screen, line), lambda: self._forget(connection))
        self._ears[connection] = ear
        Taps.attach(connection, ear)
        ear.begin(word)

    def _forget(self, connection: Connection) -> None:
        Taps.detach(connection, self._ears.pop(connection))

    def _write(self, screen: Screen, line: Line) -> None:
        """Show a line, unless those before have not been taken: whoever reads slowly costs no memory, and is told."""
        if screen.isBlocked:
            self._lost += 1
            return
        if self._lost:
            screen.write(Line(f"-- {self._lost} lines left out: they came faster than you read\n", Style.WARNING))
            self._lost = 0
        screen.write(line)
