"""Health and figures as a listening service. What it is made of is in `scrape`, which is imported beside the running server."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from zope.interface import implementer

from mailfw.app.late import LateFactory
from mailfw.interfaces import IInsideService


@implementer(IInsideService)
class Metrics:
    """`/livez`, `/readyz` and `/metrics` over HTTP."""

    name = "metrics"
    port = 9025
    isTLS = False

    def factory(self, context: Any) -> Factory:
        """:param context: the `Server`."""
        from twisted.internet import reactor

        return LateFactory("mailfw.app.scrape", context, reactor)


metrics = Metrics()
