"""Searching, sorting and following searches: against slow ways to the same results, and at its limits."""

import re
from base64 import b64encode
from email import message_from_bytes
from functools import cmp_to_key

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.imap import contexts, inquiry, matching, ordering
from mailfw.imap.progress import INTERVAL
from mailfw.imap.server import IMAPServer
from mailfw.imap.session import Session
from mailfw.storage import candidates, rows
from mailfw.storage.engine import Engine
from mailfw.storage.mailbox import Mailbox
from mailfw.storage.sqlite import sqlite
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World

WORDS = ["apple", "Apple pie", "pear", "plum", "grüne Äpfel", ""]
NAMES = ["anna", "Berta", "carl"]


def message(subject, sender, body):
    """A message as a client appends it."""
    header = f"From: {sender} <{sender}@example.org>\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    return f"{header}\r\n{body}\r\n".encode()


def append(client, octets, flags=""):
    said = client.send(b"a APPEND INBOX (%b) {%d+}\r\n%b\r\n" % (flags.encode(), len(octets), octets))
    assert b"a OK" in said
    return said


def numbers(said):
    """What an ESEARCH ALL, a SEARCH or a SORT says, in its order."""
    if found := re.search(rb"^\* ESEARCH .* ALL ([0-9:,]+)", said, re.MULTILINE):
        ranges = parts(found[1])
        return [number for low, high in ranges for number in range(low, high + 1)]
    found = re.search(rb"^\* (?:SEARCH|SORT)((?: [0-9]+)*)\r$", said, re.MULTILINE)
    return list(map(int, found[1].split())) if found else []


def parts(octets):
    """The ranges of a set in their own order."""
    ends = (piece.split(b":") for piece in octets.split(b","))
    return [(int(each[0]), int(each[-1])) for each in ends]


# --- Texts, however they are written ---------------------------------------------------------------------------------


def words(text, charset, cut):
    """Encoded words, cut in the middle of a character."""
    octets = text.encode(charset)
    return b"\r\n ".join(b"=?%b?B?%b?=" % (charset.encode(), b64encode(piece)) for piece in (octets[:cut], octets[cut:]))


WRITTEN = [
    b"Subject: %b\r\n\r\n" % words("Grüße aus Köln", "utf-8", 3),
    b"Subject: %b\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n%b"
    % (words("日本語", "shift_jis", 2), "こんにちは".encode("iso-2022-jp")),
    b"Subject: image\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n%b" % b64encode(b"not a text"),
    b"Subject: =?utf-8?Q?Weitergeleitet=3A_B=C3=A4r?=\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: =?utf-8?Q?Innere_=C3=9Cberschrift?=\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n"
    b"--q\r\nContent-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"=F0=D2=C9=D7=C5=\r\n=D4\r\n"
    b"--q\r\nContent-Type: message/rfc822\r\n\r\nSubject: deepest\r\n\r\nabyss\r\n--q--\r\n",
    b"Cc: =?utf-8?Q?J=C3=B6rg?= <j@x.example>, \"Doe, Jane\" <jane@x.example>\r\nSubject: folded\r\n here\r\nX-Empty:\r\n\r\n"
    b"Stra\xc3\x9fe",
    b"Subject: =?us-ascii?Q?a_b?= =?us-ascii?Q?c_d?= e\r\nDate: Sun, 1 Feb 2026 23:30:00 -0800\r\n\r\n",
    b"Subject: \xc3\xbcber\r\nGr\xc3\xbc\xc3\x9fe: viele\r\n"
    b"Content-Type: text/html; charset=iso-8859-1\r\n\r\n<p>Caf\xe9 &amp; more",
]


@pytest.fixture(params=["read", "indexed"])
def searcher(request, client, makeClientIn, tmp_path, monkeypatch):
    """A client of a store without an index, and of one that asks its index about everything."""
    if request.param == "read":
        yield client
        return
    monkeypatch.setattr(matching, "FEW", 0)
    monkeypatch.setattr(candidates, "WORTH", 1)
    clock = Clock()
    store = sqlite.openStore("mail", FakeStoreContext(str(tmp_path), clock=clock))
    found = makeClientIn(World(store, clock=clock))
    yield found
    found.transport.hangUp()
    found.world.advance()
    Deferred.fromCoroutine(store.close())


@pytest.mark.parametrize(
    ("key", "text", "found"),
    [
        (b"SUBJECT", "GRÜSSE AUS", [1]),
        (b"CHARSET ISO-8859-1 SUBJECT", "köln".encode("iso-8859-1"), [1]),
        (b"SUBJECT", "本", [2]),
        (b"BODY", "にち", [2]),
        (b"BODY", "not a text", []),
        (b"BODY", "", [1, 2, 3, 4, 5, 6, 7]),
        (b"SUBJECT", "innere", []),
        (b"BODY", "innere über", [4]),
        (b"BODY", "ПРИВЕТ", [4]),
        (b"CHARSET koi8-r TEXT", "Привет".encode("koi8-r"), [4]),
        (b"BODY", "deepest", [4]),
        (b"BODY", "abyss", [4]),
        (b"CC", "jörg <j@", [5]),
        (b"CC", "doe, jane <", [5]),
        (b"SUBJECT", "folded here", [5]),
        (b"HEADER X-Empty", "", [5]),
        (b"BODY", "STRASSE", [5]),
        (b"SUBJECT", "a bc d e", [6]),
        (b"SENTON 1-Feb-2026 TEXT", "date: sun", [6]),
        (b"SUBJECT", "ÜBER", [7]),
        (b"BODY", "café &amp;", [7]),
        ("HEADER {7+}\r\nGrüße".encode(), "viele", [7]),
        (b"HEADER {1+}\r\n\xfc", "", []),
    ],
)
def test_texts_are_found_however_they_are_written(searcher, key, text, found):
    searcher.logIn()
    for each in WRITTEN:
        append(searcher, each)
    searcher.world.advance(20)
    searcher.say(b"s SELECT INBOX")
    octets = text if isinstance(text, bytes) else text.encode()
    said = searcher.send(b"a SEARCH %b {%d+}\r\n%b\r\n" % (key, len(octets), octets))
    assert numbers(said) == found


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (b"CHARSET X-NOBODYS ALL", b"NO [BADCHARSET (US-ASCII UTF-8)]"),
        (b"CHARSET US-ASCII BODY {1+}\r\n\xe9", b"NO [BADCHARSET (US-ASCII UTF-8)]"),
        (b"BODY {1+}\r\n\xe9", b"NO [BADCHARSET (US-ASCII UTF-8)]"),
        (b"CHARSET UTF-8", b"BAD"),
        (b"NOT " * 100_000 + b"ALL", b"BAD"),
        (b"(" * 100_000 + b"ALL" + b")" * 100_000, b"BAD"),
        (b"OR NOT " * 100 + b"ALL ALL", b"BAD"),
        (b"BODY x " * 1000 + b"ALL", b"BAD"),
        (b"OR SUBJECT abc " * 15_000 + b"ALL", b"BAD"),
        (b"OR SUBJECT abc " * 9_000 + b"ALL", b"OK"),
        (b",".join(b"%d" % number for number in range(1, 60_000, 2)), b"OK"),
    ],
)
def test_searches_of_any_size_are_answered(client, key, code):
    client.logIn(b"INBOX")
    assert (b"a " + code) in client.send(b"a SEARCH " + key + b"\r\n")
    assert b"b OK" in client.say(b"b NOOP")


# --- Searches against looking at each message -------------------------------------------------------------------------

mails = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from(NAMES), st.sampled_from(WORDS), st.sets(st.sampled_from(["\\Seen", "Kw"]))),
    max_size=8,
)
leaves = st.one_of(
    st.tuples(st.just("SUBJECT"), st.sampled_from(["APPLE", "p", "äpfel", "pie", "x", ""])),
    st.tuples(st.just("FROM"), st.sampled_from(["anna", "BERTA@", "example", "z"])),
    st.tuples(st.just("BODY"), st.sampled_from(["plum", "Ä", "pear", "q"])),
    st.tuples(st.just("TEXT"), st.sampled_from(["apple", "carl", "content-type", "w"])),
    st.tuples(st.just("LARGER"), st.sampled_from(["100", "110", "130"])),
    st.sampled_from([("SEEN",), ("UNSEEN",), ("KEYWORD", "kw"), ("UNKEYWORD", "Kw"), ("ALL",), ("2:3",), ("UID 1,4:*",)]),
)
keys = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("NOT"), inner),
        st.tuples(st.just("OR"), inner, inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: ("AND", *some)),
    ),
    max_leaves=6,
)


def written(key):
    """A key as a client sends it."""
    word, *rest = key
    if word == "NOT":
        return b"NOT " + written(rest[0])
    if word == "OR":
        return b"OR %b %b" % (written(rest[0]), written(rest[1]))
    if word == "AND":
        return b"(%b)" % b" ".join(map(written, rest))
    if word in ("SUBJECT", "FROM", "BODY", "TEXT"):
        octets = rest[0].encode()
        return b"%b {%d+}\r\n%b" % (word.encode(), len(octets), octets)
    return " ".join(key).encode()


def holds(key, number, count, octets, flags):
    """Whether a message matches, found out by the standard library and without any plan."""
    word, *rest = key
    if word == "NOT":
        return not holds(rest[0], number, count, octets, flags)
    if word == "OR":
        return any(holds(each, number, count, octets, flags) for each in rest)
    if word == "AND":
        return all(holds(each, number, count, octets, flags) for each in rest)
    text = octets.decode().lower()
    parsed = message_from_bytes(octets)
    if word in ("SUBJECT", "FROM"):
        header = text.partition("\r\n\r\n")[0]
        value = next(line for line in header.split("\r\n") if line.startswith(word.lower() + ":"))
        return rest[0].lower() in value.partition(":")[2].strip()
    if word == "BODY":
        return rest[0].lower() in parsed.get_payload(decode=True).decode().lower()
    if word == "TEXT":
        return rest[0].lower() in text
    if word == "LARGER":
        return len(octets) > int(rest[0])
    if word in ("KEYWORD", "UNKEYWORD"):
        return ("Kw" in flags) is (word == "KEYWORD")
    if word in ("SEEN", "UNSEEN"):
        return ("\\Seen" in flags) is (word == "SEEN")
    if word == "2:3":
        return number in (2, 3)
    if word == "UID 1,4:*":
        return number == 1 or number >= 4 or number == count
    return True


@given(mails, keys)
@settings(max_examples=150, deadline=None)
def test_a_search_finds_what_looking_at_each_message_finds(makeClient, some, key):
    client = makeClient().logIn()
    octets = [message(subject, sender, body) for subject, sender, body, _ in some]
    for each, (_, _, _, flags) in zip(octets, some, strict=True):
        append(client, each, " ".join(flags))
    client.say(b"s SELECT INBOX")
    expected = [
        number
        for number, (each, (_, _, _, flags)) in enumerate(zip(octets, some, strict=True), 1)
        if holds(key, number, len(some), each, flags)
    ]
    said = client.send(b"t SEARCH RETURN (ALL) CHARSET UTF-8 %b\r\n" % written(key))
    assert b"t OK" in said
    assert numbers(said) == expected
    assert numbers(client.send(b"u UID SEARCH %b\r\n" % written(key))) == expected
    client.transport.hangUp()


@given(mails, st.lists(st.tuples(st.booleans(), st.sampled_from(["SUBJECT", "FROM", "SIZE"])), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_sort_is_comparing_two_by_two(makeClient, some, order):
    client = makeClient().logIn()
    octets = [message(subject, sender, body) for subject, sender, body, _ in some]
    for each in octets:
        append(client, each)
    client.say(b"s SELECT INBOX")

    def value(at, kind):
        subject, sender, _, _ = some[at]
        folded = subject.lower().replace("ü", "u\u0308").replace("ä", "a\u0308")
        return {"SUBJECT": folded.upper(), "FROM": sender.upper(), "SIZE": len(octets[at])}[kind]

    def compare(one, other):
        for isReverse, kind in order:
            left, right = value(one, kind), value(other, kind)
            if left != right:
                return (1 if left > right else -1) * (-1 if isReverse else 1)
        return one - other

    expected = [at + 1 for at in sorted(range(len(some)), key=cmp_to_key(compare))]
    words = " ".join(f"REVERSE {kind}" if isReverse else kind for isReverse, kind in order).encode()
    assert numbers(client.say(b"t SORT (%b) UTF-8 ALL" % words)) == expected
    assert numbers(client.say(b"u UID SORT RETURN (ALL) (%b) UTF-8 ALL" % words)) == expected
    client.transport.hangUp()


# --- Following ---------------------------------------------------------------------------------------------------------

_SESSIONS = st.integers(0, 1)
_CHANGE = re.compile(rb'\* ESEARCH \(TAG "([a-z]+)"\)( UID)? (ADDTO|REMOVEFROM) \(([0-9:, ]+)\)')


class Followed:
    """What a client believes a search finds, by what it was told.

    :ivar command: the search, from its name on, with `%b` where RETURN comes.
    """

    def __init__(self, tag, command):
        self.tag = tag
        self.command = command
        self.isSorted = b"SORT" in command
        self.isUID = command.startswith(b"UID")
        self.results = []

    def hear(self, word, pairs):
        words = pairs.split()
        for position, numbers in zip(map(int, words[::2]), words[1::2], strict=True):
            changed = [number for low, high in parts(numbers) for number in range(low, high + 1)]
            if word == b"ADDTO":
                assert not set(changed) & set(self.results)
                self.results[position - 1 : position - 1] = changed if position else []
                if not position:
                    self.results = sorted(self.results + changed)
            elif position:
                assert self.results[position - 1 : position - 1 + len(changed)] == changed
                del self.results[position - 1 : position - 1 + len(changed)]
            else:
                assert set(changed) <= set(self.results)
                self.results = [number for number in self.results if number not in changed]

    def expunged(self, number):
        """Numbers above the one that went mean other messages now."""
        if not self.isUID:
            assert number not in self.results
            self.results = [each - (each > number) for each in self.results]


class Following(RuleBasedStateMachine):
    """Two clients change a mailbox; the first follows searches in it."""

    connect = None

    def __init__(self):
        super().__init__()
        connect = type(self).connect()
        self.clients = [connect().logIn(b"INBOX") for _ in range(2)]
        self.followed = [
            Followed(b"search", b"SEARCH %bUNSEEN"),
            Followed(b"uidsearch", b"UID SEARCH %bOR FLAGGED SUBJECT apple"),
            Followed(b"sort", b"SORT %b(SUBJECT REVERSE SIZE) UTF-8 UNDELETED"),
            Followed(b"uidsort", b"UID SORT %b(REVERSE FROM) UTF-8 NOT SEEN"),
        ]
        for each in self.followed:
            self.say(0, b"%b %b" % (each.tag, each.command % b"RETURN (UPDATE COUNT) "))

    def say(self, which, line):
        self.hear(which, self.clients[which].say(line))

    def hear(self, which, said):
        for line in said.splitlines() if which == 0 else ():
            if change := _CHANGE.match(line):
                tag, isUID, word, pairs = change.groups()
                followed = next(each for each in self.followed if each.tag == tag)
                assert bool(isUID) is followed.isUID
                followed.hear(word, pairs)
            elif gone := re.match(rb"\* ([0-9]+) EXPUNGE", line):
                for each in self.followed:
                    each.expunged(int(gone[1]))

    @rule(which=_SESSIONS, subject=st.sampled_from(WORDS), sender=st.sampled_from(NAMES))
    def append(self, which, subject, sender):
        self.hear(which, append(self.clients[which], message(subject, sender, "x")))

    @rule(
        which=_SESSIONS,
        numbers=st.sampled_from([b"1", b"*", b"1:3", b"1:*"]),
        sign=st.sampled_from([b"", b"+", b"-"]),
        flags=st.sampled_from([b"\\Seen", b"\\Flagged", b"\\Deleted", b"\\Seen \\Deleted"]),
    )
    def store(self, which, numbers, sign, flags):
        self.say(which, b"t UID STORE %b %bFLAGS (%b)" % (numbers, sign, flags))

    @rule(which=_SESSIONS)
    def expunge(self, which):
        self.say(which, b"t EXPUNGE")

    @rule(which=_SESSIONS)
    def copy(self, which):
        self.say(which, b"t UID COPY 1:* INBOX")

    @rule()
    def fetch(self):
        self.say(0, b"t FETCH 1 (FLAGS)")

    @rule()
    def idle(self):
        self.say(0, b"t IDLE")
        append(self.clients[1], message("pear", "carl", "y"))
        self.hear(0, self.clients[0].say(b"DONE"))

    @invariant()
    def whatWasToldIsWhatIsFound(self):
        self.say(0, b"t NOOP")
        for each in self.followed:
            said = self.clients[0].say(b"t %b" % (each.command % b"RETURN (ALL) "))
            assert each.results == numbers(said)

    def teardown(self):
        for client in self.clients:
            client.transport.hangUp()


def test_following_a_search_leads_to_its_results(makeClients):
    run_state_machine_as_test(
        type("_", (Following,), {"connect": staticmethod(makeClients)}),
        settings=settings(max_examples=40, stateful_step_count=20, deadline=None),
    )


def test_so_many_searches_are_followed_and_no_more(client, monkeypatch):
    monkeypatch.setattr(contexts, "MAX_CONTEXTS", 2)
    client.logIn(b"INBOX")
    for tag in (b"a", b"b"):
        assert b"NOUPDATE" not in client.say(tag + b" SEARCH RETURN (UPDATE COUNT) ALL")
    said = client.say(b"c SORT RETURN (UPDATE COUNT) (DATE) UTF-8 ALL")
    assert said.splitlines()[:2] == [b'* ESEARCH (TAG "c") COUNT 0', b'* NO [NOUPDATE "c"] this search is not followed']
    client.say(b'd CANCELUPDATE "a"')
    assert b"NOUPDATE" not in client.say(b"c SEARCH RETURN (UPDATE COUNT) ALL")


def test_results_that_are_followed_are_bounded_in_all(client, monkeypatch):
    monkeypatch.setattr(contexts, "MAX_RESULTS", 3)
    client.logIn()
    for _ in range(2):
        append(client, message("x", "anna", "x"))
    client.say(b"s SELECT INBOX")
    assert b"NOUPDATE" not in client.say(b"a SEARCH RETURN (UPDATE COUNT) ALL")
    assert b'NOUPDATE "b"' in client.say(b"b SEARCH RETURN (UPDATE COUNT) ALL")


# --- Limits ------------------------------------------------------------------------------------------------------------


def test_too_much_is_not_saved(client, monkeypatch):
    monkeypatch.setattr(inquiry, "MAX_SAVED", 2)
    client.logIn()
    for _ in range(3):
        append(client, message("x", "anna", "x"))
    client.say(b"s SELECT INBOX")
    assert b"a OK" in client.say(b"a SEARCH RETURN (SAVE) 1:2")
    said = client.say(b"b SEARCH RETURN (SAVE COUNT) ALL")
    assert said.splitlines()[0] == b'* ESEARCH (TAG "b") COUNT 3'
    assert said.splitlines()[1].startswith(b"b NO [NOTSAVED] ")
    assert client.say(b"c SEARCH $").startswith(b"* SEARCH\r\n")


@pytest.mark.parametrize("command", [b"SORT (SUBJECT)", b"THREAD REFERENCES", b"UID SORT RETURN (SAVE) (DATE)"])
def test_too_much_is_not_arranged(client, monkeypatch, command):
    monkeypatch.setattr(ordering, "MAX_SORTED", 2)
    client.logIn()
    for _ in range(3):
        append(client, message("x", "anna", "x"))
    client.say(b"s SELECT INBOX", b"t SEARCH RETURN (SAVE) ALL")
    assert b"a NO [LIMIT] " in client.say(b"a %b UTF-8 ALL" % command)
    assert b"b OK" in client.say(b"b %b UTF-8 1:2" % command)


def test_so_many_texts_are_looked_for_and_no_more(client):
    """Each is a walk over every message; other keys cost little."""
    client.logIn(b"INBOX")
    texts = b" ".join([b"OR BODY x TEXT y"] * 250)
    assert b"a OK" in client.say(b"a SEARCH " + texts)
    assert client.say(b"b SEARCH NOT TEXT z " + texts).startswith(b"b BAD ")
    assert b"c OK" in client.say(b"c SEARCH " + b" ".join([b"NOT SUBJECT x"] * 2000))


@pytest.mark.parametrize("key", [b"SUBJECT hello", b"BODY hello", b"OR TEXT hello (FROM hello)"])
def test_what_may_match_nearly_counts_for_more(client, key):
    client.logIn(b"INBOX")
    assert b"a OK" in client.say(b"a SEARCH FUZZY (%b)" % b" ".join([key] * 12))
    assert client.say(b"b SEARCH FUZZY (%b)" % b" ".join([key] * 26)).startswith(b"b BAD ")


@pytest.mark.parametrize(
    "command",
    [
        b"SEARCH SUBJECT x",
        b"SEARCH ALL" + b" " * 20_000,
        b"SORT RETURN (RELEVANCY) (DATE) UTF-8 FUZZY BODY x",
        b'LIST "" (*a *b)',
        b'LSUB "" *a',
    ],
)
def test_others_have_their_turn_while_a_command_is_thought_about(makeClients, monkeypatch, command):
    """Reading a long command, making ready what is to be compared with every message, and comparing patterns with every name are
    done beside the reactor."""
    connect = makeClients()
    first, second = connect().logIn(b"INBOX"), connect().logIn(b"INBOX")
    thoughts = []

    async def later(self, work):
        thoughts.append(Deferred())
        await thoughts[-1]
        return work()

    monkeypatch.setattr(IMAPServer, "think", later)
    assert first.say(b"a " + command) == b""
    assert second.say(b"b NOOP").startswith(b"b OK")
    while thoughts:
        thoughts.pop(0).callback(None)
    assert b"\r\na " in b"\r\n" + first.said()


def test_others_have_their_turn_between_two_contents(client, monkeypatch):
    """Where the time for a stretch is up after each message, each is a stretch of its own."""
    client.logIn()
    for _ in range(5):
        append(client, message("x", "anna", "x"))
    client.say(b"s SELECT INBOX")
    monkeypatch.setattr(rows, "SLICE", -1.0)
    steps = []
    step = Engine.step
    monkeypatch.setattr(Engine, "step", lambda engine, *about: steps.append(about) or step(engine, *about))
    assert client.say(b"a SEARCH BODY x").startswith(b"* SEARCH 1 2 3 4 5\r\n")
    assert len(steps) >= 5


# --- Long searches -----------------------------------------------------------------------------------------------------


def test_a_long_search_tells_how_far_it_is(client, monkeypatch):
    client.logIn()
    for _ in range(3):
        append(client, message("x", "anna", "x"))
    client.say(b"s SELECT INBOX")
    waiting = []
    rows = Mailbox.rows

    async def slowly(mailbox, uids, columns, render):
        async for items in rows(mailbox, uids, columns, render):
            yield items
            waiting.append(Deferred())
            await waiting[-1]

    monkeypatch.setattr(Mailbox, "rows", slowly)
    assert client.say(b"a SEARCH BODY x") == b""
    client.world.advance(INTERVAL)
    assert client.said() == b'* OK [INPROGRESS ("a" 3 3)] still at it\r\n'
    client.world.advance(INTERVAL)
    assert client.said() == b'* OK [INPROGRESS ("a" 3 3)] still at it\r\n'
    waiting.pop().callback(None)
    assert client.said().splitlines()[0] == b"* SEARCH 1 2 3"
    client.world.advance(INTERVAL * 3)
    assert client.said() == b""


def test_a_long_copy_tells_that_it_goes_on(client, monkeypatch):
    client.logIn()
    append(client, message("x", "anna", "x"))
    client.say(b"s SELECT INBOX")
    waiting: Deferred[None] = Deferred()

    async def slowly(session, operation):
        await waiting
        return await change(session, operation)

    change = Session.change
    monkeypatch.setattr(Session, "change", slowly)
    assert client.say(b"a COPY 1 Trash") == b""
    client.world.advance(INTERVAL)
    assert client.said() == b'* OK [INPROGRESS ("a" NIL NIL)] still at it\r\n'
    waiting.callback(None)
    assert client.said().startswith(b"a OK [COPYUID ")
