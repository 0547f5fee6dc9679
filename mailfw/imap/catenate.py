"""CATENATE: messages put together of what the client sends and of what is here already (RFC 4469).

A URL means a message, or a part of one, in a mailbox that the session may read. Its octets are what FETCH would send, and go from
store to spool in pieces; nobody is told that the message was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from mailfw.errors import MessageTooLarge, NoPermission, NoSuchMailbox, UIDValidityChanged, Unavailable, Vanished
from mailfw.imap.grammar.append import Part, URLPart
from mailfw.imap.grammar.fetch import BodySection
from mailfw.imap.grammar.response import no
from mailfw.imap.grammar.tokens import RefusedArgument
from mailfw.imap.grammar.url import MessageURL, badURL, messageURL
from mailfw.imap.rendering import Message, columnsOf
from mailfw.imap.trees import TreeKeeper
from mailfw.interfaces import IMailbox, Row
from mailfw.values import Column, MessageSource, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.reader import Spool
    from mailfw.imap.session import Session


class Writing:
    """A spool to be written, and let go of by the stack; that there is no room is the server's trouble and not the client's."""

    def __init__(self, session: Session, spools: ExitStack) -> None:
        self._spool = session.channel.openSpool()
        spools.callback(self._spool.discard)

    def __enter__(self) -> Spool:
        return self._spool

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise Unavailable() from error


async def catenated(session: Session, parts: Sequence[Part], spools: ExitStack) -> MessageSource:
    """All the parts as one message.

    :raises RefusedArgument: a URL leads nowhere (BADURL). :raises MessageTooLarge: the whole is.
    """
    room = session.limits.messageSize

    def take(piece: bytes) -> None:
        nonlocal room
        room -= len(piece)
        if room < 0:
            raise MessageTooLarge()
        spool.write(piece)

    with Writing(session, spools) as spool:
        for part in parts:
            if isinstance(part, URLPart):
                await _copy(session, part.url, take)
            elif part.source is not None:
                for piece in part.source.chunks():
                    take(piece)
        return spool.finish()


async def _copy(session: Session, url: bytes, take: Callable[[bytes], None]) -> None:
    try:
        isThere = await _copied(session, messageURL(url), take)
    except (ValueError, NoSuchMailbox, NoPermission, UIDValidityChanged, Vanished) as error:
        raise RefusedArgument(no(str(error), badURL(url))) from None
    if not isThere:
        raise RefusedArgument(no("there is no such message or part", badURL(url)))


async def _copied(session: Session, wanted: MessageURL, take: Callable[[bytes], None]) -> bool:
    """Whether there is such a message or part, whose octets have been taken then."""
    mailbox = await _mailbox(session, wanted)
    section = BodySection(wanted.section, b"", wanted.partial, isPeek=True)
    columns = tuple(dict.fromkeys((Column.UID, *columnsOf(section))))
    isThere = False

    def render(rows: Sequence[Row]) -> Iterator[bytes]:
        nonlocal isThere
        for row in rows:
            octets = Message(columns, row, TreeKeeper()).octets(section)
            isThere = octets is not None
            yield from octets or ()

    def takeAll(pieces: list[bytes]) -> None:
        for piece in pieces:
            take(piece)

    await session.walk(mailbox.rows(UIDSet.of(wanted.uid), columns, render), takeAll)
    if not session.channel.isOpen:
        raise Unavailable()  # nothing more was read for a client that is gone: what there is may be half a message
    return isThere


async def _mailbox(session: Session, wanted: MessageURL) -> IMailbox:
    """:raises ValueError: it is another than the URL means."""
    if wanted.mailbox is None:
        if session.selected is None:
            raise ValueError("no mailbox is selected")
        mailbox = session.selected.mailbox
    else:
        account, local = await session.at(wanted.mailbox)
        mailbox = await account.open(local)
    if wanted.uidValidity and wanted.uidValidity != mailbox.info.uidValidity:
        raise ValueError("UIDs mean something else by now")
    return mailbox
