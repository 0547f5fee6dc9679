"""Address lists (RFC 5322 §3.4, §4.4), also as broken programs write them, in linear time.

    address-list = (address *("," address))         mailbox = name-addr / addr-spec
    address      = mailbox / group                  group   = display-name ":" [group-list] ";"

Whatever stands between two separators becomes one entry, so that nobody who is addressed is invisible. `;` ends an
address outside a group too, as people write it. Names and local parts come without their quoting, encoded-words
undecoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from mailfw.message import words

MAX_ENTRIES = 10_000


@frozen
class Mailbox:
    """One address of a list.

    :ivar name: the display name, or the comment that stands for it; None without either.
    :ivar route: an obsolete source route, `@a,@b`, or None.
    :ivar domain: empty where the address has none.
    """

    name: bytes | None
    route: bytes | None
    local: bytes
    domain: bytes

    @property
    def address(self) -> bytes:
        """`local@domain`, or what there is of it."""
        return b"%b@%b" % (self.local, self.domain) if self.domain else self.local


@frozen
class GroupStart:
    """`name:`"""

    name: bytes


@frozen
class GroupEnd:
    """`;`"""


Entry = Mailbox | GroupStart | GroupEnd

_QUOTED = rb'(?P<quoted>"(?:[^"\\]++|\\.)*+")|'
_PLAIN = (
    rb"(?P<space>[\x00-\x20]++)|(?P<literal>\[[^\[\]]*+\])|(?P<special>[<>@,;:])"
    rb'|(?P<opening>["\[(])|(?P<atom>[^\x00-\x20"\[<>@,;:(]++)'
)
_TOKEN = re.compile(_QUOTED + _PLAIN, re.DOTALL)
_TOKEN_UNQUOTED = re.compile(_PLAIN)
_COMMENT_EDGE = re.compile(rb"\\.|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)

_Token = tuple[str, bytes]  # kind and text; a special is its own kind


def entries(value: bytes) -> list[Entry]:
    """The entries of an unfolded address list, at most `MAX_ENTRIES`; groups as a start, their members and an end."""
    found: list[Entry] = []
    pending: list[_Token] = []
    isInGroup = hasAt = isInAngle = isInRoute = False
    for token in _tokens(value):
        kind = token[0]
        if kind == ":" and not (isInGroup or isInAngle or hasAt):
            found.append(GroupStart(_phrase(pending) or b""))
            isInGroup = True
            pending = []
        elif kind == ";" or (kind == "," and not isInRoute):
            if (mailbox := _mailbox(pending)) is not None:
                found.append(mailbox)
            if kind == ";" and isInGroup:
                found.append(GroupEnd())
                isInGroup = False
            hasAt = isInAngle = isInRoute = False
            pending = []
        else:
            # In `<@a,@b:c@d>` the commas belong to a route (RFC 5322 §4.4).
            if kind == "@":
                isInRoute = isInRoute or bool(pending and pending[-1][0] == "<")
                hasAt = True
            elif kind in "<:>":
                isInRoute = False
                isInAngle = kind != ">" and (kind == "<" or isInAngle)
            pending.append(token)
        if len(found) >= MAX_ENTRIES:
            pending = []
            break
    if (mailbox := _mailbox(pending)) is not None:
        found.append(mailbox)
    if isInGroup:
        found.append(GroupEnd())
    return found


def mailboxes(value: bytes) -> list[Mailbox]:
    """The addresses of an unfolded list, without the groups around them."""
    return [entry for entry in entries(value) if isinstance(entry, Mailbox)]


def display(entry: Entry) -> str:
    """An entry as people read it: `Name <local@domain>`, decoded, without quoting; a group by its name."""
    if isinstance(entry, GroupEnd):
        return ""
    if isinstance(entry, GroupStart):
        return words.decode(entry.name)
    address = words.decode(entry.address)
    return f"{words.decode(entry.name)} <{address}>" if entry.name else address


def _tokens(value: bytes) -> Iterator[_Token]:
    """Cut the value up. What is never closed opens nothing: a quotation mark would hide whoever follows it."""
    pattern = _TOKEN
    hasComments = True
    at = 0
    while at < len(value):
        match = pattern.match(value, at)
        assert match is not None  # every octet begins one of the alternatives
        kind, text = str(match.lastgroup), match[0]
        at = match.end()
        if kind == "special":
            yield text.decode("ascii"), text
        elif kind != "opening":
            yield kind, text
        elif text == b'"':
            pattern = _TOKEN_UNQUOTED
        elif text == b"(" and hasComments and (end := _commentEnd(value, at)):
            yield "comment", value[at : end - 1]
            at = end
        else:
            hasComments = hasComments and text != b"("
            yield "atom", text


def _commentEnd(value: bytes, at: int) -> int:
    """The offset after the parenthesis that closes the comment whose inside begins at `at`; 0 where none does."""
    depth = 1
    for match in _COMMENT_EDGE.finditer(value, at):
        if match[0] == b"(":
            depth += 1
        elif match[0] == b")":
            depth -= 1
            if not depth:
                return match.end()
    return 0


def _mailbox(tokens: list[_Token]) -> Mailbox | None:
    kinds = [kind for kind, _ in tokens]
    if all(kind in ("space", "comment", ">") for kind in kinds):
        return None
    if "<" not in kinds:
        local, domain = _address(tokens)
        comments = [text for kind, text in tokens if kind == "comment"]
        return Mailbox(_unquotedPair(comments[-1]).strip() or None if comments else None, None, local, domain)
    opening = kinds.index("<")
    closing = kinds.index(">", opening) if ">" in kinds[opening:] else len(kinds)
    inside = tokens[opening + 1 : closing]
    insideKinds = [kind for kind, _ in inside if kind not in ("space", "comment")]
    route = None
    if insideKinds[:1] == ["@"] and ":" in insideKinds:
        colon = [kind for kind, _ in inside].index(":")
        route = _joined(inside[:colon])
        inside = inside[colon + 1 :]
    local, domain = _address(inside)
    return Mailbox(_phrase(tokens[:opening]), route, local, domain)


def _address(tokens: list[_Token]) -> tuple[bytes, bytes]:
    """Local part and domain, split at the last `@`."""
    kinds = [kind for kind, _ in tokens]
    if "@" not in kinds:
        return _phrase(tokens) or b"", b""
    at = len(kinds) - 1 - kinds[::-1].index("@")
    return _joined(tokens[:at]), _joined(tokens[at + 1 :])


def _joined(tokens: list[_Token]) -> bytes:
    """The tokens without white space, comments and quoting."""
    return b"".join(_plain(token) for token in tokens if token[0] not in ("space", "comment"))


def _phrase(tokens: list[_Token]) -> bytes | None:
    """The tokens as a display name: white space and comments between words become one space, None when nothing is left."""
    pieces: list[bytes] = []
    isApart = False
    for token in tokens:
        if token[0] in ("space", "comment"):
            isApart = bool(pieces)
        else:
            if isApart:
                pieces.append(b" ")
                isApart = False
            pieces.append(_plain(token))
    return b"".join(pieces).strip() or None


def _plain(token: _Token) -> bytes:
    kind, text = token
    return _unquotedPair(text[1:-1]) if kind == "quoted" else text


def _unquotedPair(text: bytes) -> bytes:
    return _QUOTED_PAIR.sub(rb"\1", text) if b"\\" in text else text
