"""Which names mailboxes, keywords and accounts can have: decided here and nowhere else.

A mailbox name is NFC, with `/` between levels; INBOX, as a name or as first level, is written in capitals whatever the case
it came in (RFC 9051 §5.1).
"""

from __future__ import annotations

import re
import unicodedata

from mailfw.errors import InvalidName

INBOX = "INBOX"
DELIMITER = "/"

NAME_OCTETS = 1000
LEVEL_OCTETS = 250
LEVELS = 32
KEYWORD_LENGTH = 128
ACCOUNT_OCTETS = 320  # RFC 5321 §4.5.3.1: 64 + "@" + 255

# Control characters, line and paragraph separators and lone surrogates could forge lines in logs and protocols; what reorders
# text could make one name look like another; `*` and `%` could not be named in LIST.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff*%]")
# atom, RFC 9051 §9: any CHAR except ( ) { SP CTL % * " \ ]
_KEYWORD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")
_ACCOUNT_FORBIDDEN = re.compile("[\x00-\x20\x7f-\x9f/\\\\\u2028\u2029\ud800-\udfff]")


def mailboxName(name: str) -> str:
    """The canonical form of a mailbox name.

    :raises InvalidName: no mailbox can have it.
    """
    if name == INBOX:
        return name
    name = unicodedata.normalize("NFC", name)
    if _FORBIDDEN.search(name):
        raise InvalidName("a mailbox name cannot hold control characters, '*' or '%'")
    levels = name.split(DELIMITER)
    if not all(levels):
        raise InvalidName("a mailbox name has no empty level")
    if len(levels) > LEVELS:
        raise InvalidName("the mailbox name has too many levels")
    if len(name.encode()) > NAME_OCTETS or any(len(level.encode()) > LEVEL_OCTETS for level in levels):
        raise InvalidName("the mailbox name is too long")
    if levels[0].upper() == INBOX:
        levels[0] = INBOX
    return DELIMITER.join(levels)


def ancestors(name: str) -> list[str]:
    """The names above this one, the highest first."""
    levels = name.split(DELIMITER)
    return [DELIMITER.join(levels[:count]) for count in range(1, len(levels))]


def treeOrder(name: str) -> list[str]:
    """A sort key that puts each parent before its children, and INBOX before all."""
    levels = name.split(DELIMITER)
    return ["" if levels[0] == INBOX else " " + levels[0], *levels[1:]]


def keyword(name: str) -> str:
    """The keyword, when it can be one.

    :raises InvalidName: it is no atom, or too long.
    """
    if not isKeyword(name):
        raise InvalidName("a keyword is an atom of at most 128 characters")
    return name


def isKeyword(name: str) -> bool:
    """Whether it can be a keyword."""
    return len(name) <= KEYWORD_LENGTH and _KEYWORD.fullmatch(name) is not None


def accountName(name: str) -> str:
    """The name, when an account can have it; it comes in its canonical form already.

    :raises InvalidName: no account can have it.
    """
    if not name or _ACCOUNT_FORBIDDEN.search(name) or len(name.encode()) > ACCOUNT_OCTETS or name != name.lower():
        raise InvalidName("no account can have that name")
    return name
