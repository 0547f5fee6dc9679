"""Threads (RFC 5256 §3 THREAD): REFERENCES, ORDEREDSUBJECT, and REFS, which is REFERENCES without looking at subjects.

Nothing recurses, however deep a thread is, and the work is in proportion to the messages and their references: a link that
could close a loop is looked into for so many steps as `_STEPS` allows, and left out beyond them, which only messages made for
it can bring about. Every message is in the result once.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable

from attrs import frozen

from mailfw.message import envelope
from mailfw.message.envelope import Item
from mailfw.message.reference import MAX_IDS, messageId
from mailfw.message.search import Row
from mailfw.message.sort import sentDate
from mailfw.message.subject import comparable
from mailfw.values import Column

DUMMY = 0
_NONE = -1
_FREE_STEPS = 100_000
_STEPS = 200


class Algorithm(enum.Enum):
    """How messages become threads."""

    ORDEREDSUBJECT = "ORDEREDSUBJECT"
    REFERENCES = "REFERENCES"
    REFS = "REFS"  # by references alone; threads in the order of their newest messages, as Dovecot has it


@frozen
class ThreadItem:
    """What threading looks at.

    :ivar number: of the message, above 0, in the order of the mailbox.
    :ivar references: ids of the messages above it, from the root down.
    :ivar subject: the base subject, folded.
    :ivar isReply: the subject says so.
    :ivar date: when it was sent, seconds since the epoch, UTC (RFC 5256 §2.2).
    """

    number: int
    messageId: str = ""
    references: tuple[str, ...] = ()
    subject: str = ""
    isReply: bool = False
    date: int = 0


@frozen
class Forest:
    """Threads, each message before those below it: flat, so that depth costs nothing.

    :ivar numbers: of the messages; `DUMMY` for what only holds a thread together whose first message is missing.
    :ivar depths: how many messages are above each; a thread begins at each 0.
    """

    numbers: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()


def columns(algorithm: Algorithm) -> tuple[Column, ...]:
    """What a row must hold for `item`, in this order."""
    needed = (Column.UID, Column.INTERNAL_DATE, Column.ENVELOPE)
    return needed if algorithm is Algorithm.ORDEREDSUBJECT else (*needed, Column.REFERENCES)


def item(row: Row) -> ThreadItem:
    """A message as threading looks at it, from the columns of any algorithm."""
    number, internalDate, wire = row[:3]
    hasReferences = len(row) > 3
    items = envelope.items(wire, Item.MESSAGE_ID if hasReferences else Item.SUBJECT)
    subject = comparable(envelope.text(items[Item.SUBJECT]) or b"")
    ownId = messageId(envelope.text(items[Item.MESSAGE_ID]) or b"") if hasReferences else ""
    references = row[3] if hasReferences else ()
    return ThreadItem(number, ownId, references, subject.text, subject.isReply, sentDate(items[Item.DATE], internalDate))


def thread(algorithm: Algorithm, items: Iterable[ThreadItem]) -> Forest:
    """The threads of these messages.

    :param items: in the order of the mailbox.
    """
    if algorithm is Algorithm.ORDEREDSUBJECT:
        return _byOrderedSubject(items)
    links = _Links()
    for each in items:
        links.add(each)
    trees = _Trees(links.items, links.parents)
    if algorithm is Algorithm.REFERENCES:
        trees.mergeSubjects()
        return trees.forest(trees.date)
    return trees.forest(trees.newestDate)


def render(forest: Forest, name: Callable[[int], int] = int) -> bytes:
    """Threads as THREAD answers them, RFC 5256 §5; empty for none.

        thread-list    = "(" (thread-members / thread-nested) ")"
        thread-members = nz-number *(SP nz-number) [SP thread-nested]
        thread-nested  = 2*thread-list

    :param name: makes of a message's number what is written for it.
    """
    childCounts = _childCounts(forest.depths)
    pieces: list[bytes] = []
    opened: list[bool] = []  # for each message from the root to the present one, whether a parenthesis opens with it
    path: list[int] = []
    for at, (number, depth) in enumerate(zip(forest.numbers, forest.depths, strict=True)):
        while len(opened) > depth:
            path.pop()
            if opened.pop():
                pieces.append(b")")
        isNested = not path or childCounts[path[-1]] > 1
        isFirst = bool(path) and path[-1] == at - 1
        if isFirst and forest.numbers[path[-1]] != DUMMY:
            pieces.append(b" ")
        if isNested:
            pieces.append(b"(")
        if number != DUMMY:
            pieces.append(b"%d" % name(number))
        opened.append(isNested)
        path.append(at)
    pieces.append(b")" * sum(opened))
    return b"".join(pieces)


def _childCounts(depths: Iterable[int]) -> list[int]:
    counts: list[int] = []
    path: list[int] = []
    for at, depth in enumerate(depths):
        del path[depth:]
        if path:
            counts[path[-1]] += 1
        counts.append(0)
        path.append(at)
    return counts


def _byOrderedSubject(items: Iterable[ThreadItem]) -> Forest:
    """RFC 5256 §3 ORDEREDSUBJECT: the first message of each subject is the parent of all others."""
    threads: dict[str, list[ThreadItem]] = {}
    for each in sorted(items, key=lambda each: (each.date, each.number)):
        threads.setdefault(each.subject, []).append(each)
    members = [each for together in threads.values() for each in together]
    depths = [depth for together in threads.values() for depth in (0, *(1,) * (len(together) - 1))]
    return Forest(tuple(each.number for each in members), tuple(depths))


class _Links:
    """Step 1: messages, and ids that others refer to, linked to their parents.

    :ivar items: of each node; None for an id whose message is not there.
    :ivar parents: of each node; `_NONE` where it has none.
    """

    def __init__(self) -> None:
        self.items: list[ThreadItem | None] = []
        self.parents: list[int] = []
        self._childCounts: list[int] = []
        self._nodes: dict[str, int] = {}
        self._steps = _FREE_STEPS

    def add(self, item: ThreadItem) -> None:
        """A message: of several with the same id, references mean the first; the others count as if they had none."""
        self._steps += _STEPS
        node = self._named(item.messageId) if item.messageId else self._new()
        if self.items[node] is not None:
            node = self._new()
        self.items[node] = item
        parent = _NONE
        for reference in item.references[-MAX_IDS:]:
            child = self._named(reference)
            if parent != _NONE and self.parents[child] == _NONE:
                self._link(parent, child)
            parent = child
        if self.parents[node] != parent:  # its own References know better than other messages'
            self._unlink(node)
            if parent != _NONE:
                self._link(parent, node)

    def _new(self) -> int:
        self.items.append(None)
        self.parents.append(_NONE)
        self._childCounts.append(0)
        return len(self.items) - 1

    def _named(self, messageId: str) -> int:
        node = self._nodes.get(messageId)
        if node is None:
            node = self._nodes[messageId] = self._new()
        return node

    def _link(self, parent: int, child: int) -> None:
        if not self._closesLoop(parent, child):
            self.parents[child] = parent
            self._childCounts[parent] += 1

    def _unlink(self, node: int) -> None:
        if self.parents[node] != _NONE:
            self._childCounts[self.parents[node]] -= 1
            self.parents[node] = _NONE

    def _closesLoop(self, parent: int, child: int) -> bool:
        if not self._childCounts[child]:
            return parent == child
        while parent != _NONE:
            self._steps -= 1
            if parent == child or self._steps < 0:
                return True
            parent = self.parents[parent]
        return False


class _Trees:
    """Steps 2 to 6: what is left of the links when ids without messages are taken out."""

    def __init__(self, items: list[ThreadItem | None], parents: list[int]) -> None:
        """Steps 2 to 4. Only at the top does a dummy stay, and only with two children or more."""
        self._items = items
        self._children: dict[int, list[int]] = {}
        self._roots: list[int] = []
        tops = set()
        above: dict[int, int] = {}  # of dummies, what stands for them
        for node, item in enumerate(items):
            if item is None:
                continue
            top, passed = parents[node], []
            while top != _NONE and items[top] is None and parents[top] != _NONE:
                passed.append(top)
                top = above.get(top, parents[top])
            above.update(dict.fromkeys(passed, top))
            if top == _NONE:
                self._roots.append(node)
            else:
                self._children.setdefault(top, []).append(node)
                if items[top] is None:
                    tops.add(top)
        for dummy in tops:
            self._roots += [dummy] if len(self._children[dummy]) > 1 else self._children[dummy]
        self._sortChildren()
        self._roots.sort(key=self.date)

    def date(self, node: int) -> tuple[int, int]:
        """What siblings are sorted by: the date, then the order of the mailbox."""
        first = self._first(node)
        return first.date, first.number

    def newestDate(self, root: int) -> tuple[int, int]:
        """The date of the newest message in a thread."""
        return max(map(self.date, self._walk(root)))

    def mergeSubjects(self) -> None:
        """Step 5: threads with the same base subject become one."""
        table: dict[str, int] = {}
        for root in self._roots:
            subject = self._first(root).subject
            if subject and (subject not in table or self._isBetter(root, table[subject])):
                table[subject] = root
        kept: list[int] = []
        moved: set[int] = set()
        for root in self._roots:
            subject = self._first(root).subject
            held = table.get(subject, root)
            if held == root:
                kept.append(root)
            elif self._items[held] is None:
                self._children[held] += [root] if self._items[root] is not None else self._children[root]
            elif self._isReply(root) and not self._isReply(held):
                self._children.setdefault(held, []).append(root)
            else:
                dummy = table[subject] = len(self._items)
                self._items.append(None)
                self._children[dummy] = [held, root]
                moved.add(held)
                kept.append(dummy)
        self._roots = [root for root in kept if root not in moved]
        self._sortChildren()

    def forest(self, order: Callable[[int], tuple[int, int]]) -> Forest:
        """Step 6 for the threads themselves, and the result."""
        self._roots.sort(key=order)
        numbers: list[int] = []
        depths: list[int] = []
        pending = [(root, 0) for root in reversed(self._roots)]
        while pending:
            node, depth = pending.pop()
            item = self._items[node]
            numbers.append(DUMMY if item is None else item.number)
            depths.append(depth)
            pending += ((child, depth + 1) for child in reversed(self._children.get(node, ())))
        return Forest(tuple(numbers), tuple(depths))

    def _sortChildren(self) -> None:
        for children in self._children.values():
            if len(children) > 1:
                children.sort(key=self.date)

    def _first(self, node: int) -> ThreadItem:
        """The message itself; of a dummy its first child, which is a message."""
        item = self._items[node] or self._items[self._children[node][0]]
        assert item is not None
        return item

    def _walk(self, root: int) -> Iterable[int]:
        pending = [root]
        while pending:
            node = pending.pop()
            yield node
            pending += self._children.get(node, ())

    def _isReply(self, node: int) -> bool:
        item = self._items[node]
        return item is not None and item.isReply

    def _isBetter(self, root: int, held: int) -> bool:
        """Whether a thread rather than the one in the table stands for their subject."""
        if self._items[held] is None:
            return False
        return self._items[root] is None or (self._isReply(held) and not self._isReply(root))
