"""What a client knows of the mailbox that it has selected, kept right by whatever the server says (RFC 3501 §7, RFC 7162)."""

from __future__ import annotations

from array import array

from attrs import evolve

from mailfw.imap.grammar.answers import Answer, Exists, Expunged, FlagsInUse, Recent, Status, Vanished
from mailfw.imap.grammar.fetched import Fetched
from mailfw.values import FlagChange, UIDSet

MAX_KNOWN = 10_000_000
"""Messages whose UIDs are remembered by number: a server can claim any number of them."""


class View:
    """A selected mailbox.

    :ivar exists: messages in it, and :ivar recent: those \\Recent.
    :ivar keywords: flags in use in it, and :ivar permanentFlags: those that can be changed for good, `\\*` any new one.
    :ivar uidValidity: and :ivar uidNext: and :ivar highestModSeq: 0: the server has not said.
    :ivar flags: of messages by UID, as they were told last.
    :ivar vanished: UIDs that the server said were expunged before.
    :ivar mailboxId: RFC 8474; empty: the server has not said.
    """

    def __init__(self, name: str, isReadOnly: bool) -> None:
        self.name = name
        self.isReadOnly = isReadOnly
        self.exists = 0
        self.recent = 0
        self.keywords: frozenset[str] = frozenset()
        self.permanentFlags: frozenset[str] | None = None
        self.uidValidity = 0
        self.uidNext = 0
        self.highestModSeq = 0
        self.hasModSeqs = True
        self.mailboxId = ""
        self.flags: dict[int, frozenset[str]] = {}
        self.vanished = UIDSet()
        self._uids = array("I")  # by number - 1; 0 where it is not known, as it is beyond the end

    def uid(self, number: int) -> int | None:
        """The UID of a message by its sequence number, where it is known."""
        return (self._uids[number - 1] or None) if 0 < number <= len(self._uids) else None

    @property
    def uids(self) -> UIDSet:
        """The UIDs that are known."""
        return UIDSet.fromUIDs(filter(None, self._uids))

    def apply(self, answer: Answer) -> Answer:
        """Something was said. → The same, with the UID wherever that is known: what is expunged, as `Vanished`."""
        if isinstance(answer, Fetched):
            return self._fetched(answer)
        if isinstance(answer, Expunged):
            return self._expunged(answer)
        if isinstance(answer, Vanished):
            self._vanished(answer)
        elif isinstance(answer, Exists):
            self.exists = answer.count
            del self._uids[answer.count :]
        elif isinstance(answer, Recent):
            self.recent = answer.count
        elif isinstance(answer, FlagsInUse):
            self.keywords = answer.flags
        elif isinstance(answer, Status):
            self._status(answer)
        return answer

    def stored(self, uids: UIDSet, change: FlagChange, flags: frozenset[str]) -> None:
        """Flags were changed that the server says nothing about."""
        for uid in [uid for uid in self.flags if uid in uids]:
            before = self.flags[uid]
            if change is FlagChange.REPLACE:
                self.flags[uid] = flags | (before & {"\\Recent"})
            else:
                self.flags[uid] = before | flags if change is FlagChange.ADD else before - flags

    def _fetched(self, answer: Fetched) -> Fetched:
        uid = answer.uid
        if uid is None and answer.number is not None and (uid := self.uid(answer.number)) is not None:
            answer = evolve(answer, uid=uid)
        elif uid is not None and answer.number is not None and 0 < answer.number <= MAX_KNOWN:
            missing = answer.number - len(self._uids)
            if missing > 0:
                self._uids.frombytes(bytes(self._uids.itemsize * missing))
            self._uids[answer.number - 1] = uid
        if uid is not None and answer.flags is not None:
            self.flags[uid] = answer.flags
        if answer.modSeq is not None:
            self.highestModSeq = max(self.highestModSeq, answer.modSeq)
        return answer

    def _expunged(self, answer: Expunged) -> Answer:
        self.exists = max(0, self.exists - 1)
        uid = self.uid(answer.number)
        if 0 < answer.number <= len(self._uids):
            del self._uids[answer.number - 1]
        if uid is None:
            return answer
        self.flags.pop(uid, None)
        return Vanished(UIDSet.of(uid))

    def _vanished(self, answer: Vanished) -> None:
        for uid in [uid for uid in self.flags if uid in answer.uids]:
            del self.flags[uid]
        if answer.isEarlier:
            self.vanished |= answer.uids
            return
        self.exists = max(0, self.exists - len(answer.uids))
        gone = UIDSet.fromUIDs(uid for uid in self._uids if uid and uid in answer.uids)
        unknown = answer.uids - gone
        if unknown:
            self._forgetFrom(unknown.ranges[0][0])
        self._uids = array("I", (uid for uid in self._uids if uid not in gone))

    def _forgetFrom(self, uid: int) -> None:
        """A message with that UID, whose number is not known, is gone: numbers are certain only below it."""
        for place, known in enumerate(self._uids):
            if not known or known > uid:
                del self._uids[place:]
                return

    def _status(self, status: Status) -> None:
        name = status.code.name
        try:
            if name == b"PERMANENTFLAGS":
                self.permanentFlags = frozenset(status.code.words)
            elif name == b"UIDVALIDITY":
                self.uidValidity = status.code.number
            elif name == b"UIDNEXT":
                self.uidNext = status.code.number
            elif name == b"HIGHESTMODSEQ":
                self.highestModSeq = max(self.highestModSeq, status.code.number)
            elif name == b"NOMODSEQ":
                self.hasModSeqs = False
            elif name == b"MAILBOXID":
                self.mailboxId = " ".join(status.code.words)
            elif name in (b"READ-ONLY", b"READ-WRITE"):
                self.isReadOnly = name == b"READ-ONLY"
        except ValueError:
            pass  # what makes no sense says nothing
