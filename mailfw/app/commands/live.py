"""Looking at something that changes: a picture of it is drawn again and again, until `q` or Ctrl-C; once, where nobody looks at a
terminal."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mailfw.app.problem import Problem
from mailfw.app.quantities import seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

SHORTEST = 0.2
"""Seconds between two pictures."""

_NUMBER = re.compile(r"\d{1,6}(\.\d{1,6})?")

Look = Callable[[], dict[str, Any]]
"""What there is to be seen now."""

Draw = Callable[[dict[str, Any], dict[str, Any] | None, int], "RenderableType"]
"""The picture of that, and what was seen before if anything was, for so many lines; 0: as many as it takes."""


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    try:
        return max(seconds(float(value) if _NUMBER.fullmatch(value) else value), SHORTEST)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


interval = click.option(
    "--interval", "--every", "every", metavar="TIME", default="2s", show_default=True, callback=_seconds,
    help="How often to look.",
)  # fmt: skip


def watch(look: Look, draw: Draw, every: float) -> None:
    """Show pictures every so many seconds. :raises Problem: the first look fails; a later one is shown as it is."""
    from rich.console import Console
    from rich.live import Live

    seen = look()
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    if not console.is_terminal:
        console.print(draw(seen, None, 0))
        return
    before: dict[str, Any] | None = None
    with _keys() as leaves, Live(draw(seen, before, console.height), console=console, screen=True, auto_refresh=False) as live:
        live.refresh()
        while not leaves(every):
            try:
                before, seen = seen, look()
            except Problem as problem:
                live.update(f"{problem}\n", refresh=True)
                continue
            live.update(draw(seen, before, console.height), refresh=True)


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Waits so many seconds for a key that ends it; → whether one came."""
    terminal = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
    before = termios.tcgetattr(terminal) if terminal >= 0 else None

    def leaves(wait: float) -> bool:
        try:
            return _pressed(terminal, wait)
        except KeyboardInterrupt:
            return True

    try:
        if before is not None:
            tty.setcbreak(terminal)
        yield leaves
    finally:
        if before is not None:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _pressed(terminal: int, wait: float) -> bool:
    if terminal < 0:
        time.sleep(wait)
        return False
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            typed = os.read(terminal, 64)
            if not typed or b"q" in typed.lower():
                return True
    return False
