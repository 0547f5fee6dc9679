"""The metrics service against clients that take their time, on a clock of the test's."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource

from mailfw.app.scrape import PATIENCE, VISITORS, Inside

PEER = IPv4Address("TCP", "127.0.0.1", 1)


class Wire(StringTransport):
    """:ivar isCut: it was aborted."""

    isCut = False

    def abortConnection(self) -> None:
        self.isCut = True


@pytest.fixture
def inside() -> Inside:
    return Inside(Resource(), Clock())


def visit(inside: Inside) -> tuple[Any, Wire]:
    wire = Wire(peerAddress=PEER)
    channel = inside.buildProtocol(PEER)
    channel.makeConnection(wire)
    return channel, wire


@pytest.mark.parametrize("said", [b"", b"X"], ids=["silent", "a header by drops"])
def test_whoNeverComesToAnEndIsCutOffHoweverOftenHeSpeaks(inside: Inside, said: bytes) -> None:
    channel, wire = visit(inside)
    channel.dataReceived(b"GET / HTTP/1.1\r\n")
    for _ in range(int(PATIENCE)):
        assert not wire.isCut
        channel.dataReceived(said)
        inside.clock.advance(1.0)
    assert wire.isCut


def test_whoIsGoneMakesRoomForAnother(inside: Inside) -> None:
    first, _ = visit(inside)
    for _ in range(VISITORS - 1):
        visit(inside)
    assert inside.buildProtocol(PEER) is None
    first.connectionLost()
    assert inside.buildProtocol(PEER) is not None
