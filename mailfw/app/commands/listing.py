"""How lists are shown: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

asJSON = click.option("--json", "asJSON", is_flag=True, help="Print JSON instead of a table.")


def printJSON(value: Any) -> None:
    """Print a value for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def printTable(columns: Sequence[str], rows: Iterable[Sequence[object]], nothing: str) -> None:
    """Print rows for people; as wide as they are where nobody looks at a terminal.

    :param columns: headings; one that ends in `#` stands above numbers.
    :param nothing: printed where there are no rows.
    """
    shown = [[str(cell) for cell in row] for row in rows]
    if not shown:
        click.echo(nothing)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.rstrip("#"), justify="right" if column.endswith("#") else "left", overflow="fold")
    for row in shown:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(table)


def printable(text: str) -> str:
    """Text that changes nobody's terminal, whoever wrote it."""
    return "".join(character if character.isprintable() else "?" for character in text)


def moment(seconds: float | None) -> str:
    """A time for people, local; empty for none."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""
