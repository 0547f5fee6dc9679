"""`mailfw alias`: addresses that lead to others."""

from __future__ import annotations

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import asJSON, printJSON, printTable


@click.group()
def command() -> None:
    """Addresses that lead to others.

    \b
    Examples:
      mailfw alias add sales@example.org mbrain@example.org jsmith@example.org
      mailfw alias list --json
    """


@command.command()
@click.argument("alias")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.pass_context
def add(ctx: click.Context, alias: str, targets: tuple[str, ...]) -> None:
    """Let mail for ALIAS go to each TARGET, besides those that it goes to already."""
    now = access(ctx).perform("alias add", alias=alias, targets=list(targets))
    click.echo(f"{now['name']} leads to {', '.join(now['targets'])}")


@command.command("list")
@asJSON
@click.pass_context
def list_(ctx: click.Context, asJSON: bool) -> None:
    """List all aliases with where they lead."""
    found = access(ctx).perform("alias list")
    if asJSON:
        printJSON(found)
        return
    rows = ((each["name"], ", ".join(each["targets"])) for each in found)
    printTable(("ALIAS", "LEADS TO"), rows, "there are no aliases")


@command.command()
@click.argument("alias")
@click.pass_context
def remove(ctx: click.Context, alias: str) -> None:
    """Let mail for ALIAS go nowhere any more."""
    access(ctx).perform("alias remove", alias=alias)
    click.echo("removed")
