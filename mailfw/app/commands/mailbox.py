"""`mailfw mailbox`: what is in an account."""

from __future__ import annotations

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import asJSON, printJSON, printTable
from mailfw.app.quantities import sizeText


@click.group()
def command() -> None:
    """An account's mailboxes.

    \b
    Example:
      mailfw mailbox list mbrain@example.org
    """


@command.command("list")
@click.argument("address")
@asJSON
@click.pass_context
def list_(ctx: click.Context, address: str, asJSON: bool) -> None:
    """List an account's mailboxes with how much is in them."""
    found = access(ctx).perform("mailbox list", address=address)
    if asJSON:
        printJSON(found)
        return
    rows = (
        (each["name"], each.get("messages", ""), each.get("unseen", ""), sizeText(each["size"]) if "size" in each else "")
        for each in found
    )
    printTable(("MAILBOX", "MESSAGES#", "UNSEEN#", "SIZE#"), rows, "there are no mailboxes")
