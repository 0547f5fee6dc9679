"""Base subjects (RFC 5256 §2.1): what is left of a subject when replying, forwarding and lists have added to it."""

from __future__ import annotations

import functools
import re

from attrs import frozen

from mailfw.message import words
from mailfw.message.text import fold

# subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"        subj-blob = "[" *BLOBCHAR "]" *WSP
# subj-leader = (*subj-blob subj-refwd) / WSP                     subj-trailer = "(fwd)" / WSP
_BLOB = r"\[[^\[\]]*+\]\s*+"
_REFWD = rf"(?:re|fwd?)\s*+(?:{_BLOB})?:"
_LEADERS = re.compile(rf"(?:\s|(?:{_BLOB})*+({_REFWD}))*+", re.IGNORECASE)
_NEXT_BLOB = re.compile(_BLOB)
_FORWARDED = re.compile(r"\[fwd:", re.IGNORECASE)


@frozen
class BaseSubject:
    """:ivar text: case kept; SORT and THREAD compare it folded.
    :ivar isReply: whether something said that it is a reply or a forward.
    """

    text: str
    isReply: bool


def baseSubject(subject: str) -> BaseSubject:
    """The base subject of a decoded Subject. Only two offsets move, so that `Re: Re: …` costs linear time."""
    start, end, isReply = _bounds(text := " ".join(subject.split()))
    return BaseSubject(text[start:end], isReply)


def comparable(subject: bytes) -> BaseSubject:
    """The base subject of an undecoded, unfolded Subject as SORT and THREAD compare it: folded, without NUL."""
    return _comparable(subject) if len(subject) > 256 else _shortComparable(subject)


def _comparable(subject: bytes) -> BaseSubject:
    text = " ".join(words.decode(subject).split())
    start, end, isReply = _bounds(text)
    return BaseSubject(fold(text[start:end]).replace("\0", ""), isReply)


# Most messages share their subject with their neighbours.
_shortComparable = functools.lru_cache(4096)(_comparable)


def _bounds(text: str) -> tuple[int, int, bool]:
    """Where the base subject is, and whether something said that it is a reply or a forward."""
    start, end = 0, len(text)
    isReply = False
    while True:
        end, wasForwarded = _trailerCut(text, start, end)
        start, wasReply = _leaderCut(text, start, end)
        isReply = isReply or wasForwarded or wasReply
        if not (text.endswith("]", start, end) and _FORWARDED.match(text, start, end)):
            return start, end, isReply
        start, end = start + len("[fwd:"), end - 1
        isReply = True


def _trailerCut(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the text ends without any `(fwd)` and white space, and whether there was a `(fwd)`."""
    isForwarded = False
    while text.endswith((" ", ")"), start, end):
        if text[end - 1] == " ":
            end -= 1
        elif text[max(start, end - len("(fwd)")) : end].lower() == "(fwd)":
            end -= len("(fwd)")
            isForwarded = True
        else:
            break
    return end, isForwarded


def _leaderCut(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the text begins without `re:`, `fw:` and `[…]` before it, and whether there was a `re:` or `fw:`.

    Blobs go only when something is left after them; those before a `re:` go with it.
    """
    leaders = _LEADERS.match(text, start, end)
    assert leaders is not None  # it matches nothing at all, too
    at = leaders.end()
    while text.startswith("[", at) and (found := _NEXT_BLOB.match(text, at, end)) and found.end() < end:
        at = found.end()
    return at, leaders[1] is not None
