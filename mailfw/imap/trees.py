"""The MIME tree of the message that a client fetches piece by piece."""

from __future__ import annotations

from mailfw.interfaces import IContent
from mailfw.message.mime import Part, scan

KEPT_FROM = 262144
"""Octets of a message from which its tree is worth keeping for the next command."""


class TreeKeeper:
    """Remembers the tree of the last large message, so that a client that fetches a part of it by a thousand ranges
    does not make the server read all of it a thousand times."""

    def __init__(self) -> None:
        self._kept: tuple[int, Part] | None = None

    def tree(self, uid: int, content: IContent) -> Part:
        """The tree of the message with that UID. Its content never changes."""
        kept = self._kept
        if kept is not None and kept[0] == uid:
            return kept[1]
        tree = scan(content.read())
        if content.size >= KEPT_FROM:
            self._kept = uid, tree
        return tree
