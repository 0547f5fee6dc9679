"""Base subjects (RFC 5256 §2.1): what is left of a subject when replying, forwarding and lists have added to it."""

from __future__ import annotations

import re

from attrs import frozen

# subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"        subj-blob = "[" *BLOBCHAR "]" *WSP
# subj-leader = (*subj-blob subj-refwd) / WSP                     subj-trailer = "(fwd)" / WSP
_REFWD = re.compile(r"(?:re|fwd?)\s*+(?:\[[^\[\]]*+\]\s*+)?:", re.IGNORECASE)
_BLOB = re.compile(r"\[[^\[\]]*+\]\s*+")
_TRAILER = re.compile(r"\(fwd\)\Z", re.IGNORECASE)
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
    text = " ".join(subject.split())
    start, end = 0, len(text)
    isReply = False
    while True:
        end, wasForwarded = _trailerCut(text, start, end)
        start, wasReply = _leaderCut(text, start, end)
        isReply = isReply or wasForwarded or wasReply
        if not (_FORWARDED.match(text, start, end) and text[end - 1] == "]"):
            return BaseSubject(text[start:end], isReply)
        start, end = start + len("[fwd:"), end - 1
        isReply = True


def _trailerCut(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the text ends without any `(fwd)` and white space, and whether there was a `(fwd)`."""
    isForwarded = False
    while end > start:
        if text[end - 1] == " ":
            end -= 1
        elif _TRAILER.match(text, max(start, end - len("(fwd)")), end):
            end -= len("(fwd)")
            isForwarded = True
        else:
            break
    return end, isForwarded


def _leaderCut(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where the text begins without `re:`, `fw:` and `[…]` before it, and whether there was a `re:` or `fw:`.

    Blobs go only when something is left after them; those before a `re:` go with it.
    """
    isReply = False
    at = start
    while at < end:
        if text[at] == " ":
            at += 1
        elif found := _REFWD.match(text, at, end):
            at = found.end()
            isReply = True
        elif (found := _BLOB.match(text, at, end)) and found.end() < end:
            at = found.end()
        else:
            break
    return at, isReply
