"""NOTIFY: which events a client wants to be told of, about which mailboxes (RFC 5465 §8)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from attrs import frozen

from mailfw.imap.grammar.fetch import MAX_ITEMS, FetchItem, fetchItem
from mailfw.imap.grammar.response import no
from mailfw.imap.grammar.tokens import RefusedArgument, Scanner

MAX_GROUPS = 50
"""Event groups of one command."""

MAX_NAMES = 1000
"""Mailboxes that a group may name."""


class Event(enum.Enum):
    """`event`; the value is how its name is written."""

    MESSAGE_NEW = b"MessageNew"
    MESSAGE_EXPUNGE = b"MessageExpunge"
    FLAG_CHANGE = b"FlagChange"
    MAILBOX_NAME = b"MailboxName"
    SUBSCRIPTION_CHANGE = b"SubscriptionChange"
    MAILBOX_METADATA_CHANGE = b"MailboxMetadataChange"
    SERVER_METADATA_CHANGE = b"ServerMetadataChange"


MESSAGE_EVENTS = frozenset((Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE, Event.FLAG_CHANGE))
_ARRIVE_AND_GO = frozenset((Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE))


class Filter(enum.Enum):
    """`filter-mailboxes`, by its first word."""

    SELECTED = b"SELECTED"
    SELECTED_DELAYED = b"SELECTED-DELAYED"
    INBOXES = b"INBOXES"
    PERSONAL = b"PERSONAL"
    SUBSCRIBED = b"SUBSCRIBED"
    SUBTREE = b"SUBTREE"
    MAILBOXES = b"MAILBOXES"


SELECTED = frozenset((Filter.SELECTED, Filter.SELECTED_DELAYED))
_NAMED = frozenset((Filter.SUBTREE, Filter.MAILBOXES))


@frozen
class EventGroup:
    """`event-group = "(" filter-mailboxes SP events ")"`

    :ivar names: of SUBTREE and MAILBOXES.
    :ivar items: what is to be told of each new message in the selected mailbox.
    """

    filter: Filter
    names: tuple[str, ...] = ()
    events: frozenset[Event] = frozenset()
    items: tuple[FetchItem, ...] = ()


@frozen
class Notify:
    """`notify = "NOTIFY" SP ("SET" [SP "STATUS"] SP event-groups / "NONE")`

    :ivar groups: none for NOTIFY NONE.
    :ivar wantsStatus: the counters of all mailboxes concerned are to be told at once.
    """

    groups: tuple[EventGroup, ...] = ()
    wantsStatus: bool = False


_EVENTS = {event.value.upper(): event for event in Event}


def _event(scanner: Scanner, items: list[FetchItem]) -> Event:
    """`event`, with `[SP "(" fetch-att *(SP fetch-att) ")"]` behind MessageNew

    :raises RefusedArgument: no such event is known here (RFC 5465 §3.1).
    """
    event = _EVENTS.get(scanner.keyword())
    if event is None:
        names = b" ".join(each.value for each in Event)
        raise RefusedArgument(no("such events are not told of", b"BADEVENT (%b)" % names))
    if event is Event.MESSAGE_NEW and scanner.takes(b" ("):
        scanner.at -= 1
        items += scanner.parenthesised(lambda: fetchItem(scanner), maximum=MAX_ITEMS)
    return event


def _events(scanner: Scanner) -> tuple[frozenset[Event], tuple[FetchItem, ...]]:
    """`events = ("(" event *(SP event) ")") / "NONE"`"""
    if scanner.peek() != b"(":
        if scanner.keyword() != b"NONE":
            raise scanner.bad("expected a list of events or NONE")
        return frozenset(), ()
    items: list[FetchItem] = []
    events = frozenset(scanner.parenthesised(lambda: _event(scanner, items), maximum=MAX_ITEMS))
    if events & MESSAGE_EVENTS and not events >= _ARRIVE_AND_GO:
        raise scanner.bad("MessageNew and MessageExpunge go together, and FlagChange with both")
    return events, tuple(dict.fromkeys(items))


def _group(scanner: Scanner) -> EventGroup:
    scanner.expect(b"(")
    try:
        filter_ = Filter(scanner.keyword())
    except ValueError:
        raise scanner.bad("unknown choice of mailboxes") from None
    names: list[str] = []
    if filter_ in _NAMED:
        scanner.space()
        isList = scanner.peek() == b"("
        names = scanner.parenthesised(scanner.mailbox, maximum=MAX_NAMES) if isList else [scanner.mailbox()]
    scanner.space()
    events, items = _events(scanner)
    scanner.expect(b")")
    if filter_ in SELECTED and not events <= MESSAGE_EVENTS:
        raise scanner.bad("only events of messages can be told of the selected mailbox")
    if items and filter_ not in SELECTED:
        raise scanner.bad("items of messages can be told of in the selected mailbox only")
    return EventGroup(filter_, tuple(names), events, items)


def notify(scanner: Scanner) -> Notify:
    """The arguments of NOTIFY."""
    scanner.space()
    word = scanner.keyword()
    if word == b"NONE":
        return Notify()
    if word != b"SET":
        raise scanner.bad("expected SET or NONE")
    scanner.space()
    wantsStatus = scanner.takesWord(b"STATUS")
    if wantsStatus:
        scanner.space()
    groups = [_group(scanner)]
    while scanner.takes(b" "):
        groups.append(_group(scanner))
        if len(groups) > MAX_GROUPS:
            raise scanner.bad(f"more than {MAX_GROUPS} groups of events")
    if sum(group.filter in SELECTED for group in groups) > 1:
        raise scanner.bad("the selected mailbox can be meant once")
    return Notify(tuple(groups), wantsStatus)


SYNTAX: Mapping[bytes, Callable[[Scanner], object]] = {b"NOTIFY": notify}
