"""`mailfw status`: how the running server is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import asJSON, moment, printJSON, printTable


@click.command()
@asJSON
@click.pass_context
def command(ctx: click.Context, asJSON: bool) -> None:
    """How the running server is: where it listens, and who is connected. Exit status 1 when none runs.

    \b
    Example:
      mailfw --data mailfw-data status --json
    """
    status: dict[str, Any] = access(ctx).perform("status")
    if asJSON:
        printJSON(status)
        return
    click.echo(f"mailfw {status['version']}, pid {status['pid']}, up {timedelta(seconds=round(status['uptime']))}")
    click.echo(f"serves {', '.join(status['domains'])} from {status['store']} in {status['data']}")
    if status["workers"]:
        click.echo(f"workers that relay: {', '.join(status['workers'])}")
    click.echo(f"configuration: {status['configuration'] or 'development mode'}\n")
    printTable(("SERVICE", "LISTENS ON"), ((each["service"], each["address"]) for each in status["listeners"]), "listens nowhere")
    click.echo("")
    rows = (
        (each["id"], each["peer"], each["account"], each["state"], "yes" if each["isTLS"] else "", moment(each["since"]))
        for each in status["sessions"]
    )
    printTable(("SESSION", "PEER", "ACCOUNT", "STATE", "TLS", "SINCE"), rows, "nobody is connected")
