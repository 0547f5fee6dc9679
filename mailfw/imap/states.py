"""Which command may come when: all that a session's state decides is in these tables (RFC 3501 §3, RFC 9051 §3)."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class State(enum.Enum):
    """Where a session is. LOGOUT has no commands: the connection is being closed."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_LOGGED_IN = frozenset((State.AUTHENTICATED, State.SELECTED))
_ANY = frozenset((State.NOT_AUTHENTICATED, *_LOGGED_IN))
_BEFORE_LOGIN = frozenset((State.NOT_AUTHENTICATED,))
_SELECTED = frozenset((State.SELECTED,))


def _names(text: bytes) -> frozenset[bytes]:
    return frozenset(name.strip() for name in text.split(b","))


def _table(*rows: tuple[frozenset[State], bytes]) -> Mapping[bytes, frozenset[State]]:
    return {name: states for states, text in rows for name in _names(text)}


COMMANDS = _table(
    (_ANY, b"CAPABILITY, NOOP, LOGOUT, ID"),
    (_BEFORE_LOGIN, b"STARTTLS, AUTHENTICATE, LOGIN"),
    (_LOGGED_IN, b"SELECT, EXAMINE, CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, LIST, LSUB, NAMESPACE, STATUS"),
    (_LOGGED_IN, b"ENABLE, APPEND, IDLE, ESEARCH, NOTIFY, COMPRESS, UNAUTHENTICATE"),
    (_LOGGED_IN, b"GETQUOTA, GETQUOTAROOT, SETQUOTA, GETMETADATA, SETMETADATA"),
    (_LOGGED_IN, b"SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS"),
    (_SELECTED, b"CHECK, CLOSE, UNSELECT, EXPUNGE, SEARCH, FETCH, STORE, COPY, MOVE"),
    (_SELECTED, b"SORT, THREAD, UID SORT, UID THREAD, CANCELUPDATE"),
    (_SELECTED, b"UIDBATCHES, REPLACE, UID REPLACE"),
    (_SELECTED, b"UID EXPUNGE, UID SEARCH, UID FETCH, UID STORE, UID COPY, UID MOVE"),
)
"""The states in which each command is valid."""

OPENS = _names(b"SELECT, EXAMINE")
"""Commands that open a mailbox. What happens in it meanwhile is news of the next command: clients count its messages by what they
are told first, and are ready for news when it is open."""

KEEPS_NUMBERS = _names(b"FETCH, STORE, SEARCH, SORT, THREAD")
"""Commands during which no EXPUNGE is sent, for it would change what the numbers in them mean (RFC 3501 §7.4.1,
RFC 5256 §3)."""

TAKES_NUMBERS = KEEPS_NUMBERS | _names(b"COPY, MOVE, REPLACE")
"""Commands that mean messages by number, and are refused to clients that know UIDs only (RFC 9586 §3.2, §3.8)."""

SHOWS_MODSEQS = _names(b"FETCH, SEARCH, SORT, UID FETCH, UID SEARCH, UID SORT")
"""Commands after which a client that knows MODSEQs is told what happened before those that it was just shown."""

EXPUNGES = _names(b"EXPUNGE, MOVE, REPLACE, UID EXPUNGE, UID MOVE, UID REPLACE")
"""Commands whose own work is told as news of the mailbox, even to a client that wants none of others (RFC 5465 §3.1)."""

CHANGES_NAMES = _names(b"CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE")
"""Commands that change names or subscriptions."""

ASKS_FOR_NEWS = _names(
    b"NOOP, CHECK, IDLE, APPEND, REPLACE, EXPUNGE, STORE, COPY, MOVE,"
    b"UID REPLACE, UID EXPUNGE, UID STORE, UID COPY, UID MOVE"
)
"""Commands after which the store is asked what happened in the mailbox; after others only when the bell rang."""
