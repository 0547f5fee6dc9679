"""Texts that nearly match, and how well (RFC 6203).

A word is found where it stands as it is, within another word too, and where a word begins with it but for one letter that is
missing, wrong or too many, or two that changed places, and goes on with at most `_ENDING` more. Words of fewer than `_SHORT`
letters, and very long ones, must be as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import frozen

from mailfw.message import criteria, mime
from mailfw.message.criteria import Criterion
from mailfw.message.text import Needle, bodyTexts, fieldTexts, fold, headerText
from mailfw.values import Column

_SHORT = 4
_LONG = 30
_ENDING = 3
_HALVED_FROM = 8

_WHOLE, _WITHIN, _NEARLY, _NOT = 100, 80, 50, 1
_BODY_SHARE = 0.9


def _variants(word: str) -> Iterable[str]:
    """Patterns for the word with one letter missing, wrong, too many, or moved."""
    for at in range(len(word)):
        before, letter, after = re.escape(word[:at]), re.escape(word[at]), re.escape(word[at + 1 :])
        yield before + after
        yield rf"{before}\w{after}"
        yield rf"{before}\w{letter}{after}"
        if after:
            yield before + re.escape(word[at + 1]) + letter + re.escape(word[at + 2 :])


def pieces(word: str) -> tuple[str, ...]:
    """Texts of which at least one is in whatever the word is found in; none where that cannot be told.

    One letter, or two neighbours, can spoil only one of them, for they do not touch.
    """
    folded = fold(word)
    if len(folded) > _LONG or len(folded) < _SHORT:
        return (folded,)
    if len(folded) < _HALVED_FROM:
        return ()
    middle = len(folded) // 2
    return folded[: middle - 1], folded[middle + 1 :]


@frozen
class Word(Needle):
    """One word, looked for as the module says."""

    whole: re.Pattern[str]
    nearly: re.Pattern[str] | None

    @classmethod
    def of(cls, text: str) -> Word:
        """The needle for a word that somebody typed."""
        word = fold(text)
        whole = re.compile(rf"\b{re.escape(word)}\b")
        if not _SHORT <= len(word) <= _LONG:
            return cls(word, whole, None)
        return cls(word, whole, re.compile(rf"\b(?:{'|'.join(dict.fromkeys(_variants(word)))})\w{{0,{_ENDING}}}\b"))

    def isIn(self, text: str) -> bool:
        """Whether the text holds something like it."""
        folded = fold(text)
        return self.text in folded or (self.nearly is not None and self.nearly.search(folded) is not None)

    def score(self, text: str) -> int:
        """How well the text fits."""
        folded = fold(text)
        if self.text in folded:
            return _WHOLE if self.whole.search(folded) else _WITHIN
        return _NEARLY if self.nearly is not None and self.nearly.search(folded) else _NOT


_Scoring = Callable[[Sequence[Any]], float]  # of a row, whose columns have each its own type


@frozen(eq=False)
class Relevancy:
    """Says how well messages fit, from any thread.

    :ivar columns: what a row must hold, in this order; more may follow.
    """

    columns: tuple[Column, ...]
    _scorings: tuple[_Scoring, ...]

    def score(self, row: Sequence[Any]) -> int:
        """1 to 100. Reads the content where that counts: blocking."""
        if not self._scorings:
            return _WHOLE
        return max(1, min(100, round(sum(scoring(row) for scoring in self._scorings) / len(self._scorings))))


def compile(criterion: Criterion) -> Relevancy:
    """What the fuzzy parts of a criterion say about messages that match it; all count alike, but those that are denied."""
    leaves = list(_fuzzyLeaves(criterion))
    columns = (Column.HEADER, Column.CONTENT) if any(not isinstance(leaf, criteria.Header) for leaf in leaves) else ()
    return Relevancy(columns or ((Column.HEADER,) if leaves else ()), tuple(map(_scoring, leaves)))


_Leaf = criteria.Header | criteria.Body | criteria.Text


def _fuzzyLeaves(criterion: Criterion) -> Iterable[_Leaf]:
    pending = [criterion]
    while pending:
        each = pending.pop()
        if isinstance(each, criteria.And | criteria.Or):
            pending += each.criteria
        elif isinstance(each, _Leaf) and each.isFuzzy:
            yield each


def _scoring(leaf: _Leaf) -> _Scoring:
    word = Word.of(leaf.text)

    def best(texts: Iterable[str]) -> int:
        return max(map(word.score, texts), default=_NOT)

    def body(row: Sequence[Any]) -> float:
        content = row[1].read()
        return best(bodyTexts(mime.scan(content), content)) * _BODY_SHARE

    if isinstance(leaf, criteria.Header):
        name = leaf.name.encode("utf-8")
        return lambda row: best(fieldTexts(row[0], name))
    if isinstance(leaf, criteria.Body):
        return body
    return lambda row: max(word.score(headerText(row[0])), body(row))
