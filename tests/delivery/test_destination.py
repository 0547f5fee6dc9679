"""Which hosts are tried for a domain."""

import random

import pytest

from mailfw.delivery.destination import Destinations, Hop, Security, isLoopback
from mailfw.errors import Unreachable
from mailfw.testing.now import result
from mailfw.testing.resolver import FakeResolver

HOSTS = {f"mx{n}.example": [f"2001:db8::{n}", f"192.0.2.{n}"] for n in range(1, 6)}


def hops(exchangers, hosts=HOSTS, domain="example.com", failing=(), **options):
    resolver = FakeResolver({"example.com": exchangers}, dict(hosts), failing=set(failing))
    return result(Destinations(resolver, "mail.example.org", random=random.Random(1).random, **options).hops(domain))


def names(*arguments, **options):
    return list(dict.fromkeys(hop.host for hop in hops(*arguments, **options)))


def refused(*arguments, **options):
    with pytest.raises(Unreachable) as caught:
        hops(*arguments, **options)
    return caught.value.status, caught.value.isTemporary


def test_by_preference_with_both_kinds_of_address():
    assert hops([(20, "mx2.example"), (10, "MX1.example")], port=2525) == [
        Hop("mx1.example", "2001:db8::1", 2525),
        Hop("mx1.example", "192.0.2.1", 2525),
        Hop("mx2.example", "2001:db8::2", 2525),
        Hop("mx2.example", "192.0.2.2", 2525),
    ]


def test_equals_are_in_random_order_and_never_before_what_is_preferred():
    orders = set()
    chance = random.Random(5)
    resolver = FakeResolver({"example.com": [(10, "mx1.example"), *((20, f"mx{n}.example") for n in (2, 3, 4))]}, HOSTS)
    destinations = Destinations(resolver, "me", random=chance.random)
    for _ in range(100):
        order = tuple(dict.fromkeys(hop.host for hop in result(destinations.hops("example.com"))))
        assert order[0] == "mx1.example"
        orders.add(order)
    assert len(orders) == 6


def test_a_domain_without_exchangers_takes_its_mail_itself():
    assert hops([], {"example.com": ["192.0.2.7"]}) == [Hop("example.com", "192.0.2.7")]


@pytest.mark.parametrize(
    ("exchangers", "options", "expected"),
    [
        ([(0, "")], {}, ("5.1.10", False)),
        ([], {}, ("5.4.4", False)),
        ([(10, "gone.example")], {}, ("5.4.4", False)),
        ([(10, "mx1.example")], {"failing": ["example.com"]}, ("4.4.3", True)),
        ([(10, "mx1.example"), (20, "gone.example")], {"failing": ["mx1.example"]}, ("4.4.3", True)),
        ([(10, "mx1.example"), (20, "mail.example.org")], {"failing": ["mx1.example"]}, ("4.4.3", True)),
        ([(10, "gone.example"), (20, "mail.example.org")], {}, ("5.4.6", False)),
        ([(10, "mx1.example")], {"domain": "nowhere.example"}, ("5.1.2", False)),
        ([(10, "mail.EXAMPLE.org")], {}, ("5.4.6", False)),
        ([(10, "loop.example")], {"hosts": {"loop.example": ["127.0.0.1"]}}, ("5.4.6", False)),
        ([], {"domain": "[127.0.0.1]"}, ("5.4.6", False)),
        ([], {"domain": "[what]"}, ("5.1.2", False)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_nowhere(exchangers, options, expected):
    assert refused(exchangers, **options) == expected


def test_a_null_mx_among_others_means_nothing():
    assert names([(0, ""), (10, "mx1.example")]) == ["mx1.example"]


def test_a_host_without_an_address_is_passed_over():
    assert names([(10, "gone.example"), (20, "mx1.example")]) == ["mx1.example"]
    assert names([(10, "mx2.example"), (20, "mx1.example")], failing=["mx2.example"]) == ["mx1.example"]


def test_we_ourselves_cut_the_list():
    exchangers = [(10, "mx1.example"), (20, "mx2.example"), (20, "mail.example.org"), (30, "mx3.example")]
    assert names(exchangers) == ["mx1.example"]
    ours = {"mx2.example"}
    chosen = [(10, "mx1.example"), (20, "mx2.example"), (30, "mx3.example")]
    assert names(chosen, isOurs=lambda address: any(address in HOSTS[host] for host in ours)) == ["mx1.example"]


@pytest.mark.parametrize(
    ("domain", "address"),
    [("[192.0.2.9]", "192.0.2.9"), ("[IPv6:2001:db8::9]", "2001:db8::9"), ("[ipv6:2001:DB8::9]", "2001:db8::9")],
)
def test_address_literals(domain, address):
    assert hops([], domain=domain) == [Hop(domain, address)]


def test_a_policy_says_what_tls_a_host_needs():
    class Strict:
        async def security(self, domain, host):
            if host == "mx2.example":
                raise Unreachable("not in the policy", isTemporary=True, status="4.7.5")
            return Security.VERIFIED

    found = hops([(10, "mx2.example"), (20, "mx1.example")], policy=Strict())
    assert {(hop.host, hop.security) for hop in found} == {("mx1.example", Security.VERIFIED)}
    assert refused([(10, "mx2.example")], policy=Strict()) == ("4.7.5", True)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "224.0.0.1"])
def test_loopback(address):
    assert isLoopback(address)
    assert not isLoopback("192.0.2.1")


def test_what_is_tried_is_bounded():
    many = {f"h{n}.example": [f"192.0.{n}.{a}" for a in range(50)] for n in range(50)}
    assert len(hops([(n, f"h{n}.example") for n in range(50)], many)) == 40
