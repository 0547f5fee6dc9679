"""ESEARCH: a search in any mailboxes, whichever is selected (RFC 7377)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from mailfw.errors import LimitExceeded, NoPermission, NoSuchMailbox
from mailfw.imap.grammar.response import Reply, ok
from mailfw.imap.grammar.searching import ESearch, Return
from mailfw.imap.grammar.sources import Scope, Source
from mailfw.imap.grammar.tokens import BadSyntax
from mailfw.imap.inquiry import Inquiry, refuseUpdates
from mailfw.imap.results import correlator
from mailfw.imap.selected import SelectedMailbox
from mailfw.imap.sight import isOthers
from mailfw.values import MailboxInfo

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

MAX_MAILBOXES = 5000
"""Mailboxes of one search (RFC 7377 §2.4)."""

_SELECTED = (Source(Scope.SELECTED),)


async def esearch(session: Session, command: ESearch) -> Reply:
    """RFC 7377 §2. Nothing is said of mailboxes in which nothing was found, nor of those that cannot be read (§2.1, §2.2)."""
    sources = command.sources or _SELECTED
    returns = command.returns
    if session.selected is None and (Return.UPDATE in returns or Source(Scope.SELECTED) in sources):
        raise BadSyntax("no mailbox is selected")
    if Return.SAVE in returns and set(sources) != set(_SELECTED):
        raise BadSyntax("only what is found in the selected mailbox can be saved")
    isFollowed = False
    reply = ok("searched")
    async for view in _views(session, sources):
        inquiry = Inquiry(session, view, command.key, True, returns)
        results = await inquiry.results()
        if results.uids and returns.options != {Return.SAVE}:
            await session.send(results.extended(returns, _correlators(session, view), isUID=True))
        if view is session.selected:
            inquiry.follow(results.uids)
            isFollowed = True
            reply = inquiry.save(results.uids) or reply
        if not session.channel.isOpen:
            break
    if Return.UPDATE in returns and not isFollowed:
        refuseUpdates(session)
    return reply


def _correlators(session: Session, view: SelectedMailbox) -> bytes:
    """`one-correlator *(SP one-correlator)`: all three (RFC 7377 §2.1)"""
    name = session.sight.name(view.account or session.account, view.name)
    return b"%b MAILBOX %b UIDVALIDITY %d" % (correlator(session.tag), session.nameWord(name), view.uidValidity)


async def _views(session: Session, sources: tuple[Source, ...]) -> AsyncIterator[SelectedMailbox]:
    """The mailboxes as they are now, each once, in the order of the tree; the selected one as the client knows it."""
    selected = session.selected
    if selected is not None and set(sources) == set(_SELECTED):
        yield selected
        return
    found = [info for info in await session.listing() if _isMeant(info, sources, selected)]
    if len(found) > MAX_MAILBOXES:
        raise LimitExceeded("too many mailboxes to be searched at once")
    for info in found:
        if selected is not None and info.mailboxId == selected.mailbox.info.mailboxId:
            yield selected
            continue
        try:
            account, local = await session.at(info.name)
            mailbox = await account.open(local)
        except (NoSuchMailbox, NoPermission):
            continue
        yield SelectedMailbox(mailbox, await mailbox.snapshot(), isReadOnly=True, account=account)


def _isMeant(info: MailboxInfo, sources: tuple[Source, ...], selected: SelectedMailbox | None) -> bool:
    return info.isSelectable and any(_means(source, info, selected) for source in sources)


def _means(source: Source, info: MailboxInfo, selected: SelectedMailbox | None) -> bool:
    """Whether a mailbox is among those of a filter (RFC 5465 §6)."""
    match source.scope:
        case Scope.PERSONAL:
            return not isOthers(info.name)
        case Scope.SELECTED:
            return selected is not None and info.mailboxId == selected.mailbox.info.mailboxId
        case Scope.INBOXES:
            return info.name == "INBOX"
        case Scope.SUBSCRIBED:
            return info.isSubscribed
        case Scope.MAILBOXES:
            return info.name in source.mailboxes
    below = info.name.split("/")
    for name in source.mailboxes:
        above = name.split("/")
        if below[: len(above)] == above and (source.scope is Scope.SUBTREE or len(below) - len(above) <= 1):
            return True
    return False


HANDLERS: Mapping[type, Handler] = {ESearch: esearch}
