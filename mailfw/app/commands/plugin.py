"""`mailfw plugin`: what can be named in the configuration."""

from __future__ import annotations

import click

from mailfw.app.commands.listing import asJSON, printJSON, printTable


@click.group()
def command() -> None:
    """Stores, sources of accounts, routes and services: ours, those in twisted/plugins/ directories, those of installed packages.

    \b
    Examples:
      mailfw plugin list
      mailfw plugin list --why
    """


@command.command("list")
@click.option("--why", "isWhy", is_flag=True, help="Say where each comes from, and in full what is wrong with it.")
@asJSON
def list_(isWhy: bool, asJSON: bool) -> None:
    """List every plugin, those that cannot be used with the reason."""
    from mailfw.app.catalogue import plugins

    found = plugins().all()
    if asJSON:
        printJSON(
            [
                {
                    "kind": each.kind.value if each.kind else None,
                    "word": each.word or None,
                    "origin": each.origin,
                    "summary": each.summary,
                    "error": each.error or None,
                }
                for each in found
            ]
        )
        return
    rows = []
    for each in found:
        what = f"BROKEN: {each.error}" if each.error else each.summary
        row = [each.kind.value if each.kind else "?", each.word or "?", what]
        rows.append([*row, each.origin, "" if each.error else "keeps its contract"] if isWhy else row)
    printTable(("KIND", "WORD", "WHAT", "FROM", "CHECK") if isWhy else ("KIND", "WORD", "WHAT"), rows, "there are no plugins")
