"""`mailfw backup`: one set of files that holds the system as it was at one moment."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import printable, printJSON, printTable
from mailfw.app.quantities import sizeText


@click.command()
@click.argument("directory", metavar="DIRECTORY", type=click.Path())
@click.option("--previous", metavar="DIR", type=click.Path(), help="An earlier backup: what is the same there is shared with it.")
@click.option("--verify", is_flag=True, help="Make nothing: say what of the backup in DIRECTORY is missing or damaged.")
@click.option("--json", "asJSON", is_flag=True, help="Print what is in it, or what is wrong with it, as JSON.")
@click.pass_context
def command(ctx: click.Context, directory: str, previous: str | None, verify: bool, asJSON: bool) -> None:
    """Make a backup in DIRECTORY, which must not be there yet.

    All databases are in it as they were at one moment, with the files of large messages; then the other files of the data
    directory, and the store's where it lies elsewhere. A running server makes it itself, and goes on serving; it must be allowed
    to write there. DIRECTORY has its name once all of it is on disk. With --verify, exit status 1 when something is wrong.

    \b
    Examples:
      mailfw backup /backup/mailfw-2026-11-24
      mailfw backup /backup/mailfw-2026-11-25 --previous /backup/mailfw-2026-11-24
      mailfw backup /backup/mailfw-2026-11-25 --verify --json
    """
    directory = os.path.abspath(directory)
    if verify and previous:
        raise click.UsageError("--verify makes no backup, and so needs no --previous", ctx)
    if verify:
        _verify(ctx, directory, asJSON)
        return
    with Bar("backing up") as bar:
        arguments = {"directory": directory, "previous": os.path.abspath(previous) if previous else ""}
        made = access(ctx).follow("backup", bar.tell, **arguments)
    if asJSON:
        printJSON(made)
    else:
        click.echo(f"{made['directory']}: {told(made)}, {made['seconds']:.1f} s")


def told(made: dict[str, Any]) -> str:
    """What is in a set, for people."""
    moment = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(made["moment"]))
    return f"{made['files']} files, {made['databases']} of them databases, {sizeText(made['octets'])}, as of {moment}"


def _verify(ctx: click.Context, directory: str, asJSON: bool) -> None:
    from mailfw.app.backing import check

    with Bar("verifying") as bar:
        flaws = check(directory, bar.add)
    if asJSON:
        printJSON(flaws)
    else:
        rows = ((printable(flaw["path"]), flaw["text"]) for flaw in flaws)
        printTable(("FILE", "WHAT"), rows, "the backup is whole")
    if flaws:
        ctx.exit(1)


class Bar:
    """How far it is, on a terminal; nothing elsewhere."""

    def __init__(self, verb: str) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[octets]}"), TimeElapsedColumn())
        isShown = sys.stderr.isatty()
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True, disable=not isShown)
        self._verb = verb
        self._task = self._progress.add_task(verb, total=None, octets="")
        self._octets = 0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def tell(self, progress: dict[str, Any]) -> None:
        """Show how far a task is."""
        self._show(progress["mailbox"], progress["octets"])

    def add(self, path: str, octets: int) -> None:
        """Show how far what is done here is."""
        self._octets += octets
        self._show(path, self._octets)

    def _show(self, path: str, octets: int) -> None:
        description = f"{self._verb} {printable(os.path.basename(path))}"
        self._progress.update(self._task, description=description, octets=sizeText(octets))
