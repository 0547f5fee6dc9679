"""The picture that `mailfw top` draws, of what a server said twice."""

from __future__ import annotations

import io
from typing import Any

from attrs import asdict, fields
from rich.console import Console

from mailfw.app import administration
from mailfw.app.commands import top
from mailfw.app.commands.glance import screen
from mailfw.app.figures import timing
from mailfw.net.sessions import SessionInfo
from mailfw.tally import Histogram


def timed(*seconds: float) -> dict[str, Any]:
    histogram = Histogram()
    for each in seconds:
        histogram.add(each)
    return timing(histogram)


def session(**facts: Any) -> dict[str, Any]:
    """What a session says of itself, whatever else it may come to say."""
    words = {each.name: "" for each in fields(SessionInfo)}
    numbers = {"isTLS": False, "since": 0.0, "octetsIn": 0, "octetsOut": 0}
    return asdict(SessionInfo(**{**words, **numbers, "id": "imap-1", "service": "imap", **facts}))


def seen(at: float, messages: int = 0, commands: tuple[float, ...] = (), **more: Any) -> dict[str, Any]:
    figures = {
        "time": at,
        "services": [
            {
                "service": "imap", "open": 1, "begun": 1, "ended": 0, "refused": 0, "octetsIn": 10, "octetsOut": 2048,
                "commands": timed(*commands), "taking": timed(),
                "messages": {"accepted": messages, "deferred": 0, "refused": 0},
            }
        ],
        "deliveries": {"delivered": messages, "deferred": 0, "failed": 0},
        "relayed": {"delivered": 0, "deferred": 0, "failed": 0},
        "queue": {"recipients": 7, "messages": 5, "waiting": 4, "due": 2, "leased": 1, "held": 2, "oldest": at - 7200},
        "databases": [
            {
                "part": "store", "database": "mail0.sqlite", "trouble": "", "waiting": 3, "octets": 8192, "walOctets": 0,
                "unindexed": 12, "jobs": 5, "failures": 0, "group": 2, "seconds": 0.01, "transactions": timed(0.004),
                "commits": timed(0.003),
            }
        ],
        "disks": [{"path": "/data", "free": 5 << 30, "size": 10 << 30}],
        "hooks": [],
        "reactor": {"lags": timed(0.001), "stalls": {"hook slow": 2}},
        "process": {"threads": 9, "memory": 80 << 20, "processorTime": 1.0},
    }  # fmt: skip
    picture = {"version": "1", "uptime": 60.0, "isReady": True, "reasons": [], "figures": figures, "sessions": []}
    return {**picture, **more}


def drawn(now: dict[str, Any], before: dict[str, Any] | None = None, lines: int = 0, width: int = 100) -> str:
    output = io.StringIO()
    Console(file=output, width=width, highlight=False).print(screen(now, before, lines))
    return output.getvalue()


def test_ratesAndLatencyAreThoseOfTheLastInterval() -> None:
    shown = drawn(seen(102.0, 60, (20.0,) * 5 + (0.002,) * 50), seen(100.0, 20, (20.0,) * 5))
    assert "60 accepted (20.0/s), 0 deferred, 0 refused" in shown
    [row] = [line for line in shown.splitlines() if line.startswith("imap ")]
    assert row.split()[3:9] == ["25", "1.8", "ms", "2.4", "ms", "2.5"]


def test_sessionsCanBeSortedAsTheServerKnowsHow() -> None:
    assert set(top.ORDERS) == set(administration.ORDERS)


def test_theFirstPictureHasNoRates() -> None:
    shown = drawn(seen(100.0, 20))
    assert "20 accepted, 0 deferred" in shown
    assert "/s)" not in shown


def test_howItIsIsSaidFirst() -> None:
    shown = drawn(seen(100.0))
    assert shown.startswith("mailfw 1, up 60 s, 1 session, ready\n")
    assert "7 recipients: 4 waiting (2 due), 1 under way, 2 held, the oldest 2 h old" in shown
    assert "2 stalls, 9 threads, 80 MiB, 5 GiB free" in shown
    bad = drawn(seen(100.0, isReady=False, reasons=["the store takes no change: disk I/O error", "b", "c"]))
    assert "NOT READY\n  the store takes no change: disk I/O error\n  b\nmessages" in bad


def test_nothingThatAClientSaidMovesTheTerminal() -> None:
    shown = drawn(seen(100.0, sessions=[session(account="\x1b[2J\x9b31m\rroot", peer="192.0.2.1:1")]))
    assert "?[2J?31m?root" in shown
    assert "\x1b" not in shown


def test_whatThereIsNoRoomForIsLeftOut() -> None:
    peer = "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535"
    crowd = [session(id=f"imap-{n:x}", peer=peer, account="a" * 200) for n in range(100)]
    shown = drawn(seen(100.0, sessions=crowd), None, 24, 80)
    assert len(shown.splitlines()) == 24
    assert max(map(len, shown.splitlines())) <= 80
    assert len(drawn(seen(100.0, sessions=crowd)).splitlines()) > 100
