"""Commands about mailboxes as such (RFC 3501 §6.3): open, make, rename, list them, ask for their counters."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from attrs import frozen

from mailfw.imap.grammar.modifiers import NO_PARAMETERS, SelectParameters, selectParameters
from mailfw.imap.grammar.tokens import Scanner


@frozen
class Select:
    """`select = "SELECT" SP mailbox [select-params]`, and EXAMINE, which changes nothing (RFC 3501 §6.3.1, §6.3.2; RFC 4466
    §2.1)
    """

    mailbox: str
    isReadOnly: bool = False
    parameters: SelectParameters = NO_PARAMETERS


@frozen
class Create:
    """`create = "CREATE" SP mailbox` (RFC 3501 §6.3.3)"""

    mailbox: str


@frozen
class Delete:
    """`delete = "DELETE" SP mailbox` (RFC 3501 §6.3.4)"""

    mailbox: str


@frozen
class Rename:
    """`rename = "RENAME" SP mailbox SP mailbox` (RFC 3501 §6.3.5)"""

    mailbox: str
    newName: str


@frozen
class Subscribe:
    """`subscribe = "SUBSCRIBE" SP mailbox`, and UNSUBSCRIBE (RFC 3501 §6.3.6, §6.3.7)"""

    mailbox: str
    isSubscribed: bool = True


@frozen
class ListMailboxes:
    """`list = "LIST" SP mailbox SP list-mailbox` (RFC 3501 §6.3.8); both as they came, for the reference is no
    mailbox's name.
    """

    reference: bytes
    pattern: bytes


@frozen
class ListSubscribed:
    """`lsub = "LSUB" SP mailbox SP list-mailbox` (RFC 3501 §6.3.9)"""

    reference: bytes
    pattern: bytes


@frozen
class Namespace:
    """`namespace = "NAMESPACE"` (RFC 2342 §5)"""


class StatusItem(enum.Enum):
    """`status-att` (RFC 3501 §6.3.10)"""

    MESSAGES = b"MESSAGES"
    RECENT = b"RECENT"
    UIDNEXT = b"UIDNEXT"
    UIDVALIDITY = b"UIDVALIDITY"
    UNSEEN = b"UNSEEN"
    HIGHESTMODSEQ = b"HIGHESTMODSEQ"  # RFC 7162 §3.1.7


@frozen
class Status:
    """`status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"` (RFC 3501 §6.3.10)"""

    mailbox: str
    items: tuple[StatusItem, ...]


def _argument(scanner: Scanner) -> str:
    scanner.space()
    return scanner.mailbox()


def _select(scanner: Scanner, isReadOnly: bool = False) -> Select:
    return Select(_argument(scanner), isReadOnly, selectParameters(scanner))


def _rename(scanner: Scanner) -> Rename:
    return Rename(_argument(scanner), _argument(scanner))


def _patterns(scanner: Scanner) -> tuple[bytes, bytes]:
    scanner.space()
    reference = scanner.astring()
    scanner.space()
    return reference, scanner.listMailbox()


def _status(scanner: Scanner) -> Status:
    mailbox = _argument(scanner)
    scanner.space()

    def item() -> StatusItem:
        try:
            return StatusItem(scanner.keyword())
        except ValueError:
            raise scanner.bad("unknown STATUS item") from None

    return Status(mailbox, tuple(dict.fromkeys(scanner.parenthesised(item))))


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    b"SELECT": _select,
    b"EXAMINE": lambda scanner: _select(scanner, isReadOnly=True),
    b"CREATE": lambda scanner: Create(_argument(scanner)),
    b"DELETE": lambda scanner: Delete(_argument(scanner)),
    b"RENAME": _rename,
    b"SUBSCRIBE": lambda scanner: Subscribe(_argument(scanner)),
    b"UNSUBSCRIBE": lambda scanner: Subscribe(_argument(scanner), isSubscribed=False),
    b"LIST": lambda scanner: ListMailboxes(*_patterns(scanner)),
    b"LSUB": lambda scanner: ListSubscribed(*_patterns(scanner)),
    b"NAMESPACE": lambda scanner: Namespace(),
    b"STATUS": _status,
}
