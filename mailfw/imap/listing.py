"""Listing mailboxes: LIST with its extensions, and LSUB (RFC 3501 §6.3.8, §6.3.9; RFC 5258, RFC 5819, RFC 6154; RFC
9051 §6.3.9).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from mailfw.errors import Refusal
from mailfw.imap import acl, metadata, status
from mailfw.imap.grammar import names, response
from mailfw.imap.grammar.listing import CRITERIA, ListMailboxes, ListSubscribed, Returned, Selection
from mailfw.imap.grammar.pattern import DELIMITER, Pattern
from mailfw.imap.grammar.response import Reply, ok
from mailfw.values import MailboxInfo

if TYPE_CHECKING:
    from mailfw.imap.session import Handler, Session

QUOTED_DELIMITER = b'"%b"' % DELIMITER


def ancestors(names: Iterable[str]) -> set[str]:
    """Every name that has one of these below it."""
    found: set[str] = set()
    for name in names:
        parent = name.rpartition("/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return found


def exists(info: MailboxInfo) -> bool:
    """Whether there is such a mailbox, and not only its name."""
    return bool(info.mailboxId)


def attributes(info: MailboxInfo, hasChildren: bool, isExtended: bool, isSubscribed: bool = False) -> list[bytes]:
    r"""`mbx-list-flags`

    :param isExtended: the client knows `\NonExistent` (RFC 5258 §3); others are told `\Noselect`, which it implies.
    :param isSubscribed: say whether it is subscribed.
    """
    found = []
    if not exists(info):
        found.append(b"\\NonExistent" if isExtended else b"\\Noselect")
    elif not info.isSelectable:
        found.append(b"\\Noselect")
    found.append(b"\\HasChildren" if hasChildren else b"\\HasNoChildren")
    if isSubscribed and info.isSubscribed:
        found.append(b"\\Subscribed")
    return found + sorted(use.value.encode("ascii") for use in info.specialUse)


def line(word: bytes, attributes: Iterable[bytes], name: bytes, extended: Sequence[bytes] = ()) -> bytes:
    """`mailbox-list = "(" [mbx-list-flags] ")" SP DQUOTE QUOTED-CHAR DQUOTE SP mailbox [SP mbox-list-extended]`"""
    words = [word, b"(%b)" % b" ".join(attributes), QUOTED_DELIMITER, name]
    if extended:
        words.append(b"(%b)" % b" ".join(extended))
    return response.untagged(*words)


async def describe(session: Session, name: str, supplied: str = "") -> bytes:
    """The LIST response of one mailbox, as IMAP4rev2 wants it when the mailbox is opened (RFC 9051 §6.3.2).

    :param supplied: the name that the client called it by, if that is another (§6.3.9.7 OLDNAME).
    """
    infos = await session.listing()
    info = next((each for each in infos if each.name == name), MailboxInfo(name, isSelectable=False))
    hasChildren = name in ancestors(each.name for each in infos if exists(each))
    found = attributes(info, hasChildren, isExtended=True, isSubscribed=True)
    return line(b"LIST", found, session.nameWord(name), oldName(session, name, supplied))


def oldName(session: Session, name: str, supplied: str) -> tuple[bytes, ...]:
    """`oldname-extended-item = "OLDNAME" SP "(" mailbox ")"`, where the client called the mailbox otherwise."""
    if supplied in ("", name):
        return ()
    return (b'"OLDNAME" (%b)' % session.nameWord(supplied),)


# --- LIST ------------------------------------------------------------------------------------------------------------


async def listMailboxes(session: Session, command: ListMailboxes) -> Reply:
    """RFC 3501 §6.3.8, and all of RFC 5258"""
    if command.patterns == (b"",) and not command.isExtended:
        # "A special request to return the hierarchy delimiter and the root name."
        session.channel.write(line(b"LIST", [b"\\Noselect"], b'""'))
        return ok("that is the delimiter")
    if (reply := status.objection(session, command.wanted.status)) is not None:
        return reply
    known = await session.listing()
    chosen = await session.channel.think(lambda: _Chosen(known, command, session.usesUTF8))
    isExtended = command.isExtended or session.isRev2
    isSubscribed = Selection.SUBSCRIBED in command.selection or Returned.SUBSCRIBED in command.wanted.options

    def listed(info: MailboxInfo, isSelectable: bool = True) -> bytes:
        found = attributes(info, info.name in chosen.parents, isExtended, isSubscribed)
        if not isSelectable:
            found.append(b"\\Noselect")
        return line(b"LIST", found, session.nameWord(info.name), chosen.childInfo(info))

    infos = await session.channel.think(chosen.infos)
    if command.wanted.isPlain:
        await session.send(map(listed, infos))
        return ok("those are the mailboxes")
    for info in infos:
        more: list[bytes] = []
        isThere = True
        if chosen.meets(info) and exists(info):
            more, isThere = await _more(session, command, info)
        await session.send([listed(info, isThere or not info.isSelectable), *more])
        await session.channel.drain()
    return ok("those are the mailboxes")


async def _more(session: Session, command: ListMailboxes, info: MailboxInfo) -> tuple[list[bytes], bool]:
    """What RETURN asks for beside attributes; and whether the mailbox can be selected after all."""
    lines = []
    isThere = True
    if command.wanted.status and info.isSelectable:
        try:
            lines.append(await status.line(session, info.name, command.wanted.status))
        except Refusal:
            isThere = False  # "the LIST response MUST include the \NoSelect attribute" (RFC 5819 §2)
    if Returned.MY_RIGHTS in command.wanted.options:
        lines.append(acl.myRightsLine(session, info.name, info.rights))
    if command.wanted.metadata:
        with suppress(Refusal):
            lines.append(await metadata.listed(session, info.name, command.wanted.metadata))
    return lines, isThere


class _Chosen:
    """Which names one LIST is to tell of, and why.

    :ivar parents: names that have mailboxes below them.
    """

    def __init__(self, infos: Sequence[MailboxInfo], command: ListMailboxes, isUTF8: bool) -> None:
        self._infos = infos
        self._criteria = [option for option in CRITERIA if option in command.selection]
        self._isRecursive = Selection.RECURSIVE_MATCH in command.selection
        self._patterns = [Pattern(command.reference + pattern) for pattern in dict.fromkeys(command.patterns) if pattern]
        self._isUTF8 = isUTF8
        self.parents = ancestors(info.name for info in infos if exists(info))
        self._above: Collection[str] = ()
        self._aboveHidden: Collection[str] = ()
        if self._isRecursive:
            meeting = [info.name for info in infos if self.meets(info)]
            self._above = ancestors(meeting)
            self._aboveHidden = ancestors(name for name in meeting if not self._matches(name))

    def infos(self) -> list[MailboxInfo]:
        """All of them, in their order."""
        return [info for info in self._infos if self._isWanted(info) and self._matches(info.name)]

    def meets(self, info: MailboxInfo) -> bool:
        """Whether a name meets every selection criterion."""
        if not self._criteria:
            return exists(info)
        isMet = {Selection.SUBSCRIBED: info.isSubscribed, Selection.SPECIAL_USE: bool(info.specialUse)}
        return all(isMet[option] for option in self._criteria)

    def childInfo(self, info: MailboxInfo) -> tuple[bytes, ...]:
        """`childinfo-extended-item`: something below meets the criteria (RFC 5258 §3.5)."""
        if info.name not in self._above:
            return ()
        return (b'"CHILDINFO" (%b)' % b" ".join(b'"%b"' % option.value for option in self._criteria),)

    def _isWanted(self, info: MailboxInfo) -> bool:
        if self.meets(info):
            return True
        if self._criteria:
            return info.name in self._aboveHidden
        return info.name in self.parents  # a name that is only above mailboxes

    def _matches(self, name: str) -> bool:
        octets = names.encode(name, self._isUTF8)
        return any(pattern.matches(octets) for pattern in self._patterns)


# --- LSUB ------------------------------------------------------------------------------------------------------------


async def listSubscribed(session: Session, command: ListSubscribed) -> Reply:
    r"""RFC 3501 §6.3.9. With `%`, a name that only has subscribed ones below it is shown as \Noselect."""
    pattern = Pattern(command.reference + command.pattern)
    infos = await session.listing()
    await session.send(await session.channel.think(lambda: list(_subscribed(session, infos, pattern, b"%" in command.pattern))))
    return ok("those are the subscriptions")


def _subscribed(session: Session, infos: Sequence[MailboxInfo], pattern: Pattern, showsParents: bool) -> Iterator[bytes]:
    subscribed = {info.name for info in infos if info.isSubscribed}
    hidden: set[str] = set()
    for info in infos:
        if not info.isSubscribed:
            continue
        if pattern.matches(names.encode(info.name, session.usesUTF8)):
            yield line(b"LSUB", [] if info.isSelectable else [b"\\Noselect"], session.nameWord(info.name))
        elif showsParents:
            hidden.add(info.name)
    for parent in sorted(ancestors(hidden) - subscribed):
        if pattern.matches(names.encode(parent, session.usesUTF8)):
            yield line(b"LSUB", [b"\\Noselect"], session.nameWord(parent))


HANDLERS: Mapping[type, Handler] = {ListMailboxes: listMailboxes, ListSubscribed: listSubscribed}
