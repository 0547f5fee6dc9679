"""Who may do what in whose mailboxes (RFC 4314): decided here, for every protocol and every store.

An account's owner may do everything in it, always, and is on no list. Others may do what a mailbox's list says: the rights given
to them and to `anyone`, less those that `-them` and `-anyone` take away. An administrator may besides look up any mailbox and
change its list. (A master login comes as the owner's identity.)

Invariants:

- A mailbox that somebody may not look up does not exist for them: whatever they ask, the answer is that of a name that nobody
  ever used. Only who has the right that an operation needs learns more.
- Rights are read in the transaction, or the read, that they are needed for: who loses them loses them at once.
- Flags are the message's, the same for all who see it (docs/decisions/102).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve

from mailfw.errors import InvalidName, LimitExceeded, NoPermission, NoSuchMailbox, UIDValidityChanged
from mailfw.sql import Connection
from mailfw.storage.flags import DELETED, SEEN
from mailfw.storage.names import DELIMITER, INBOX, ancestors, mailboxName
from mailfw.storage.transaction import MailboxRef, Stored, Terms, Transaction
from mailfw.values import (
    ANYONE,
    RIGHTS,
    Adopt,
    Append,
    Copy,
    Create,
    Delete,
    Expunge,
    FlagChange,
    Move,
    Operation,
    Rename,
    SetFlags,
    SetMetadata,
    SetRights,
    Subscribe,
    accountName,
    rightToFlag,
)

IDENTIFIERS = 1000  # on the list of one mailbox
_ADMIN = "la"

_HAS = "SELECT identifier, rights FROM rights WHERE mailbox = ? AND identifier IN (?, ?, ?, ?)"
_LIST = "SELECT identifier, rights FROM rights WHERE mailbox = ? ORDER BY identifier"
_ALL = """SELECT r.mailbox, r.identifier, r.rights FROM rights r JOIN mailbox m ON m.id = r.mailbox
    WHERE m.account = ? AND r.identifier IN (?, ?, ?, ?)"""
_SET = """INSERT INTO rights (mailbox, identifier, rights) VALUES (?, ?, ?)
    ON CONFLICT (mailbox, identifier) DO UPDATE SET rights = excluded.rights"""
_REMOVE = "DELETE FROM rights WHERE mailbox = ? AND identifier = ?"
_FORGET = "DELETE FROM rights WHERE mailbox = ?"
_INHERIT = "INSERT INTO rights (mailbox, identifier, rights) SELECT ?, identifier, rights FROM rights WHERE mailbox = ?"
_COUNT = "SELECT COUNT(*) FROM rights WHERE mailbox = ?"
_SHARES = """SELECT DISTINCT a.name FROM rights r JOIN mailbox m ON m.id = r.mailbox JOIN account a ON a.id = m.account
    WHERE r.identifier IN (?, ?) AND r.rights LIKE '%l%' AND a.name <> ? AND m.name IS NOT NULL"""
_IS_SHARED = """SELECT 1 FROM rights r JOIN mailbox m ON m.id = r.mailbox
    WHERE m.account = ? AND r.identifier IN (?, ?) AND r.rights <> '' LIMIT 1"""
_NAMED = "SELECT id FROM mailbox WHERE account = ? AND name = ?"

# --- What somebody has -----------------------------------------------------------------------------------------------


def canonical(rights: Iterable[str]) -> str:
    """Rights in their order, each once."""
    had = frozenset(rights)
    return "".join(right for right in RIGHTS if right in had)


def _names(actor: str) -> tuple[str, str, str, str]:
    return ANYONE, f"-{ANYONE}", actor, f"-{actor}"


def _sum(entries: Iterable[tuple[str, str]], terms: Terms) -> str:
    given, taken = set(_ADMIN if terms.isAdmin else ""), set[str]()
    for identifier, rights in entries:
        (taken if identifier.startswith("-") else given).update(rights)
    return canonical(given - taken)


def of(connection: Connection, mailbox: int, terms: Terms) -> str:
    """What the actor may do with a mailbox."""
    if terms.isOwner:
        return RIGHTS
    return _sum(connection.execute(_HAS, (mailbox, *_names(terms.actor))), terms)


def ofAll(connection: Connection, account: int, terms: Terms) -> Callable[[int], str]:
    """The same of every mailbox of an account, read at once."""
    if terms.isOwner:
        return lambda mailbox: RIGHTS
    entries: dict[int, list[tuple[str, str]]] = {}
    for mailbox, identifier, rights in connection.execute(_ALL, (account, *_names(terms.actor))):
        entries.setdefault(mailbox, []).append((identifier, rights))
    return lambda mailbox: _sum(entries.get(mailbox, ()), terms)


def mustHave(connection: Connection, mailbox: int, terms: Terms, needed: str) -> str:
    """What the actor may do with a mailbox, all that is needed among it.

    :raises NoPermission: it is not.
    :raises NoSuchMailbox: nor may the actor look it up.
    """
    rights = of(connection, mailbox, terms)
    if not set(needed) <= set(rights):
        raise NoPermission() if "l" in rights else NoSuchMailbox()
    return rights


def mustBeReadable(connection: Connection, mailbox: int, terms: Terms) -> None:
    """:raises UIDValidityChanged: a mailbox that is open may not be read any more: to the actor, it is gone."""
    if "r" not in of(connection, mailbox, terms):
        raise UIDValidityChanged()


def sharing(connection: Connection, actor: str) -> list[str]:
    """Owners of mailboxes that the actor may look up, others' that is."""
    return [str(row[0]) for row in connection.execute(_SHARES, (ANYONE, actor, actor))]


def mustShare(connection: Connection, account: int, terms: Terms) -> None:
    """:raises NoPermission: there is nothing in the account that the actor has any right to."""
    if terms.isOwner or terms.isAdmin:
        return
    if connection.execute(_IS_SHARED, (account, ANYONE, terms.actor)).fetchone() is None:
        raise NoPermission()


def listOf(connection: Connection, account: int, name: str, terms: Terms) -> dict[str, str]:
    """A mailbox's list, by identifier. :raises NoSuchMailbox: :raises NoPermission: the actor may not see it."""
    row = connection.execute(_NAMED, (account, mailboxName(name))).fetchone()
    if row is None:
        raise NoSuchMailbox()
    mustHave(connection, row[0], terms, "a")
    return {str(identifier): str(rights) for identifier, rights in connection.execute(_LIST, (row[0],))}


# --- Changing a list -------------------------------------------------------------------------------------------------


def identifier(text: str, owner: str, domain: str) -> str:
    """The canonical form of an identifier; a local part alone is of the first configured domain.

    :raises InvalidName: nobody can be called so; the owner has all rights, and there are no groups.
    """
    sign, name = ("-", text[1:]) if text.startswith("-") else ("", text)
    if name.lower() == ANYONE:
        return sign + ANYONE
    try:
        found = accountName(name, domain)
    except ValueError:
        raise InvalidName("nobody can be called so") from None
    if name.startswith("$"):
        raise InvalidName("there are no groups here")
    if found == owner:
        raise InvalidName("the owner has all rights, always")
    return sign + found


def setRights(tx: Transaction, operation: SetRights) -> None:
    """Change a list. The identifier is in its canonical form."""
    mailbox = tx.mailbox(operation.mailbox)
    asked = set(operation.rights)
    if not asked <= set(RIGHTS):
        raise InvalidName("there is no such right")
    had = dict(tx.connection.execute(_LIST, (mailbox.id,)).fetchall())
    before = set(had.get(operation.identifier, ""))
    match operation.change:
        case FlagChange.ADD:
            rights = before | asked
        case FlagChange.REMOVE:
            rights = before - asked
        case FlagChange.REPLACE:
            rights = asked
    if rights and operation.identifier not in had and len(had) >= IDENTIFIERS:
        raise LimitExceeded("the list is too long")
    if rights:
        tx.connection.execute(_SET, (mailbox.id, operation.identifier, canonical(rights)))
    else:
        tx.connection.execute(_REMOVE, (mailbox.id, operation.identifier))
    modSeq = tx.countAccount()
    tx.remember(mailbox.name, modSeq)
    tx.touched[mailbox.id] = modSeq


def inherit(tx: Transaction, mailbox: int, name: str) -> None:
    """A new mailbox gets the list of the nearest one above it (RFC 4314 §4)."""
    parent = _above(tx, name)
    if parent is not None:
        tx.connection.execute(_INHERIT, (mailbox, parent.id))


def forget(tx: Transaction, mailbox: int) -> None:
    """The mailbox is deleted."""
    tx.connection.execute(_FORGET, (mailbox,))


# --- What operations need --------------------------------------------------------------------------------------------


def permitted(tx: Transaction, operation: Operation) -> Operation:
    """The operation as the actor may do it: without flags that the actor may not give to messages that come in.

    :raises NoPermission, NoSuchMailbox: the actor may not.
    """
    if isinstance(operation, Adopt) and not (tx.terms.isAdmin and tx.terms.isOwner):
        raise NoPermission()
    if tx.terms.isOwner:
        return operation
    match operation:
        case Append():
            rights = _need(tx, operation.mailbox, "i")
            messages = [evolve(one, flags=_allowed(one.flags, rights)) for one in operation.messages]
            return evolve(operation, messages=tuple(messages))
        case SetFlags():
            _mayFlag(operation, _need(tx, operation.mailbox, ""))
        case Copy() | Move():
            _need(tx, operation.mailbox, "rte" if isinstance(operation, Move) else "r")
            if not operation.account:
                _need(tx, operation.target, "i")
        case Expunge():
            _need(tx, operation.mailbox, "e" if operation.onlyDeleted else "te")
        case Create():
            _mayCreate(tx, operation)
        case Rename():
            _mayRename(tx, operation)
        case Delete():
            _need(tx, operation.name, "x")
        case SetRights():
            _need(tx, operation.mailbox, "a")
        case SetMetadata():
            _mayAnnotate(tx, operation)
        case Subscribe():
            raise NoPermission("subscriptions are each user's own")
    return operation


def _need(tx: Transaction, name: str, needed: str) -> str:
    return mustHave(tx.connection, tx.mailbox(name).id, tx.terms, needed)


def _mustPermit(tx: Transaction, mailbox: MailboxRef, right: str) -> None:
    """:raises NoPermission: a mailbox that the actor did not name does not let it happen: nothing else is said of that."""
    if right not in of(tx.connection, mailbox.id, tx.terms):
        raise NoPermission()


def _above(tx: Transaction, name: str) -> MailboxRef | None:
    """The nearest mailbox above a name."""
    found = (tx.findMailbox(each) for each in reversed(ancestors(name)))
    return next((each for each in found if each is not None), None)


def _mayCreate(tx: Transaction, operation: Create) -> None:
    """Below a mailbox in which the actor may (RFC 4314 §4); what it is for is the owner's to say."""
    parent = _above(tx, mailboxName(operation.name))
    if parent is None:
        raise NoPermission()
    _mustPermit(tx, parent, "k")
    if operation.specialUse:
        raise NoPermission()


def _mayRename(tx: Transaction, operation: Rename) -> None:
    """The mailbox with all below it must be the actor's to delete, and the place above its new name one to create in."""
    name, parent = mailboxName(operation.name), _above(tx, mailboxName(operation.newName))
    _need(tx, name, "x")
    if name == INBOX or parent is None:
        raise NoPermission()
    _mustPermit(tx, parent, "k")
    for mailbox in tx.below(name + DELIMITER):
        _mustPermit(tx, mailbox, "x")


def _mayAnnotate(tx: Transaction, operation: SetMetadata) -> None:
    """Whoever may look the mailbox up, and do something with its messages (RFC 5464 §3.3); what is shared needs "w" besides."""
    if not operation.mailbox:
        raise NoPermission()
    mustBeNotable(_need(tx, operation.mailbox, "l"))
    if any(not entry.startswith("/private/") for entry, _ in operation.entries):
        _need(tx, operation.mailbox, "w")
    if any(entry == "/private/specialuse" for entry, _ in operation.entries):
        raise NoPermission("what a mailbox is for is its owner's to say")


def mustBeNotable(rights: str) -> None:
    """:raises NoPermission: entries of the mailbox may be neither read nor set."""
    if not set(rights) & set("rswip"):
        raise NoPermission()


# --- Flags -----------------------------------------------------------------------------------------------------------


def _allowed(flags: frozenset[str], rights: str) -> frozenset[str]:
    """Those that the actor may give."""
    return frozenset(flag for flag in flags if rightToFlag(flag) in rights)


def _mayFlag(operation: SetFlags, rights: str) -> None:
    """:raises NoPermission: not one flag is the actor's to change (RFC 4314 §4)."""
    isReplacing = operation.change is FlagChange.REPLACE
    if not (set("swt") & set(rights) if isReplacing or not operation.flags else _allowed(operation.flags, rights)):
        raise NoPermission() if "l" in rights else NoSuchMailbox()


def flagMask(rights: str) -> tuple[int, bool]:
    """System flags that may be changed, as bits, and whether keywords may."""
    bits = 0 if "w" not in rights else ~(SEEN | DELETED)
    return bits | (SEEN if "s" in rights else 0) | (DELETED if "t" in rights else 0), "w" in rights


def arriving(tx: Transaction, target: MailboxRef, messages: Sequence[Stored]) -> Sequence[Stored]:
    """Messages as they come into a mailbox: without flags that the actor may not give them there."""
    if tx.terms.isOwner:
        return messages
    bits, mayKeyword = flagMask(of(tx.connection, target.id, tx.terms))
    return [one._replace(bits=one.bits & bits, keywords=one.keywords if mayKeyword else "") for one in messages]
