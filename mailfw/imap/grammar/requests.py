"""Commands as a client sends them: the other half of `commands` (RFC 3501 §9 `command`).

`command` writes what `commands.parse` reads, of every command that is a value there but APPEND, which has a function of its
own. A command comes in pieces, so that whoever sends it can wait where a literal stands until the server wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from mailfw.imap.grammar import commands, names, response
from mailfw.imap.grammar.batches import Batches
from mailfw.imap.grammar.dates import internalDate
from mailfw.imap.grammar.fetch import Attribute, BinarySection, Fetch, FetchItem
from mailfw.imap.grammar.listing import ListMailboxes, ListSubscribed, Wanted
from mailfw.imap.grammar.mailboxes import Create, Delete, Namespace, Rename, Select, Status, Subscribe
from mailfw.imap.grammar.messages import Check, Close, Copy, Expunge, Move, Store, Unselect
from mailfw.imap.grammar.modifiers import FetchModifiers, Resync, SelectParameters
from mailfw.imap.grammar.search import Key
from mailfw.imap.grammar.searching import CancelUpdate, ESearch, Return, Returns, Search, Sort, Thread
from mailfw.imap.grammar.sources import Source
from mailfw.imap.grammar.terms import hasText, program, sequenceSet, string
from mailfw.message.sort import SortKey
from mailfw.values import FlagChange, MessageSource, UIDSet

Piece = bytes | MessageSource
"""A part of a command: what stands in its lines, or the octets of a literal."""

Pieces = Iterator[Piece]


@frozen
class Manner:
    """What the server understands on this connection. :ivar isUTF8: names are UTF-8 (RFC 9755 §3, RFC 9051 §5.1)."""

    isUTF8: bool = False


PLAIN = Manner()


# --- Words -----------------------------------------------------------------------------------------------------------


def astring(octets: bytes) -> Pieces:
    """`astring`"""
    if octets and octets.upper() != b"NIL" and response.astring(octets) == octets:
        yield octets
    else:
        yield from string(octets)


def mailbox(name: str, manner: Manner) -> Pieces:
    """`mailbox`. :raises ValueError: no mailbox can have that name."""
    octets = names.encode(name, manner.isUTF8)
    if octets.isascii():
        yield from astring(octets)
    else:
        yield from string(octets, isUTF8=True)


def _words(*words: bytes) -> bytes:
    return b" ".join(words)


def _list(words: Iterable[bytes]) -> bytes:
    return b"(%b)" % b" ".join(words)


def _uidSet(uids: UIDSet) -> bytes:
    return str(uids).encode("ascii")


# --- Any state, and logging in ---------------------------------------------------------------------------------------


def _id(command: commands.Id, manner: Manner) -> Pieces:
    if not command.parameters:
        yield b"ID NIL"
        return
    yield b"ID ("
    for place, (name, value) in enumerate(command.parameters):
        yield b" " if place else b""
        yield from string(name)
        yield b" "
        if value is None:
            yield b"NIL"
        else:
            yield from string(value)
    yield b")"


def _login(command: commands.Login, manner: Manner) -> Pieces:
    yield b"LOGIN "
    yield from astring(command.user)
    yield b" "
    yield from astring(command.password)


def _authenticate(command: commands.Authenticate, manner: Manner) -> Pieces:
    yield b"AUTHENTICATE " + command.mechanism.encode("ascii")
    if command.initialResponse is not None:
        yield b" " + (command.initialResponse or b"=")


# --- Mailboxes -------------------------------------------------------------------------------------------------------


def _resync(resync: Resync) -> bytes:
    words = [b"%d" % resync.uidValidity, b"%d" % resync.modSeq]
    if resync.known is not None:
        words.append(_uidSet(resync.known))
    if resync.numbers:
        words.append(b"(%b %b)" % (_uidSet(resync.numbers), _uidSet(resync.uids)))
    return b"QRESYNC " + _list(words)


def _selectParameters(parameters: SelectParameters) -> bytes:
    words = [b"CONDSTORE"] if parameters.isCondstore else []
    if parameters.resync is not None:
        words.append(_resync(parameters.resync))
    return b" " + _list(words) if words else b""


def _select(command: Select, manner: Manner) -> Pieces:
    yield b"EXAMINE " if command.isReadOnly else b"SELECT "
    yield from mailbox(command.mailbox, manner)
    yield _selectParameters(command.parameters)


def _create(command: Create, manner: Manner) -> Pieces:
    yield b"CREATE "
    yield from mailbox(command.mailbox, manner)
    if command.uses:
        yield b" (USE %b)" % _list(use.encode("ascii") for use in sorted(command.uses))


def _named(word: bytes) -> Callable[[Any, Manner], Pieces]:
    def write(command: Any, manner: Manner) -> Pieces:  # any command that has one mailbox and nothing else
        yield word + b" "
        yield from mailbox(command.mailbox, manner)

    return write


def _rename(command: Rename, manner: Manner) -> Pieces:
    yield b"RENAME "
    yield from mailbox(command.mailbox, manner)
    yield b" "
    yield from mailbox(command.newName, manner)


def _subscribe(command: Subscribe, manner: Manner) -> Pieces:
    return _named(b"SUBSCRIBE" if command.isSubscribed else b"UNSUBSCRIBE")(command, manner)


def _status(command: Status, manner: Manner) -> Pieces:
    yield b"STATUS "
    yield from mailbox(command.mailbox, manner)
    yield b" " + _list(item.value for item in command.items)


def _wanted(wanted: Wanted) -> bytes:
    words = sorted(option.value for option in wanted.options)
    if wanted.status:
        words.append(b"STATUS " + _list(item.value for item in wanted.status))
    if wanted.metadata:
        words.append(b"METADATA " + _list(entry.encode("ascii") for entry in wanted.metadata))
    return _list(words)


def _listMailboxes(command: ListMailboxes, manner: Manner) -> Pieces:
    yield b"LIST "
    if command.selection:
        yield _list(sorted(option.value for option in command.selection)) + b" "
    yield from astring(command.reference)
    yield b" "
    isOne = len(command.patterns) == 1
    yield b"" if isOne else b"("
    for place, pattern in enumerate(command.patterns):
        yield b" " if place else b""
        yield from string(pattern)
    yield b"" if isOne else b")"
    if command.wanted != Wanted():
        yield b" RETURN " + _wanted(command.wanted)


def _listSubscribed(command: ListSubscribed, manner: Manner) -> Pieces:
    yield b"LSUB "
    yield from astring(command.reference)
    yield b" "
    yield from string(command.pattern)


# --- Messages --------------------------------------------------------------------------------------------------------


def append(
    mailboxName: str, message: MessageSource, flags: Iterable[str], date: float | None, manner: Manner, isBinary: bool = False
) -> Pieces:
    """`append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal` (RFC 3501 §6.3.11)

    :param date: seconds since the epoch, UTC; None: now.
    :param isBinary: the message may hold NUL (RFC 3516 §4.4).
    """
    yield b"APPEND "
    yield from mailbox(mailboxName, manner)
    spelled = [_flag(flag) for flag in flags]
    yield (b" " + _list(spelled) if spelled else b"") + (b" " + internalDate(date) if date is not None else b"")
    yield b" ~" if isBinary else b" "
    yield message


def _flag(flag: str) -> bytes:
    """:raises ValueError: it is no flag that IMAP can name."""
    octets = flag.encode("ascii")
    if response.astring(octets.removeprefix(b"\\")) != octets.removeprefix(b"\\"):
        raise ValueError(f"{flag!r} is no flag")
    return octets


def item(wanted: FetchItem) -> bytes:
    """`fetch-att`"""
    if isinstance(wanted, Attribute):
        return wanted.value
    label = wanted.label
    if wanted.partial is not None:
        label = b"%b<%d.%d>" % (label.rpartition(b"<")[0], *wanted.partial)
    if wanted.isPeek and not (isinstance(wanted, BinarySection) and wanted.isSize) and not label.startswith(b"RFC822"):
        word, bracket, rest = label.partition(b"[")
        label = b"%b.PEEK%b%b" % (word, bracket, rest)
    return label


def _fetchModifiers(modifiers: FetchModifiers) -> bytes:
    words = []
    if modifiers.changedSince is not None:
        words.append(b"CHANGEDSINCE %d" % modifiers.changedSince)
    if modifiers.wantsVanished:
        words.append(b"VANISHED")
    if modifiers.partial is not None:
        words.append(b"PARTIAL " + modifiers.partial.label)
    return b" " + _list(words) if words else b""


def _fetch(command: Fetch, manner: Manner) -> Pieces:
    wanted = command.items[1:] if command.impliesUID else command.items
    words = _list(map(item, wanted))
    yield b"%bFETCH %b %b" % (_uid(command.isUID), sequenceSet(command.messages), words)
    yield _fetchModifiers(command.modifiers)


def _uid(isUID: bool) -> bytes:
    return b"UID " if isUID else b""


_CHANGES = {FlagChange.REPLACE: b"FLAGS", FlagChange.ADD: b"+FLAGS", FlagChange.REMOVE: b"-FLAGS"}


def _store(command: Store, manner: Manner) -> Pieces:
    since = b"" if command.unchangedSince is None else b"(UNCHANGEDSINCE %d) " % command.unchangedSince
    words = _list(map(_flag, sorted(command.flags)))
    change = _CHANGES[command.change] + (b".SILENT" if command.isSilent else b"")
    yield b"%bSTORE %b %b%b %b" % (_uid(command.isUID), sequenceSet(command.messages), since, change, words)


def _copy(command: Copy | Move, manner: Manner) -> Pieces:
    word = b"COPY" if isinstance(command, Copy) else b"MOVE"
    yield b"%b%b %b " % (_uid(command.isUID), word, sequenceSet(command.messages))
    yield from mailbox(command.mailbox, manner)


def _expunge(command: Expunge, manner: Manner) -> Pieces:
    yield b"EXPUNGE" if command.messages is None else b"UID EXPUNGE " + sequenceSet(command.messages)


# --- Searching -------------------------------------------------------------------------------------------------------


def _returns(returns: Returns | None) -> bytes:
    if returns is None:
        return b""
    words = sorted(option.value for option in returns.options if option not in (Return.PARTIAL, Return.UPDATE))
    if Return.UPDATE in returns:
        words.append(b"UPDATE " + _list(map(item, returns.items)) if returns.items else b"UPDATE")
    if returns.partial is not None:
        words.append(b"PARTIAL " + returns.partial.label)
    return b"RETURN %b " % _list(words)


def _program(key: Key, manner: Manner) -> Pieces:
    """`["CHARSET" SP charset SP] search-key *(SP search-key)`; no charset where UTF-8 is understood (RFC 9755 §3)"""
    if not manner.isUTF8 and hasText(key):
        yield b"CHARSET UTF-8 "
    yield from program(key)


def _search(command: Search, manner: Manner) -> Pieces:
    yield b"%bSEARCH %b" % (_uid(command.isUID), _returns(command.returns))
    yield from _program(command.key, manner)


def _sortKey(key: SortKey) -> bytes:
    return (b"REVERSE " if key.isReverse else b"") + key.kind.value.encode("ascii")


def _sort(command: Sort, manner: Manner) -> Pieces:
    yield b"%bSORT %b" % (_uid(command.isUID), _returns(command.returns))
    yield b"%b UTF-8 " % _list(map(_sortKey, command.order))
    yield from program(command.key)


def _thread(command: Thread, manner: Manner) -> Pieces:
    yield b"%bTHREAD %b UTF-8 " % (_uid(command.isUID), command.algorithm.value.encode("ascii"))
    yield from program(command.key)


def _source(source: Source, manner: Manner) -> Pieces:
    yield source.scope.value
    if source.mailboxes:
        yield b" ("
        for place, name in enumerate(source.mailboxes):
            yield b" " if place else b""
            yield from mailbox(name, manner)
        yield b")"


def _esearch(command: ESearch, manner: Manner) -> Pieces:
    yield b"ESEARCH "
    if command.sources is not None:
        yield b"IN ("
        for place, source in enumerate(command.sources):
            yield b" " if place else b""
            yield from _source(source, manner)
        yield b") "
    yield _returns(command.returns)
    yield from _program(command.key, manner)


def _cancelUpdate(command: CancelUpdate, manner: Manner) -> Pieces:
    yield b"CANCELUPDATE"
    for tag in command.tags:
        yield b' "%b"' % tag


def _batches(command: Batches, manner: Manner) -> Pieces:
    yield b"UIDBATCHES %d" % command.size
    if command.wanted is not None:
        yield b" %d:%d" % command.wanted


# --- Every command ---------------------------------------------------------------------------------------------------


def _plain(word: bytes) -> Callable[[Any, Manner], Pieces]:
    return lambda command, manner: iter((word,))


WRITERS: Mapping[type, Callable[[Any, Manner], Pieces]] = {
    commands.Capability: _plain(b"CAPABILITY"),
    commands.Noop: _plain(b"NOOP"),
    commands.Logout: _plain(b"LOGOUT"),
    commands.StartTLS: _plain(b"STARTTLS"),
    commands.Idle: _plain(b"IDLE"),
    commands.Id: _id,
    commands.Login: _login,
    commands.Authenticate: _authenticate,
    commands.Enable: lambda command, manner: iter((_words(b"ENABLE", *command.capabilities),)),
    Select: _select,
    Create: _create,
    Delete: _named(b"DELETE"),
    Rename: _rename,
    Subscribe: _subscribe,
    Status: _status,
    Namespace: _plain(b"NAMESPACE"),
    ListMailboxes: _listMailboxes,
    ListSubscribed: _listSubscribed,
    Check: _plain(b"CHECK"),
    Close: _plain(b"CLOSE"),
    Unselect: _plain(b"UNSELECT"),
    Expunge: _expunge,
    Fetch: _fetch,
    Store: _store,
    Copy: _copy,
    Move: _copy,
    Search: _search,
    Sort: _sort,
    Thread: _thread,
    ESearch: _esearch,
    CancelUpdate: _cancelUpdate,
    Batches: _batches,
}


def command(value: object, manner: Manner = PLAIN) -> Pieces:
    """A command without its tag and its CRLF.

    :raises ValueError: something in it cannot be said.
    :raises KeyError: it is none of those.
    """
    return WRITERS[type(value)](value, manner)
