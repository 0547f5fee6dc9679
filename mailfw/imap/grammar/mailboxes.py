"""Commands about mailboxes as such (RFC 3501 §6.3): open, make, rename them, ask for their counters. LIST is in `listing`."""

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
    """`create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]` (RFC 3501 §6.3.3, RFC 6154 §6)

    :ivar uses: special uses as the client wrote them.
    """

    mailbox: str
    uses: frozenset[str] = frozenset()


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
class Namespace:
    """`namespace = "NAMESPACE"` (RFC 2342 §5)"""


class StatusItem(enum.Enum):
    """`status-att` (RFC 3501 §6.3.10, RFC 9051 §6.3.11; RFC 7889 §5, RFC 8474 §7)"""

    MESSAGES = b"MESSAGES"
    RECENT = b"RECENT"
    UIDNEXT = b"UIDNEXT"
    UIDVALIDITY = b"UIDVALIDITY"
    UNSEEN = b"UNSEEN"
    DELETED = b"DELETED"
    SIZE = b"SIZE"
    DELETED_STORAGE = b"DELETED-STORAGE"  # RFC 9208 §4.1.4
    APPEND_LIMIT = b"APPENDLIMIT"
    MAILBOX_ID = b"MAILBOXID"
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


def statusItems(scanner: Scanner) -> tuple[StatusItem, ...]:
    """`"(" status-att *(SP status-att) ")"`, each once"""

    def item() -> StatusItem:
        try:
            return StatusItem(scanner.keyword())
        except ValueError:
            raise scanner.bad("unknown STATUS item") from None

    return tuple(dict.fromkeys(scanner.parenthesised(item)))


def _status(scanner: Scanner) -> Status:
    mailbox = _argument(scanner)
    scanner.space()
    return Status(mailbox, statusItems(scanner))


def _create(scanner: Scanner) -> Create:
    mailbox = _argument(scanner)
    uses: list[str] = []
    if scanner.takes(b" "):

        def parameter() -> None:
            if scanner.keyword() != b"USE":
                raise scanner.bad("unknown CREATE parameter")
            scanner.space()
            uses.extend(scanner.parenthesised(lambda: _use(scanner), isEmptyAllowed=True))

        scanner.parenthesised(parameter)
    return Create(mailbox, frozenset(uses))


def _use(scanner: Scanner) -> str:
    """`use-attr = "\\All" / "\\Archive" / … / use-attr-ext` (RFC 6154 §6)"""
    scanner.expect(b"\\")
    return "\\" + scanner.atom().decode("ascii")


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    b"SELECT": _select,
    b"EXAMINE": lambda scanner: _select(scanner, isReadOnly=True),
    b"CREATE": _create,
    b"DELETE": lambda scanner: Delete(_argument(scanner)),
    b"RENAME": _rename,
    b"SUBSCRIBE": lambda scanner: Subscribe(_argument(scanner)),
    b"UNSUBSCRIBE": lambda scanner: Subscribe(_argument(scanner), isSubscribed=False),
    b"NAMESPACE": lambda scanner: Namespace(),
    b"STATUS": _status,
}
