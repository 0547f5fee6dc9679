"""How much one sender may send."""

import pytest

from mailfw.delivery.rates import Rates
from mailfw.errors import RateExceeded
from mailfw.smtp.reply import refusal
from mailfw.testing.now import result
from mailfw.values import Address, Envelope, Identity, MessageSource, Peer, Recipient

ME = Envelope(None, identity=Identity("mbrain@localhost"))
NOBODY = Envelope(None)
STRANGER = Peer("192.0.2.1")


class Turnstile:
    def __init__(self, **limits):
        self.time = 0.0
        self.rates = Rates(lambda: self.time, **limits)

    def passes(self, envelope, peer=STRANGER, most=1000):
        """How many recipients are taken, until one is not."""
        for number in range(most):
            try:
                self.rates.take(envelope, peer)
            except RateExceeded:
                return number
        return most


def test_unsaid_there_is_no_limit():
    assert Turnstile().passes(ME) == Turnstile().passes(NOBODY) == 1000


def test_an_account_may_send_to_so_many_and_then_as_many_as_come_back():
    gate = Turnstile(perSender=60)
    assert gate.passes(ME) == 60
    assert gate.passes(ME, Peer("192.0.2.9")) == 0, "wherever it comes from"
    gate.time += 120
    assert gate.passes(ME) == 2
    gate.time += 7200
    assert gate.passes(ME) == 60, "no more than an hour's worth is saved up"
    assert gate.passes(NOBODY) == 1000


@pytest.mark.parametrize(
    ("peer", "same"), [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::2")], ids=["an address", "one /64"]
)
def test_an_address_without_a_login_is_counted(peer, same):
    gate = Turnstile(perAddress=5)
    assert gate.passes(NOBODY, Peer(peer)) == 5
    assert gate.passes(NOBODY, Peer(same)) == 0
    assert gate.passes(NOBODY, Peer("198.51.100.1")) == 5
    assert gate.passes(ME, Peer(peer)) == 1000, "who has logged in is counted by the account"


def test_recipients_of_a_delivery_that_is_begun_anew_are_counted_once(office):
    """As it is at the end of a message, where a hook has refused one of them or wants another envelope."""
    office.router.rates = Rates(office.clock.seconds, perSender=10)
    envelope = Envelope(None, identity=Identity("mbrain@localhost"))

    def begun(count):
        delivery = office.router.begin(envelope, STRANGER)
        for number in range(count):
            result(delivery.recipient(Recipient(Address(f"u{number}", "far.example"))))
        return delivery

    begun(6).abort()
    result(begun(6).commit(MessageSource(b"x\r\n")))
    with pytest.raises(RateExceeded):
        begun(5)


@pytest.mark.parametrize(
    "peer", [Peer("127.0.0.1", isLoopback=True), Peer("/run/x", isLoopback=True, isUnix=True), Peer("")], ids=repr
)
def test_this_machine_is_not_counted(peer):
    assert Turnstile(perAddress=1).passes(NOBODY, peer) == 1000


def test_what_is_remembered_is_bounded():
    gate = Turnstile(perAddress=1, capacity=10)
    for number in range(100):
        gate.passes(NOBODY, Peer(f"192.0.2.{number}"))
    assert len(gate.rates._buckets) == 10


def test_it_is_told_that_later_is_better():
    answer = refusal(RateExceeded())
    assert (answer.code, answer.enhanced) == (450, "4.7.1")


def test_the_router_counts_every_recipient_that_is_asked_for(office):
    office.router.rates = Rates(office.clock.seconds, perSender=2)
    assert len(office.submit("a@far.example", "b@far.example")) == 2
    with pytest.raises(RateExceeded, match="no more than 2 recipients an hour"):
        office.submit("c@far.example")
    office.run(1)
    assert len(office.remote.messages) == 1
    office.clock.advance(1800)
    assert len(office.submit("c@far.example")) == 1
