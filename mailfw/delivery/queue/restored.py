"""What the queue's database needs when it is that of a backup."""

from __future__ import annotations

from mailfw.sql import Connection

IDS_STEP = 1 << 20
"""By which ids are raised, for each second since the backup by one more: what was given since is in logs and reports."""

_IDS = "UPDATE sqlite_sequence SET seq = seq + ?"
_LEASES = "UPDATE recipient SET owner = '', due = MIN(due, ?) WHERE owner <> ''"
_HOLD = "UPDATE recipient SET owner = '', due = NULL WHERE due IS NOT NULL"
_LANES = (
    "DELETE FROM lane",
    "INSERT INTO lane (name, due) SELECT lane, MIN(due) FROM recipient WHERE due IS NOT NULL GROUP BY lane",
)


def resume(connection: Connection, moment: float, now: float, isHeld: bool) -> None:
    """Inside a transaction: nobody is at work on any of it, and ids that were given since are not given again.

    :param moment: of the backup; :param now: of its being restored, both seconds since the epoch.
    :param isHeld: nothing is tried until somebody releases it.
    """
    connection.execute(_IDS, (IDS_STEP + max(0, int(now - moment)),))
    if isHeld:
        connection.execute(_HOLD)
    else:
        connection.execute(_LEASES, (now,))
    for statement in _LANES:
        connection.execute(statement)
