"""The command line as a chapter: every command of `mailfw` with its options and examples, and the options of `twistd mailfw`."""

from __future__ import annotations

import inspect
import re

import click
from twisted.python.usage import Options as UsageOptions


def chapter() -> str:
    """Markdown for all commands."""
    from mailfw.app.cli import cli

    return "\n".join(_lines(cli, "mailfw", 2, None))


def twistd() -> str:
    """Markdown for the options of `twistd mailfw`."""
    from mailfw.app.launch import Options

    options = Options()
    rows = [
        (f"`--{long} {long.upper()}`" + (f", `-{short}`" if short else ""), text)
        for long, short, _, text in options.optParameters
    ]
    for name, method in inspect.getmembers(type(options), inspect.isfunction):
        if name.startswith("opt_") and not hasattr(UsageOptions, name):
            rows.append((f"`--{name.removeprefix('opt_')}`", " ".join((method.__doc__ or "").split())))
    return "\n".join([_plain(options.longdesc), "", *_table(("option", "meaning"), rows)])


def _lines(command: click.Command, name: str, level: int, parent: click.Context | None) -> list[str]:
    context = click.Context(command, parent, info_name=name)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"{'#' * level} `{context.command_path}`", "", "```text", usage, "```", ""]
    lines += [*_told(inspect.cleandoc(command.help or "")), *_options(command, context)]
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            inner = command.get_command(context, word)
            if inner is not None and not inner.hidden:
                lines += _lines(inner, word, min(level + 1, 4), context)
    return lines


def _told(text: str) -> list[str]:
    r"""What a command says of itself: paragraphs, and after `\b` lines that stay as they are."""
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            first, *rest = paragraph.removeprefix("\b").strip("\n").splitlines()
            if first.rstrip().endswith(":"):
                lines += [f"{_plain(first.strip())}", ""]
            else:
                rest = [first, *rest]
            lines += ["```text", *inspect.cleandoc("\n".join(rest)).splitlines(), "```", ""]
        else:
            lines += [_plain(" ".join(paragraph.split())), ""]
    return lines


def _options(command: click.Command, context: click.Context) -> list[str]:
    rows = []
    for option in command.get_params(context):
        record = option.get_help_record(context)
        if record is not None and isinstance(option, click.Option) and option.name != "help":
            rows.append((", ".join(f"`{form.strip()}`" for form in record[0].split(", ")), _plain(record[1])))
    return [*_table(("option", "meaning"), rows), ""] if rows else []


def _table(heading: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    lines = [f"| {' | '.join(heading)} |", "| --- | --- |"]
    return lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def _plain(text: str) -> str:
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if number % 2 else re.sub(r"([*_<\[])", r"\\\1", piece) for number, piece in enumerate(pieces))
