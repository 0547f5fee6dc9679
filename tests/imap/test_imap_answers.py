"""What a client reads of what servers send: right, linear, bounded, whole as octet by octet."""

import itertools
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.imap.grammar import answers, requests, response
from mailfw.imap.grammar.answers import (
    Code,
    Exists,
    Garbled,
    ListedMailbox,
    MailboxCounters,
    Namespaces,
    Other,
    Status,
    Vanished,
)
from mailfw.imap.grammar.commands import SYNTAX, Unreadable, parse
from mailfw.imap.grammar.fetch import BodySection, sectionLabel
from mailfw.imap.grammar.fetched import Fetched
from mailfw.imap.grammar.found import ExtendedFound, Found, Ranges, Threads
from mailfw.imap.grammar.framing import OutOfStep, ResponseLimits, ResponseReader
from mailfw.imap.grammar.requests import Manner
from mailfw.imap.grammar.response import Condition
from mailfw.imap.grammar.structures import Body, Disposition, Envelope
from mailfw.imap.grammar.tokens import CommandText, Literal
from mailfw.imap.reader import announcement
from mailfw.message import mime, thread
from mailfw.message.address import GroupEnd, GroupStart, Mailbox
from mailfw.message.envelope import envelope
from mailfw.message.section import Section, Text
from mailfw.message.structure import bodyStructure, plainBody
from mailfw.message.thread import Forest
from mailfw.values import MessageSource, UIDSet

TALKS = sorted((Path(__file__).parents[1] / "conversations").glob("imap-*.talk"))


def read(data, limits=None):
    """Every answer in some octets."""
    reader = ResponseReader(limits)
    reader.feed(data)
    return [answers.parse(response) for response in reader]


def one(data):
    (answer,) = read(data)
    return answer


# --- Framing ---------------------------------------------------------------------------------------------------------


def test_textForPeopleHoldsNoLiterals():
    said = read(b"* OK hello {5}\r\na NO [CANNOT] no {3}\r\n+ {1}\r\n* 4 EXISTS\r\n")
    assert [type(answer).__name__ for answer in said] == ["Status", "Status", "Continuation", "Exists"]


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 200), max_size=12))
def test_wholeAsSplit(strings, cuts):
    data = b"".join(b"* FLAGS " + response.literal(string) + b" x\r\n" for string in strings) + b"* 1 EXISTS\r\n"
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = ResponseReader()
    split = []
    for start, end in itertools.pairwise(edges):
        reader.feed(data[start:end])
        split += list(reader)
    whole = ResponseReader()
    whole.feed(data)
    assert split == list(whole)
    assert [text.literals[0].octets for text in split[:-1]] == strings


@pytest.mark.parametrize(
    "data",
    [b"* LIST () x" + b"x" * 200, b"* LIST {300}\r\n", b"* LIST {99999999999999999999}\r\n", b"* LIST" + b" {0}\r\n" * 9],
)
def test_limits(data):
    with pytest.raises(OutOfStep):
        read(data, ResponseLimits(line=100, response=250, literals=5))


def test_whatComesBehindIsHad():
    reader = ResponseReader()
    reader.feed(b"a OK begin\r\n* 3 EXI")
    assert reader.take() is not None
    assert reader.rest == b"* 3 EXI"
    assert reader.take() is None


# --- Answers ---------------------------------------------------------------------------------------------------------

EXAMPLES = {
    b"* OK [UIDNEXT 7] go": Status(b"*", Condition.OK, "go", Code(b"UIDNEXT", b"7")),
    b"* PREAUTH": Status(b"*", Condition.OK, "", isPreAuth=True),
    b'a NO [BADCHARSET ("a]b" UTF-8)] no': Status(b"a", Condition.NO, "no", Code(b"BADCHARSET", b'("a]b" UTF-8)')),
    b"a OK [not a code": Status(b"a", Condition.OK, "[not a code"),
    b"* 23 EXISTS": Exists(23),
    b'* LIST (\\HasChildren) "/" INBOX': ListedMailbox("INBOX", frozenset({"\\HasChildren"}), "/"),
    b'* LIST () NIL "Entw&APw-rfe"': ListedMailbox("Entwürfe"),
    b'* LIST () "." "x y" ("CHILDINFO" ("SUBSCRIBED") OLDNAME ("z"))': ListedMailbox(
        "x y", delimiter=".", extended={"CHILDINFO": (b"SUBSCRIBED",), "OLDNAME": (b"z",)}
    ),
    b"* STATUS x (MESSAGES 3 SIZE 99999999999 MAILBOXID (F1))": MailboxCounters(
        "x", {"MESSAGES": 3, "SIZE": 99999999999, "MAILBOXID": "F1"}
    ),
    b"* VANISHED (EARLIER) 3:5,9": Vanished(UIDSet(((3, 5), (9, 9))), isEarlier=True),
    b"* VANISHED 9": Vanished(UIDSet.of(9)),
    b'* ESEARCH (TAG "q") UID COUNT 2 ALL 5:3,9 MODSEQ 12': ExtendedFound(
        b"q", True, count=2, all=Ranges(((3, 5), (9, 9))), modSeq=12
    ),
    b"* ESEARCH PARTIAL (1:2 NIL) ADDTO (0 3:4 1 9) NEW (x)": ExtendedFound(
        partialRange=b"1:2", added=((0, Ranges(((3, 4),))), (1, Ranges(((9, 9),)))), other={"NEW": (b"x",)}
    ),
    b'* ESEARCH (TAG "q" MAILBOX "a b" UIDVALIDITY 7) UID MIN 3 RELEVANCY (9 8)': ExtendedFound(
        b"q", True, minimum=3, relevancy=(9, 8), mailbox="a b", uidValidity=7
    ),
    b"* THREAD (2)(3 6 (4 23)(44 7 96))((1)(5))": Threads(
        (2, 3, 6, 4, 23, 44, 7, 96, 0, 1, 5), (0, 0, 1, 2, 3, 2, 3, 4, 0, 1, 1)
    ),
    b"* THREAD": Threads(),
    b'* NAMESPACE (("" "/")("#x/" "/" "X" ("y"))) (("~" "/")) NIL': Namespaces((("", "/"), ("#x/", "/")), (("~", "/"),)),
    b'* QUOTA "" (STORAGE 10 512)': Other(b"QUOTA", (b"", (b"STORAGE", b"10", b"512"))),
    b"* X-THING ((a b)(NIL)) ()": Other(b"X-THING", (((b"a", b"b"), (None,)), ())),
    b"* 3 FETCH (FLAGS (\\Seen) UID 9 MODSEQ (77))": None,
}


@pytest.mark.parametrize("data", [data for data, answer in EXAMPLES.items() if answer is not None])
def test_examples(data):
    assert one(data + b"\r\n") == EXAMPLES[data]


def test_searchResults():
    answer = one(b"* SEARCH 2 84 882 (MODSEQ 917162500) \r\n")
    assert isinstance(answer, Found)
    assert (list(answer.numbers), answer.modSeq, answer.isSorted) == ([2, 84, 882], 917162500, False)
    sorted_ = one(b"* SORT 5 3\r\n")
    assert (list(sorted_.numbers), sorted_.isSorted) == ([5, 3], True)


@pytest.mark.parametrize(
    "data",
    [
        b"* LIST (x",
        b"* 3 FETCH (UID 0)",
        b"* 3 FETCH (BODYSTRUCTURE " + b"(" * 5000,
        b"* SEARCH 1 x",
        b"* SEARCH 99999999999",
        b"* ESEARCH ALL 5:99999999999",
        b"* THREAD (1",
        b"* THREAD 1)",
        b"* LIST () NIL &AAA",
        b"* STATUS x (MESSAGES 99999999999999999999)",
        b"a MAYBE what",
        b"",
        b"*",
    ],
)
def test_whatIsNotInTheGrammarIsGarbled(data):
    said = read(data + b"\r\n* 1 EXISTS\r\n")
    assert isinstance(said[0], Garbled)
    assert said[1] == Exists(1)


@given(st.binary(max_size=300))
def test_anythingIsRead(data):
    try:
        read(data + b"\r\n", ResponseLimits(line=10_000, response=10_000, literals=10))
    except OutOfStep:
        pass


WORDS = [b"* ", b"1 ", b"FETCH ", b"(", b")", b" ", b"NIL", b'"x"', b"{3}\r\nabc", b"BODY[", b"]", b"<3>", b"FLAGS ",
         b"\\Seen", b"LIST ", b"ENVELOPE ", b"BODYSTRUCTURE ", b"UID ", b"7", b"ESEARCH ", b"ALL ", b"THREAD ",
         b"a ", b"OK ", b"[", b"MODSEQ ", b"\r\n"]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_whatLooksLikeAnswersIsRead(words):
    read(b"".join(words) + b"\r\n")


def test_hugeAnswersAreReadInLinearTime():
    """Whatever a hostile server sends, a megabyte of it takes no more than moments."""
    many = [
        b"* SEARCH" + b" 1234567" * 120_000,
        b"* LIST (" + b"\\x " * 300_000 + b'\\y) "/" z',
        b"* X " + b"(" * 500_000 + b")" * 500_000,
        b"* THREAD " + b"(1 " * 250_000 + b")" * 250_000,
        b"* ESEARCH" + b" ADDTO (0 1)" * 80_000,
        b"* OK [" + b'"' * 1_000_000,
        b"* 1 FETCH (FLAGS (" + b"a " * 400_000 + b"b))",
        b"* VANISHED " + b",".join(b"%d" % number for number in range(1, 300_000, 2)),
    ]
    for data in many:
        start = time.process_time()
        read(data + b"\r\n")
        assert time.process_time() - start < 4, data[:20]


def test_setsStayRanges():
    answer = one(b"* ESEARCH ALL 1:4294967295\r\n")
    assert len(answer.all) == 4294967295


# --- FETCH, as our own server renders it -----------------------------------------------------------------------------

OCTETS = st.binary(max_size=30).map(lambda octets: octets.replace(b"\0", b"?"))


@given(OCTETS, OCTETS.map(lambda octets: octets.replace(b"\n", b" ").replace(b"\r", b" ").strip()))
def test_sectionsAndEnvelopesComeThrough(content, subject):
    fields = {b"subject": subject, b"from": b'"A \\"b\\"" <a@x.example>, g: c@d.example;, e', b"message-id": b"<1@x>"}
    label = sectionLabel(Section((1, 2), Text.FIELDS, (b"To", b"X Y")), (5, 9))
    said = one(b"* 3 FETCH (UID 9 ENVELOPE %b %b %b)\r\n" % (envelope(fields), label, response.literal(content)))
    assert isinstance(said, Fetched), said
    assert said.envelope == Envelope(
        None,
        subject,
        *(((Mailbox(b'A "b"', None, b"a", b"x.example"), GroupStart(b"g"), Mailbox(None, None, b"c", b"d.example"), GroupEnd(),
            Mailbox(None, None, b"e", b"")),) * 3),
        messageId=b"<1@x>",
    )  # fmt: skip
    asked = Section((1, 2), Text.FIELDS, (b"TO", b"x y"))
    assert said.section(BodySection(asked, sectionLabel(asked, (5, 9)), (5, 9))) == content


MESSAGE = b"""Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Language: de, en

one
--b
Content-Type: message/rfc822
Content-Disposition: attachment; filename="a b"

Subject: inner

inside
--b--
""".replace(b"\n", b"\r\n")


def test_structures():
    structure = bodyStructure(mime.scan(MESSAGE), MESSAGE)
    full = one(b"* 1 FETCH (BODYSTRUCTURE %b)\r\n" % structure).body
    assert (full.kind, full.subtype, full.parameters) == (b"multipart", b"mixed", ((b"boundary", b"b"),))
    text, message = full.parts
    assert (text.kind, text.parameters, text.languages, text.lines) == (b"text", ((b"charset", b"utf-8"),), (b"de", b"en"), 0)
    assert message.disposition == Disposition(b"attachment", ((b"filename", b"a b"),))
    assert message.envelope.subject == b"inner"
    assert message.parts[0].subtype == b"plain"
    plain = one(b"* 1 FETCH (BODY %b)\r\n" % plainBody(structure)).body
    assert plain.parts[1].envelope == message.envelope
    assert plain.parts[1].disposition is None


@given(st.binary(max_size=200))
def test_everyStructureThatWeWriteIsRead(content):
    message = b"Content-Type: multipart/x; boundary=b\r\n\r\n--b\r\n" + content
    said = one(b"* 1 FETCH (BODYSTRUCTURE %b)\r\n" % bodyStructure(mime.scan(message), message))
    assert isinstance(said, Fetched)
    assert isinstance(said.body, Body)


@given(st.lists(st.integers(0, 3), max_size=12))
def test_everyForestThatWeWriteIsRead(steps):
    depths, depth = [], 0
    for step in steps:
        depth = min(step, depth)
        depths.append(depth)
        depth += 1
    forest = Forest(tuple(range(1, len(depths) + 1)), tuple(depths))
    assert one(b"* THREAD %b\r\n" % thread.render(forest)) == Threads(forest.numbers, forest.depths)


# --- Commands: what a client writes, a server reads -----------------------------------------------------------------------


def text(pieces, tag=b"a"):
    """A command as the server's reader puts it together."""
    octets, literals = [tag, b" "], []
    for piece in pieces:
        if isinstance(piece, MessageSource):
            octets.append(b"{%d+}\r\n" % piece.size)
            literals.append(Literal(piece.read()))
        else:
            octets.append(piece)
    return CommandText(b"".join(octets), tuple(literals), isUTF8=True)


def said():
    """Commands in our conversations that stand in one line."""
    for talk in TALKS:
        for line in talk.read_text().splitlines():
            name, colon, command = line.partition(": ")
            if colon and name.startswith("C") and "{" not in command and "\\x" not in command:
                yield command.encode()


def commandsSaid():
    found = {}
    for line in said():
        try:
            tagged = parse(CommandText(line))
        except Unreadable:
            continue
        if type(tagged.command) in requests.WRITERS:
            found[tagged.command] = tagged.name
    return found


def test_commandsAreReadAsTheyWereMeant():
    found = commandsSaid()
    assert len(found) > 300
    for command in found:
        for manner in (Manner(), Manner(isUTF8=True)):
            written = text(requests.command(command, manner))
            written = CommandText(written.octets, written.literals, isUTF8=manner.isUTF8)
            assert announcement(written.octets) is None
            assert bare(parse(written).command) == bare(command), written


def bare(command):
    """A command without what is only about how it was written."""
    from attrs import evolve, has

    for name in ("isExtended",):
        if has(type(command)) and hasattr(command, name):
            command = evolve(command, **{name: False})
    return command


def test_everyCommandCanBeSaid():
    written = set(commandsSaid().values())
    assert {name for name in SYNTAX if name.startswith(b"UID ")} - written <= {b"UID REPLACE"}


@given(
    st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20), st.booleans()
)
def test_namesComeThrough(name, isUTF8):
    if name.partition("/")[0].upper() == "INBOX":
        return
    written = text(requests.command(requests.Delete(name), Manner(isUTF8)))
    assert parse(CommandText(written.octets, written.literals, isUTF8)).command == requests.Delete(name)
