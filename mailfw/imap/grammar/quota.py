"""GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §7)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from attrs import frozen

from mailfw.imap.grammar.response import no
from mailfw.imap.grammar.tokens import RefusedArgument, Scanner


class Resource(bytes, enum.Enum):
    """`resource-name`, of those that are limited here (RFC 9208 §5)."""

    STORAGE = b"STORAGE"  # units of 1024 octets
    MESSAGE = b"MESSAGE"
    MAILBOX = b"MAILBOX"


@frozen
class GetQuota:
    """`getquota = "GETQUOTA" SP quota-root-name`"""

    root: str


@frozen
class GetQuotaRoot:
    """`getquotaroot = "GETQUOTAROOT" SP mailbox`"""

    mailbox: str


@frozen
class SetQuota:
    """`setquota = "SETQUOTA" SP quota-root-name SP setquota-list`"""

    root: str
    limits: Mapping[Resource, int]


def _root(scanner: Scanner) -> str:
    """`quota-root-name = astring`"""
    scanner.space()
    return scanner.astring().decode("utf-8", "replace")


def _getQuotaRoot(scanner: Scanner) -> GetQuotaRoot:
    scanner.space()
    return GetQuotaRoot(scanner.mailbox())


def _setQuota(scanner: Scanner) -> SetQuota:
    """`setquota-list = "(" [setquota-resource *(SP setquota-resource)] ")"`

    :raises RefusedArgument: there is no such resource here.
    """
    root = _root(scanner)
    scanner.space()

    def limit() -> tuple[Resource, int]:
        word = scanner.keyword()
        scanner.space()
        number = scanner.number64()
        try:
            return Resource(word), number
        except ValueError:
            raise RefusedArgument(no("there is no such resource to limit", b"CANNOT")) from None

    return SetQuota(root, dict(scanner.parenthesised(limit, isEmptyAllowed=True)))


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    b"GETQUOTA": lambda scanner: GetQuota(_root(scanner)),
    b"GETQUOTAROOT": _getQuotaRoot,
    b"SETQUOTA": _setQuota,
}
