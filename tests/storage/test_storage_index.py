"""The index of substrings: never too little is found, on any store, whatever happens to the index."""

from __future__ import annotations

import base64
import os
import quopri
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from mailfw.errors import Vanished
from mailfw.message.criteria import And, Body, Criterion, HasFlag, Header, Not, Or
from mailfw.message.criteria import Text as AnyText
from mailfw.message.plan import AllOf, AnyOf, Contains, Place, plan
from mailfw.storage import candidates, index, indexer
from mailfw.storage.index import Index, Text
from mailfw.storage.indexer import Loaded, Pending, load, textOf
from mailfw.storage.maildir import maildir
from mailfw.storage.memory import memory
from mailfw.storage.opening import openStore
from mailfw.storage.sqlite import sqlite
from mailfw.storage.textfile import textfile
from mailfw.testing.fakes import FakeStoreContext
from mailfw.values import Append, Copy, Create, Delete, Expunge, Identity, MessageSource, NewMessage, UIDSet

KINDS: dict[str, tuple[Any, str]] = {
    "memory": (memory, ""),
    "sqlite": (sqlite, "mail?shards=1"),
    "maildir": (maildir, "mail"),
    "textfile": (textfile, "mail"),
}
STORES = [kind for kind in KINDS if kind != "memory"]
WORDS = ["alpha", "beta", "Gamma", "délta", "ßeta", "ab", "xyz", "'\"; DROP"]


def message(number: int) -> bytes:
    chance = random.Random(number)
    words = chance.choices(WORDS, k=3)
    return (
        f"From: u{number}@example.org\r\nSubject: {words[0]} {number}\r\nX-Odd: {words[1]}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{words[2]} body{number}\r\n"
    ).encode()


CRITERIA: list[Criterion] = [
    Body("gamma"),
    Body("DÉLTA body"),
    Body("body7"),
    Body("absent"),
    AnyText("ss"),
    AnyText("sseta"),
    AnyText('"; drop'),
    Header("subject", "alpha 1"),
    Header("x-odd", "xyz"),
    Header("X-Odd", ""),
    And((Body("beta"), Header("x-odd", "gamma"))),
    And((Body("absent"), HasFlag("\\Seen"))),
    Or((Body("gamma"), Header("x-odd", "alpha"))),
    Not(Not(Body("gamma"))),
]


def run(work: Any) -> Any:
    outcome: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(outcome.append)
    (found,) = outcome
    if hasattr(found, "raiseException"):
        found.raiseException()
    return found


class Place_:
    """A store in a directory, on a fake clock, with one account."""

    def __init__(self, kind: str, directory: str) -> None:
        self.clock = Clock()
        self.directory = directory
        self.plugin, self.argument = KINDS[kind]
        self.open()

    def open(self) -> None:
        self.store = openStore(self.plugin, self.argument, FakeStoreContext(self.directory, clock=self.clock))
        self.account = run(self.store.openAccount(Identity("jsmith@localhost"), "jsmith@localhost"))

    def close(self) -> None:
        run(self.store.close())
        assert not self.clock.getDelayedCalls()

    def add(self, *numbers: int, mailbox: str = "INBOX") -> None:
        run(self.account.apply([Append(mailbox, tuple(NewMessage(MessageSource(message(number))) for number in numbers))]))

    def candidates(self, criterion: Criterion, mailbox: str = "INBOX") -> UIDSet | None:
        async def ask() -> UIDSet | None:
            found: UIDSet | None = await (await self.account.open(mailbox)).candidates(criterion)
            return found

        return run(ask())  # type: ignore[no-any-return]

    def matching(self, criterion: Criterion, mailbox: str = "INBOX") -> UIDSet:
        """What reading every message finds."""
        from mailfw.message.search import compile as compileCriterion
        from mailfw.values import ALL_UIDS, Column

        evaluation = compileCriterion(criterion)

        async def look() -> list[int]:
            found: list[int] = []
            opened = await self.account.open(mailbox)
            rows = opened.rows(
                ALL_UIDS,
                (*evaluation.columns, Column.UID),
                lambda rows: [row[-1] for row in rows if evaluation.matches(row)],
            )
            async for uids in rows:
                found += uids
            return found

        return UIDSet.fromUIDs(run(look()))

    def fill(self) -> None:
        """Let the indexer come to its end."""
        for _ in range(60):
            self.clock.advance(1)

    def paths(self) -> list[str]:
        return [
            os.path.join(folder, name)
            for folder, _, names in os.walk(self.directory)
            for name in names
            if name.endswith(".index")
        ]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the index about small mailboxes too, and fill it in small steps."""
    monkeypatch.setattr(candidates, "WORTH", 1)
    for module in ("engine", "simple.engine"):
        monkeypatch.setattr(f"mailfw.storage.{module}.BATCH", 7)


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Any, small: None) -> Any:
    found = Place_(request.param, str(tmp_path))
    yield found
    found.close()


def assertNeverTooFew(place: Place_, mailbox: str = "INBOX") -> list[UIDSet | None]:
    answers = []
    for criterion in CRITERIA:
        found = place.candidates(criterion, mailbox)
        assert found is None or not place.matching(criterion, mailbox) - found, criterion
        answers.append(found)
    return answers


# --- On every store ----------------------------------------------------------------------------------------------------


def test_what_is_not_indexed_yet_may_match(place: Place_) -> None:
    place.add(*range(1, 20))
    assert assertNeverTooFew(place)[0] == UIDSet(((1, 19),))
    place.fill()
    found = assertNeverTooFew(place)
    assert found[0] is not None and len(found[0]) < 19
    assert found[2] == UIDSet.of(7)  # and not 17, where the text is not
    assert found[3] == UIDSet()
    place.add(*range(20, 30))
    assert place.candidates(Body("absent")) == UIDSet(((20, 29),))
    assert place.candidates(Body("body7")) == UIDSet.of(7) | UIDSet(((20, 29),))
    assertNeverTooFew(place)
    place.fill()
    assert place.candidates(Body("absent")) == UIDSet()


def test_copies_are_found_and_what_is_gone_is_not(place: Place_) -> None:
    place.add(*range(1, 10))
    place.fill()
    run(place.account.apply([Copy("INBOX", UIDSet(((3, 8),)), "Trash")]))
    place.fill()
    assert place.candidates(Body("body7"), "Trash") == UIDSet.of(5)
    run(place.account.apply([Expunge("INBOX", UIDSet.of(7), onlyDeleted=False)]))
    assert place.candidates(Body("body7")) == UIDSet()
    assert place.candidates(Body("body7"), "Trash") == UIDSet.of(5)
    assertNeverTooFew(place)
    assertNeverTooFew(place, "Trash")


def test_what_a_deleted_mailbox_held_is_not_looked_for(place: Place_, logged: list[str]) -> None:
    """Its messages are cleared away in pieces, and later; meanwhile no file of them is there to be read, but a copy's may be."""
    run(place.account.apply([Create("Gone")]))
    place.add(1, 2, 3, mailbox="Gone")
    run(place.account.apply([Copy("Gone", UIDSet.of(1), "INBOX"), Delete("Gone")]))
    place.fill()
    assert logged == []
    sought = Header("subject", message(1).split(b"Subject: ")[1].split(b"\r\n")[0].decode())
    assert place.candidates(sought) == place.matching(sought) == UIDSet.of(1)


def test_other_accounts_are_not_looked_into(place: Place_) -> None:
    place.add(*range(1, 10))
    other = run(place.store.openAccount(Identity("mbrain@localhost"), "mbrain@localhost"))
    run(other.apply([Append("INBOX", (NewMessage(MessageSource(message(7))),))]))
    place.fill()
    assert place.candidates(Body("body7")) == UIDSet.of(7)


def test_what_no_index_can_tell_is_left_to_the_reader(place: Place_) -> None:
    place.add(1, 2)
    place.fill()
    for criterion in (HasFlag("\\Seen"), Body("ab"), Not(Body("alpha")), Or((Body("alpha"), HasFlag("\\Seen")))):
        assert place.candidates(criterion) is None


# --- The index tells what reading tells ---------------------------------------------------------------------------------

CHARSETS = ["utf-8", "iso-8859-1", "iso-8859-2", "windows-1251", "koi8-r", "shift_jis", "gb18030", "utf-16", "utf-7"]
WORDS_AND_WORSE = [
    "Grüße",
    "STRASSE",
    "straße",
    "naïve",
    "Привет",
    "猫と犬",
    "ﬁsh",
    "İzmir",
    "hello",
    "x",
    "ab",
    "42%",
    "=?",
    "\r\n",
    " ",
]
PIECES = st.sampled_from(WORDS_AND_WORSE)
TEXTS = st.lists(PIECES | st.text(st.characters(codec="utf-8"), max_size=6), max_size=6).map("".join)


def encodedWords(text: str, charset: str, cut: int) -> bytes:
    """A header value in two encoded words, cut wherever it comes, in the middle of a character too."""
    octets = text.encode(charset, "replace")
    return b"\r\n ".join(b"=?%b?B?%b?=" % (charset.encode(), base64.b64encode(piece)) for piece in (octets[:cut], octets[cut:]))


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[bytes], list[Criterion]]:
    """Messages, and what is looked for: pieces of their texts in another case or form, and anything else."""
    messages, said = [], [" "]
    for _ in range(draw(st.integers(1, 6))):
        charset, (subject, body) = draw(st.sampled_from(CHARSETS)), (draw(TEXTS), draw(TEXTS))
        said += [subject, body]
        octets = body.encode(charset, "replace")
        encoding, encoded = draw(
            st.sampled_from(
                [(b"8bit", octets), (b"quoted-printable", quopri.encodestring(octets)), (b"base64", base64.encodebytes(octets))]
            )
        )
        part = b"Content-Type: text/plain; charset=%b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (
            charset.encode(),
            encoding,
            encoded,
        )
        header = b"Subject: %b\r\n" % encodedWords(subject, charset, draw(st.integers(0, 9)))
        wrapped = draw(st.sampled_from([part, b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n" + part]))
        if draw(st.booleans()):
            wrapped = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%b\r\n--b--\r\n" % wrapped
        messages.append(header + wrapped)
    criteria: list[Criterion] = []
    for _ in range(12):
        text = draw(st.sampled_from(said))
        start = draw(st.integers(0, max(0, len(text) - 1)))
        needle = text[start : start + draw(st.integers(1, 12))] or draw(TEXTS)
        needle = draw(st.sampled_from([str.lower, str.upper, str, lambda each: unicodedata.normalize("NFD", each)]))(needle)
        leaf = draw(st.sampled_from([Body, AnyText, lambda each: Header("subject", each)]))(needle)
        both = Or((leaf, Body("inner"))), And((leaf, Body("xyz")))
        criteria.append(draw(st.sampled_from([leaf, Not(Not(leaf)), Not(leaf), *both])))
    return messages, criteria


@contextmanager
def place_(kind: str) -> Iterator[Place_]:
    with tempfile.TemporaryDirectory() as directory:
        found = Place_(kind, directory)
        yield found
        found.close()


@pytest.mark.parametrize("kind", STORES)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(corpora())
def test_no_message_is_missed(small: None, kind: str, corpus: tuple[list[bytes], list[Criterion]]) -> None:
    messages, criteria = corpus
    with place_(kind) as place:
        for half in (messages[::2], messages[1::2]):
            if half:
                run(place.account.apply([Append("INBOX", tuple(NewMessage(MessageSource(each)) for each in half))]))
            for criterion in criteria:
                found = place.candidates(criterion)
                assert found is None or not place.matching(criterion) - found, criterion
            if half is not messages[1::2]:
                place.fill()
        place.fill()
        for criterion in criteria:
            found = place.candidates(criterion)
            assert found is None or not place.matching(criterion) - found, criterion


# --- The file ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "maildir"])
def onDisk(request: pytest.FixtureRequest, tmp_path: Any, small: None) -> Any:
    found = Place_(request.param, str(tmp_path))
    found.add(*range(1, 10))
    found.fill()
    yield found
    found.close()


def test_the_index_stays(onDisk: Place_) -> None:
    onDisk.close()
    onDisk.open()
    assert onDisk.candidates(Body("body7")) == UIDSet.of(7)
    assert [oct(os.stat(path).st_mode)[-3:] for path in onDisk.paths()] == ["600"]


def remove(path: str) -> None:
    os.remove(path)


def damage(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(b"not a database at all, whatever it was" * 100)


def anotherLayout(path: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE setting SET value = '0.0' WHERE name = 'layout'")
    connection.close()


def anotherDatabase(path: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE setting SET value = 'x' WHERE name = 'identity'")
    connection.close()


def fromTheFuture(path: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE setting SET value = '1000' WHERE name = 'mark'")
    connection.close()


@pytest.mark.parametrize("harm", [remove, damage, anotherLayout, anotherDatabase, fromTheFuture])
def test_an_index_that_cannot_be_trusted_is_made_anew(onDisk: Place_, harm: Callable[[str], None]) -> None:
    onDisk.close()
    (path,) = onDisk.paths()
    harm(path)
    onDisk.open()
    assert onDisk.candidates(Body("absent")) == UIDSet(((1, 9),))
    onDisk.fill()
    assert onDisk.candidates(Body("absent")) == UIDSet()
    assertNeverTooFew(onDisk)


def test_where_there_can_be_no_index_all_is_found_without(onDisk: Place_) -> None:
    onDisk.close()
    (path,) = onDisk.paths()
    os.remove(path)
    os.mkdir(path)
    onDisk.open()
    assert onDisk.candidates(Body("body7")) is None
    assert onDisk.matching(Body("body7")) == UIDSet.of(7)
    onDisk.close()
    shutil.rmtree(path)
    onDisk.open()


def test_an_index_full_of_what_is_gone_is_made_anew(onDisk: Place_, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "WASTE", 0)
    run(onDisk.account.apply([Expunge("INBOX", UIDSet(((1, 8),)), onlyDeleted=False)]))
    for _ in range(20):  # until their grace is over, too
        onDisk.fill()
    onDisk.add(10)
    onDisk.fill()
    assert count(onDisk) == 2
    assertNeverTooFew(onDisk)


def count(place: Place_) -> int:
    """How many emails were put into the index that there is."""
    (path,) = place.paths()
    with sqlite3.connect(path) as connection:
        (found,) = connection.execute("SELECT value FROM setting WHERE name = 'count'").fetchone()
    connection.close()
    return int(found)


def test_an_index_that_is_damaged_while_it_is_open_is_made_anew(onDisk: Place_) -> None:
    (path,) = onDisk.paths()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE body_text_data SET block = X'0102030405060708' WHERE id > 10")
    connection.close()
    assert onDisk.candidates(Body("body7")) is None
    assert onDisk.matching(Body("body7")) == UIDSet.of(7)
    onDisk.fill()
    assert onDisk.candidates(Body("body7")) == UIDSet.of(7)
    assertNeverTooFew(onDisk)


def test_an_index_that_is_removed_while_it_is_open_is_made_anew(onDisk: Place_) -> None:
    (path,) = onDisk.paths()
    os.remove(path)
    assert onDisk.candidates(Body("body7")) == UIDSet.of(7)
    onDisk.add(10)
    onDisk.fill()
    assert onDisk.paths() == [path]
    assert onDisk.candidates(Body("body7")) == UIDSet.of(7)
    assertNeverTooFew(onDisk)


# --- The table alone ---------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Any) -> Any:
    found = Index.open(str(tmp_path / "search.sqlite"), "me")
    assert found is not None
    yield found
    found.close()


def test_what_could_not_be_read_may_match_anything(table: Index) -> None:
    table.put([Text(1, 5, "abc", "def"), Text(1, 6, None, None), Text(2, 7, None, None)], 7)
    found = table.find(1, Contains(Place.BODY, "xyz"), 10)
    assert found is not None and (found.emails, found.mark) == ({6}, 7)


def test_numbers_out_of_order_and_empty_texts(table: Index) -> None:
    table.put([Text(2, 8, "", "hello"), Text(1, 9, "hello", ""), Text(1, 3, "hello", "hello")], 9)
    for where, emails in ((Place.HEADER, {9, 3}), (Place.BODY, {3}), (Place.MESSAGE, {9, 3})):
        found = table.find(1, Contains(where, "ello"), 10)
        assert found is not None and found.emails == emails


def test_too_many_are_no_help(table: Index) -> None:
    table.put([Text(1, email, "", "hello" if email < 8 else "hello world") for email in range(1, 10)], 9)
    common, rare = Contains(Place.BODY, "hello"), Contains(Place.BODY, "world")
    assert table.find(1, common, 8) is None
    assert table.find(1, AnyOf((common, rare)), 8) is None
    found = table.find(1, AllOf((common, rare)), 8)
    assert found is not None and found.emails == {8, 9}


def test_a_search_for_very_many_texts_is_bounded(table: Index) -> None:
    table.put([Text(1, 1, "", "hello")], 1)
    some = Contains(Place.BODY, "hello")
    assert table.find(1, AnyOf((some,) * (index.MAX_LEAVES + 1)), 10) is None
    found = table.find(1, AllOf((some,) * 100_000), 10)
    assert found is not None and found.emails == {1}


def test_texts_that_are_everywhere_are_not_counted_without_end(table: Index) -> None:
    table.put([Text(1, email, "", f"hello world {email:03d}") for email in range(1, 301)], 300)
    hundreds = [Contains(Place.BODY, f" {hundred}0") for hundred in range(3)]
    found = table.find(1, AllOf((*hundreds, Contains(Place.BODY, "hello"))), 40)
    assert found is not None and found.emails == set()
    assert table.find(1, AnyOf(tuple(Contains(Place.BODY, f" {tens:02d}") for tens in range(10))), 40) is None
    found = table.find(1, AnyOf(tuple(Contains(Place.BODY, f" {tens:02d}") for tens in range(3))), 40)
    assert found is not None and found.emails == set(range(1, 30))


def test_of_a_long_text_some_trigrams_are_enough(table: Index) -> None:
    words = " ".join(f"word{number:02d}" for number in range(30))
    table.put([Text(1, 1, "", words), Text(1, 2, "", words[: len(words) // 2]), Text(1, 3, "", "word00")], 3)
    assert len(Contains(Place.BODY, words).trigrams) > index.MAX_TRIGRAMS
    found = table.find(1, Contains(Place.BODY, words), 10)
    assert found is not None and found.emails == {1}


def test_the_longest_text_can_be_asked_for(table: Index) -> None:
    table.put([Text(1, 1, "", "xy" * 5000)], 1)
    wanted = plan(Body("xy" * 4000))
    assert wanted is not None
    found = table.find(1, wanted, 10)
    assert found is not None and found.emails == {1}


class Content:
    size = 3

    def __init__(self, outcome: bytes | Exception) -> None:
        self.outcome = outcome

    def read(self, start: int = 0, length: int = -1) -> bytes:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def logged() -> Any:
    """The failures and warnings that are logged."""
    events: list[str] = []

    def observe(event: Any) -> None:
        if event["log_level"] >= LogLevel.warn:
            events.append(event["log_format"])

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


def test_what_cannot_be_read_is_left_to_searches(logged: list[str]) -> None:
    pending = [Content(b"a: b\r\n\r\nx"), Content(Vanished()), Content(OSError(5, "the disk")), None]
    assert load([Pending(1, at, each) for at, each in enumerate(pending)]) == [
        Loaded(1, 0, b"a: b\r\n\r\nx"),
        *(Loaded(1, at, None) for at in (1, 2, 3)),
    ]
    assert len(logged) == 1


def test_what_is_too_long_is_left_to_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "MAX_CHARACTERS", 10)
    assert textOf(Loaded(1, 2, b"a: b\r\n\r\nx")).body is not None
    assert textOf(Loaded(1, 2, b"a: b\r\n\r\nxxxxxxxxxxxxx")) == Text(1, 2, None, None)


FILLING = """
import sys
from mailfw.storage.index import Index, Text
index = Index.open(sys.argv[1], "me")
for start in range(1, 1_000_000, 20):
    index.put([Text(1, email, "", f"number {email:06d} of many") for email in range(start, start + 20)], start + 19)
    print(start + 19, flush=True)
"""


def test_what_was_put_in_survives_a_crash(tmp_path: Any) -> None:
    path = str(tmp_path / "search.index")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", FILLING, path], stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(40)][-1]
        child.kill()
    opened = Index.open(path, "me")
    assert opened is not None
    mark = opened.mark
    assert mark >= told
    for email in (*range(1, 800, 37), mark):
        found = opened.find(1, Contains(Place.BODY, f"number {email:06d}"), 10**6)
        assert found is not None and email in found.emails
    found = opened.find(1, Contains(Place.BODY, "of many"), 10**6)
    assert found is not None and found.emails == set(range(1, mark + 1))
    opened.close()


# --- When it works -----------------------------------------------------------------------------------------------------


def test_it_waits_for_quiet_but_not_for_ever(tmp_path: Any, small: None) -> None:
    place = Place_("sqlite", str(tmp_path))
    place.fill()
    place.add(1)
    place.clock.advance(indexer.QUIET / 2)
    place.add(2)
    place.clock.advance(indexer.QUIET / 2)
    assert place.candidates(Body("absent")) == UIDSet.of(1, 2)
    place.clock.advance(indexer.QUIET)
    assert place.candidates(Body("absent")) == UIDSet()
    began = place.clock.seconds()
    for number in range(3, 200):
        place.add(number)
        place.clock.advance(indexer.QUIET / 2)
        if not place.candidates(Body("absent")):
            break
    assert indexer.PATIENCE <= place.clock.seconds() - began <= indexer.PATIENCE + 2 * indexer.QUIET
    place.close()


def test_a_full_disk_harms_nobody(onDisk: Place_, monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as context:
        context.setattr(Index, "put", full)
        onDisk.add(10)
        onDisk.fill()
        assert logged[-1] == "the index is filled later: {error}"
        assert onDisk.candidates(Body("body7")) == UIDSet.of(7, 10)
        assertNeverTooFew(onDisk)
    onDisk.fill()
    onDisk.clock.advance(indexer.RETRY)
    assert onDisk.candidates(Body("body7")) == UIDSet.of(7)


def test_a_store_in_memory_needs_no_index(tmp_path: Any) -> None:
    place = Place_("memory", str(tmp_path))
    place.add(*range(1, 200))
    assert place.candidates(Body("body7")) is None
    place.close()
