"""A store that fails when it is told to, and is otherwise the store behind it."""

import pytest
from twisted.internet.task import Clock

from mailfw.errors import Unavailable
from mailfw.interfaces import IAccount, IMailbox, IMailStore
from mailfw.storage.memory import memory
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.faultystore import FaultyStore
from mailfw.testing.now import result
from mailfw.testing.store import MailStoreContract
from mailfw.values import Column, Create, Fate, Identity, MessageSource, Target, UIDSet

JSMITH = "jsmith@localhost"


@pytest.fixture
def store():
    store = FaultyStore(memory.openStore("", FakeStoreContext("", clock=Clock())))
    yield store
    result(store.close())


def deliver(store):
    return result(store.deliver(MessageSource(b"Subject: x\r\n\r\nx\r\n"), [Target(JSMITH)]))


def inbox(store):
    return result(result(store.openAccount(Identity(JSMITH), JSMITH)).open("INBOX"))


def test_fails_as_often_as_it_is_told_to(store):
    store.failNext("deliver", Unavailable(), times=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            deliver(store)
    assert [each.fate for each in deliver(store)] == [Fate.DELIVERED]
    assert store.calls == ["deliver"] * 3
    assert result(inbox(store).status()).messages == 1


def test_what_was_done_although_it_failed(store):
    account = result(store.openAccount(Identity(JSMITH), JSMITH))
    store.failNext("apply", Unavailable(), isDone=True)
    with pytest.raises(Unavailable):
        result(account.apply([Create("Made")]))
    assert "Made" in [each.name for each in result(account.mailboxes())]


def test_rows_fail_too(store):
    deliver(store)
    mailbox = inbox(store)

    async def read():
        return [row async for rows in mailbox.rows(UIDSet.of(1), [Column.UID], list) for row in rows]

    store.failNext("rows", Unavailable())
    with pytest.raises(Unavailable):
        result(read())
    assert len(result(read())) == 1


def test_a_method_that_there_is_not(store):
    with pytest.raises(ValueError, match='no method "delivr"'):
        store.failNext("delivr", Unavailable())


def test_what_it_provides(store):
    assert IMailStore.providedBy(store) and IMailbox.providedBy(inbox(store))
    assert IAccount.providedBy(result(store.openAccount(Identity(JSMITH), JSMITH)))


class TestBehindIt(MailStoreContract):
    """As long as nothing is asked to fail it keeps every promise of the store behind it."""

    isPersistent = False

    def openStore(self, directory, context):
        return FaultyStore(memory.openStore("", context))
