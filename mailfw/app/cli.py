"""The administrator's command, `mailfw`. Each command's module is imported when that command is given.

Exit status: 0 done, 1 not done (one clear line on stderr says why), 2 wrong usage.
"""

from __future__ import annotations

import importlib
import sys
from typing import IO, Any

import click

from mailfw import __version__
from mailfw.app.place import Place
from mailfw.app.problem import Problem

_COMMANDS = {
    "user": "Accounts: add, passwd, app-password, suspend, resume, list, remove, import.",
    "alias": "Addresses that lead to others: add, list, remove.",
    "mailbox": "An account's mailboxes.",
    "store": "All the mail: copy, import, export it; check and repair the store.",
    "backup": "Make a backup of all of it, or verify one.",
    "restore": "Make a data directory of a backup.",
    "code": "Functions that addresses belong to: list, match.",
    "queue": "Mail that waits to leave: list, show, retry, hold, release, cancel, bounce, flush, top.",
    "relay": "Relay mail in a process of its own, beside the server.",
    "trace": "What became of mail from or to an address, as the log tells it.",
    "plugin": "What can be named in the configuration.",
    "check-config": "Show every mistake in a configuration file.",
    "console": "A Python prompt inside the running server.",
    "status": "How the running server is.",
    "top": "Watch the running server: sessions, mail, queue, latency, databases.",
}


class Failure(click.ClickException):
    """A problem, as the command shows it."""

    def show(self, file: IO[Any] | None = None) -> None:
        """One line on stderr."""
        click.echo(f"mailfw: {self.message}", file=file or sys.stderr)


class Commands(click.Group):
    """The commands, known by name before they are imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which people look for them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"mailfw.app.commands.{cmd_name.replace('-', '')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a problem is one line."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            raise Failure(str(problem)) from None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--config", "-c", metavar="FILE", help="The configuration file of the system that is meant.")
@click.option("--data", "-d", metavar="DIR", help="Its data directory, for a system without a file (development mode).")
@click.version_option(__version__, prog_name="mailfw")
@click.pass_context
def cli(ctx: click.Context, config: str | None, data: str | None) -> None:
    """Administers a mailfw mail system, beside the running server or without one.

    Without --config and --data, ./mailfw-data is meant where it exists, or else /etc/mailfw/mailfw.toml.

    \b
    Examples:
      mailfw user add mbrain@example.org
      mailfw --data mailfw-data user list --json
      mailfw --config /etc/mailfw/mailfw.toml alias add sales@example.org mbrain@example.org
    """
    ctx.obj = (config, data)


def access(ctx: click.Context) -> Any:
    """The way to the system that `--config` or `--data` name."""
    from mailfw.app.access import Access

    return Access(place(ctx))


def place(ctx: click.Context) -> Place:
    """That system's place."""
    try:
        return Place.find(*ctx.find_root().obj)
    except LookupError as error:
        raise click.UsageError(str(error), ctx) from None


def main() -> None:
    """The `mailfw` command."""
    cli(prog_name="mailfw")
