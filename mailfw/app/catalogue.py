"""The concrete plugins that come with mailfw, each named without being imported."""

from __future__ import annotations

import functools

from mailfw.plugins import BuiltIn, Kind, Plugins

BUILT_IN = (
    BuiltIn(Kind.SERVICE, "manhole", "mailfw.app.manhole:manhole", "a Python prompt inside the server, over SSH"),
)


@functools.cache
def plugins() -> Plugins:
    """The plugins of this process."""
    return Plugins(BUILT_IN)
