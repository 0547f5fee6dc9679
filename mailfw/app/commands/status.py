"""`mailfw status`: how the running server is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import asJSON, moment, printable, printJSON, printTable

NOT_READY = 3
"""The exit status where a server runs that cannot do its work."""


@click.command()
@asJSON
@click.pass_context
def command(ctx: click.Context, asJSON: bool) -> None:
    """How the running server is: whether it can do its work, where it listens, who is connected, what it has counted.

    Exit status 0: it is ready; 3: it runs and is not ready, and says why; 1: none runs.

    \b
    Examples:
      mailfw status
      mailfw --data mailfw-data status --json
    """
    status: dict[str, Any] = access(ctx).perform("status")
    if asJSON:
        printJSON(status)
    else:
        _show(status)
    if not status["isReady"]:
        ctx.exit(NOT_READY)


def _show(status: dict[str, Any]) -> None:
    click.echo(f"mailfw {status['version']}, pid {status['pid']}, up {timedelta(seconds=round(status['uptime']))}")
    click.echo("ready" if status["isReady"] else "NOT READY")
    for reason in status["reasons"]:
        click.echo(f"  {printable(reason)}")
    click.echo(f"serves {', '.join(status['domains'])} from {status['store']} in {status['data']}")
    if status["workers"]:
        click.echo(f"workers that relay: {', '.join(status['workers'])}")
    click.echo(f"configuration: {status['configuration'] or 'development mode'}")
    _showMail(status["figures"])
    click.echo("")
    printTable(("SERVICE", "LISTENS ON"), ((each["service"], each["address"]) for each in status["listeners"]), "listens nowhere")
    click.echo("")
    rows = (
        (
            each["id"],
            each["peer"],
            printable(each["account"]),
            each["state"],
            "yes" if each["isTLS"] else "",
            moment(each["since"]),
        )
        for each in status["sessions"]
    )
    printTable(("SESSION", "PEER", "ACCOUNT", "STATE", "TLS", "SINCE"), rows, "nobody is connected")


def _showMail(figures: dict[str, Any]) -> None:
    """What has come and gone since the start, in three lines."""
    came = {word: sum(each["messages"][word] for each in figures["services"]) for word in ("accepted", "deferred", "refused")}
    click.echo(f"messages since the start: {_counts(came)}")
    click.echo(f"to our own store: {_counts(figures['deliveries'])}; relayed: {_counts(figures['relayed'])}")
    queue = figures["queue"]
    if queue["recipients"] is not None:
        click.echo(f"queue: {queue['recipients']:,} recipients, {queue['due']:,} of them due, {queue['held']:,} held")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in counts.items())
