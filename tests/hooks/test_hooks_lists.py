"""The two hooks that everybody asks for: DNS lists and greylisting."""

import sqlite3

import pytest
from attrs import define
from twisted.internet.task import Clock
from zope.interface import implementer

from mailfw.hooks.dnsbl import DNSBLOptions, dnsbl, reversed_
from mailfw.hooks.greylist import GreylistOptions, greylist, networkOf
from mailfw.interfaces import IOptionsContext
from mailfw.stages import Event, Reject, Stage, TempFail
from mailfw.testing.now import result
from mailfw.testing.resolver import FakeResolver


@implementer(IOptionsContext)
@define
class Context:
    options: object
    data: str = ""
    resolver: object = None
    reactor: object = None
    isInline: bool = True

    def now(self):
        return 1e9 + self.reactor.seconds()


# --- Lists in the DNS --------------------------------------------------------------------------------------------------


@pytest.fixture
def lists():
    return FakeResolver(
        hosts={
            "7.2.0.192.bl.example": ["127.0.0.2"],
            "8.2.0.192.second.example": ["127.0.0.4", "127.0.0.10"],
            "9.2.0.192.bl.example": ["127.255.255.254"],
            "10.2.0.192.bl.example": ["192.0.2.10"],
            f"{reversed_('2001:db8::7')}.bl.example": ["127.0.0.2"],
        },
        texts={"7.2.0.192.bl.example": [b"see https://bl.example/7"]},
    )


def listed(lists, call, host, account="", allow=(), recipient="jsmith@localhost"):
    hook = dnsbl.openHook("bl.example, second.example", Context(DNSBLOptions(allow=allow), resolver=lists))
    return result(call(hook, host, account).recipient(recipient))


def test_names():
    assert reversed_("192.0.2.7") == "7.2.0.192"
    assert reversed_("2001:db8::1").startswith("1.0.0.0.") and len(reversed_("::1")) == 63


def test_who_is_listed_is_refused_in_the_lists_words(lists, call):
    assert listed(lists, call, "192.0.2.7") == Reject(554, "5.7.1", "[192.0.2.7] is listed by bl.example: see https://bl.example/7")
    assert listed(lists, call, "192.0.2.8") == Reject(554, "5.7.1", "[192.0.2.8] is listed by second.example")
    assert isinstance(listed(lists, call, "2001:db8::7"), Reject)
    assert listed(lists, call, "192.0.2.6") is None


def test_errors_and_outages_list_nobody(lists, call):
    assert listed(lists, call, "192.0.2.9") is None
    assert listed(lists, call, "192.0.2.10") is None
    lists.failing.add("8.2.0.192.bl.example")
    assert isinstance(listed(lists, call, "192.0.2.8"), Reject)


def test_who_is_not_looked_up(lists, call):
    for host, account, allow in (
        ("192.0.2.7", "mbrain@localhost", ()), ("192.0.2.7", "", ("192.0.2.0/24",)), ("fe80::1", "", ()), ("", "", ()),
    ):  # fmt: skip
        assert listed(lists, call, host, account, allow) is None
    assert lists.asked == []
    assert listed(lists, call, "192.0.2.7", recipient="Postmaster@localhost") is None


def test_a_connection_is_looked_up_once(lists, call):
    caller = call(dnsbl.openHook("bl.example", Context(DNSBLOptions(), resolver=lists)), "192.0.2.6")
    result(caller.recipient())
    result(caller.recipient())
    assert len(lists.asked) == 1


@pytest.mark.parametrize("argument", ["", "bl", "bl.example,", "bl example"])
def test_what_is_no_list(argument):
    with pytest.raises(ValueError):
        dnsbl.openHook(argument, Context(DNSBLOptions()))


# --- Greylisting -------------------------------------------------------------------------------------------------------


class Grey:
    """A greylist on a clock; `ask` says for how long."""

    def __init__(self, path, call, **options):
        self.path, self.call, self.options = path, call, options
        self.clock = Clock()
        self.open()

    def open(self):
        self.hook = greylist.openHook("", Context(GreylistOptions(**self.options), str(self.path), reactor=self.clock))

    def reopen(self):
        self.close()
        self.open()

    def close(self):
        result(self.hook.close())

    def ask(self, host="192.0.2.7", recipient="jsmith@localhost", sender="a@example.org", account=""):
        said = result(self.call(self.hook, host, account).recipient(recipient, sender))
        assert said is None or isinstance(said, TempFail)
        return 0 if said is None else int(said.text.split()[-2])


@pytest.fixture
def grey(tmp_path, call):
    made = []

    def make(**options):
        made.append(Grey(tmp_path, call, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_networks():
    assert networkOf("192.0.2.7") == "192.0.2.0/24"
    assert networkOf("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"


def test_who_comes_again_in_time_is_known(grey):
    test = grey()
    assert test.ask() == 301
    test.clock.advance(100)
    assert test.ask() == 201
    test.clock.advance(200)
    assert test.ask("192.0.2.200") == 0
    assert test.ask("192.0.3.7") == 301
    assert test.ask(sender="b@example.org") == 301 and test.ask(recipient="mbrain@localhost") == 301
    assert test.ask(sender="") == 301
    test.clock.advance(35 * 86400)
    assert test.ask() == 0
    test.clock.advance(37 * 86400)
    assert test.ask() == 301


def test_who_comes_again_too_late_is_a_stranger(grey):
    test = grey(window=3600.0)
    assert test.ask() == 301
    test.clock.advance(3601)
    assert test.ask() == 301
    test.clock.advance(300)
    assert test.ask() == 0


def test_ipv6_counts_by_64(grey):
    test = grey()
    assert test.ask("2001:db8::1") == 301
    test.clock.advance(300)
    assert test.ask("2001:db8::ffff") == 0
    assert test.ask("2001:db8:0:1::1") == 301


def test_a_restart_forgets_nothing(grey):
    test = grey()
    assert test.ask() == 301
    test.clock.advance(300)
    test.reopen()
    assert test.ask() == 0
    test.reopen()
    assert test.ask() == 0


def test_a_network_that_has_shown_itself_is_not_asked_any_more(grey):
    test = grey(networks=3)
    for sender in "abc":
        assert test.ask(sender=f"{sender}@example.org") == 301
    test.clock.advance(300)
    for sender in "abc":
        assert test.ask(sender=f"{sender}@example.org") == 0
    assert test.ask(sender="new@example.org") == 0
    assert test.ask("192.0.3.1", sender="new@example.org") == 301


def test_who_is_never_put_off(grey):
    test = grey(allow=("198.51.100.0/24",))
    assert test.ask(account="mbrain@localhost") == 0
    assert test.ask("198.51.100.9") == 0
    assert test.ask("") == 0


def test_what_is_old_is_swept(grey, tmp_path, monkeypatch):
    from mailfw.hooks import greylist as room

    monkeypatch.setattr(room, "SWEEP", 10)
    test = grey(window=600.0)
    for number in range(9):
        test.ask(sender=f"{number}@example.org")
    test.clock.advance(700)
    test.ask(sender="last@example.org")
    with sqlite3.connect(tmp_path / "greylist.sqlite") as file:
        assert file.execute("SELECT sender FROM triple").fetchall() == [("last@example.org",)]
    file.close()
    assert result(test.hook(Event(Stage.RCPT_TO))) is None
