"""What the queue gives to a worker in another process comes out of JSON as it went in."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mailfw.delivery.queue import Entry, Filter, QueuedMessage, Settlement, State
from mailfw.delivery.queue.wire import pack, packEntries, packSettlements, unpack, unpackEntries, unpackSettlements
from mailfw.values import Address, DeliverBy, Envelope, Identity, Recipient, Target

words = st.text(max_size=8)
times = st.floats(0, 1e10)
addresses = st.builds(Address, words, words)
envelopes = st.builds(
    Envelope,
    st.none() | addresses,
    identity=st.none() | st.builds(Identity, words),
    isSMTPUTF8=st.booleans(),
    envelopeId=words,
    priority=st.integers(-9, 9),
    deliverBy=st.none() | st.builds(DeliverBy, times, st.booleans(), st.booleans()),
    releaseAt=times,
)
recipients = st.builds(Recipient, addresses, st.frozensets(st.sampled_from(("never", "success", "failure", "delay"))), words)
targets = st.builds(Target, words, words, st.frozensets(words, max_size=2), words)
messages = st.builds(QueuedMessage, st.integers(1, 3), envelopes, times, st.integers(0), st.integers(1))


@st.composite
def entries(draw):
    known = {message.id: message for message in draw(st.lists(messages, min_size=1, max_size=3))}
    message = st.sampled_from(list(known.values()))
    target, due = st.none() | targets, st.none() | times
    entry = st.builds(Entry, st.integers(1), message, recipients, words, due, target, words, st.integers(0))
    return draw(st.lists(entry, max_size=5))


@given(entries())
def test_entries_cross(found):
    assert unpackEntries(json.loads(json.dumps(packEntries(found)))) == found


@given(entries(), st.none() | times, st.booleans(), words)
def test_settlements_cross(found, due, isFailure, reply):
    settled = [Settlement(entry, due, isFailure, status="4.0.0", reply=reply) for entry in found]
    assert unpackSettlements(json.loads(json.dumps(packSettlements(settled)))) == settled


def test_a_message_that_many_share_crosses_once():
    message = QueuedMessage(1, Envelope(Address("me", "here.example")), 0.0, 9, 1)
    to = Recipient(Address("you", "far.example"))
    found = [Entry(number, message, to, "far.example", 0.0) for number in range(1, 9)]
    assert json.dumps(packEntries(found)).count("here.example") == 1


@given(st.builds(Filter, message=st.integers(0), state=st.none() | st.sampled_from(State), arrivedBefore=st.none() | times))
def test_filters_cross(filter):
    assert unpack(Filter, json.loads(json.dumps(pack(filter)))) == filter
