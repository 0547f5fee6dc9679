"""APPEND of one message or many, and REPLACE: messages from the client (RFC 3501 §6.3.11; RFC 3502, RFC 8508; APPENDUID of RFC
4315 §3).

All messages of a command come in one step, or none does. A message whose parts hold NUL (a literal8, RFC 3516 §4.4) is kept so
that those who do not know BINARY can have it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from mailfw.errors import MessageTooLarge, NoPermission, NoSuchMailbox
from mailfw.imap import news
from mailfw.imap.catenate import Writing, catenated
from mailfw.imap.grammar.append import Append, AppendMessage, Replace, URLPart
from mailfw.imap.grammar.response import Reply, no, ok
from mailfw.imap.grammar.sequence import runs
from mailfw.imap.grammar.tokens import Literal, RefusedArgument
from mailfw.imap.settings import Workaround
from mailfw.message.binary import withoutNUL
from mailfw.message.header import MAX_OCTETS
from mailfw.message.source import headerOf
from mailfw.values import Append as AppendMessages
from mailfw.values import Appended, Expunge, MessageSource, NewMessage, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.reader import Spool
    from mailfw.imap.session import Handler, Session


def tryCreate(refusal: NoSuchMailbox) -> Reply:
    """The target is not there, but could be made (RFC 3501 §7.1 TRYCREATE)."""
    return no(refusal.text, b"TRYCREATE")


def _appendUID(appended: Appended) -> bytes:
    """`resp-code-apnd = "APPENDUID" SP nz-number SP uid-set` (RFC 4315 §4), in the order of the messages"""
    return b"APPENDUID %d %b" % (appended.uidValidity, runs(appended.uids))


async def append(session: Session, command: Append) -> Reply:
    """RFC 3501 §6.3.11, RFC 3502"""
    with ExitStack() as spools:
        account, local = await session.at(command.mailbox)
        try:
            if any(isinstance(part, URLPart) for message in command.messages for part in message.parts):
                with suppress(NoPermission):  # to put something there may be all that is allowed
                    await account.open(local)  # that it is missing is said before anything is said of URLs
            messages = [await _message(session, message, spools) for message in command.messages]
            [appended] = await account.apply([AppendMessages(local, tuple(messages))])
        except NoSuchMailbox as refusal:
            return tryCreate(refusal)
    assert isinstance(appended, Appended)
    session.made(command.mailbox, appended.uidValidity, appended.uids)
    return ok("appended", _appendUID(appended))


async def replace(session: Session, command: Replace) -> Reply:
    """RFC 8508 §3.4. What is replaced goes first in the same step, so that only the difference counts against the quota."""
    view = session.view
    if view.isReadOnly:
        return no("the mailbox was opened read-only", b"CANNOT")
    replaced = view.uidsOf(command.message, command.isUID)
    await news.lookOut(session)
    if not view.countOf(replaced) or view.isGone(replaced):
        return no("there is no such message any more", b"EXPUNGEISSUED")
    with ExitStack() as spools:
        message = await _message(session, command.new, spools)
        try:
            appended = await _replaced(session, command.mailbox, replaced, message)
        except NoSuchMailbox as refusal:
            return tryCreate(refusal)
    # Before the EXPUNGE that follows as news of the mailbox, so that a client knows at once what has come for it (§4.3).
    session.channel.write(ok("that is the new one", _appendUID(appended)).render())
    return ok("replaced")


async def _replaced(session: Session, mailbox: str, uids: UIDSet, message: NewMessage) -> Appended:
    view = session.view
    account, local = await session.at(mailbox)
    appending = AppendMessages(local, (message,))
    if account.owner == session.viewed.owner:
        _, appended = await session.changeWith(Expunge(view.name, uids, False, view.uidValidity), appending)
    else:  # a crash between the two leaves both, never neither
        [appended] = await account.apply([appending])
        await session.change(Expunge(view.name, uids, False, view.uidValidity))
    assert isinstance(appended, Appended)
    session.made(mailbox, appended.uidValidity, appended.uids)
    return appended


# --- What is to be kept ----------------------------------------------------------------------------------------------


async def _message(session: Session, message: AppendMessage, spools: ExitStack) -> NewMessage:
    """A message as it is to be kept.

    :param spools: lets go of what was written on the way.
    """
    literals = [part for part in message.parts if isinstance(part, Literal)]
    if len(message.parts) == 1 and literals:
        source = literals[0].source
        assert source is not None
    else:
        source = await catenated(session, message.parts, spools)
    if not source.size:
        raise RefusedArgument(no("a message cannot be empty", b"CANNOT"))
    if not (session.usesUTF8 or Workaround.RAW_HEADERS in session.settings.workarounds or _isHeaderASCII(source)):
        raise RefusedArgument(no("a header in UTF-8 needs ENABLE UTF8=ACCEPT", b"CANNOT"))
    if any(literal.hasNUL for literal in literals):
        source = await _withoutNUL(session, source, spools)
    return NewMessage(source, message.flags, message.internalDate)


def _isHeaderASCII(source: MessageSource) -> bool:
    """Whether a message's header has no octet above 127 (RFC 6855 §4)."""
    return headerOf(source, MAX_OCTETS).isascii()


async def _withoutNUL(session: Session, source: MessageSource, spools: ExitStack) -> MessageSource:
    """:raises UnknownEncoding: it cannot be kept. :raises MessageTooLarge: it has become too large by that."""
    with Writing(session, spools) as spool:
        await session.channel.think(lambda: _spoolWithoutNUL(source, spool, session.limits.messageSize))
        return spool.finish()


def _spoolWithoutNUL(source: MessageSource, spool: Spool, room: int) -> None:
    for piece in withoutNUL(source.read()):
        room -= len(piece)
        if room < 0:
            raise MessageTooLarge()
        spool.write(piece)


HANDLERS: Mapping[type, Handler] = {Append: append, Replace: replace}
