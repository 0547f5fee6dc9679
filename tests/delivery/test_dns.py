"""The DNS: a name server on loopback, and what is remembered of what it said."""

import contextlib
import threading

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from mailfw.delivery.dns import Found, Resolver, asker
from mailfw.errors import NoSuchDomain, Unavailable
from mailfw.interfaces import IResolver
from mailfw.testing.resolver import DNSServer, FakeResolver
from mailfw.values import MX, TLSA

ZONE = {
    "example.com MX": ["20 Backup.example.com.", "10 mx.example.com."],
    "example.com TXT": ['"v=spf1 " "-all"', '"other"'],
    "mx.example.com A": ["192.0.2.1", "192.0.2.2"],
    "mx.example.com AAAA": ["2001:db8::1"],
    "four.example.com A": ["192.0.2.4"],
    "null.example MX": ["0 ."],
    "alias.example CNAME": ["example.com."],
    "_25._tcp.mx.example.com TLSA": ["3 1 1 " + "ab" * 32],
    "xn--bcher-kva.example MX": ["10 mx.example.com."],
}


@contextlib.asynccontextmanager
async def resolving(zone=ZONE, timeout=5.0, **options):
    server = DNSServer(zone)
    port = reactor.listenUDP(0, server, interface="127.0.0.1")
    resolver = Resolver(reactor, asker([f"127.0.0.1:{port.getHost().port}"], timeout), **options)
    try:
        yield server, resolver
    finally:
        await resolver.close()
        await port.stopListening()


def test_contracts():
    assert verifyObject(IResolver, Resolver(reactor, lambda name, kind: None))
    assert verifyObject(IResolver, FakeResolver())


@pytest_twisted.ensureDeferred
async def test_records():
    async with resolving() as (_, resolver):
        assert set((await resolver.mx("Example.COM")).records) == {MX(10, "mx.example.com"), MX(20, "backup.example.com")}
        assert sorted((await resolver.addresses("mx.example.com.")).records) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
        assert (await resolver.addresses("four.example.com")).records == ("192.0.2.4",)
        assert set((await resolver.txt("example.com")).records) == {b"v=spf1 -all", b"other"}
        assert (await resolver.tlsa("_25._tcp.mx.example.com")).records == (TLSA(3, 1, 1, b"\xab" * 32),)
        assert (await resolver.mx("null.example")).records == (MX(0, ""),)
        assert MX(10, "mx.example.com") in (await resolver.mx("alias.example")).records
        assert (await resolver.mx("bücher.example")).records == (MX(10, "mx.example.com"),)


@pytest_twisted.ensureDeferred
async def test_nothing_and_nobody_are_different():
    async with resolving() as (server, resolver):
        assert (await resolver.mx("mx.example.com")).records == ()
        for name in ("nowhere.example", "a..b", "x" * 64 + ".example", "ü" * 70 + ".example"):
            with pytest.raises(NoSuchDomain):
                await resolver.mx(name)
        server.failing.add("example.com")
        with pytest.raises(Unavailable):
            await resolver.mx("example.com")
    async with resolving(timeout=0.5) as (server, resolver):
        server.silent.add("example.com")
        with pytest.raises(Unavailable, match="no server answers"):
            await resolver.txt("example.com")


@pytest_twisted.ensureDeferred
async def test_what_was_said_is_remembered_and_that_nobody_answered_is_not():
    async with resolving() as (server, resolver):
        for _ in range(2):
            await resolver.mx("example.com")
            await resolver.mx("mx.example.com")
            with pytest.raises(NoSuchDomain):
                await resolver.mx("nowhere.example")
        assert server.asked == ["example.com MX", "mx.example.com MX", "nowhere.example MX"]
        server.failing.add("null.example")
        with pytest.raises(Unavailable):
            await resolver.mx("null.example")
        server.failing.clear()
        assert (await resolver.mx("null.example")).records


@pytest_twisted.ensureDeferred
async def test_an_authentic_answer_says_so():
    async with resolving() as (server, resolver):
        assert not (await resolver.mx("example.com")).isAuthentic
        server.isAuthentic = True
        assert (await resolver.mx("alias.example")).isAuthentic


class Time:
    """A reactor with real threads and a clock that stands."""

    def __init__(self):
        self.now = 0.0

    def seconds(self):
        return self.now

    def __getattr__(self, name):
        return getattr(reactor, name)


@pytest.fixture
def told():
    """A resolver over a function; what it was asked."""
    asked, made = [], []

    def make(answer=lambda name, kind: Found((), True, False, 60.0), **options):
        def ask(name, kind):
            asked.append((name, kind))
            return answer(name, kind)

        clock = Time()
        made.append(Resolver(clock, ask, **options))
        return made[-1], clock, asked

    yield make
    for resolver in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(resolver.close()))


@pytest_twisted.ensureDeferred
async def test_answers_grow_old(told):
    resolver, clock, asked = told()
    for now in (0, 59.9, 60, 61):
        clock.now = now
        await resolver.mx("a")
    assert len(asked) == 2


@pytest_twisted.ensureDeferred
async def test_the_cache_is_bounded_and_forgets_what_was_asked_longest_ago(told):
    resolver, _, asked = told(cached=3)
    for name in "abcadab":
        await resolver.mx(name)
    assert [name for name, _ in asked] == ["a.", "b.", "c.", "d.", "b."]


@pytest_twisted.ensureDeferred
async def test_many_who_ask_at_once_ask_once(told):
    gate = threading.Event()

    def slow(name, kind):
        gate.wait(60)
        return Found((), name != "none.", False, 60.0)

    resolver, _, asked = told(slow)
    waiting = [Deferred.fromCoroutine(resolver.mx("a")) for _ in range(5)]
    refused = [Deferred.fromCoroutine(resolver.mx("none")) for _ in range(2)]
    gate.set()
    assert len(await gatherResults(waiting)) == 5
    for each in refused:
        with pytest.raises(NoSuchDomain):
            await each
    assert sorted(asked) == [("a.", "MX"), ("none.", "MX")]


@pytest_twisted.ensureDeferred
async def test_one_kind_of_address_is_enough(told):
    def half(name, kind):
        if kind == "AAAA" or name == "none.":
            raise Unavailable
        return Found((type("A", (), {"address": "192.0.2.1"}),), True, True, 60.0)

    resolver, _, _ = told(half)
    assert (await resolver.addresses("a")).records == ("192.0.2.1",)
    with pytest.raises(Unavailable):
        await resolver.addresses("none")


@pytest.mark.parametrize("text", ["", "name.example", "127.0.0.1:", "127.0.0.1:x", "1.2.3", "[::1"])
def test_what_is_no_server(text):
    with pytest.raises(ValueError, match="no name server"):
        asker([text])


@pytest.mark.parametrize("text", ["192.0.2.1", "127.0.0.1:5353", "::1", "[::1]:5353", "[2001:db8::1]"])
def test_servers(text):
    assert asker([text])


@pytest_twisted.ensureDeferred
async def test_the_fake_is_like_it():
    fake = FakeResolver({"a": [(10, "b")]}, {"b": ["192.0.2.1"]}, failing={"c"})
    assert (await fake.mx("a")).records == (MX(10, "b"),)
    assert (await fake.addresses("a")).records == ()
    with pytest.raises(NoSuchDomain):
        await fake.mx("d")
    with pytest.raises(Unavailable):
        await fake.mx("c")
