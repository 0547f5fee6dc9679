"""The hook keeps what hooks promise, and does what it is for."""

import asyncio

import pytest
from mailfw_specimen import plugin

from mailfw.stages import Event, Reject, Stage
from mailfw.testing.hook import HookContract
from mailfw.values import Address, Envelope


class TestSpecimen(HookContract):
    plugin = plugin
    options = {"domains": ["spam.example"]}

    @pytest.mark.parametrize("domain, isRefused", [("spam.example", True), ("SPAM.example", True), ("example.org", False)])
    def test_refusesMailFromTheDomains(self, domain, isRefused):
        event = Event(Stage.MAIL_FROM, envelope=Envelope(Address("offers", domain)))
        assert isinstance(asyncio.run(self.openHook()(event)), Reject) is isRefused
