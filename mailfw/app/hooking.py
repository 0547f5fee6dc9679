"""Hooks, wired: what `[[hook]]` says, made into the runner that rooms ask.

A reload makes a new runner. Hooks whose entry has not changed, nor the file that they are in, are the same objects in both, so
that what they remember stays; those that are gone are closed at the end, for a session that began with them goes on with them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define
from twisted.logger import Logger
from zope.interface import implementer

from mailfw.app.catalogue import plugins
from mailfw.app.configuration import optionsModel
from mailfw.app.problem import Problem
from mailfw.app.sections import Configuration
from mailfw.hooks.runner import Attached, Hooks
from mailfw.interfaces import IClosable, IHookContext, IHookMark, IOptionsContext, IResolver
from mailfw.net.watchdog import Watchdog
from mailfw.plugins import Kind, PluginError
from mailfw.stages import Stage
from mailfw.tally import Tally

_log = Logger("mailfw.app")

_USER_INFO = re.compile(r"//[^/@]*@")
"""Of a URL: a password, which is for no log."""

_QUERY = re.compile(r"\?.*", re.DOTALL)
"""Of a specification: what may be secret, and is for no figure."""


@implementer(IHookContext, IOptionsContext)
@define(eq=False)
class HookContext:
    """What a hook is given when it is opened. :ivar options: what `[plugin.PREFIX]` says, as the plugin's own model."""

    reactor: Any
    data: str
    domains: Sequence[str]
    hostname: str
    resolver: IResolver
    spool: str
    now: Callable[[], float] = time.time
    options: Any = None
    isInline: bool = False


class Hooking:
    """All hooks that were opened since the start.

    :param resolver: the DNS; only asked for where there is a hook.
    :param watchdog: of the process, which is closed by whoever made it. :param tally: where calls are counted.
    """

    def __init__(
        self, reactor: Any, spool: str, resolver: Callable[[], IResolver], watchdog: Watchdog, tally: Tally | None = None
    ) -> None:
        self._reactor = reactor
        self._spool = spool
        self._resolver = resolver
        self._opened: dict[tuple[str, str], Any] = {}  # by specification, options and mark
        self._runners: list[Hooks] = []
        self._watchdog = watchdog
        self._tally = tally or Tally()

    def hooks(self, configuration: Configuration) -> Hooks | None:
        """The runner for that configuration; None where it names no hook.

        :raises Problem: a hook cannot be opened.
        """
        chains: dict[Stage, list[Attached]] = {}
        for entry in configuration.hook:
            plugin, hook = self._open(entry.plugin, configuration)
            name = _USER_INFO.sub("//", entry.plugin)
            attached = Attached(name, hook, entry.deadline, entry.onFailure == "accept", self._tally.hook(_QUERY.sub("", name)))
            for stage in entry.stages(plugin):
                chains.setdefault(stage, []).append(attached)
        if not chains:
            return None
        self._runners.append(Hooks(chains, self._reactor, self._watchdog))
        return self._runners[-1]

    async def close(self) -> None:
        """Let go of everything."""
        for runner in self._runners:
            await runner.close()
        for hook in self._opened.values():
            if IClosable.providedBy(hook):
                await IClosable(hook).close()

    def _open(self, specification: str, configuration: Configuration) -> tuple[Any, Any]:
        try:
            plugin, argument = plugins().open(Kind.HOOK, specification)
            options = configuration.plugin.get(plugin.prefix, {})
            mark = plugin.mark(argument, configuration.data) if IHookMark.providedBy(plugin) else ""
            key = (specification, repr((mark, options, configuration.hostname, configuration.domains, configuration.data)))
            if key not in self._opened:
                self._opened[key] = self._made(plugin, argument, options, configuration)
            return plugin, self._opened[key]
        except (PluginError, ValueError, OSError) as error:
            raise Problem(f"the hook {specification} cannot be opened: {error}") from None
        except Exception as error:
            _log.failure("the hook {specification} cannot be opened", specification=specification)
            raise Problem(f"the hook {specification} cannot be opened: {type(error).__name__}: {error}") from error

    def _made(self, plugin: Any, argument: str, options: dict[str, Any], configuration: Configuration) -> Any:
        model = optionsModel(plugin)
        context = HookContext(
            self._reactor,
            configuration.data,
            configuration.domains,
            configuration.hostname,
            self._resolver(),
            self._spool,
            options=model.model_validate(options) if model else None,
        )
        hook = plugin.openHook(argument, context)
        if not callable(hook):
            raise ValueError("it opens nothing that can be called")
        return hook

