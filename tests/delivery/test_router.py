"""Recipients find their way, or are refused in honest words."""

import asyncio

import pytest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mailfw.delivery.local import merged, returnPath
from mailfw.delivery.router import Router
from mailfw.errors import NoRoute, NoSuchRecipient, OverQuota, RelayDenied, Unavailable
from mailfw.interfaces import IDelivery, IMailStore, IRouter
from mailfw.tally import Tally
from mailfw.testing.fakes import FakeAuthenticator, FakeDirectory, NoStore
from mailfw.values import (
    Address,
    Envelope,
    Fate,
    Identity,
    MessageSource,
    Outcome,
    Peer,
    Recipient,
    Resolution,
    Target,
)

ELSEWHERE = Address("x", "example.org")
SENDER = Address("sender", "example.org")
MESSAGE = MessageSource(b"Subject: x\r\n\r\nhello")


def run(coroutine):
    return asyncio.run(coroutine)


@implementer(IMailStore)
class Shelf(NoStore):
    """Keeps what is delivered; `outcomes` says by account what becomes of it otherwise."""

    def __init__(self):
        self.delivered = []
        self.outcomes = {}
        self.error = None

    async def deliver(self, message, targets):
        if self.error:
            raise self.error
        self.delivered.append((message.read(), list(targets)))
        return [self.outcomes.get(t.account, Outcome(Fate.DELIVERED, remark=t.account)) for t in targets]


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def directory():
    return FakeDirectory(FakeAuthenticator({"mbrain@localhost": "", "jsmith@localhost": ""}))


@pytest.fixture
def router(shelf, directory):
    return Router(directory, shelf)


def begin(router, sender=SENDER, identity=None):
    return router.begin(Envelope(sender, identity=identity), Peer("192.0.2.1"))


async def deliver(router, *addresses, **keywords):
    delivery = begin(router, **keywords)
    for address in addresses:
        await delivery.recipient(Recipient(Address.parse(address)))
    return await delivery.commit(MESSAGE)


def test_deliveries_are_counted_by_fate(shelf, directory):
    tally = Tally()
    router = Router(directory, shelf, tally=tally)
    asyncio.run(deliver(router, "mbrain@localhost", "jsmith@localhost"))
    assert tally.deliveries == {Fate.DELIVERED: 2}


def test_contracts(router):
    assert verifyObject(IRouter, router)
    assert verifyObject(IDelivery, begin(router))


def test_a_message_is_delivered_with_its_return_path(router, shelf):
    (outcome,) = run(deliver(router, "jsmith@localhost"))
    assert outcome.fate is Fate.DELIVERED
    assert shelf.delivered == [(b"Return-Path: <sender@example.org>\r\nSubject: x\r\n\r\nhello", [Target("jsmith@localhost")])]


@pytest.mark.parametrize(
    ("sender", "field"),
    [
        (None, b"Return-Path: <>\r\n"),
        (Address("a b", "c.d"), b'Return-Path: <"a b"@c.d>\r\n'),
        (Address("jürgen", "c.d"), "Return-Path: <jürgen@c.d>\r\n".encode()),
    ],
)
def test_return_paths(sender, field):
    assert returnPath(sender) == field


def test_unknown_recipients_are_refused_at_once(router):
    with pytest.raises(NoSuchRecipient):
        run(begin(router).recipient(Recipient(Address("nobody", "localhost"))))


def test_other_domains_are_refused_to_strangers_and_to_people_of_ours_in_different_words(router):
    with pytest.raises(RelayDenied):
        run(begin(router).recipient(Recipient(ELSEWHERE)))
    with pytest.raises(NoRoute) as caught:
        run(begin(router, identity=Identity("mbrain@localhost")).recipient(Recipient(ELSEWHERE)))
    assert not caught.value.isTemporary
    assert "other domains" in caught.value.text


@pytest.mark.parametrize("targets", [(), (Target("jsmith@localhost"),)])
def test_an_alias_that_leads_elsewhere_is_refused_whole(router, directory, shelf, targets):
    directory.aliases["list@localhost"] = Resolution(targets, (ELSEWHERE,))
    with pytest.raises(NoRoute):
        run(begin(router).recipient(Recipient(Address("list", "localhost"))))


def test_an_address_that_leads_nowhere_is_no_recipient(router, directory):
    directory.aliases["list@localhost"] = Resolution()
    with pytest.raises(NoSuchRecipient):
        run(begin(router).recipient(Recipient(Address("list", "localhost"))))


def test_a_refused_recipient_leaves_the_delivery_as_it_was(router, shelf):
    async def converse():
        delivery = begin(router)
        await delivery.recipient(Recipient(Address("jsmith", "localhost")))
        with pytest.raises(NoSuchRecipient):
            await delivery.recipient(Recipient(Address("nobody", "localhost")))
        return await delivery.commit(MESSAGE)

    assert len(run(converse())) == 1
    assert shelf.delivered[0][1] == [Target("jsmith@localhost")]


def test_a_mailbox_gets_a_message_once_however_many_recipients_lead_there(router, directory, shelf):
    directory.aliases["all@localhost"] = Resolution((Target("jsmith@localhost"), Target("mbrain@localhost")))
    outcomes = run(deliver(router, "jsmith@localhost", "all@localhost", "jsmith+tag@localhost", "jsmith@localhost"))
    assert [o.fate for o in outcomes] == [Fate.DELIVERED] * 4
    ((_, targets),) = shelf.delivered
    assert targets == [Target("jsmith@localhost"), Target("mbrain@localhost")]


def test_each_recipient_has_its_own_outcome(router, directory, shelf):
    directory.aliases["all@localhost"] = Resolution((Target("jsmith@localhost"), Target("mbrain@localhost")))
    shelf.outcomes["mbrain@localhost"] = Outcome(Fate.FAILED, OverQuota())
    outcomes = run(deliver(router, "mbrain@localhost", "jsmith@localhost", "all@localhost"))
    assert [o.fate for o in outcomes] == [Fate.FAILED, Fate.DELIVERED, Fate.FAILED]


def test_waiting_outweighs_failing():
    delivered, failed, deferred = (Outcome(fate) for fate in (Fate.DELIVERED, Fate.FAILED, Fate.DEFERRED))
    assert merged([delivered, failed, deferred]).fate is Fate.DEFERRED
    assert merged([failed, delivered]).fate is Fate.FAILED
    assert merged([Outcome(Fate.DELIVERED, remark="a"), Outcome(Fate.DELIVERED, remark="b")]).remark == "a; b"


@pytest.mark.parametrize("error", [Unavailable("disk full"), ZeroDivisionError("secret")])
def test_a_store_that_fails_defers_the_message(router, shelf, error):
    shelf.error = error
    outcomes = run(deliver(router, "mbrain@localhost", "jsmith@localhost"))
    assert [o.fate for o in outcomes] == [Fate.DEFERRED] * 2
    assert "secret" not in str(outcomes[0].refusal)


def test_a_store_that_forgets_a_target_is_not_believed(router, shelf):
    async def forgetful(message, targets):
        return []

    shelf.deliver = forgetful
    assert [o.fate for o in run(deliver(router, "mbrain@localhost"))] == [Fate.DEFERRED]


def test_abort_delivers_nothing(router, shelf):
    delivery = begin(router)
    run(delivery.recipient(Recipient(Address("jsmith", "localhost"))))
    delivery.abort()
    assert shelf.delivered == []
