"""`mailfw trace`: the life of messages, from the lines of the log, in either of its formats."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import asJSON, printJSON
from mailfw.app.commands.queue import describe
from mailfw.app.history import Life, livesOf
from mailfw.app.problem import Problem


@click.command()
@click.argument("address")
@click.option("--log", "files", metavar="FILE", multiple=True, help='A log to read, older ones first; "-" is standard input.')
@asJSON
@click.pass_context
def command(ctx: click.Context, address: str, files: tuple[str, ...], asJSON: bool) -> None:
    """What became of mail from or to ADDRESS: when it came, each attempt to bring it on, and what is still in the queue.

    The log is that of the configuration ([log] file), in either format, with the file that logrotate has put beside it. Where the
    server logs to standard output, say where that goes.

    \b
    Examples:
      mailfw trace jane@example.com
      journalctl -u mailfw -o cat | mailfw trace jane@example.com --log -
    """
    lives = livesOf(_lines(files or _configured(ctx)), address)
    waiting = _waiting(ctx, address)
    if asJSON:
        printJSON({"messages": [life.asJSON() for life in lives], "queue": waiting})
        return
    for life in lives:
        _tell(life)
    if not lives:
        click.echo(f"the log knows no mail from or to {address}")
    now = time.time()
    for entry in waiting:
        click.echo(f"in the queue: {describe(entry, now)}")


def _tell(life: Life) -> None:
    click.echo(life.title)
    for event in life.events:
        click.echo(f"  {event.time}  {event.text}")
    click.echo("")


def _waiting(ctx: click.Context, address: str) -> list[dict[str, Any]]:
    """What the queue still holds from the address or to it."""
    found: list[dict[str, Any]] = access(ctx).perform("queue list", limit=1000, person=address)["recipients"]
    return found


def _configured(ctx: click.Context) -> Iterable[str]:
    """The log that the configuration names, with the one before it."""
    path: str | None = access(ctx).logFile()
    if path is None:
        raise Problem("the server logs to standard output: say where that goes with --log FILE")
    return [each for each in (f"{path}.1", path) if os.path.exists(each)]


def _lines(files: Iterable[str]) -> Iterator[str]:
    for path in files:
        try:
            with click.open_file(path, encoding="utf-8", errors="replace") as stream:
                yield from stream
        except OSError as error:
            raise Problem(f"{path} cannot be read: {error.strerror}") from None
