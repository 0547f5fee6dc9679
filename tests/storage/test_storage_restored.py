"""What restoring does to a store's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailfw.sql import Connection, Database
from mailfw.storage.restored import LAST_UID, MODSEQ_STEP, UID_STEP, renumber
from mailfw.storage.schema import SCHEMA

THEN, NOW = 1_000_000.0, 1_000_100.0


@pytest.fixture
def database(tmp_path: Path) -> Any:
    made = Database.open(str(tmp_path / "mail1.sqlite"), SCHEMA, reactor=None, isInline=True)
    made.call(_fill)
    yield made
    made.close()


def _fill(connection: Connection) -> None:
    """Two mailboxes of an account, one of which has nearly no UIDs left."""
    connection.execute("INSERT INTO account (id, name, modseq, uid_validity) VALUES (1, 'a@b', 9, 7)")
    add = "INSERT INTO mailbox (id, account, name, uid_validity, uid_next, modseq, token) VALUES (?, 1, ?, ?, ?, ?, 'seen')"
    connection.executemany(add, [((1 << 32) + 1, "INBOX", 6, 5, 8), ((1 << 32) + 2, "Full", 7, LAST_UID - 10, 9)])
    row = "INSERT INTO message VALUES (?, ?, ?, 0, '', 0, 0, 1, 1)"
    connection.executemany(row, [((1 << 32) + 1, 3, 7), ((1 << 32) + 2, 4, 9)])
    connection.execute("INSERT INTO vanished VALUES (?, 8, 1, 2)", ((1 << 32) + 1,))
    connection.execute("INSERT INTO intent (account, plan) VALUES (1, '{}')")
    connection.execute("INSERT INTO name (account, name, modseq) VALUES (1, 'Gone', 3)")
    connection.execute("INSERT INTO annotation VALUES (1, 0, '', '/shared/comment', x'41', 4)")


def rows(database: Database, select: str) -> list[Any]:
    return database.call(lambda connection: connection.execute(select).fetchall())


def test_everyMODSEQIsAboveAllThatWereGiven(database: Database) -> None:
    tables = ("account", "mailbox", "message", "name", "annotation")
    before = {table: rows(database, f"SELECT modseq FROM {table}") for table in tables}
    database.call(lambda connection: renumber(connection, THEN, NOW))
    for table, numbers in before.items():
        after = rows(database, f"SELECT modseq FROM {table}")
        assert len(after) == len(numbers) and all(number > MODSEQ_STEP for (number,) in after)
    assert rows(database, "SELECT COUNT(*) FROM mailbox WHERE vanished_floor < modseq") == [(0,)]
    assert rows(database, "SELECT COUNT(*) FROM vanished") == [(0,)]
    assert rows(database, "SELECT COUNT(*) FROM message m JOIN mailbox b ON b.id = m.mailbox WHERE m.modseq > b.modseq") == [(0,)]
    assert rows(database, "SELECT COUNT(*) FROM mailbox b JOIN account a ON a.id = b.account WHERE b.modseq > a.modseq") == [(0,)]


def test_messagesKeepTheirUIDsAndNoneIsGivenTwice(database: Database) -> None:
    database.call(lambda connection: renumber(connection, THEN, NOW))
    assert rows(database, "SELECT uid FROM message ORDER BY uid") == [(3,), (4,)]
    inbox, full = rows(database, "SELECT uid_validity, uid_next FROM mailbox ORDER BY id")
    assert inbox[0] == 6 and inbox[1] > 5 + UID_STEP
    assert full == (int(NOW) + 1, LAST_UID - 10)  # there is no room: other numbers under another UIDVALIDITY
    assert rows(database, "SELECT uid_validity FROM account") == [(int(NOW) + 1,)]


def test_theSameBackupRestoredLaterSkipsMore(database: Database, tmp_path: Path) -> None:
    again = Database.open(str(tmp_path / "again.sqlite"), SCHEMA, reactor=None, isInline=True)
    again.call(_fill)
    database.call(lambda connection: renumber(connection, THEN, NOW))
    again.call(lambda connection: renumber(connection, THEN, NOW + 60))
    uidNext = "SELECT uid_next FROM mailbox WHERE name = 'INBOX'"
    for select in (uidNext, "SELECT modseq FROM account", "SELECT MIN(seq) FROM sqlite_sequence"):
        assert rows(again, select) > rows(database, select)
    again.close()


def test_idsStayThoseOfTheirFile(database: Database) -> None:
    """Those of mailboxes and emails are unlike all of other files: the bits above the 32nd are the file's."""
    last = "UPDATE sqlite_sequence SET seq = ? WHERE name = 'mailbox'"
    database.call(lambda connection: connection.execute(last, ((2 << 32) - 5,)))
    before = dict(rows(database, "SELECT name, seq FROM sqlite_sequence"))
    database.call(lambda connection: renumber(connection, THEN, NOW))
    after = dict(rows(database, "SELECT name, seq FROM sqlite_sequence"))
    assert after["mailbox"] == before["mailbox"]
    assert after["account"] > before["account"] + (1 << 24)


def test_whatASimpleStoreDidAndSawIsLookedAtAnew(database: Database) -> None:
    database.call(lambda connection: renumber(connection, THEN, NOW))
    assert rows(database, "SELECT token FROM mailbox") == [("=",), ("=",)]  # no folder's, and yet not that of one never seen
    assert rows(database, "SELECT COUNT(*) FROM intent") == [(0,)]
