"""What the server says it can do (RFC 3501 §7.2.1). A word here is a promise that all of it is there."""

from __future__ import annotations

from collections.abc import Iterable

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


def beforeLogin(mechanisms: Iterable[str], mayStartTLS: bool, mayUsePlaintext: bool) -> tuple[str, ...]:
    """What a client is told that has not logged in.

    :param mechanisms: of SASL, those on offer on this connection as it is now.
    """
    capabilities = list(CAPABILITIES)
    if mayStartTLS:
        capabilities.append("STARTTLS")
    if not mayUsePlaintext:
        capabilities.append("LOGINDISABLED")
    return (*capabilities, *(f"AUTH={name}" for name in mechanisms))


def afterLogin(limits: Limits) -> tuple[str, ...]:
    """What a client is told that has logged in: nothing that is of use only before, but how much it may ask for."""
    return (*CAPABILITIES, *AFTER_LOGIN, f"APPENDLIMIT={limits.messageSize}", f"MESSAGELIMIT={limits.messageLimit}")
