"""MESSAGELIMIT: how many messages one command may be about (RFC 9738).

The limit is always announced. It is kept only where the configuration says so, for clients that do not know of it would take the
newest messages for all there are (§4.1). A command about more is then done for those with the highest UIDs, and its reply says
where it stopped; commands that are all or nothing are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailfw.imap.grammar.response import Reply, no
from mailfw.imap.grammar.tokens import RefusedArgument
from mailfw.imap.matching import scope
from mailfw.imap.selected import SelectedMailbox
from mailfw.message.criteria import Criterion
from mailfw.values import ALL_UIDS, Column, Flag, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.session import Session


def cut(session: Session, uids: UIDSet) -> UIDSet:
    """The messages of a set that a command may be about; where these are not all, its reply will say so."""
    view = session.view
    count, limit = view.countOf(uids), session.limits.messageLimit
    if count <= limit or not session.limits.enforcesMessageLimit:
        return uids
    left = view.part(uids, count - limit, count)
    session.limitCode = b"MESSAGELIMIT %d %d" % (limit, left.first)
    return left


def refusal(session: Session, count: int) -> Reply | None:
    """Why a command about so many messages, that is all or nothing, cannot be done."""
    limit = session.limits.messageLimit
    if count <= limit or not session.limits.enforcesMessageLimit:
        return None
    return no("too many messages for one command, try fewer", b"MESSAGELIMIT %d" % limit)


def searched(session: Session, view: SelectedMailbox, wanted: Criterion, needsAll: bool) -> UIDSet:
    """Among which messages a search may look; that counts, not how many it finds (RFC 9738 §3.1).

    :param needsAll: a part of them would make no sense: SORT, THREAD (§3.3), and mailboxes that are not selected.
    :raises RefusedArgument: there are too many.
    """
    uids = scope(wanted) & UIDSet(((1, view.lastUID),) if view.lastUID else ())
    if (reply := refusal(session, view.countOf(uids))) is None:
        return ALL_UIDS
    if needsAll or view is not session.selected:
        raise RefusedArgument(reply)
    return cut(session, uids)


async def expunged(session: Session, uids: UIDSet) -> UIDSet:
    """Of the messages that UID EXPUNGE names those that it may remove: only what has \\Deleted counts."""
    if refusal(session, session.view.countOf(uids)) is None:
        return uids
    deleted: list[int] = []
    rows = session.view.mailbox.rows(
        uids, (Column.UID, Column.FLAGS), lambda page: [uid for uid, flags in page if Flag.DELETED in flags]
    )
    await session.walk(rows, deleted.extend)
    return cut(session, UIDSet.fromUIDs(deleted))
