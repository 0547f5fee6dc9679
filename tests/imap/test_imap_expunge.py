"""Expunging much: others write in between, and nothing else goes."""

import pytest

from mailfw.imap import expunge
from mailfw.storage.account import Account
from mailfw.values import Expunge


@pytest.mark.parametrize("command", [b"EXPUNGE", b"UID EXPUNGE 1:8"])
def test_much_is_expunged_page_by_page(client, monkeypatch, command):
    client.logIn()
    for _ in range(8):
        assert b"a OK" in client.send(b"a APPEND INBOX (\\Deleted) {8+}\r\nA: b\r\n\r\n\r\n")
    client.say(b"s SELECT INBOX", b"f STORE 2,7 -FLAGS (\\Deleted)")
    monkeypatch.setattr(expunge, "PAGE", 3)
    applied = []
    apply = Account.apply
    monkeypatch.setattr(Account, "apply", lambda account, operations: applied.extend(operations) or apply(account, operations))
    said = client.say(b"x " + command)
    assert said.endswith(b"x OK expunged\r\n")
    assert said.count(b" EXPUNGE\r\n") == 6
    known = [sum(1 for uid in range(1, 9) if uid in each.uids) for each in applied if isinstance(each, Expunge)]
    assert known == [3, 3, 2]
    assert client.say(b"u UID SEARCH ALL").startswith(b"* SEARCH 2 7\r\n")


def test_what_the_client_does_not_know_yet_goes_too(connect, monkeypatch):
    monkeypatch.setattr(expunge, "PAGE", 1)
    first, second = connect().logIn(b"INBOX"), connect().logIn()
    first.say(b"a NOOP")
    second.send(b"a APPEND INBOX (\\Deleted) {8+}\r\nA: b\r\n\r\n\r\n")
    assert b"b OK" in first.say(b"b EXPUNGE")
    assert b"MESSAGES 0" in second.say(b"c STATUS INBOX (MESSAGES)")
