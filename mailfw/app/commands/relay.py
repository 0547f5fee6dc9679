"""`mailfw relay`: a worker."""

from __future__ import annotations

import click

from mailfw.app.place import Place


@click.command()
@click.option("--name", default="1", metavar="NAME", help="What this worker is called, and no other; 1 if not said.")
@click.option("--deliveries", type=click.IntRange(1), metavar="N", help="At a time; as [relay] has it if not said.")
@click.pass_context
def command(ctx: click.Context, name: str, deliveries: int | None) -> None:
    """Relay mail in a process of its own, beside the server that owns the queue, on this machine and as the same user.

    With [relay] deliveries = 0 the server leaves all that leaves to such workers. SIGTERM or Ctrl-C ends the worker once what is
    under way is done; a second one at once. SIGHUP has it read the configuration again.

    \b
    Example:
      mailfw --config /etc/mailfw/mailfw.toml relay --name 2
    """
    from mailfw.app.worker import work

    try:
        place = Place.find(*ctx.find_root().obj)
    except LookupError as error:
        raise click.UsageError(str(error), ctx) from None
    work(place, name, deliveries)
