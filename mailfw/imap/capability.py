"""What the server says it can do (RFC 3501 §7.2.1). A word here is a promise that all of it is there.

An administrator can take words off, for all accounts or for one. A command that belongs to such a word alone is unknown then, and
what ENABLE would switch on stays off; arguments that came with it into other commands are still understood, for they harm nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from mailfw.net.limits import Limits

CAPABILITIES = (
    "IMAP4rev1",
    "IMAP4rev2",
    "LITERAL+",
    "SASL-IR",
    "ID",
    "ENABLE",
    "UTF8=ACCEPT",
    "IDLE",
    "NAMESPACE",
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "STATUS=SIZE",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "UNSELECT",
    "UIDPLUS",
    "MOVE",
    "REPLACE",
    "MULTIAPPEND",
    "CATENATE",
    "BINARY",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "PARTIAL",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=REFERENCES",
    "THREAD=REFS",
    "THREAD=ORDEREDSUBJECT",
    "CONTEXT=SEARCH",
    "CONTEXT=SORT",
    "MULTISEARCH",
    "SEARCH=FUZZY",
    "I18NLEVEL=1",
    "INPROGRESS",
    "CONDSTORE",
    "QRESYNC",
    "UIDONLY",
    "UIDBATCHES",
    "NOTIFY",
    "OBJECTID",
    "SAVEDATE",
    "PREVIEW",
    "QUOTA",
    "QUOTASET",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
    "QUOTA=RES-MAILBOX",
    "METADATA",
    "LIST-METADATA",
    "ACL",
    "RIGHTS=texk",
    "LIST-MYRIGHTS",
)
"""What there is in every state, in the order in which it is announced."""

AFTER_LOGIN = ("COMPRESS=DEFLATE", "UNAUTHENTICATE")
"""What there is only then."""

LIMITS = ("APPENDLIMIT", "MESSAGELIMIT")
"""What is announced with a number."""

BELONGS: Mapping[bytes, str] = {
    b"ID": "ID",
    b"ENABLE": "ENABLE",
    b"IDLE": "IDLE",
    b"NAMESPACE": "NAMESPACE",
    b"UNSELECT": "UNSELECT",
    b"UID EXPUNGE": "UIDPLUS",
    b"MOVE": "MOVE",
    b"UID MOVE": "MOVE",
    b"REPLACE": "REPLACE",
    b"UID REPLACE": "REPLACE",
    b"SORT": "SORT",
    b"UID SORT": "SORT",
    b"ESEARCH": "MULTISEARCH",
    b"CANCELUPDATE": "CONTEXT=SEARCH",
    b"UIDBATCHES": "UIDBATCHES",
    b"NOTIFY": "NOTIFY",
    b"GETQUOTA": "QUOTA",
    b"GETQUOTAROOT": "QUOTA",
    b"SETQUOTA": "QUOTASET",
    b"GETMETADATA": "METADATA",
    b"SETMETADATA": "METADATA",
    b"SETACL": "ACL",
    b"DELETEACL": "ACL",
    b"GETACL": "ACL",
    b"LISTRIGHTS": "ACL",
    b"MYRIGHTS": "ACL",
    b"COMPRESS": "COMPRESS=DEFLATE",
    b"UNAUTHENTICATE": "UNAUTHENTICATE",
}
"""Commands that are there with one capability only."""

_NUMBER = re.compile(r"=[0-9]+\Z")


def switchable() -> tuple[str, ...]:
    """The capabilities that can be taken off, but those of SASL."""
    return tuple(name for name in (*CAPABILITIES, *AFTER_LOGIN, *LIMITS) if name != "IMAP4rev1")


def _left(capabilities: Iterable[str], missing: AbstractSet[str]) -> Iterator[str]:
    return (name for name in capabilities if missing.isdisjoint((name.upper(), _NUMBER.sub("", name))))


def beforeLogin(
    mechanisms: Iterable[str], mayStartTLS: bool, mayUsePlaintext: bool, missing: AbstractSet[str] = frozenset()
) -> tuple[str, ...]:
    """What a client is told that has not logged in.

    :param mechanisms: of SASL, those on offer on this connection as it is now.
    :param missing: what was taken off, in capitals.
    """
    capabilities = list(CAPABILITIES)
    if mayStartTLS:
        capabilities.append("STARTTLS")
    if not mayUsePlaintext:
        capabilities.append("LOGINDISABLED")
    return tuple(_left((*capabilities, *(f"AUTH={name}" for name in mechanisms)), missing))


def afterLogin(limits: Limits, missing: AbstractSet[str] = frozenset()) -> tuple[str, ...]:
    """What a client is told that has logged in: nothing that is of use only before, but how much it may ask for."""
    numbers = dict(zip(LIMITS, (limits.messageSize, limits.messageLimit), strict=True))
    announced = (*CAPABILITIES, *AFTER_LOGIN, *(f"{name}={number}" for name, number in numbers.items()))
    return tuple(_left(announced, missing))
