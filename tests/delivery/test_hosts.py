"""Names that this machine gives."""

import os

import pytest

from mailfw.delivery.hosts import LOCALHOST, HostsFile
from mailfw.delivery.routes import Host
from mailfw.testing.now import result
from mailfw.testing.resolver import FakeResolver

FILE = """
127.0.0.1   localhost
192.0.2.7   relay.example Relay   # the smart host
2001:db8::7 relay
192.0.2.7   relay
nonsense    other
\t
"""


@pytest.fixture
def hosts(tmp_path):
    (tmp_path / "hosts").write_text(FILE)
    return HostsFile(str(tmp_path / "hosts"))


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("relay", ("192.0.2.7", "2001:db8::7")),
        ("RELAY.example.", ("192.0.2.7",)),
        ("localhost", ("127.0.0.1",)),
        ("other", ()),
        ("#", ()),
    ],
)
def test_names_of_the_file(hosts, name, addresses):
    assert hosts.find(name) == addresses


def test_it_is_read_again_when_it_has_changed(hosts, tmp_path):
    assert hosts.find("other") == ()
    (tmp_path / "hosts").write_text("192.0.2.9 other\n")
    os.utime(tmp_path / "hosts", (1, 1))
    assert (hosts.find("other"), hosts.find("relay")) == (("192.0.2.9",), ())


def test_localhost_needs_no_file(tmp_path):
    hosts = HostsFile(str(tmp_path / "missing"))
    assert (hosts.find("localhost"), hosts.find("relay")) == (LOCALHOST, ())


def test_a_configured_host_is_found_here_before_the_dns_is_asked(hosts):
    resolver = FakeResolver()
    assert [hop.address for hop in result(Host.parse("relay:2525", 25).hops(resolver, hosts))] == ["192.0.2.7", "2001:db8::7"]
