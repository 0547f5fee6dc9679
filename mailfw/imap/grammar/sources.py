"""Sets of mailboxes by what they have in common (RFC 5465 §6 `filter-mailboxes`, RFC 7377 §4)."""

from __future__ import annotations

import enum

from attrs import frozen

from mailfw.imap.grammar.tokens import Scanner

MAX_SOURCES = 50
MAX_MAILBOXES = 5000


class Scope(enum.Enum):
    """Which mailboxes a filter means."""

    SELECTED = b"SELECTED"
    INBOXES = b"INBOXES"
    PERSONAL = b"PERSONAL"
    SUBSCRIBED = b"SUBSCRIBED"
    SUBTREE = b"SUBTREE"  # those named, and all below them
    SUBTREE_ONE = b"SUBTREE-ONE"  # those named, and the level below them
    MAILBOXES = b"MAILBOXES"  # those named


@frozen
class Source:
    """`filter-mailboxes`. :ivar mailboxes: names, where the scope wants some."""

    scope: Scope
    mailboxes: tuple[str, ...] = ()


_SCOPES = {scope.value: scope for scope in Scope}
_NAMING = frozenset((Scope.SUBTREE, Scope.SUBTREE_ONE, Scope.MAILBOXES))


def source(scanner: Scanner) -> Source:
    """`filter-mailboxes = "selected" / "inboxes" / "personal" / "subscribed" / ("subtree" / "subtree-one" / "mailboxes") SP
    one-or-more-mailbox` (RFC 7377 §4)
    """
    scope = _SCOPES.get(scanner.keyword())
    if scope is None:
        raise scanner.bad("no mailboxes are called that")
    return Source(scope, _mailboxes(scanner) if scope in _NAMING else ())


def _mailboxes(scanner: Scanner) -> tuple[str, ...]:
    """`SP one-or-more-mailbox`; `one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")"` (RFC 5465 §8)"""
    scanner.space()
    if scanner.peek() == b"(":
        return tuple(scanner.parenthesised(scanner.mailbox, maximum=MAX_MAILBOXES))
    return (scanner.mailbox(),)


def sources(scanner: Scanner) -> tuple[Source, ...]:
    """`"(" filter-mailboxes *(SP filter-mailboxes) ")"`. There are no scope-options yet that could follow (RFC 7377 §4)."""
    return tuple(scanner.parenthesised(lambda: source(scanner), maximum=MAX_SOURCES))
