"""`mailfw code`: functions that addresses belong to."""

from __future__ import annotations

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import asJSON, printJSON, printTable
from mailfw.app.quantities import spanText


@click.group()
def command() -> None:
    """Functions that addresses belong to: the modules of [code] in the configuration.

    \b
    Examples:
      mailfw code list
      mailfw code match ticket-17@example.org
    """


@command.command("list")
@asJSON
@click.pass_context
def list_(ctx: click.Context, asJSON: bool) -> None:
    """List the functions of the running server, or those that it would have, in the order in which they are looked at.

    Exit status 1 when a module cannot be imported, or two patterns have an address in common of which neither says more.
    """
    found = access(ctx).perform("code list")
    if asJSON:
        printJSON(found)
    else:
        rows = (
            (each["pattern"], each["function"], each["kind"], spanText(each["timeout"]), each["concurrency"])
            for each in found["routes"]
        )
        printTable(("PATTERN", "FUNCTION", "KIND", "TIMEOUT#", "AT ONCE#"), rows, "no function has an address")
    for line in found["overlaps"]:
        click.echo(f"mailfw: {line}", err=True)
    for each in found["failures"]:
        click.echo(f"mailfw: {each['line']}\n{each['traceback']}", err=True, nl=False)
    if found["overlaps"] or found["failures"]:
        ctx.exit(1)


@command.command()
@click.argument("address")
@asJSON
@click.pass_context
def match(ctx: click.Context, address: str, asJSON: bool) -> None:
    """Say which function mail for ADDRESS belongs to, and what it is called with.

    Exit status 1 when it belongs to none.
    """
    found = access(ctx).perform("code match", address=address)
    if asJSON:
        printJSON(found)
    elif found:
        values = "".join(f", {name}={value!r}" for name, value in found["values"].items())
        tag = f'   (the message\'s tag is "{found["tag"]}")' if found["tag"] else ""
        click.echo(f"{found['function']}(message{values}){tag}")
    else:
        click.echo(f"{address} belongs to no function", err=True)
    if not found:
        ctx.exit(1)
