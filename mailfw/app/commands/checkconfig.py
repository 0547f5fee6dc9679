"""`mailfw check-config`: every mistake of a configuration file at once."""

from __future__ import annotations

import os

import click


@click.command("check-config")
@click.argument("file", type=click.Path())
@click.pass_context
def command(ctx: click.Context, file: str) -> None:
    """Show every mistake in a configuration FILE, each with its line and the nearest right word.

    Exit status 1 when there is any. The server reads the same way, at its start and at SIGHUP.

    \b
    Example:
      mailfw check-config /etc/mailfw/mailfw.toml && systemctl reload mailfw
    """
    from mailfw.app.catalogue import plugins
    from mailfw.app.configuration import ConfigurationError, Source

    try:
        Source(os.path.abspath(file)).read(plugins())
    except ConfigurationError as error:
        for mistake in error.mistakes:
            click.echo(f"{file}: {mistake}", err=True)
        ctx.exit(1)
    click.echo(f"{file}: no mistakes")
