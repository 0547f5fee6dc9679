"""THREAD: which messages belong together, and how the answer is written."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.summary import summarise
from mailfw.message.thread import Algorithm, Forest, ThreadItem, columns, item, render, thread
from mailfw.values import Column


def answer(*items: ThreadItem, algorithm: Algorithm = Algorithm.REFERENCES) -> str:
    return render(thread(algorithm, items)).decode()


def chain(*specifications: str) -> list[ThreadItem]:
    """Messages from `id<reference,reference "subject"`, dated in their order."""
    found = []
    for number, each in enumerate(specifications, 1):
        names, _, subject = each.partition(" ")
        own, _, references = names.partition("<")
        base = subject.removeprefix("Re:").strip()
        found.append(ThreadItem(number, own, tuple(filter(None, references.split(","))), base, subject.startswith("Re:"), number))
    return found


# --- the wire --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depths", "numbers", "wire"),
    [
        ((), (), ""),
        ((0,), (2,), "(2)"),
        # RFC 5256 §4: (2)(3 6 (4 23)(44 7 96)), in its own words the thread of 2, and one of 3 and 6, which splits in two.
        ((0, 0, 1, 2, 3, 2, 3, 4), (2, 3, 6, 4, 23, 44, 7, 96), "(2)(3 6 (4 23)(44 7 96))"),
        # RFC 5256 §4: ((3)(5)), siblings whose parent is not there.
        ((0, 1, 1), (0, 3, 5), "((3)(5))"),
        ((0, 1, 2, 1), (0, 3, 4, 5), "((3 4)(5))"),
        ((0, 1, 2, 2, 1, 0), (0, 3, 4, 6, 5, 9), "((3 (4)(6))(5))(9)"),
    ],
)
def test_threadsAreWrittenAsTheRFCDoes(depths: tuple[int, ...], numbers: tuple[int, ...], wire: str) -> None:
    assert render(Forest(numbers, depths)).decode() == wire


def test_numbersCanBeNamedOtherwise() -> None:
    assert render(Forest((0, 3, 5), (0, 1, 1)), lambda uid: uid * 100) == b"((300)(500))"


# --- ORDEREDSUBJECT --------------------------------------------------------------------------------------------------


def test_orderedSubjectMakesTheFirstOfASubjectTheParentOfTheRest() -> None:
    items = [
        ThreadItem(1, subject="b", date=5),
        ThreadItem(2, subject="a", date=9),
        ThreadItem(3, subject="b", date=4, isReply=True),
        ThreadItem(4, subject="b", date=7),
        ThreadItem(5, subject="a", date=10),
        ThreadItem(6, subject="c", date=4),
    ]
    assert answer(*items, algorithm=Algorithm.ORDEREDSUBJECT) == "(3 (1)(4))(6)(2 5)"


# --- REFERENCES ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "wire"),
    [
        (["a", "b<a", "c<a,b", "d"], "(1 2 3)(4)"),
        (["a", "b<a", "c<a", "d<a,c"], "(1 (2)(3 4))"),
        (["c<a,b", "b<a", "a"], "(3 2 1)"),
        # a parent that is missing holds its children together; one of a single child does not show
        (["b<a", "c<a"], "((1)(2))"),
        (["b<a"], "(1)"),
        (["a", "c<a,b", "d<a,b"], "(1 (2)(3))"),
        (["d<a,b", "e<a,c"], "((1)(2))"),
        (["d<a,b,c"], "(1)"),
        # loops, of one's own and together
        (["a<a"], "(1)"),
        (["a<b", "b<a"], "(2 1)"),
        (["a<c", "b<a", "c<b"], "(3 1 2)"),
        (["a<b,a", "b"], "(1)(2)"),
        # of two messages with one id the first has the answers; a message without one can have none
        (["a", "a", "b<a"], "(1 3)(2)"),
        (["a", "a<b", "b"], "(1)(3 2)"),
        (["", "", "<a", "a"], "(1)(2)(4 3)"),
        # a message's own References are right, another's guess is not
        (["c<a,b", "b", "a"], "(2 1)(3)"),
        (["d<a,b,c", "c<x", "a", "b"], "(2 1)(3)(4)"),
    ],
)
def test_referencesMakeTrees(messages: list[str], wire: str) -> None:
    assert answer(*chain(*messages)) == wire
    assert answer(*chain(*messages), algorithm=Algorithm.REFS).count("(") == wire.count("(")


@pytest.mark.parametrize(
    ("messages", "wire"),
    [
        # replies without References go below what they answer, wherever it is
        (["a x", "b Re:x", "c Re:x"], "(1 (2)(3))"),
        (["a Re:x", "b x", "c Re:x"], "(2 (1)(3))"),
        # messages alike, neither answering the other, become siblings
        (["a x", "b x", "c x", "d Re:x"], "((1)(2)(3)(4))"),
        (["a Re:x", "b Re:x"], "((1)(2))"),
        # a thread whose first message is missing has the subject of its first child
        (["b<a Re:x", "c<a y", "d x"], "((1)(2)(3))"),
        (["b<a Re:x", "c<a Re:x", "e<d Re:x", "f<d Re:x", "g Re:x"], "((1)(2)(3)(4)(5))"),
        (["a x", "c<b Re:x", "d<b Re:x"], "((1)(2)(3))"),
        # what has no subject is left alone, and so are messages below others
        (["a", "b", "c Re:"], "(1)(2)(3)"),
        (["a x", "b<a y", "c y"], "(1 2)(3)"),
        (["a x", "b<a Re:x", "c Re:x"], "(1 (2)(3))"),
    ],
)
def test_threadsWithOneSubjectBecomeOne(messages: list[str], wire: str) -> None:
    assert answer(*chain(*messages)) == wire


def test_siblingsAreSortedByDateAndThenByNumber() -> None:
    items = [
        ThreadItem(1, "a", date=50),
        ThreadItem(2, "b", ("a",), date=9),
        ThreadItem(3, "c", ("a",), date=3),
        ThreadItem(4, "d", ("a",), date=9),
        ThreadItem(5, "e", date=49),
        ThreadItem(6, "g", ("f",), date=60),
        ThreadItem(7, "h", ("f",), date=48),
    ]
    assert answer(*items) == "((7)(6))(5)(1 (3)(2)(4))"


def test_refsLooksAtNoSubjectAndPutsTheNewestThreadLast() -> None:
    items = [
        ThreadItem(1, "a", subject="x", date=1),
        ThreadItem(2, "b", subject="x", date=2),
        ThreadItem(3, "c", ("a",), subject="x", date=8),
        ThreadItem(4, "d", subject="x", date=3),
        ThreadItem(5, "e", ("z",), date=4),
        ThreadItem(6, "f", ("z",), date=0),
    ]
    assert answer(*items, algorithm=Algorithm.REFS) == "(2)(4)((6)(5))(1 3)"
    assert answer(*items) == "((6)(5))((1 3)(2)(4))"


# --- from rows -------------------------------------------------------------------------------------------------------


def row(uid: int, header: bytes, algorithm: Algorithm, internalDate: float = 0.0) -> list[object]:
    summary = summarise(header + b"\r\n\r\n")
    stored = {
        Column.UID: uid,
        Column.INTERNAL_DATE: internalDate,
        Column.ENVELOPE: summary.envelope,
        Column.REFERENCES: summary.ancestors,
    }
    return [stored[column] for column in columns(algorithm)]


def test_whatThreadingNeedsIsInTheColumns() -> None:
    header = (
        b'Message-ID: <"b c"@x>\r\nReferences: <a@x>\r\n <"b"@x>\r\nIn-Reply-To: <other@x>\r\n'
        b"Subject: Re: =?utf-8?q?=C3=9Cber?= (fwd)\r\nDate: Thu, 1 Jan 1970 01:00:07 +0100"
    )
    assert item(row(3, header, Algorithm.REFERENCES)) == ThreadItem(3, "bc@x", ("a@x", "b@x"), "u\u0308ber", True, 7)
    assert item(row(3, header, Algorithm.ORDEREDSUBJECT)) == ThreadItem(3, "", (), "u\u0308ber", True, 7)
    assert Column.REFERENCES not in columns(Algorithm.ORDEREDSUBJECT)


def test_withoutReferencesTheFirstIdOfInReplyToCounts() -> None:
    """RFC 5256 §3: more of them are no line of descent."""
    found = item(row(1, b"In-Reply-To: your <a@x> and <b@x>\r\nReferences: none", Algorithm.REFS, 9.9))
    assert found == ThreadItem(1, "", ("a@x",), "", False, 9)


# --- against the RFC's steps, taken one by one -----------------------------------------------------------------------


@define(eq=False)
class Node:
    """A message as RFC 5256 §3 speaks of it; a dummy without an item."""

    item: ThreadItem | None = None
    parent: Node | None = None
    children: list[Node] = field(factory=list)

    def first(self) -> ThreadItem:
        return self.item if self.item is not None else min((child.first() for child in self.children), key=when)

    def isAbove(self, other: Node | None) -> bool:
        while other is not None and other is not self:
            other = other.parent
        return other is self

    def put(self, child: Node) -> None:
        if child.parent is not None:
            child.parent.children.remove(child)
        child.parent = self
        self.children.append(child)


def when(item: ThreadItem) -> tuple[int, int]:
    return item.date, item.number


def linked(items: list[ThreadItem]) -> list[Node]:
    table: dict[str, Node] = {}
    unnamed: list[Node] = []
    for each in items:
        node = table.setdefault(each.messageId, Node()) if each.messageId else Node()
        if node.item is not None:
            node = Node()
        if node not in table.values():
            unnamed.append(node)
        node.item = each
        named = [table.setdefault(reference, Node()) for reference in each.references]
        for parent, child in pairwise(named):
            if child.parent is None and not child.isAbove(parent):
                parent.put(child)
        if not named or node.parent is not named[-1]:
            if node.parent is not None:
                node.parent.children.remove(node)
                node.parent = None
            if named and not node.isAbove(named[-1]):
                named[-1].put(node)
    return [node for node in [*table.values(), *unnamed] if node.parent is None]


def pruned(nodes: list[Node], isTop: bool) -> list[Node]:
    kept = []
    for node in nodes:
        node.children = pruned(node.children, False)
        if node.item is not None or (isTop and len(node.children) > 1):
            kept.append(node)
        else:
            kept += node.children
    return kept


def subjectsMerged(roots: list[Node]) -> list[Node]:
    table: dict[str, Node] = {}
    for node in roots:
        held = table.get(node.first().subject)
        if held is None or (
            held.item is not None and (node.item is None or (held.item.isReply and not node.item.isReply))
        ):
            table[node.first().subject] = node
    merged = list(roots)
    for node in roots:
        subject = node.first().subject
        held = table[subject]
        if not subject or held is node:
            continue
        merged.remove(node)
        if held.item is None:
            held.children += [node] if node.item is not None else node.children
        elif node.item is not None and node.item.isReply and not held.item.isReply:
            held.children.append(node)
        else:
            merged[merged.index(held)] = table[subject] = Node(children=[held, node])
    return merged


def written(nodes: list[Node]) -> str:
    pieces = []
    for node in sorted(nodes, key=lambda node: when(node.first())):
        inside = "" if node.item is None else str(node.item.number)
        if node.children:
            below = written(node.children)
            inside += (" " if inside else "") + (below[1:-1] if len(node.children) == 1 else below)
        pieces.append(f"({inside})")
    return "".join(pieces)


ids = st.sampled_from("abcdef")
anyItems = st.lists(
    st.tuples(st.just("") | ids, st.lists(ids, max_size=4), st.sampled_from("  xy"), st.booleans(), st.integers(0, 3)),
    max_size=9,
).map(
    lambda rows: [
        ThreadItem(number, own, tuple(references), subject.strip(), isReply, date)
        for number, (own, references, subject, isReply, date) in enumerate(rows, 1)
    ]
)


@given(anyItems)
def test_referencesIsWhatTheRFCsStepsGive(items: list[ThreadItem]) -> None:
    roots = sorted(pruned(linked(items), True), key=lambda node: when(node.first()))
    assert answer(*items) == written(subjectsMerged(roots))


@given(anyItems, st.sampled_from(Algorithm))
def test_everyMessageIsInTheAnswerOnce(items: list[ThreadItem], algorithm: Algorithm) -> None:
    forest = thread(algorithm, items)
    assert sorted(filter(None, forest.numbers)) == [each.number for each in items]
    wire = render(forest).decode()
    assert sorted(map(int, re.findall(r"\d+", wire))) == [each.number for each in items]
    assert read(wire) == list(zip(forest.depths, forest.numbers, strict=True))


def read(wire: str) -> list[tuple[int, int]]:
    """Depths and numbers of a thread response: the grammar of RFC 5256 §5, read back."""
    found: list[tuple[int, int]] = []
    depth, stack = 0, []
    for token in re.findall(r"[()]|\d+", re.sub(r"\((?=\()", "(0 ", wire)) if wire else ():
        if token == "(":
            stack.append(depth)
        elif token == ")":
            depth = stack.pop()
        else:
            found.append((depth, int(token)))
            depth += 1
    return found


# --- cost ------------------------------------------------------------------------------------------------------------

MANY = 50_000


def deep() -> Iterator[ThreadItem]:
    return (ThreadItem(at, str(at), (str(at - 1),), date=at) for at in range(1, MANY))


def deepFromItsEnd() -> Iterator[ThreadItem]:
    return (ThreadItem(at, str(MANY - at), (str(MANY - at - 1),), date=at) for at in range(1, MANY))


def deepInDisorder() -> Iterator[ThreadItem]:
    order = list(range(1, MANY))
    random.Random(7).shuffle(order)
    return (ThreadItem(at, str(own), tuple(str(own - back) for back in (3, 2, 1)), date=at) for at, own in enumerate(order, 1))


def wide() -> Iterator[ThreadItem]:
    return (ThreadItem(at, str(at), ("root",), "x", date=at) for at in range(1, MANY))


def oneSubject() -> Iterator[ThreadItem]:
    return (ThreadItem(at, str(at), (), "x", at % 2 == 0, at) for at in range(1, MANY))


def oneId() -> Iterator[ThreadItem]:
    return (ThreadItem(at, "same", ("same", "other", "same"), "x", date=at) for at in range(1, MANY))


def manyMissing() -> Iterator[ThreadItem]:
    return (ThreadItem(at, "", tuple(f"{at * 20 + back}" for back in range(21))) for at in range(1, MANY // 10))


def loopsBelowADeepThread() -> Iterator[ThreadItem]:
    """Each of them would make the first message of a deep thread answer its last, and somebody must find that out."""
    yield from (ThreadItem(at, str(at), (str(at - 1),) if at > 1 else ()) for at in range(1, MANY // 2))
    for at in range(MANY // 2, MANY):
        yield ThreadItem(at, "", (str(MANY - at), "1"))


@pytest.mark.parametrize(
    "made", [deep, deepFromItsEnd, deepInDisorder, wide, oneSubject, oneId, manyMissing, loopsBelowADeepThread]
)
@pytest.mark.parametrize("algorithm", Algorithm)
def test_noMailboxTakesLongToThread(made: Callable[[], Iterator[ThreadItem]], algorithm: Algorithm) -> None:
    items = list(made())
    started = time.process_time()
    forest = thread(algorithm, items)
    wire = render(forest)
    assert time.process_time() - started < 3
    assert sorted(filter(None, forest.numbers)) == [each.number for each in items]
    assert wire.count(b"(") == wire.count(b")")


@pytest.mark.parametrize("made", [deep, deepFromItsEnd])
def test_aThreadMayBeAsDeepAsItLikes(made: Callable[[], Iterator[ThreadItem]]) -> None:
    forest = thread(Algorithm.REFS, made())
    assert forest.depths == tuple(range(MANY - 1))
    assert render(forest).count(b"(") == 1
