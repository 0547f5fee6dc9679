"""`mailfw restore`: a data directory of a backup."""

from __future__ import annotations

import os

import click

from mailfw.app.cli import place
from mailfw.app.commands.backup import Bar, told
from mailfw.app.commands.listing import printJSON


@click.command()
@click.argument("directory", metavar="DIRECTORY", type=click.Path())
@click.option("--hold-queue", "isHeld", is_flag=True, help="Send nothing that waited in the queue until `mailfw queue release`.")
@click.option("--json", "asJSON", is_flag=True, help="Print what was restored as JSON.")
@click.pass_context
def command(ctx: click.Context, directory: str, isHeld: bool, asJSON: bool) -> None:
    """Restore the backup in DIRECTORY into the system's data directory, which must be empty, or not there.

    The backup is verified first. A store that lay outside the data directory comes back to where it lay. Nothing has the name of
    the data directory before all of it is on disk. Mail that was sent since the backup is sent once more, unless --hold-queue is
    given: then look at it with `mailfw queue list` first.

    \b
    Examples:
      mailfw --config /etc/mailfw/mailfw.toml restore /backup/mailfw-2026-11-24
      mailfw --data /tmp/drill restore /backup/mailfw-2026-11-24 --hold-queue --json
    """
    from mailfw.app.backing import restore

    with Bar("restoring") as bar:
        restored = restore(os.path.abspath(directory), place(ctx).data, isHeld, bar.add)
    if asJSON:
        printJSON(restored)
    else:
        click.echo(f"{restored['data']}: {told(restored)}")
