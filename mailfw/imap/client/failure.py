"""What goes wrong between a client and a server, beside the refusals of `mailfw.errors` and a connection's end."""

from __future__ import annotations

from collections.abc import Mapping

from mailfw import errors
from mailfw.errors import Refusal
from mailfw.imap.grammar.answers import Status
from mailfw.imap.grammar.response import Condition


class GarbledAnswer(Exception):
    """The server said something that is not in the grammar while a command was carried out; what else it said was taken."""


class TLSFailed(ConnectionError):
    """TLS could not be had as it was asked for; the connection is of no more use."""


_MEANINGS: Mapping[bytes, type[Refusal]] = {
    b"AUTHENTICATIONFAILED": errors.AuthenticationFailed,
    b"AUTHORIZATIONFAILED": errors.AuthenticationFailed,
    b"EXPIRED": errors.AuthenticationFailed,
    b"UNAVAILABLE": errors.Unavailable,
    b"SERVERBUG": errors.Unavailable,
    b"INUSE": errors.InUse,
    b"LIMIT": errors.LimitExceeded,
    b"MESSAGELIMIT": errors.LimitExceeded,
    b"NOPERM": errors.NoPermission,
    b"TOOBIG": errors.MessageTooLarge,
    b"OVERQUOTA": errors.OverQuota,
    b"NONEXISTENT": errors.NoSuchMailbox,
    b"TRYCREATE": errors.NoSuchMailbox,
    b"ALREADYEXISTS": errors.MailboxExists,
    b"HASCHILDREN": errors.HasChildren,
    b"EXPUNGEISSUED": errors.Vanished,
}


def refusalOf(status: Status) -> Refusal:
    """What a server's NO or BAD means to a client (RFC 5530); BAD: it does not know the command, or not so."""
    kind = _MEANINGS.get(status.code.name)
    if kind is None:
        kind = errors.NotSupported if status.condition is Condition.BAD else Refusal
    return kind(status.text)
