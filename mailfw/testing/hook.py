"""`HookContract`: what hooks promise, as tests that a plugin's author runs.

>>> class TestMine(HookContract):
...     plugin = myPlugin
...     options = {"words": ["casino"]}

The hook is asked about strangers and about our own people, with odd senders, odd contents and with nothing at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from twisted.internet.task import Clock
from zope.interface import implementer

from mailfw.interfaces import IClosable, IHookContext, IHookPlugin, IOptions, IOptionsContext, IResolver
from mailfw.plugins import check
from mailfw.stages import STAGES, Client, Event, Stage
from mailfw.testing.fakes import START
from mailfw.testing.promises.broken import tellsBrokenPromises
from mailfw.testing.promises.home import promise
from mailfw.testing.resolver import FakeResolver
from mailfw.testing.samples import CONTENTS
from mailfw.values import Address, Envelope, Fate, Identity, MessageSource, Outcome, Peer, Recipient, Target

SENDERS = (None, "jsmith@example.org", "MBRAIN@EXAMPLE.NET", "ü@example.org", "'; --@example.org", f"{'x' * 300}@example.org")
HEADERS = (("Subject", "Lunch"), ("subject", ""), ("X-Odd", "\udcff\r\n folded"))


@implementer(IHookContext, IOptionsContext)
@define(eq=False)
class HookContext:
    """An `IHookContext` for tests: everything at once, in the caller's thread, on a fake clock."""

    data: str
    spool: str
    resolver: IResolver
    options: Any = None  # the plugin's own model
    reactor: Any = None  # the fake clock
    domains: tuple[str, ...] = ("example.org", "example.net")
    hostname: str = "mail.example.org"
    isInline: bool = True

    def now(self) -> float:
        """Seconds since the epoch: the clock's, from `START` on."""
        return START + float(self.reactor.seconds())


@tellsBrokenPromises
class HookContract:
    """Subclass it as `Test…` and supply `plugin`.

    :cvar plugin: what the package's entry point names.
    :cvar argument: what stands after the colon in `[[hook]] plugin`.
    :cvar options: what `[plugin.PREFIX]` says.
    :cvar stages: where the hook is asked, when its plugin does not say.
    """

    plugin: Any  # judged by the tests
    argument = ""
    options: Mapping[str, Any] = {}
    stages: Collection[Stage] = ()

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        for name in ("data", "spool"):
            (tmp_path / name).mkdir()
        self.context = HookContext(str(tmp_path / "data"), str(tmp_path / "spool"), FakeResolver(), reactor=Clock())

    def openHook(self) -> Any:
        """The hook, opened anew."""
        if IOptions.providedBy(self.plugin):
            self.context.options = IOptions(self.plugin).model.model_validate(dict(self.options))
        return self.plugin.openHook(self.argument, self.context)

    async def ask(self, hook: Any, event: Event) -> Any:
        """What the hook says; a plain function is called as it stands."""
        said = hook(event)
        return await said if inspect.isawaitable(said) else said

    def asked(self) -> list[Stage]:
        """Every stage at which the hook is asked."""
        stages = list(self.stages or self.plugin.stages)
        if not stages:
            pytest.skip("the plugin has no stages of its own: say `stages` in the test")
        return stages

    def test_thePluginKeepsItsInterface(self) -> None:
        check(IHookPlugin, self.plugin)
        assert all(isinstance(stage, Stage) for stage in self.plugin.stages)

    def test_whatItOpensCanBeCalled(self) -> None:
        assert callable(self.openHook()), "openHook must return something that takes an event"

    @promise
    async def test_itAnswersWhatMayBeAnsweredAtItsStages(self) -> None:
        hook = self.openHook()
        for stage in self.asked():
            rules = STAGES[stage]
            for event in events(stage):
                said = await self.ask(hook, event)
                if said is None:
                    continue
                may = ", ".join(sorted(each.__name__ for each in rules.results))
                assert type(said) in rules.results, f"{said!r} at {stage.value}, where it may be None, {may}"
                odd = [edit for edit in getattr(said, "edits", ()) if type(edit) not in rules.edits]
                assert not odd, f"{odd[0]!r} at {stage.value}, where nobody can do that"

    @promise
    async def test_itCloses(self) -> None:
        hook = self.openHook()
        if not IClosable.providedBy(hook):
            pytest.skip("the hook holds nothing that must be closed")
        await IClosable(hook).close()


def events(stage: Stage) -> Iterator[Event]:
    """Many an event of a stage, each with what its rules say that it has."""
    given = STAGES[stage].given
    for sender in SENDERS:
        for identity in (None, Identity("jsmith@example.org")):
            yield _event(stage, given, sender, identity, CONTENTS["a letter"], HEADERS[0])
    for content in CONTENTS.values():
        yield _event(stage, given, SENDERS[1], None, content, HEADERS[0])
    for header in HEADERS:
        yield _event(stage, given, SENDERS[1], None, b"", header)


def _event(
    stage: Stage, given: Collection[str], sender: str | None, identity: Identity | None, content: bytes, header: tuple[str, str]
) -> Event:
    to = Recipient(Address("mbrain", "example.org"))
    local, _, domain = (sender or "").rpartition("@")
    facts: dict[str, Any] = {  # attributes of an Event
        "client": Client("smtp-1", "smtp", Peer("192.0.2.7", 40000), "mail.example.org", "client.example", identity=identity),
        "envelope": Envelope(Address(local, domain) if sender else None, (to,)),
        "recipient": to,
        "target": Target("mbrain@example.org"),
        "argument": "PLAIN",
        "header": header,
        "chunk": content,
        "message": MessageSource(content),
        "outcome": Outcome(Fate.DELIVERED),
    }
    return Event(stage, **{name: facts[name] for name in given})
