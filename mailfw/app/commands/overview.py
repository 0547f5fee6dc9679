"""What `mailfw queue top` shows: one picture of the queue, made of what the server says of it now and a moment ago."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mailfw.app.quantities import spanText

FATES = ("delivered", "deferred", "failed")


def screen(seen: dict[str, Any], before: dict[str, Any] | None) -> RenderableType:
    """:param seen: what `queue overview` gives. :param before: what it gave last; None: this is the first."""
    return Group(_head(seen, before), Text(""), _domains(seen))


def _head(seen: dict[str, Any], before: dict[str, Any] | None) -> Text:
    age = f", the oldest {spanText(seen['time'] - seen['oldest'])} old" if seen["oldest"] else ""
    head = Text(f"{seen['recipients']:,} recipients of {seen['messages']:,} messages{age}\n", style="bold")
    head.append(f"{seen['waiting']:,} waiting, {seen['leased']:,} under way, {seen['held']:,} held", style="not bold")
    if not seen["isRunning"]:
        head.append("\nno server runs", style="not bold")
        return head
    done = ", ".join(f"{seen['done'].get(fate, 0):,} {fate}" for fate in FATES)
    head.append(f"\nsince the start: {done}", style="not bold")
    if before is not None and seen["time"] > before["time"]:
        span = seen["time"] - before["time"]
        rates = ((seen["done"].get(fate, 0) - before["done"].get(fate, 0)) / span for fate in FATES)
        head.append("; a second now: " + ", ".join(f"{rate:,.0f}" for rate in rates), style="not bold")
    return head


def _domains(seen: dict[str, Any]) -> Table:
    lanes = {lane["name"]: lane for lane in seen["lanes"]}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("DOMAIN", "RECIPIENTS#", "HELD#", "CONNECTIONS#", "NEXT", "LAST REPLY"):
        table.add_column(column.rstrip("#"), justify="right" if column.endswith("#") else "left", overflow="ellipsis")
    for each in seen["domains"]:
        lane = lanes.pop(each["domain"], None)
        words = " ".join(filter(None, (each["host"], each["reply"])))
        row = (each["domain"], f"{each['recipients']:,}", f"{each['held']:,}" if each["held"] else "", _connections(lane))
        table.add_row(*map(Text, (*row, _next(each["due"], lane, seen["time"]), words)))
    for lane in lanes.values():  # what many domains have in common: a smart host, a program, our own store
        table.add_row(*map(Text, (lane["name"], "", "", _connections(lane), _next(None, lane, seen["time"]), lane["trouble"])))
    return table


def _connections(lane: dict[str, Any] | None) -> str:
    return f"{lane['active']}/{lane['limit']}" if lane is not None else ""


def _next(due: float | None, lane: dict[str, Any] | None, now: float) -> str:
    if lane is not None and lane["restsUntil"]:
        return f"rests for {spanText(lane['restsUntil'] - now)}"
    if due is None:
        return ""
    return f"in {spanText(due - now)}" if due > now else "now"
