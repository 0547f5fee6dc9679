"""`mailfw store`: all the mail at once."""

from __future__ import annotations

import sys
from typing import Any

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import printJSON, printTable
from mailfw.app.quantities import sizeText

asJSON = click.option("--json", "asJSON", is_flag=True, help="Print the summary as JSON.")


@click.group()
def command() -> None:
    """All the mail of a system.

    \b
    Example:
      mailfw store copy sqlite:mail maildir:/srv/mail
    """


@command.command("copy")
@click.argument("origin", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "--account", "accounts", metavar="ADDRESS[=ADDRESS]", multiple=True, help="Only this account; =ADDRESS: to that name."
)
@asJSON
@click.pass_context
def copy(ctx: click.Context, origin: str, target: str, accounts: tuple[str, ...], asJSON: bool) -> None:
    """Copy mail FROM a store TO another.

    Stores are named as in the configuration: sqlite:mail, maildir:/srv/mail, textfile:text; relative paths start in the data
    directory. Mailboxes, subscriptions, special uses, messages with their flags and dates come along, and so do UIDs and
    UIDVALIDITY where TO can keep them. What was interrupted is simply done again: nothing comes twice, and nothing is missing.
    What has come before stays as it is, and mail in FROM is not changed.

    When the server runs, it does the work. A store of another server's data directory cannot be used while that one runs.

    \b
    Examples:
      mailfw store copy maildir:/srv/mail sqlite:mail
      mailfw store copy sqlite:mail textfile:text --account jsmith@example.org
      mailfw store copy sqlite:/backup/mail sqlite:mail --account jsmith=old.jsmith --json
    """
    with _Bar() as bar:
        arguments = {"origin": origin, "target": target, "accounts": list(accounts)}
        summary = access(ctx).follow("store copy", bar.tell, **arguments)
    if asJSON:
        printJSON(summary)
    else:
        _show(summary)


@command.command("check")
@click.option("--json", "asJSON", is_flag=True, help="Print what is wrong as JSON.")
@click.pass_context
def check(ctx: click.Context, asJSON: bool) -> None:
    """Look whether the store is whole. Exit status 1 when something is wrong; nothing is changed.

    The database files, counters against messages, UIDs, MODSEQs, contents and their files. When the server runs, it looks itself,
    and mail comes and goes meanwhile.

    \b
    Example:
      mailfw store check --json
    """
    found = access(ctx).follow("store check", lambda progress: None)
    if asJSON:
        printJSON(found)
    else:
        rows = ((each["kind"], each["count"], each["place"], each["text"]) for each in found)
        printTable(("WHAT", "HOW MANY#", "WHERE", "SAYS"), rows, "the store is whole")
    if found:
        ctx.exit(1)


class _Bar:
    """How far it is: a bar on a terminal, a line for each account elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._isTerminal = sys.stderr.isatty()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[octets]} {task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not self._isTerminal)
        self._task = self._progress.add_task("opening", total=None, octets="", rate="")
        self._account = ""

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, progress: dict[str, Any]) -> None:
        """Show how far it is."""
        account = progress["account"]
        if not self._isTerminal and account and account != self._account:
            click.echo(f"copying {account}", err=True)
        self._account = account
        elapsed = self._progress.tasks[0].elapsed or 0.0
        rate = f"{progress['messages'] / elapsed:.0f}/s" if elapsed > 1 else ""
        self._progress.update(
            self._task,
            description=f"{account} {progress['mailbox']}",
            completed=progress["messages"],
            total=progress["total"] or None,
            octets=sizeText(progress["octets"]),
            rate=rate,
        )


def _show(summary: dict[str, Any]) -> None:
    rows = []
    for account in summary["accounts"]:
        boxes = account["mailboxes"]
        name = account["account"] if account["account"] == account["target"] else f"{account['account']} → {account['target']}"
        copied, octets, already = (sum(box[key] for box in boxes) for key in ("copied", "octets", "already"))
        rows.append((name, len(boxes), copied, already, sizeText(octets)))
    printTable(("ACCOUNT", "MAILBOXES#", "COPIED#", "THERE BEFORE#", "SIZE#"), rows, "there was nothing to copy")
    for account in summary["accounts"]:
        for loss in account["losses"]:
            click.echo(f"{account['target']} could not keep {loss}")
