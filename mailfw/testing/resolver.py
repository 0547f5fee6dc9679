"""The DNS as a test wants it: `FakeResolver` in memory, and `DNSServer`, which answers on a port (`NameServer` in a thread)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from attrs import define, field
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from mailfw.errors import NoSuchDomain, Unavailable
from mailfw.interfaces import IResolver
from mailfw.values import MX, TLSA, Answer


@implementer(IResolver)
@define(eq=False)
class FakeResolver:
    """What is in the dictionaries is there; a name that is in none is not.

    :ivar exchangers: domain → (preference, host) pairs; an empty host is a null MX.
    :ivar hosts: host → addresses.
    :ivar failing: names that nobody tells anything about now.
    :ivar asked: what was asked, in order.
    """

    exchangers: dict[str, Sequence[tuple[int, str]]] = field(factory=dict)
    hosts: dict[str, Sequence[str]] = field(factory=dict)
    texts: dict[str, Sequence[bytes]] = field(factory=dict)
    certificates: dict[str, Sequence[TLSA]] = field(factory=dict)
    failing: set[str] = field(factory=set)
    isAuthentic: bool = False
    asked: list[str] = field(factory=list)

    async def mx(self, domain: str) -> Answer[MX]:
        self._ask("mx", domain)
        return Answer(tuple(MX(*pair) for pair in self.exchangers.get(domain, ())), self.isAuthentic)

    async def addresses(self, host: str) -> Answer[str]:
        self._ask("addresses", host)
        return Answer(tuple(self.hosts.get(host, ())), self.isAuthentic)

    async def txt(self, name: str) -> Answer[bytes]:
        self._ask("txt", name)
        return Answer(tuple(self.texts.get(name, ())), self.isAuthentic)

    async def tlsa(self, name: str) -> Answer[TLSA]:
        self._ask("tlsa", name)
        return Answer(tuple(self.certificates.get(name, ())), self.isAuthentic)

    def _ask(self, kind: str, name: str) -> None:
        self.asked.append(f"{kind} {name}")
        if name in self.failing:
            raise Unavailable(f"the DNS does not tell of {name}")
        if not any(name in known for known in (self.exchangers, self.hosts, self.texts, self.certificates)):
            raise NoSuchDomain(f"there is no domain {name}")


class DNSServer(DatagramProtocol):
    """A name server on loopback: `port = reactor.listenUDP(0, DNSServer(zone), interface="127.0.0.1")`.

    :param zone: `name type` → records as zone files have them: `{"example.com MX": ["10 mx.example.com."]}`.
    :ivar failing: names that get SERVFAIL. :ivar silent: names that get no answer.
    :ivar asked: `name type` of each question, in order.
    """

    ttl = 60
    negativeTTL = 30

    def __init__(self, zone: Mapping[str, Sequence[str]]) -> None:
        self.zone = {tuple(key.rsplit(" ", 1)): list(records) for key, records in zone.items()}
        self.failing: set[str] = set()
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.isAuthentic = False

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Twisted's."""
        answer = self.answer(datagram)
        if answer is not None and self.transport is not None:
            self.transport.write(answer, addr)

    def answer(self, datagram: bytes) -> bytes | None:
        """The answer to a question; None: it gets none."""
        try:
            query = dns.message.from_wire(datagram)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        return self._answer(query, name, kind).to_wire() if name not in self.silent else None

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        answer = dns.message.make_response(query, recursion_available=True)
        if self.isAuthentic:
            answer.flags |= dns.flags.AD
        asked = query.question[0].name
        alias = self.zone.get((name, "CNAME"))
        if name in self.failing:
            answer.set_rcode(dns.rcode.SERVFAIL)
            return answer
        if alias:
            answer.answer.append(dns.rrset.from_text(asked, self.ttl, dns.rdataclass.IN, "CNAME", *alias))
            asked = dns.name.from_text(alias[0])
            name = asked.to_text(omit_final_dot=True)
        if (name, kind) in self.zone:
            records = self.zone[name, kind]
            answer.answer.append(dns.rrset.from_text(asked, self.ttl, dns.rdataclass.IN, kind, *records))
            return answer
        if all(known != name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        start = f"ns.example. admin.example. 1 1 1 1 {self.negativeTTL}"
        answer.authority.append(dns.rrset.from_text(".", self.negativeTTL, dns.rdataclass.IN, "SOA", start))
        return answer


class NameServer(threading.Thread):
    """A `DNSServer` on a port of 127.0.0.1, in a thread: for tests that wait for other processes instead of running a reactor.

    with NameServer(zone) as names:
        configuration = f'[dns]\nservers = ["{names.address}"]'
    """

    def __init__(self, zone: Mapping[str, Sequence[str]]) -> None:
        super().__init__(name="name server")
        self.server = DNSServer(zone)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        """As `[dns] servers` takes it."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def run(self) -> None:
        """Answer until an empty datagram comes."""
        while True:
            datagram, whence = self._socket.recvfrom(4096)
            if not datagram:
                return
            answer = self.server.answer(datagram)
            if answer is not None:
                self._socket.sendto(answer, whence)

    def __enter__(self) -> NameServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"", self._socket.getsockname())
        self.join()
        self._socket.close()
