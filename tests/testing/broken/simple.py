"""Simple stores that break one promise each: what `SimpleStoreContract` is tried on. All derive from the plugin kit's."""

import secrets
import sqlite3
import time
from contextlib import closing

from attrs import evolve

from mailfw.app.templates.storage.mailfw_specimen import WHERE, SpecimenStore
from mailfw.errors import Vanished
from mailfw.values import Entry


class LosesLineEnds(SpecimenStore):
    """Writes text, not octets."""

    def read(self, account, folder, entry):
        return super().read(account, folder, entry).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class OwnKeys(SpecimenStore):
    """Files a message under another key than it foretold."""

    def append(self, account, folder, messages):
        return super().append(account, folder, [(secrets.token_hex(12), message) for _, message in messages])


class NewestFirst(SpecimenStore):
    """Lists the newest message first."""

    def scan(self, account, folder):
        return super().scan(account, folder)[::-1]


class HalfAppended(SpecimenStore):
    """Adds one message after the other, each in a transaction of its own."""

    def append(self, account, folder, messages):
        return [entry for message in messages for entry in super(HalfAppended, self).append(account, folder, [message])]


class WrongSize(SpecimenStore):
    """Counts characters of what it takes for text."""

    def scan(self, account, folder):
        return [evolve(entry, size=entry.size + 1) for entry in super().scan(account, folder)]

    def append(self, account, folder, messages):
        return [evolve(entry, size=entry.size + 1) for entry in super().append(account, folder, messages)]


class Today(SpecimenStore):
    """Knows no other date than that of the day."""

    def append(self, account, folder, messages):
        return super().append(account, folder, [(key, evolve(message, internalDate=None)) for key, message in messages])


class StaleToken(SpecimenStore):
    """Has a token that does not change when a message goes."""

    def token(self, account, folder):
        return str(self.ask("SELECT max(number) FROM message")[0][0])


class Leaks(SpecimenStore):
    """Does not ask whose a message is."""

    def scan(self, account, folder):
        found = self.ask("SELECT key, date, length(content) FROM message WHERE folder = ? ORDER BY number", folder)
        return [Entry(key, "", internalDate=date, size=size) for key, date, size in found]


class NothingIsGone(SpecimenStore):
    """Answers with nothing where a message is gone."""

    def read(self, account, folder, entry):
        try:
            return super().read(account, folder, entry)
        except Vanished:
            return b""


class InMemory(SpecimenStore):
    """Keeps what it was given until it is opened again."""

    def __init__(self, path, now):
        super().__init__(path, now)
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("DELETE FROM message")


class Trusting(SpecimenStore):
    """Removes all there is when it is given a locator that it does not know."""

    def remove(self, account, folder, entries):
        if entries and entries[0].locator:
            self.change(lambda database: database.execute(f"DELETE FROM message {WHERE}", (account, folder)))
        else:
            super().remove(account, folder, entries)


class Talkative(SpecimenStore):
    """Complains of what is gone already."""

    def remove(self, account, folder, entries):
        for entry in entries:
            self.read(account, folder, entry)
        super().remove(account, folder, entries)


class Hangs(SpecimenStore):
    """Waits for ever for what is gone."""

    def read(self, account, folder, entry):
        try:
            return super().read(account, folder, entry)
        except Vanished:
            while True:
                time.sleep(1)


_OCTETS = {
    "test_aMessageComesBackOctetForOctet",
    "test_messagesComeBackWhateverStandsBesideThem",
    "test_anySequenceOfOctetsComesBack",
    "test_removedMessagesAreGoneAndTheOthersStay",
}
_ORDER = {
    "test_appendReturnsWhatScanFinds",
    "test_equalMessagesKeepTheirKeysWhenOthersGo",
    "test_messagesAreFoundInTheOrderInWhichTheyCame",
    "test_theInternalDateIsKept",
}

MEANT = {
    LosesLineEnds: _OCTETS | {"test_theSizeIsThatOfWhatIsRead"},
    OwnKeys: {"test_aMessageHasTheKeyThatWasForetold"},
    NewestFirst: _ORDER | {"test_aMessageHasTheKeyThatWasForetold", "test_accountsCanBeUsedAtTheSameTime"},
    HalfAppended: {"test_whenOneMessageCannotBeReadNoneIsAdded"},
    WrongSize: {"test_theSizeIsThatOfWhatIsRead"},
    Today: {"test_theInternalDateIsKept"},
    StaleToken: {"test_theTokenChangesWithEveryChange"},
    Leaks: {"test_everyAccountNameIsAnAccountOfItsOwnOrRefused", "test_accountsCanBeUsedAtTheSameTime"},
    NothingIsGone: {"test_whatIsGoneHasVanished"},
    InMemory: _OCTETS
    | _ORDER
    | {"test_whenOneMessageCannotBeReadNoneIsAdded", "test_everyAccountNameIsAnAccountOfItsOwnOrRefused"},  # which open it again
    Trusting: {"test_removingWhatIsGoneIsNoError"},
    Talkative: {"test_removingWhatIsGoneIsNoError"},
    Hangs: {"test_whatIsGoneHasVanished"},
}
"""The tests of the contract that fail for each; a test that hangs fails."""
