"""What `mailfw top` shows: one picture of the server, made of what it says of itself now and a moment ago. Made to be read in 80
columns and 24 lines: what there is no room for is left out from below, the busiest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mailfw.app.commands.listing import printable
from mailfw.app.quantities import sizeText, spanText
from mailfw.tally import percentile

Seen = dict[str, Any]
"""What `top` gives."""

SERVICES, DATABASES = 4, 4
"""Rows of these tables, where there is little room."""

REASONS = 2


def screen(seen: Seen, before: Seen | None, lines: int) -> RenderableType:
    """:param before: what was seen last; None: this is the first. :param lines: 0: as many as it takes."""
    now, past = seen["figures"], before["figures"] if before is not None else None
    if past is not None and now["time"] <= past["time"]:
        past = None
    head = _head(seen, now, past)
    services, databases = _services(now, past, lines), _databases(now, past, lines)
    used = head.plain.count("\n") + 1 + services.row_count + databases.row_count + 6
    sessions = _sessions(seen, max(lines - used, 1) if lines else len(seen["sessions"]))
    return Group(head, Text(""), services, Text(""), databases, Text(""), sessions)


def _head(seen: Seen, now: Seen, past: Seen | None) -> Text:
    open_ = sum(each["open"] for each in now["services"])
    sessions = f"{open_:,} {'session' if open_ == 1 else 'sessions'}"
    head = Text(f"mailfw {seen['version']}, up {spanText(seen['uptime'])}, {sessions}, ", style="bold", no_wrap=True)
    head.append("ready" if seen["isReady"] else "NOT READY", style="bold green" if seen["isReady"] else "bold red")
    for reason in seen["reasons"][:REASONS]:
        head.append(f"\n  {printable(reason)}", style="red")
    head.append("\nmessages   " + _counts(_messages(now), None if past is None else _messages(past), now, past), style="not bold")
    for name, key in (("delivered  ", "deliveries"), ("relayed    ", "relayed")):
        head.append(f"\n{name}{_counts(now[key], None if past is None else past[key], now, past)}", style="not bold")
    head.append(f"\nqueue      {_queue(now)}\n{_process(now, past)}", style="not bold")
    head.overflow = "ellipsis"
    return head


def _messages(figures: Seen) -> dict[str, int]:
    return {word: sum(each["messages"][word] for each in figures["services"]) for word in ("accepted", "deferred", "refused")}


def _counts(counts: dict[str, int], before: dict[str, int] | None, now: Seen, past: Seen | None) -> str:
    """How many of each, and of the first how many a second."""
    said = [f"{count:,} {word}" for word, count in counts.items()]
    if before is not None and past is not None:
        word = next(iter(counts))
        said[0] += f" ({(counts[word] - before[word]) / (now['time'] - past['time']):,.1f}/s)"
    return ", ".join(said)


def _queue(now: Seen) -> str:
    queue = now["queue"]
    if queue["recipients"] is None:
        return "cannot be read"
    age = f", the oldest {spanText(now['time'] - queue['oldest'])} old" if queue["oldest"] else ""
    parts = f"{queue['waiting']:,} waiting ({queue['due']:,} due), {queue['leased']:,} under way, {queue['held']:,} held"
    return f"{queue['recipients']:,} recipients: {parts}{age}"


def _process(now: Seen, past: Seen | None) -> str:
    reactor, process = now["reactor"], now["process"]
    lag = _late(_recent(reactor["lags"], past["reactor"]["lags"] if past is not None else None))
    said = [f"reactor    late {lag} (p99), {sum(reactor['stalls'].values())} stalls", f"{process['threads']} threads"]
    if process["memory"] is not None:
        said.append(sizeText(process["memory"]))
    said += [f"{sizeText(disk['free'])} free" for disk in now["disks"][:1]]
    return ", ".join(said)


def _recent(timing: Seen, before: Seen | None) -> Sequence[int]:
    """Counts of a histogram since the last look, or where there are none since the start."""
    counts: list[int] = timing["counts"]
    if before is None:
        return counts
    since = [now - then for now, then in zip(counts, before["counts"], strict=True)]
    return since if any(since) else counts


def _late(counts: Sequence[int], share: float = 0.99) -> str:
    return _took(percentile(counts, share))


def _took(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.1f} ms" if value < 0.01 else f"{value * 1000:.0f} ms" if value < 1.0 else f"{value:.1f} s"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        isNumber = column.endswith("#")
        table.add_column(
            column.rstrip("#"), justify="right" if isNumber else "left", overflow="ellipsis", no_wrap=True
        )
    return table


def _services(now: Seen, past: Seen | None, lines: int) -> Table:
    table = _table("SERVICE", "OPEN#", "BEGUN#", "LINES/S#", "P50#", "P90#", "P99#", "IN#", "OUT#")
    rows = sorted(now["services"], key=lambda each: (-each["open"], -each["begun"]))
    for each in rows[:SERVICES] if lines else rows:
        old = next((row for row in past["services"] if row["service"] == each["service"]), None) if past else None
        counts = _recent(each["commands"], old["commands"] if old else None)
        rate = ""
        if old is not None and past is not None:
            rate = f"{(each['commands']['count'] - old['commands']['count']) / (now['time'] - past['time']):,.0f}"
        latency = [_late(counts, share) for share in (0.5, 0.9, 0.99)]
        traffic = (sizeText(each["octetsIn"]), sizeText(each["octetsOut"]))
        table.add_row(*map(Text, (each["service"], f"{each['open']:,}", f"{each['begun']:,}", rate, *latency, *traffic)))
    return table


def _databases(now: Seen, past: Seen | None, lines: int) -> Table:
    table = _table("DATABASE", "WAITING#", "GROUP#", "P50#", "FSYNC#", "WAL#", "LAG#", "TROUBLE")
    rows = now["databases"]
    for each in rows[:DATABASES] if lines else rows:
        old = next((row for row in past["databases"] if row["database"] == each["database"]), None) if past else None
        writing = ["", "", ""]
        if "commits" in each:
            isKnown = old is not None and "commits" in old
            took = _recent(each["transactions"], old["transactions"] if old and isKnown else None)
            synced = _recent(each["commits"], old["commits"] if old and isKnown else None)
            writing = [f"{each['group']:,}", _late(took, 0.5), _late(synced)]
        wal = "" if each["walOctets"] is None else sizeText(each["walOctets"])
        waiting, lag = ("" if each[key] is None else f"{each[key]:,}" for key in ("waiting", "unindexed"))
        row = (each["database"], waiting, *writing, wal, lag, printable(each["trouble"]))
        table.add_row(*map(Text, row))
    return table


def _sessions(seen: Seen, rows: int) -> Table:
    table = _table("SESSION", "PEER", "ACCOUNT", "STATE", "AGE#", "IN#", "OUT#")
    now = seen["figures"]["time"]
    for each in seen["sessions"][:rows]:
        words = [printable(each[key]) for key in ("id", "peer", "account", "state")]
        traffic = (sizeText(each["octetsIn"]), sizeText(each["octetsOut"]))
        table.add_row(*map(Text, (*words, spanText(now - each["since"]), *traffic)))
    return table
