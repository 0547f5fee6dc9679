"""The DNS: dnspython in threads, under a cache of ours.

What there is, and that there is nothing, is remembered for as long as its zone says, within bounds; that nobody answered is not.
A name that many ask for at once is asked for once.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Any, TypeVar

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import idna
from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from mailfw.errors import NoSuchDomain, Unavailable
from mailfw.interfaces import IClosable, IResolver
from mailfw.values import MX, TLSA, Answer

TIMEOUT = 10.0
"""Seconds that one question may take, all servers together."""

CACHED = 10_000
"""Answers that are remembered."""

THREADS = 16
SHORTEST, LONGEST, LONGEST_NEGATIVE = 5.0, 86400.0, 900.0
"""Seconds within which an answer is remembered whatever its zone says: all, all, those that there is nothing."""

R = TypeVar("R")


@frozen
class Found:
    """What a server answered. :ivar records: as dnspython has them. :ivar exists: the name is there. :ivar seconds: how long that
    is good."""

    records: tuple[Any, ...]  # rdata, whose attributes depend on its type
    exists: bool
    isAuthentic: bool
    seconds: float


Ask = Callable[[str, str], Found]
"""Asks for a name (A-labels) and a type; blocks. Raises Unavailable."""


def asker(servers: Sequence[str] = (), timeout: float = TIMEOUT) -> Ask:
    """Asks these servers, `192.0.2.1` or `127.0.0.1:5353` or `[::1]:53`; the system's where none is named.

    :raises ValueError: one of them is no address.
    """
    resolver = dns.resolver.Resolver(configure=False)
    if servers:
        resolver.nameservers = [_server(text) for text in servers]
    else:
        try:
            resolver.read_resolv_conf("/etc/resolv.conf")
        except dns.exception.DNSException:
            resolver.nameservers = ["127.0.0.1"]
    resolver.use_edns(0, dns.flags.DO, 1232)
    resolver.flags = dns.flags.RD | dns.flags.AD
    resolver.timeout = min(resolver.timeout, timeout)

    def ask(name: str, kind: str) -> Found:
        try:
            answer = resolver.resolve(dns.name.from_text(name), kind, raise_on_no_answer=False, lifetime=timeout, search=False)
        except dns.resolver.NXDOMAIN as error:
            seconds = min((_negative(response) for response in error.responses().values()), default=0.0)  # type: ignore[no-untyped-call]
            return Found((), False, False, seconds)
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.BadEscape):
            return Found((), False, False, LONGEST_NEGATIVE)
        except (dns.exception.DNSException, OSError) as error:
            raise Unavailable(f"the DNS does not tell the {kind} of {name}: {_short(error)}") from error
        isAuthentic = bool(answer.response.flags & dns.flags.AD)
        if answer.rrset is None:
            return Found((), True, isAuthentic, _negative(answer.response))
        seconds = float(answer.chaining_result.minimum_ttl)
        return Found(tuple(answer.rrset), True, isAuthentic, min(max(seconds, SHORTEST), LONGEST))

    return ask


_SERVER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")


def _server(text: str) -> dns.nameserver.Nameserver:
    match = _SERVER.fullmatch(text)
    host, port = (match[1] or match[2], match[3] or "53") if match else (text, "53")
    try:
        return dns.nameserver.Do53Nameserver(str(ip_address(host)), int(port))
    except ValueError:
        raise ValueError(f'"{text}" is no name server: write "192.0.2.1" or "127.0.0.1:5353"') from None


def _negative(response: dns.message.QueryMessage) -> float:
    """How long it is good that there is nothing (RFC 2308 §5)."""
    try:
        seconds = float(response.resolve_chaining().minimum_ttl)
    except dns.exception.DNSException:
        seconds = 0.0
    return min(max(seconds, SHORTEST), LONGEST_NEGATIVE)


def _short(error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return "no server answers"
    if isinstance(error, dns.resolver.NoNameservers):
        return "the servers fail"
    return type(error).__name__


@implementer(IResolver, IClosable)
class Resolver:
    """:param reactor: gives threads and the time by which the cache grows old.
    :param ask: what is asked in threads.
    """

    def __init__(self, reactor: Any, ask: Ask | None = None, cached: int = CACHED) -> None:
        self._reactor = reactor
        self._ask = ask or asker()
        self._cached = cached
        self._cache: OrderedDict[tuple[str, str], tuple[float, Found]] = OrderedDict()
        self._asking: dict[tuple[str, str], list[Deferred[Found]]] = {}
        self._pool: ThreadPool | None = None

    async def close(self) -> None:
        """Wait for the questions under way, and end the threads."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await deferToThread(pool.stop)

    async def mx(self, domain: str) -> Answer[MX]:
        found = await self._find(domain, "MX")
        return _answer(found, lambda record: MX(record.preference, _nameOf(record.exchange)))

    async def txt(self, name: str) -> Answer[bytes]:
        return _answer(await self._find(name, "TXT"), lambda record: b"".join(record.strings))

    async def tlsa(self, name: str) -> Answer[TLSA]:
        found = await self._find(name, "TLSA")
        return _answer(found, lambda record: TLSA(record.usage, record.selector, record.mtype, record.cert))

    async def addresses(self, host: str) -> Answer[str]:
        both: list[tuple[bool, Any]] = await DeferredList(  # a result, or a Failure
            [Deferred.fromCoroutine(self._find(host, kind)) for kind in ("AAAA", "A")], consumeErrors=True
        )
        found = [result for isFound, result in both if isFound]
        records = tuple(str(record.address) for each in found for record in each.records)
        if not records:
            for isFound, failure in both:
                if not isFound:
                    failure.raiseException()
        return Answer(records, all(each.isAuthentic for each in found))

    async def _find(self, name: str, kind: str) -> Found:
        """:raises NoSuchDomain: :raises Unavailable:"""
        key = (_ascii(name), kind)
        found = self._remembered(key)
        if found is None:
            found = await self._learn(key)
        if not found.exists:
            raise NoSuchDomain(f"there is no domain {name}")
        return found

    def _remembered(self, key: tuple[str, str]) -> Found | None:
        until, found = self._cache.get(key, (0.0, None))
        if found is None or until <= self._reactor.seconds():
            return None
        self._cache.move_to_end(key)
        return found

    def _learn(self, key: tuple[str, str]) -> Awaitable[Found]:
        waiting: Deferred[Found] = Deferred()
        if key in self._asking:
            self._asking[key].append(waiting)
            return waiting
        self._asking[key] = [waiting]
        deferToThreadPool(self._reactor, self._threads(), self._ask, *key).addBoth(self._learned, key)
        return waiting

    def _learned(self, found: Any, key: tuple[str, str]) -> None:  # a Found, or a Failure
        if isinstance(found, Found):
            self._cache[key] = (self._reactor.seconds() + found.seconds, found)
            self._cache.move_to_end(key)
            while len(self._cache) > self._cached:
                self._cache.popitem(last=False)
        for waiting in self._asking.pop(key):
            waiting.callback(found)

    def _threads(self) -> ThreadPool:
        if self._pool is None:
            self._pool = ThreadPool(0, THREADS, "dns")
            self._pool.start()
        return self._pool


def _answer(found: Found, read: Callable[[Any], R]) -> Answer[R]:  # rdata of the type that was asked for
    return Answer(tuple(read(record) for record in found.records), found.isAuthentic)


def _nameOf(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _ascii(name: str) -> str:
    """A name in A-labels and lower case. :raises NoSuchDomain: there can be no such name."""
    if name.isascii():
        return name.lower().rstrip(".") + "."
    try:
        return idna.encode(name.rstrip("."), uts46=True).decode("ascii").lower() + "."
    except (idna.IDNAError, UnicodeError):
        raise NoSuchDomain(f"there is no domain {name}") from None
