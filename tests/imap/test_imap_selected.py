"""The view of a session: numbers stay what the client believes until it is told otherwise."""

from array import array

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mailfw.imap.grammar.sequence import SequenceSet
from mailfw.imap.grammar.tokens import BadSyntax
from mailfw.imap.selected import SelectedMailbox
from mailfw.values import Changes, MailboxInfo, MailboxStatus, MessageChange, Snapshot, UIDSet


class NamedMailbox:
    info = MailboxInfo("INBOX", "F1", 7)


def snapshot(uids, recentFrom=1000, keywords=(), modSeq=10):
    uids = list(uids)
    status = MailboxStatus("F1", 7, (uids or [0])[-1] + 1, modSeq, len(uids), 0, 0, 0, recentFrom)
    return Snapshot(status, memoryview(array("I", uids)), 0, keywords)


def view(uids, recentFrom=1000, isReadOnly=False, keywords=()):
    return SelectedMailbox(NamedMailbox(), snapshot(uids, recentFrom, keywords), isReadOnly)


def changes(changed=(), vanished="", modSeq=11):
    return Changes(modSeq, 1000, tuple(changed), UIDSet.parse(vanished))


def told(selected, happened, mayExpunge=True, isUID=False):
    return b"".join(selected.update(happened, mayExpunge, isUID)).split(b"\r\n")[:-1]


def numbers(text):
    return SequenceSet.parse(text.encode())


def test_numbers_and_uids():
    selected = view([3, 5, 6, 9])
    assert [selected.number(uid) for uid in (3, 4, 9, 10)] == [1, None, 4, None]
    assert str(selected.uidsOf(numbers("2:3"), isUID=False)) == "5:6"
    assert str(selected.uidsOf(numbers("1,4"), isUID=False)) == "3,9"
    assert str(selected.uidsOf(numbers("*"), isUID=False)) == "9"
    assert selected.countOf(UIDSet.parse("1:6")) == 3
    assert list(selected.spans(UIDSet.parse("1:4,6:100"))) == [(0, 1), (2, 4)]


@pytest.mark.parametrize(
    ("text", "uids"), [("1:*", "1:9"), ("*", "9"), ("20:*", "9"), ("7:8", "7:8"), ("500", ""), ("500:600", "")]
)
def test_uids_beyond_the_last_are_nobodys(text, uids):
    assert str(view([3, 5, 6, 9]).uidsOf(numbers(text), isUID=True)) == uids


@pytest.mark.parametrize(("uids", "text"), [([3, 5], "3"), ([3, 5], "1:3"), ([], "1"), ([], "*"), ([], "1:*")])
def test_a_number_that_is_not_there_is_an_error(uids, text):
    with pytest.raises(BadSyntax):
        view(uids).uidsOf(numbers(text), isUID=False)


def test_an_empty_mailbox_has_no_uids():
    assert not view([]).uidsOf(numbers("1:*"), isUID=True)


def test_expunges_are_told_from_the_last_to_the_first():
    selected = view([1, 2, 3, 4, 5])
    assert told(selected, changes(vanished="2:3,5,77")) == [b"* 5 EXPUNGE", b"* 3 EXPUNGE", b"* 2 EXPUNGE"]
    assert list(selected.uids) == [1, 4]


def test_expunged_messages_keep_their_numbers_until_it_is_told():
    selected = view([1, 2, 3])
    assert told(selected, changes([MessageChange(4, 11, frozenset())], "1"), mayExpunge=False) == [
        b"* 4 EXISTS",
        b"* 0 RECENT",
    ]
    assert selected.number(3) == 3
    assert selected.isGone(UIDSet.of(1))
    assert selected.owesExpunge(mayExpunge=True)
    assert told(selected, changes()) == [b"* 1 EXPUNGE"]
    assert selected.number(3) == 2
    assert not selected.owesExpunge(mayExpunge=True)


def test_expunges_come_before_arrivals_and_flags():
    selected = view([1, 2, 3], recentFrom=4)
    happened = [MessageChange(3, 11, frozenset(("\\Seen",))), MessageChange(4, 12, frozenset())]
    assert told(selected, changes(happened, "1")) == [
        b"* 1 EXPUNGE", b"* 3 EXISTS", b"* 1 RECENT", b"* 2 FETCH (FLAGS (\\Seen))",
    ]  # fmt: skip
    assert selected.hasArrivals


def test_flags_of_an_expunged_message_are_not_told():
    selected = view([1, 2])
    happened = changes([MessageChange(1, 11, frozenset())], "1")
    assert told(selected, happened, mayExpunge=False) == []


def test_own_changes_are_not_told_twice_and_those_of_others_are():
    selected = view([1, 2])
    own = [MessageChange(1, 11, frozenset(("\\Seen",))), MessageChange(2, 11, frozenset(("\\Seen",)))]
    assert selected.knows(own) == b""
    assert told(selected, changes([own[0], MessageChange(2, 12, frozenset())])) == [b"* 2 FETCH (FLAGS ())"]
    assert told(selected, changes([MessageChange(1, 13, frozenset())])) == [b"* 1 FETCH (FLAGS ())"]


def test_uid_commands_name_the_uid():
    assert told(view([7]), changes([MessageChange(7, 11, frozenset())]), isUID=True) == [b"* 1 FETCH (UID 7 FLAGS ())"]


def test_new_keywords_are_told_before_they_are_used():
    selected = view([1], keywords=("old",))
    [flags, permanent, fetch] = told(selected, changes([MessageChange(1, 11, frozenset(("new", "old")))]))
    assert flags == b"* FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft new old)"
    assert permanent.startswith(b"* OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft new old \\*)]")
    assert fetch == b"* 1 FETCH (FLAGS (new old))"
    assert selected.knows([MessageChange(1, 12, frozenset(("newer",)))]).startswith(b"* FLAGS")


def test_nothing_is_permanent_in_a_mailbox_opened_read_only():
    assert b"[PERMANENTFLAGS ()]" in view([1], isReadOnly=True).flagsLines()


def test_recent():
    selected = view([1, 5, 9], recentFrom=5)
    assert selected.recent == 2
    assert selected.flags(9, ["\\Seen"]) == b"\\Seen \\Recent"
    assert selected.flags(1, ["\\Seen"]) == b"\\Seen"


def test_views_share_their_uids_until_they_differ():
    shared = snapshot([1, 2, 3])
    one, other = (SelectedMailbox(NamedMailbox(), shared, False) for _ in range(2))
    assert one.uids is other.uids
    told(one, changes(vanished="2"))
    assert (list(one.uids), list(other.uids)) == ([1, 3], [1, 2, 3])


def test_a_view_that_the_log_does_not_reach_is_compared_with_the_mailbox():
    selected = view([1, 2, 3])
    now = snapshot([2, 3, 5], keywords=("x",), modSeq=99)
    happened = selected.compare(now, evolve(changes(), isComplete=False))
    lines = told(selected, happened)
    assert lines[:3] == [b"* 1 EXPUNGE", b"* 3 EXISTS", b"* 0 RECENT"]
    assert lines[3].startswith(b"* FLAGS")
    assert selected.modSeq == 99


@pytest.mark.parametrize(("uids", "size", "pages"), [
    ("1:100", 2, ["1:5", "6:9"]), ("1,6:9", 2, ["1,6", "9"]), ("2:4", 2, []), ("1:9", 10, ["1:9"]),
])  # fmt: skip
def test_pages(uids, size, pages):
    selected = view([1, 5, 6, 9])
    got = list(selected.pages(UIDSet.parse(uids), size))
    assert [str(page) for page in got] == pages
    assert sum(map(selected.countOf, got)) == selected.countOf(UIDSet.parse(uids))


class Views(RuleBasedStateMachine):
    """A mailbox and a client that believes what it is told: its list of messages and flags is the model."""

    def __init__(self):
        super().__init__()
        self.mailbox = {1: "", 2: "", 3: ""}  # UID → flags, as they are
        self.lastUID = 3
        self.modSeq = 10
        self.log = []
        self.view = view(self.mailbox, recentFrom=1)
        self.client = [1, 2, 3]  # the UID of each number, None while the client has not asked

    def happened(self):
        changed = {uid: (modSeq, flags) for modSeq, uid, flags in self.log if flags is not None and uid in self.mailbox}
        vanished = UIDSet.fromUIDs(uid for modSeq, uid, flags in self.log if flags is None)
        self.log.clear()
        return Changes(
            self.modSeq,
            self.lastUID + 1,
            tuple(MessageChange(uid, *changed[uid][:1], frozenset(changed[uid][1].split())) for uid in sorted(changed)),
            vanished,
        )

    @rule()
    def arrives(self):
        self.lastUID += 1
        self.modSeq += 1
        self.mailbox[self.lastUID] = ""
        self.log.append((self.modSeq, self.lastUID, ""))

    @precondition(lambda self: self.mailbox)
    @rule(data=st.data(), flags=st.sampled_from(["", "\\Seen", "x \\Seen"]))
    def changes(self, data, flags):
        uid = data.draw(st.sampled_from(sorted(self.mailbox)))
        self.modSeq += 1
        self.mailbox[uid] = flags
        self.log.append((self.modSeq, uid, flags))

    @precondition(lambda self: self.mailbox)
    @rule(data=st.data())
    def expunges(self, data):
        uid = data.draw(st.sampled_from(sorted(self.mailbox)))
        self.modSeq += 1
        del self.mailbox[uid]
        self.log.append((self.modSeq, uid, None))

    @rule(mayExpunge=st.booleans())
    def isTold(self, mayExpunge):
        unknown = iter(uid for uid in sorted(self.mailbox) if uid > max((uid for uid in self.client if uid), default=0))
        for line in told(self.view, self.happened(), mayExpunge):
            words = line.split()
            if words[2:] == [b"EXPUNGE"]:
                assert mayExpunge
                del self.client[int(words[1]) - 1]
            elif words[2:] == [b"EXISTS"]:
                assert int(words[1]) > len(self.client)
                self.client += [next(unknown) for _ in range(int(words[1]) - len(self.client))]
            elif words[2:3] == [b"FETCH"]:
                uid = self.client[int(words[1]) - 1]
                assert line.endswith(b"(FLAGS (%b))" % self.view.flags(uid, self.mailbox[uid].split()))
        if mayExpunge:
            assert self.client == sorted(self.mailbox)

    @invariant()
    def agrees(self):
        assert list(self.view.uids) == self.client


Views.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestViews = Views.TestCase
