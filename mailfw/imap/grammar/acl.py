"""SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314 §7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from mailfw.imap.grammar.tokens import Scanner
from mailfw.sasl.prep import saslPrep
from mailfw.values import RIGHTS, FlagChange

VIRTUAL: Mapping[str, str] = {"c": "kx", "d": "te"}
"""Rights of RFC 2086, and those that they stand for (§2.1.1)."""


@frozen
class SetACL:
    """`setacl = "SETACL" SP mailbox SP identifier SP mod-rights`, and DELETEACL, which replaces the rights by none.

    :ivar rights: of `values.RIGHTS`.
    """

    mailbox: str
    identifier: str
    change: FlagChange = FlagChange.REPLACE
    rights: str = ""


@frozen
class GetACL:
    """`getacl = "GETACL" SP mailbox`"""

    mailbox: str


@frozen
class ListRights:
    """`listrights = "LISTRIGHTS" SP mailbox SP identifier`"""

    mailbox: str
    identifier: str


@frozen
class MyRights:
    """`myrights = "MYRIGHTS" SP mailbox`"""

    mailbox: str


def _mailbox(scanner: Scanner) -> str:
    scanner.space()
    return scanner.mailbox()


def _identifier(scanner: Scanner) -> str:
    """`identifier = astring`, in UTF-8, prepared by SASLprep; what is empty, or no name at all, is BAD (§3)."""
    scanner.space()
    try:
        found = saslPrep(scanner.astring().decode("utf-8"))
    except ValueError:
        found = ""
    if not found:
        raise scanner.bad("nobody can be called so")
    return found


_CHANGES = {"+": FlagChange.ADD, "-": FlagChange.REMOVE}


def _setACL(scanner: Scanner) -> SetACL:
    """`mod-rights = astring`: `["+" / "-"] *right`"""
    mailbox, identifier = _mailbox(scanner), _identifier(scanner)
    scanner.space()
    text = scanner.astring().decode("latin-1")
    change = _CHANGES.get(text[:1])
    rights = text[1:] if change else text
    for right in rights:
        if right not in RIGHTS and right not in VIRTUAL:
            raise scanner.bad("there is no such right")
    return SetACL(mailbox, identifier, change or FlagChange.REPLACE, "".join(VIRTUAL.get(right, right) for right in rights))


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {
    b"SETACL": _setACL,
    b"DELETEACL": lambda scanner: SetACL(_mailbox(scanner), _identifier(scanner)),
    b"GETACL": lambda scanner: GetACL(_mailbox(scanner)),
    b"LISTRIGHTS": lambda scanner: ListRights(_mailbox(scanner), _identifier(scanner)),
    b"MYRIGHTS": lambda scanner: MyRights(_mailbox(scanner)),
}
