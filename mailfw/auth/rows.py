"""The tables of `data/accounts.sqlite`, and every statement on them: plain functions of a connection, for
`sql.Database` to run.

Names are canonical when they come here, times are seconds since the epoch, UTC. Nothing here hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import field, frozen

from mailfw.sql import Connection, Migration, Schema

SCHEMA = Schema(
    "accounts",
    (
        Migration(
            (
                "CREATE TABLE account (id {identity}, name TEXT NOT NULL UNIQUE, password TEXT NOT NULL, scram_sha_256 TEXT,"
                " scram_sha_1 TEXT, is_admin INTEGER NOT NULL, is_suspended INTEGER NOT NULL, quota BIGINT,"
                " created DOUBLE PRECISION NOT NULL)",
                "CREATE INDEX account_lacks_256 ON account (id) WHERE scram_sha_256 IS NULL AND is_suspended = 0",
                "CREATE INDEX account_lacks_1 ON account (id) WHERE scram_sha_1 IS NULL AND is_suspended = 0",
                "CREATE TABLE app_password (account BIGINT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,"
                " service TEXT NOT NULL, created DOUBLE PRECISION NOT NULL, last_used DOUBLE PRECISION,"
                " PRIMARY KEY (account, name)) {clustered}",
                "CREATE TABLE alias (name TEXT NOT NULL, place INTEGER NOT NULL, target TEXT NOT NULL,"
                " created DOUBLE PRECISION NOT NULL, PRIMARY KEY (name, place)) {clustered}",
            )
        ),
    ),
)


@frozen
class Account:
    """One account, for whoever administers it. :ivar quota: octets; None: the server's default."""

    name: str
    isAdmin: bool = False
    isSuspended: bool = False
    quota: int | None = None
    created: float = 0.0


@frozen
class AppPassword:
    """A password of one device. :ivar service: what alone it is good for (`imap` …); empty: everything."""

    name: str
    service: str
    created: float
    lastUsed: float | None


@frozen
class Alias:
    """An address that leads to others."""

    name: str
    targets: tuple[str, ...]


@frozen
class Stored:
    """An account's row as a login needs it. :ivar verifiers: by mechanism, as they are written."""

    id: int
    account: Account
    password: str = field(repr=False)
    verifiers: dict[str, str] = field(repr=False)


@frozen
class Candidate:
    """All that one login asks of the database, in one moment.

    :ivar stored: the account's row, None for an unknown user.
    :ivar appPassword: the account's app password that fits.
    :ivar decoy: some other account's stored password, for an unknown user to be compared with.
    """

    stored: Stored | None
    appPassword: AppPassword | None
    decoy: str = field(repr=False)


VERIFIERS = {"SCRAM-SHA-256": "scram_sha_256", "SCRAM-SHA-1": "scram_sha_1"}
_STORED = "SELECT id, name, is_admin, is_suspended, quota, created, password, scram_sha_256, scram_sha_1 FROM account"


def _toStored(row: Sequence[object]) -> Stored:
    identity, name, isAdmin, isSuspended, quota, created, password, *verifiers = row
    account = Account(str(name), bool(isAdmin), bool(isSuspended), quota, created)  # type: ignore[arg-type]  # as declared above
    kept = {mechanism: str(text) for mechanism, text in zip(VERIFIERS, verifiers, strict=True) if text is not None}
    return Stored(identity, account, str(password), kept)  # type: ignore[arg-type]


# --- Logging in ---


def find(connection: Connection, name: str) -> Stored | None:
    """The account of that name."""
    row = connection.execute(f"{_STORED} WHERE name = ?", (name,)).fetchone()
    return _toStored(row) if row else None


def candidate(connection: Connection, name: str, digest: str, choose: Callable[[int], int]) -> Candidate:
    """What a login needs; the same statements are done for every name, there or not.

    :param digest: of the password, if it is an app password.
    :param choose: picks a number below the one given.
    """
    stored = find(connection, name)
    row = connection.execute(
        "SELECT name, service, created, last_used FROM app_password WHERE account = ? AND digest = ?",
        (stored.id if stored else 0, digest),
    ).fetchone()
    (last,) = connection.execute("SELECT max(id) FROM account").fetchone()
    decoy = connection.execute(
        "SELECT password FROM account WHERE id >= ? ORDER BY id LIMIT 1", (choose(last) + 1 if last else 0,)
    ).fetchone()
    return Candidate(stored, AppPassword(*row) if row else None, decoy[0] if decoy else "")


def missingVerifiers(connection: Connection) -> frozenset[str]:
    """Mechanisms that some account, not suspended, has no verifier for."""
    return frozenset(
        mechanism
        for mechanism, column in VERIFIERS.items()
        if connection.execute(f"SELECT 1 FROM account WHERE {column} IS NULL AND is_suspended = 0 LIMIT 1").fetchone()
    )


def upgrade(connection: Connection, stored: Stored, password: str, verifiers: dict[str, str]) -> bool:
    """Replace what is stored by something better for the same password, unless it has been changed meanwhile."""
    kept = {**verifiers, **stored.verifiers}
    return (
        connection.execute(
            "UPDATE account SET password = ?, scram_sha_256 = ?, scram_sha_1 = ? WHERE id = ? AND password = ?",
            (password, *map(kept.get, VERIFIERS), stored.id, stored.password),
        ).rowcount
        == 1
    )


def use(connection: Connection, account: int, appPassword: str, now: float) -> None:
    """Note when an app password was used."""
    connection.execute("UPDATE app_password SET last_used = ? WHERE account = ? AND name = ?", (now, account, appPassword))


# --- Accounts ---


def add(connection: Connection, account: Account, password: str, verifiers: dict[str, str]) -> bool:
    """Make an account; False: there is one of that name."""
    return (
        connection.execute(
            "INSERT INTO account (name, password, scram_sha_256, scram_sha_1, is_admin, is_suspended, quota, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
            (
                account.name,
                password,
                *map(verifiers.get, VERIFIERS),
                int(account.isAdmin),
                int(account.isSuspended),
                account.quota,
                account.created,
            ),
        ).rowcount
        == 1
    )


def setPassword(connection: Connection, name: str, password: str, verifiers: dict[str, str]) -> bool:
    """Replace the password and all verifiers; False: no such account."""
    return (
        connection.execute(
            "UPDATE account SET password = ?, scram_sha_256 = ?, scram_sha_1 = ? WHERE name = ?",
            (password, *map(verifiers.get, VERIFIERS), name),
        ).rowcount
        == 1
    )


def setSuspended(connection: Connection, name: str, isSuspended: bool) -> bool:
    """False: no such account."""
    return connection.execute("UPDATE account SET is_suspended = ? WHERE name = ?", (int(isSuspended), name)).rowcount == 1


def setQuota(connection: Connection, name: str, quota: int | None) -> bool:
    """False: no such account."""
    return connection.execute("UPDATE account SET quota = ? WHERE name = ?", (quota, name)).rowcount == 1


def remove(connection: Connection, name: str) -> bool:
    """Remove an account with its app passwords; False: no such account."""
    connection.execute("DELETE FROM app_password WHERE account IN (SELECT id FROM account WHERE name = ?)", (name,))
    return connection.execute("DELETE FROM account WHERE name = ?", (name,)).rowcount == 1


def accounts(connection: Connection) -> list[Account]:
    """All, by name."""
    return [_toStored(row).account for row in connection.execute(f"{_STORED} ORDER BY name")]


def admins(connection: Connection) -> list[str]:
    """Names of the administrators that are not suspended, the oldest first."""
    rows = connection.execute("SELECT name FROM account WHERE is_admin = 1 AND is_suspended = 0 ORDER BY id")
    return [name for (name,) in rows]


# --- App passwords ---


def addAppPassword(connection: Connection, account: int, entry: AppPassword, digest: str) -> bool:
    """False: the account has one of that name."""
    return (
        connection.execute(
            "INSERT INTO app_password (account, name, digest, service, created) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (account, name) DO NOTHING",
            (account, entry.name, digest, entry.service, entry.created),
        ).rowcount
        == 1
    )


def appPasswords(connection: Connection, account: int) -> list[AppPassword]:
    """An account's, the oldest first."""
    rows = connection.execute(
        "SELECT name, service, created, last_used FROM app_password WHERE account = ? ORDER BY created, name", (account,)
    )
    return [AppPassword(*row) for row in rows]


def removeAppPassword(connection: Connection, account: int, name: str) -> bool:
    """False: the account has none of that name."""
    return connection.execute("DELETE FROM app_password WHERE account = ? AND name = ?", (account, name)).rowcount == 1


# --- Aliases ---


def addAlias(connection: Connection, alias: Alias, now: float) -> Alias:
    """Let the alias lead to these targets too. → the alias as it is now."""
    present = targetsOf(connection, alias.name)
    targets = tuple(dict.fromkeys((*present, *alias.targets)))
    connection.executemany(
        "INSERT INTO alias (name, place, target, created) VALUES (?, ?, ?, ?)",
        [(alias.name, place, target, now) for place, target in enumerate(targets) if place >= len(present)],
    )
    return Alias(alias.name, targets)


def removeAlias(connection: Connection, name: str) -> bool:
    """False: no such alias."""
    return connection.execute("DELETE FROM alias WHERE name = ?", (name,)).rowcount > 0


def targetsOf(connection: Connection, name: str) -> list[str]:
    """Where an alias leads; empty: no such alias."""
    return [target for (target,) in connection.execute("SELECT target FROM alias WHERE name = ? ORDER BY place", (name,))]


def aliases(connection: Connection) -> list[Alias]:
    """All, by name."""
    found: dict[str, list[str]] = {}
    for name, target in connection.execute("SELECT name, target FROM alias ORDER BY name, place"):
        found.setdefault(name, []).append(target)
    return [Alias(name, tuple(targets)) for name, targets in found.items()]


def importAll(connection: Connection, entries: Iterable[tuple[str, str, dict[str, str]]], now: float) -> tuple[int, int]:
    """Put in accounts by name, stored password and verifiers; an account that is there gets the password. → added, replaced."""
    added = replaced = 0
    for name, password, verifiers in entries:
        if add(connection, Account(name, created=now), password, verifiers):
            added += 1
        else:
            setPassword(connection, name, password, verifiers)
            replaced += 1
    return added, replaced
