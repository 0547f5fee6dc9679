"""One message over hops, connections and transactions; routes that lead there."""

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from mailfw.delivery.carrier import Carrier
from mailfw.delivery.destination import Destinations, Hop, Security
from mailfw.delivery.routes import DiscardRoute, Host, HostRoute, MXRoute, Routes, discard, lmtp, mx, smarthost, smtp
from mailfw.delivery.sessions import IDLE_SECONDS, PLAINLY, Calling, Login
from mailfw.errors import Unreachable
from mailfw.interfaces import IDelivery, IRoute, IRoutePlugin
from mailfw.testing.network import Network
from mailfw.testing.now import result
from mailfw.testing.remote import CLOSE, FEATURES, Remote
from mailfw.testing.resolver import FakeResolver
from mailfw.values import Address, Envelope, Fate, MessageSource, Recipient

SENDER = Address("me", "example.org")
HOPS = (Hop("mx1.far", "192.0.2.1"), Hop("mx2.far", "192.0.2.2"))


class Scene:
    def __init__(self, *remotes, hops=HOPS, calling=PLAINLY):
        self.remotes = remotes
        self.network = Network({hop.address: remote for hop, remote in zip(hops, remotes, strict=False) if remote})
        self.sessions = self.network.sessions()
        self.hops = hops
        self.calling = calling

    async def _hops(self):
        return self.hops

    def deliver(self, *addresses, route=None, content=b"Subject: x\r\n\r\nhello\r\n", **envelope):
        envelope.setdefault("sender", SENDER)
        sent = Envelope(**envelope)
        carrier = route.begin(sent) if route else Carrier(sent, self._hops, self.sessions, self.calling)
        for address in addresses or ("a@far.example",):
            result(carrier.recipient(Recipient(Address.parse(address))))
        found = []
        Deferred.fromCoroutine(carrier.commit(MessageSource(content))).addBoth(found.append)
        self.network.run(3000, 100, until=lambda: found)
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]

    def fates(self, *addresses, **options):
        return [outcome.fate for outcome in self.deliver(*addresses, **options)]

    def end(self):
        waiting = Deferred.fromCoroutine(self.sessions.close())
        self.network.run()
        assert waiting.called
        assert not self.network.clock.getDelayedCalls()


def refusing(word, said):
    return Remote(answer=lambda line: said if word in line else None)


def test_the_first_hop_that_listens_gets_it():
    scene = Scene(Remote(), Remote())
    assert scene.fates("a@far.example", "b@far.example") == [Fate.DELIVERED] * 2
    assert scene.remotes[0].messages[0].recipients == ["a@far.example", "b@far.example"]
    assert scene.remotes[1].said == []
    scene.end()


@pytest.mark.parametrize(
    "bad",
    [
        None,
        refusing("CONNECT", "421 4.3.2 busy"),
        refusing("CONNECT", "554 no"),
        refusing("EHLO", CLOSE),
        refusing("MAIL", CLOSE),
    ],
    ids=["refused", "busy", "554", "closes", "closes at MAIL"],
)
def test_the_next_hop_is_tried_when_nothing_was_said_of_the_message(bad):
    scene = Scene(bad, Remote())
    (outcome,) = scene.deliver()
    assert (outcome.fate, outcome.host) == (Fate.DELIVERED, "mx2.far")
    scene.end()


@pytest.mark.parametrize("word", ["RCPT TO:<a@", "RCPT TO:<b@", "DATA"])
@pytest.mark.parametrize("features", [("PIPELINING",), ("SIZE",)], ids=["pipelined", "one by one"])
def test_the_next_hop_is_tried_when_one_goes_before_it_has_the_message(features, word):
    says = {word: CLOSE}
    bad = Remote(features, answer=lambda line: next((said for each, said in says.items() if line.startswith(each)), None))
    scene = Scene(bad, Remote())
    outcomes = scene.deliver("a@far.example", "b@far.example")
    assert [(outcome.fate, outcome.host) for outcome in outcomes] == [(Fate.DELIVERED, "mx2.far")] * 2
    scene.end()
    says = {"RCPT TO:<a@": "550 5.1.1 never", "RCPT TO:<b@": CLOSE}
    scene = Scene(bad, Remote())
    outcomes = scene.deliver("a@far.example", "b@far.example")
    assert [(outcome.fate, outcome.host) for outcome in outcomes] == [(Fate.FAILED, "mx1.far"), (Fate.DELIVERED, "mx2.far")]
    scene.end()


@pytest.mark.parametrize(("said", "fate"), [("451 4.7.1 later", Fate.DEFERRED), ("550 5.7.1 no", Fate.FAILED)])
def test_what_a_hop_says_of_a_message_counts(said, fate):
    scene = Scene(refusing("RCPT", said), Remote())
    assert scene.fates() == [fate]
    assert scene.remotes[1].said == []
    scene.end()


def test_when_nobody_listens_it_is_unreachable_for_the_moment():
    for remotes in [(None, None), (refusing("CONNECT", "554 no"), None)]:
        scene = Scene(*remotes)
        with pytest.raises(Unreachable) as caught:
            scene.deliver()
        assert caught.value.isTemporary
        assert caught.value.status.startswith("4.")
        scene.end()
    scene = Scene(refusing("CONNECT", "554 5.7.1 no"), refusing("CONNECT", "521 5.3.2 no mail here"))
    with pytest.raises(Unreachable) as caught:
        scene.deliver()
    assert not caught.value.isTemporary
    scene.end()


def test_a_message_lost_on_its_way_is_not_given_to_another_hop():
    scene = Scene(Remote(answer=lambda line: CLOSE if line == "." else None), Remote())
    assert scene.fates() == [Fate.DEFERRED]
    assert scene.remotes[1].said == []
    scene.end()


def test_connections_are_used_again_and_left_when_nobody_needs_them():
    scene = Scene(Remote())
    for _ in range(3):
        assert scene.fates() == [Fate.DELIVERED]
    assert len(scene.remotes[0].said) == 1
    scene.network.run(IDLE_SECONDS)
    assert scene.remotes[0].lines[-1] == "QUIT"
    assert scene.fates() == [Fate.DELIVERED]
    assert len(scene.remotes[0].said) == 2
    scene.end()


def test_a_kept_connection_that_the_server_closed_says_nothing_of_the_server():
    scene = Scene(Remote())
    scene.fates()
    scene.remotes[0].answer = lambda line: CLOSE if line.startswith("MAIL") and len(scene.remotes[0].said) == 1 else None
    assert scene.fates() == [Fate.DELIVERED]
    assert len(scene.remotes[0].said) == 2
    scene.end()


def test_limits_divide_recipients():
    scene = Scene(Remote(("PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2")))
    assert scene.fates(*(f"u{n}@far.example" for n in range(5))) == [Fate.DELIVERED] * 5
    assert [len(message.recipients) for message in scene.remotes[0].messages] == [2, 2, 1]
    assert len(scene.remotes[0].said) == 2
    scene.end()


def test_a_limit_on_domains_is_for_all_of_a_connection():
    scene = Scene(Remote(("PIPELINING", "LIMITS RCPTDOMAINMAX=2")))
    assert scene.fates("a@x.example", "b@y.example", "c@z.example", "d@x.example") == [Fate.DELIVERED] * 4
    assert scene.fates("e@x.example") == [Fate.DELIVERED]
    assert scene.fates("f@y.example") == [Fate.DELIVERED]
    domains = [{line.partition("@")[2] for line in said if line.startswith("RCPT")} for said in scene.remotes[0].said]
    assert all(len(each) <= 2 for each in domains)
    assert len(domains) == 3
    scene.end()


def test_recipients_that_were_too_many_go_in_another_transaction():
    remote = Remote(("PIPELINING",))
    count = {"n": 0}

    def answer(line):
        if line.startswith("MAIL"):
            count["n"] = 0
        if line.startswith("RCPT"):
            count["n"] += 1
            return "452 4.5.3 too many" if count["n"] > 2 else None
        return None

    remote.answer = answer
    scene = Scene(remote)
    assert scene.fates(*(f"u{n}@far.example" for n in range(5))) == [Fate.DELIVERED] * 5
    assert [len(message.recipients) for message in remote.messages] == [2, 2, 1]
    scene.end()


def test_a_server_that_takes_nobody_is_not_asked_for_ever():
    scene = Scene(refusing("RCPT", "452 4.5.3 too many"))
    assert scene.fates("a@far.example", "b@far.example") == [Fate.DEFERRED] * 2
    scene.end()


# --- TLS -------------------------------------------------------------------------------------------------------------

SECURE = (*FEATURES, "STARTTLS", "REQUIRETLS")


def secured(security):
    return (Hop("mx1.far", "192.0.2.1", security=security),)


def test_tls_is_used_where_it_is_offered():
    scene = Scene(Remote(SECURE))
    assert scene.fates() == [Fate.DELIVERED]
    assert scene.remotes[0].messages[0].isTLS
    scene.end()


def test_tls_that_fails_is_left_out_where_it_was_only_an_opportunity():
    scene = Scene(Remote(SECURE))
    scene.network.link["192.0.2.1"] = {"failsTLS": True}
    assert scene.fates() == [Fate.DELIVERED]
    assert not scene.remotes[0].messages[0].isTLS
    assert len(scene.remotes[0].said) == 2
    scene.end()


def test_tls_that_ends_right_after_its_handshake_is_left_out_too():
    remote = Remote(SECURE)
    remote.answer = lambda line: CLOSE if line.startswith("EHLO") and remote.lines[-2:-1] == ["STARTTLS"] else None
    scene = Scene(remote)
    assert scene.fates() == [Fate.DELIVERED]
    assert not scene.remotes[0].messages[0].isTLS
    scene.end()
    scene = Scene(remote, hops=secured(Security.ENCRYPTED))
    with pytest.raises(Unreachable) as caught:
        scene.deliver()
    assert caught.value.status == "4.7.5"
    scene.end()


@pytest.mark.parametrize("security", [Security.ENCRYPTED, Security.VERIFIED])
@pytest.mark.parametrize("features", [SECURE, FEATURES], ids=["fails", "not offered"])
def test_required_tls_is_not_left_out(security, features):
    scene = Scene(Remote(features), hops=secured(security))
    scene.network.link["192.0.2.1"] = {"failsTLS": True}
    with pytest.raises(Unreachable) as caught:
        scene.deliver()
    assert caught.value.status in ("4.7.4", "4.7.5")
    assert not any("MAIL" in line for line in scene.remotes[0].lines)
    scene.end()


@pytest.mark.parametrize(("features", "fate"), [(SECURE, Fate.DELIVERED), (SECURE[:-1], Fate.FAILED)])
def test_requiretls_goes_only_where_it_is_promised_on(features, fate):
    scene = Scene(Remote(features))
    (outcome,) = scene.deliver(requiresTLS=True)
    assert outcome.fate is fate
    assert scene.network.calls[0].address == "192.0.2.1"
    if fate is Fate.DELIVERED:
        assert "REQUIRETLS" in scene.remotes[0].messages[0].mail
    else:
        assert outcome.status == "5.7.30"
    scene.end()


def test_a_host_that_can_is_looked_for_among_all():
    scene = Scene(Remote(SECURE[:-1]), Remote(SECURE))
    (outcome,) = scene.deliver(requiresTLS=True)
    assert (outcome.fate, outcome.host) == (Fate.DELIVERED, "mx2.far")
    assert not any("MAIL" in line for line in scene.remotes[0].lines)
    scene.end()


# --- Downgrades ------------------------------------------------------------------------------------------------------

EIGHT = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngrüße\r\n".encode()


def test_eight_bits_are_encoded_for_those_who_know_seven():
    scene = Scene(Remote(("PIPELINING",)))
    assert scene.fates(content=EIGHT, is8Bit=True) == [Fate.DELIVERED]
    (received,) = scene.remotes[0].messages
    assert b"gr=C3=BC=C3=9Fe" in received.content
    assert "BODY" not in received.mail
    scene.end()


@pytest.mark.parametrize("content", ["Subject: ü\r\n\r\nx\r\n".encode(), b"\xff"])
def test_what_cannot_be_encoded_fails(content):
    scene = Scene(Remote(()))
    (outcome,) = scene.deliver(content=content, is8Bit=True)
    assert (outcome.fate, outcome.status) == (Fate.FAILED, "5.6.3")
    scene.end()


@pytest.mark.parametrize(
    ("address", "content", "fate"),
    [
        ("a@bücher.example", b"Subject: x\r\n\r\n", Fate.DELIVERED),
        ("ü@far.example", b"Subject: x\r\n\r\n", Fate.FAILED),
        ("a@far.example", "Subject: ü\r\n\r\n".encode(), Fate.FAILED),
        ("a@far.example", b"x", Fate.DELIVERED),
    ],
)
def test_smtputf8_is_left_out_where_nothing_needs_it(address, content, fate):
    scene = Scene(Remote(("8BITMIME",)))
    (outcome,) = scene.deliver(address, content=content, isSMTPUTF8=True)
    assert outcome.fate is fate
    if fate is Fate.DELIVERED:
        assert scene.remotes[0].messages[0].recipients[0].isascii()
    else:
        assert outcome.status == "5.6.7"
    scene.end()


# --- Routes ----------------------------------------------------------------------------------------------------------


def test_by_the_dns():
    scene = Scene(Remote())
    resolver = FakeResolver({"far.example": [(10, "mx.far.example")]}, {"mx.far.example": ["192.0.2.1"]})
    route = MXRoute(Destinations(resolver, "me"), scene.sessions)
    assert scene.fates(route=route) == [Fate.DELIVERED]
    with pytest.raises(Unreachable) as caught:
        scene.deliver("a@nowhere.example", route=route)
    assert not caught.value.isTemporary
    assert route.destination("far.example") == "far.example"
    scene.end()


def test_by_one_host():
    resolver = FakeResolver(hosts={"relay.example": ["192.0.2.1"]})
    scene = Scene(Remote(isLMTP=True))
    route = HostRoute(Host.parse("relay.example:2424", 24), resolver, scene.sessions, Calling(isLMTP=True))
    assert scene.fates("a@x.example", "b@y.example", route=route) == [Fate.DELIVERED] * 2
    assert scene.network.calls[0].port == 2424
    assert route.destination("x.example") == route.destination("y.example") == "lmtp:relay.example:2424"
    resolver.hosts.clear()
    with pytest.raises(Unreachable) as caught:
        scene.deliver(route=route)
    assert caught.value.isTemporary, "whoever configured it will put it right"
    scene.end()


def test_a_smart_host_gets_the_password_only_under_verified_tls():
    features = ("STARTTLS", "AUTH PLAIN")
    scene = Scene(Remote(features))
    host, calling = smarthost("smtp://me:pass%40word@192.0.2.1")
    route = HostRoute(host, FakeResolver(), scene.sessions, calling)
    assert scene.fates(route=route) == [Fate.DELIVERED]
    assert scene.network.calls[0].port == 587
    assert scene.network.calls[0].security is Security.VERIFIED
    assert any(line.startswith("AUTH PLAIN") for line in scene.remotes[0].lines)
    assert scene.remotes[0].messages[0].isTLS
    scene.end()
    scene = Scene(Remote(("AUTH PLAIN",)))
    with pytest.raises(Unreachable):
        host, calling = smarthost("smtp://me@192.0.2.1", "secret")
        scene.deliver(route=HostRoute(host, FakeResolver(), scene.sessions, calling))
    assert not any("AUTH" in line for line in scene.remotes[0].lines)
    scene.end()


def test_a_password_is_never_shown():
    assert "secret" not in repr(Login("me", "secret"))
    with pytest.raises(ValueError) as caught:
        smarthost("http://me:secret@host")
    assert "secret" not in str(caught.value)


def test_discarding():
    assert Scene().fates("a@x.example", "b@y.example", route=DiscardRoute()) == [Fate.DELIVERED] * 2


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("relay.example", Host("relay.example", 25)),
        ("relay.example:2525", Host("relay.example", 2525)),
        ("[2001:db8::1]:26", Host("2001:db8::1", 26)),
        ("unix:/run/lmtp", Host("/run/lmtp", 0, Security.NONE)),
    ],
)
def test_hosts(text, host):
    assert Host.parse(text, 25) == host


@pytest.mark.parametrize("text", ["", ":25", "a:b", "host:0", "host:99999", "2001:db8::1", "unix:relative", "a b"])
def test_what_is_no_host(text):
    with pytest.raises(ValueError, match="is no host"):
        Host.parse(text, 25)


def test_the_table_of_routes():
    one, two, three, other = (HostRoute(Host(name, 25), None, None) for name in ("one", "two", "three", "other"))
    routes = Routes(other, {"Lists.example.org": one, ".example.org": two, ".b.example.org": three})
    found = {
        d: routes.find(d) for d in ("lists.example.org", "x.example.org", "a.b.example.org", "example.org", "x.lists.example.org")
    }
    assert list(found.values()) == [one, two, three, other, two]
    ours = Routes(other, {".net": one}, DiscardRoute(), lambda domain: domain in ("example.net", "example.com"))
    assert ours.destination("example.net") == ours.destination("example.com") == "discard:", "what is ours stays here"
    assert ours.isDefault("example.org")
    assert not ours.isDefault("other.net")
    assert not ours.isDefault("example.com")


def test_the_table_of_routes_knows_both_spellings_of_a_domain():
    one, other = (HostRoute(Host(name, 25), None, None) for name in ("one", "other"))
    for written in ("b\u00fccher.example", "xn--bcher-kva.example"):
        routes = Routes(other, {written: one})
        assert routes.find("b\u00fccher.example") is routes.find("xn--bcher-kva.example") is one


@pytest.mark.parametrize("plugin", [mx, smtp, lmtp, discard], ids=lambda plugin: plugin.prefix)
def test_contracts(plugin):
    class Context:
        reactor = data = None
        hostname = "mail.example.org"
        resolver = FakeResolver()
        now = staticmethod(lambda: 0.0)
        port, timeout, isOurs = 25, 300.0, staticmethod(lambda address: False)

    assert verifyObject(IRoutePlugin, plugin)
    route = plugin.openRoute("relay.example" if plugin in (smtp, lmtp) else "", Context())
    assert verifyObject(IRoute, route)
    assert verifyObject(IDelivery, route.begin(Envelope(SENDER)))
    with pytest.raises(ValueError):
        plugin.openRoute("a b", Context())
