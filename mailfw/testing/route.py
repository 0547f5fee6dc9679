"""`RouteContract`: what routes and their deliveries promise, as tests that a plugin's author runs.

>>> class TestMine(RouteContract):
...     plugin = myPlugin
...     argument = "faxes"
...     def arrived(self):
...         return [path.read_bytes() for path in self.data.glob("faxes/*")]

`arrived` looks at what came out at the far end; without it, only what the delivery says of itself is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from zope.interface import implementer

from mailfw.errors import Refusal
from mailfw.interfaces import IClosable, IDelivery, IOptions, IResolver, IRoute, IRouteContext, IRoutePlugin
from mailfw.plugins import check
from mailfw.testing.fakes import START
from mailfw.testing.promises.broken import tellsBrokenPromises
from mailfw.testing.promises.home import promise
from mailfw.testing.resolver import FakeResolver
from mailfw.testing.samples import CONTENTS, LETTER
from mailfw.values import Address, Envelope, Fate, MessageSource, Outcome, Recipient

DOMAIN = "elsewhere.example"


@implementer(IRouteContext)
@define(eq=False)
class RouteContext:
    """An `IRouteContext` for tests, on the real reactor; names lead nowhere."""

    data: str
    resolver: IResolver
    reactor: Any  # the real one
    options: Any = None  # the plugin's own model
    hostname: str = "mail.example.org"
    port: int = 0
    timeout: float = 5.0

    def now(self) -> float:
        """Seconds since the epoch: `START`."""
        return START

    def isOurs(self, address: str) -> bool:
        """Nothing leads back."""
        return False


@tellsBrokenPromises
class RouteContract:
    """Subclass it as `Test…` and supply `plugin`.

    :cvar plugin: what the package's entry point names.
    :cvar argument: what stands after the colon in `[[route]] via`.
    :cvar options: what `[plugin.PREFIX]` says.
    :ivar data: an empty data directory; `prepare` may put things there.
    """

    plugin: Any  # judged by the tests
    argument = ""
    options: Mapping[str, Any] = {}
    data: Path

    def prepare(self) -> None:
        """Make what the route needs, in `self.data`, before it is opened."""

    def arrived(self) -> Sequence[bytes]:
        """What has come out at the far end since the test began, a piece for each message, in any order."""
        pytest.skip("the test does not say what arrives: override `arrived`")

    @pytest.fixture
    def route(self, tmp_path: Path) -> Any:
        """The route, opened in an empty data directory."""
        self.data = tmp_path / "data"
        self.data.mkdir()
        self.prepare()
        return self.openRoute()

    def openRoute(self) -> Any:
        """The route, opened anew."""
        from twisted.internet import reactor

        context = RouteContext(str(self.data), FakeResolver(), reactor)
        if IOptions.providedBy(self.plugin):
            context.options = IOptions(self.plugin).model.model_validate(dict(self.options))
        return self.plugin.openRoute(self.argument, context)

    async def send(self, route: IRoute, content: bytes, *names: str) -> list[Outcome]:
        """One message to these local parts, all of which must be taken."""
        delivery = route.begin(Envelope(Address("jsmith", "example.org")))
        for name in names:
            await delivery.recipient(Recipient(Address(name, DOMAIN)))
        return await delivery.commit(MessageSource(content))

    def test_everythingKeepsItsInterface(self, route: IRoute) -> None:
        check(IRoutePlugin, self.plugin)
        check(IRoute, route)
        check(IDelivery, route.begin(Envelope(None)))

    def test_aDomainHasOneDestination(self, route: IRoute) -> None:
        assert isinstance(route.destination(DOMAIN), str)
        assert route.destination(DOMAIN) == route.destination(DOMAIN), "deliveries are counted by it"

    @promise
    async def test_eachRecipientHasAnOutcomeInItsPlace(self, route: IRoute) -> None:
        for count in (1, 2, 5):
            outcomes = await self.send(route, LETTER, *(f"user{number}" for number in range(count)))
            assert len(outcomes) == count, f"{count} recipients, {len(outcomes)} outcomes"
            assert all(isinstance(outcome, Outcome) for outcome in outcomes)

    @promise
    async def test_whatIsSaidToBeDeliveredHasArrived(self, route: IRoute) -> None:
        sent = []
        for content in CONTENTS.values():
            (outcome,) = await self.send(route, content, "mbrain")
            if outcome.fate is Fate.DELIVERED:
                sent.append(content)
        arrived = list(self.arrived())
        assert len(arrived) == len(sent), f"{len(sent)} messages were said to be delivered, {len(arrived)} have arrived"
        for content in sorted(sent, key=len, reverse=True):  # a short one may be the end of a long one
            found = next((piece for piece in arrived if piece.endswith(content)), None)
            assert found is not None, f"a message that was said to be delivered has not arrived whole: {content[:60]!r}"
            arrived.remove(found)

    @promise
    async def test_whatIsAbortedNeverArrives(self, route: IRoute) -> None:
        route.begin(Envelope(None)).abort()
        delivery = route.begin(Envelope(None))
        await delivery.recipient(Recipient(Address("mbrain", DOMAIN)))
        delivery.abort()
        assert not self.arrived()

    @promise
    async def test_aRecipientIsTakenOrRefused(self, route: IRoute) -> None:
        delivery = route.begin(Envelope(None))
        for name in ("mbrain", "", "ü", "../../x", "a b", "$(x)", "-rf", "x" * 300, "\r\nBcc: y"):
            try:
                await delivery.recipient(Recipient(Address(name, DOMAIN)))
            except Refusal:
                continue
        delivery.abort()

    @promise
    async def test_itCloses(self, route: IRoute) -> None:
        if not IClosable.providedBy(route):
            pytest.skip("the route holds nothing that must be closed")
        await IClosable(route).close()
