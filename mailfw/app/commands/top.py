"""`mailfw top`: the running server, live."""

from __future__ import annotations

from typing import Any

import click

from mailfw.app.cli import access
from mailfw.app.commands.listing import asJSON, printJSON
from mailfw.app.commands.live import interval, watch

ORDERS = ("account", "age", "peer", "service", "traffic")


@click.command()
@interval
@click.option("--sort", type=click.Choice(ORDERS), default="age", show_default=True, help="How sessions are sorted.")
@click.option("--limit", default=100, show_default=True, help="At most so many sessions, as far as the terminal has room.")
@asJSON
@click.pass_context
def command(ctx: click.Context, every: float, sort: str, limit: int, asJSON: bool) -> None:
    """Watch the running server: sessions, deliveries, queue, latency, databases. Once, where nobody looks at a terminal.

    Rates and percentiles are those of the last interval. q or Ctrl-C ends it.

    \b
    Examples:
      mailfw top
      mailfw top --interval 5s --sort traffic
      mailfw top --json
    """
    where = access(ctx)

    def look() -> dict[str, Any]:
        return dict(where.perform("top", sort=sort, limit=max(limit, 0)))

    if asJSON:
        printJSON(look())
        return
    from mailfw.app.commands.glance import screen

    watch(look, screen, every)
