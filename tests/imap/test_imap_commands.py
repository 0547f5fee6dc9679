"""Commands as values, and what is no command."""

import time
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailfw.imap.grammar import commands, mailboxes, messages
from mailfw.imap.grammar.commands import SYNTAX, Tagged, Unreadable, parse
from mailfw.imap.grammar.fetch import Attribute, BodySection, Fetch
from mailfw.imap.grammar.mailboxes import StatusItem
from mailfw.imap.grammar.search import AllOf, AnyOf, Messages, Not, Recent
from mailfw.imap.grammar.searching import Search
from mailfw.imap.grammar.sequence import SequenceSet
from mailfw.imap.grammar.tokens import CommandText, Literal
from mailfw.imap.session import HANDLERS
from mailfw.imap.states import COMMANDS
from mailfw.message import criteria
from mailfw.message.criteria import Dating, HasFlag, Header
from mailfw.message.section import Section, Text
from mailfw.values import FlagChange


def read(text: bytes, *literals: bytes | Literal) -> object:
    """The command in a text whose literals are written `{}`."""
    filled = []
    for literal in literals:
        octets = literal.octets if isinstance(literal, Literal) else literal
        text = text.replace(b"{}", b"{%d}\r\n" % len(octets), 1)
        filled.append(literal if isinstance(literal, Literal) else Literal(literal))
    return parse(CommandText(b"tag " + text, tuple(filled))).command


def ranges(text: str) -> SequenceSet:
    return SequenceSet.parse(text.encode())


def test_the_tables_name_the_same_commands():
    assert set(SYNTAX) == set(COMMANDS)
    assert len(HANDLERS) > 25


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (b"capability", commands.Capability()),
        (b"NOOP", commands.Noop()),
        (b"LOGOUT", commands.Logout()),
        (b"STARTTLS", commands.StartTLS()),
        (b"ID NIL", commands.Id()),
        (b"ID ()", commands.Id()),
        (b'ID ("name" "x" "os" NIL)', commands.Id(((b"name", b"x"), (b"os", None)))),
        (b"LOGIN mbrain mailfw", commands.Login(b"mbrain", b"mailfw")),
        (b'LOGIN "m b" "p\\"w\\\\"', commands.Login(b"m b", b'p"w\\')),
        (b"LOGIN a]b NIL", commands.Login(b"a]b", b"NIL")),
        (b"AUTHENTICATE scram-sha-256", commands.Authenticate("SCRAM-SHA-256")),
        (b"AUTHENTICATE PLAIN AGEAYg==", commands.Authenticate("PLAIN", b"AGEAYg==")),
        (b"AUTHENTICATE PLAIN =", commands.Authenticate("PLAIN", b"=")),
        (b"ENABLE condstore utf8=accept", commands.Enable((b"CONDSTORE", b"UTF8=ACCEPT"))),
        (b"IDLE", commands.Idle()),
        (b"SELECT inbox", mailboxes.Select("INBOX")),
        (b"EXAMINE blurdybloop", mailboxes.Select("blurdybloop", isReadOnly=True)),
        (b'CREATE "Entw&APw-rfe"', mailboxes.Create("Entwürfe")),
        (b"DELETE foo", mailboxes.Delete("foo")),
        (b"RENAME a b", mailboxes.Rename("a", "b")),
        (b"SUBSCRIBE a", mailboxes.Subscribe("a")),
        (b"UNSUBSCRIBE a", mailboxes.Subscribe("a", isSubscribed=False)),
        (b'LIST "" %', mailboxes.ListMailboxes(b"", b"%")),
        (b"LIST ~/Mail/ %]*", mailboxes.ListMailboxes(b"~/Mail/", b"%]*")),
        (b'LSUB "#news." "comp.mail.*"', mailboxes.ListSubscribed(b"#news.", b"comp.mail.*")),
        (b"NAMESPACE", mailboxes.Namespace()),
        (b"STATUS x (uidnext MESSAGES)", mailboxes.Status("x", (StatusItem.UIDNEXT, StatusItem.MESSAGES))),
        (b"CHECK", messages.Check()),
        (b"CLOSE", messages.Close()),
        (b"UNSELECT", messages.Unselect()),
        (b"EXPUNGE", messages.Expunge()),
        (b"UID EXPUNGE 3000:3002", messages.Expunge(ranges("3000:3002"))),
        (b"COPY 2:4 MEETING", messages.Copy(ranges("2:4"), "MEETING")),
        (b"uid copy * x", messages.Copy(ranges("*"), "x", isUID=True)),
        (b"MOVE 1 x", messages.Move(ranges("1"), "x")),
        (b"UID MOVE 1 x", messages.Move(ranges("1"), "x", isUID=True)),
        (
            b"STORE 2:4 +FLAGS (\\deleted $Junk)",
            messages.Store(ranges("2:4"), FlagChange.ADD, frozenset(("\\Deleted", "$Junk"))),
        ),
        (
            b"UID STORE 1 -flags.silent \\SEEN x",
            messages.Store(ranges("1"), FlagChange.REMOVE, frozenset(("\\Seen", "x")), isSilent=True, isUID=True),
        ),
        (b"STORE 1 FLAGS ()", messages.Store(ranges("1"), FlagChange.REPLACE, frozenset())),
    ],
)
def test_commands(text, command):
    assert read(text) == command


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"NOOP ",
        b"NOOP x",
        b"XYZZY",
        b"UID",
        b"UID NOOP",
        b"UID  FETCH 1 FLAGS",
        b"LOGIN a",
        b"LOGIN a b c",
        b"LOGIN a  b",
        b'LOGIN "a b',
        b'LOGIN "a\\b" c',
        b"LOGIN (a) b",
        b"LOGIN a\x01 b",
        b"LOGIN a\xff b",
        b"LOGIN a {3}",
        b"AUTHENTICATE",
        b"AUTHENTICATE PLAIN a b",
        b"ID",
        b"ID x",
        b'ID ("a")',
        b"ID (a b)",
        b"ENABLE",
        b"ENABLE ",
        b"SELECT",
        b"SELECT a b",
        b"LIST a",
        b'LIST "" a b',
        b"STATUS x",
        b"STATUS x ()",
        b"STATUS x MESSAGES",
        b"STATUS x (NONSENSE)",
        b"APPEND x",
        b"APPEND x y",
        b"APPEND x (\\Recent) {}",
        b"EXPUNGE 1",
        b"UID EXPUNGE",
        b"COPY 0 x",
        b"COPY a x",
        b"COPY 1",
        b"STORE 1 FLAGS",
        b"STORE 1 FLAGS (\\Recent)",
        b"STORE 1 FLAGS (\\Funny)",
        b"STORE 1 FLAGS.LOUD (\\Seen)",
        b"STORE 1 *FLAGS (\\Seen)",
        b"STORE 1 FLAGS (\\Seen",
        b"STORE 1 FLAGS (a,b {)",
        b"FETCH 1",
        b"FETCH 1 ()",
        b"FETCH 1 (ALL)",
        b"FETCH 1 (FLAGS UID",
        b"FETCH 1 FLAGS UID",
        b"FETCH 1 NONSENSE",
        b"FETCH 1 BODY.PEEK",
        b"FETCH 1 BODY[",
        b"FETCH 1 BODY[0]",
        b"FETCH 1 BODY[1.]",
        b"FETCH 1 BODY[.1]",
        b"FETCH 1 BODY[1.0]",
        b"FETCH 1 BODY[MIME]",
        b"FETCH 1 BODY[HEADER.FIELDS]",
        b"FETCH 1 BODY[HEADER.FIELDS ()]",
        b"FETCH 1 BODY[TEXT]<0>",
        b"FETCH 1 BODY[TEXT]<0.0>",
        b"FETCH 1 BODY[TEXT]<-1.5>",
        b"FETCH 1 BODY[TEXT]<1.99999999999>",
        b"FETCH 1 (" + b"FLAGS " * 300 + b"UID)",
        b"FETCH 1 BODY[" + b"1." * 200 + b"1]",
        b"SEARCH",
        b"SEARCH ",
        b"SEARCH NONSENSE",
        b"SEARCH NOT",
        b"SEARCH OR SEEN",
        b"SEARCH ()",
        b"SEARCH (SEEN",
        b"SEARCH SEEN)",
        b"SEARCH SUBJECT",
        b"SEARCH ON 31-Feb-2020",
        b"SEARCH ON 1-Foo-2020",
        b"SEARCH ON 2020-02-01",
        b"SEARCH LARGER x",
        b"SEARCH CHARSET UTF-8",
        b"SEARCH UID",
        b"SEARCH UID 1,",
        b"SEARCH " + b"(" * 200 + b"SEEN" + b")" * 200,
        b"SEARCH " + b"NOT (" * 200 + b"SEEN" + b")" * 200,
        b"SEARCH" + b" SEEN" * 20_001,
    ],
)
def test_bad_arguments_are_bad(text):
    with pytest.raises(Unreadable) as caught:
        parse(CommandText(b"tag " + text))
    assert (caught.value.tag, caught.value.reply.condition) == (b"tag", b"BAD")


@pytest.mark.parametrize("text", [b"", b" NOOP", b"+ NOOP", b"a+b NOOP", b"(", b"\xff NOOP", b"{3}"])
def test_a_line_without_a_tag_is_answered_without(text):
    with pytest.raises(Unreadable) as caught:
        parse(CommandText(text))
    assert caught.value.tag == b"*"


# --- Strings in every form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "literals", "command"),
    [
        (b"LOGIN {} {}", (b"a b", b""), commands.Login(b"a b", b"")),
        (b"LOGIN {} x", (b'"{\\\xc3\xbc',), commands.Login(b'"{\\\xc3\xbc', b"x")),
        (b"SELECT {}", (b"inbox",), mailboxes.Select("INBOX")),
        (b"RENAME {} {}", (b"a", b"b"), mailboxes.Rename("a", "b")),
        (b"LIST {} {}", (b"", b"*"), mailboxes.ListMailboxes(b"", b"*")),
        (b"STATUS {} (UNSEEN)", (b"x",), mailboxes.Status("x", (StatusItem.UNSEEN,))),
        (b"COPY 1 {}", (b"x",), messages.Copy(ranges("1"), "x")),
        (b"ID ({} {})", (b"name", b"x"), commands.Id(((b"name", b"x"),))),
        (b"SEARCH SUBJECT {} TO {}", (b"s", b"t"), Search(AllOf((Header("Subject", "s"), Header("To", "t"))))),
        (b"SEARCH HEADER {} {}", (b"X-A", b""), Search(Header("X-A", ""))),
        (b"SEARCH CHARSET {} BODY {}", (b"koi8-r", b"\xc4"), Search(criteria.Body("д"))),
        (b"SEARCH ON {}", (b"1-Feb-1994",), Search(criteria.On(Dating.ARRIVED, date(1994, 2, 1)))),
        (
            b"FETCH 1 BODY[HEADER.FIELDS ({} To)]",
            (b"X Y",),
            Fetch(
                ranges("1"),
                (BodySection(Section((), Text.FIELDS, (b"X Y", b"To")), b'BODY[HEADER.FIELDS ("X Y" To)]'),),
            ),
        ),
    ],
)
def test_a_literal_may_be_any_string(text, literals, command):
    assert read(text, *literals) == command


@pytest.mark.parametrize("octets", [b"a\0b", b"\0"])
def test_a_literal_holds_no_nul(octets):
    with pytest.raises(Unreadable):
        read(b"SELECT {}", octets)


@pytest.mark.parametrize(
    "text", [b"SELECT ~{3}\r\n", b"LOGIN ~{3}\r\n b", b'LIST "" ~{3}\r\n', b"SEARCH SUBJECT ~{3}\r\n"]
)
def test_a_literal8_is_no_string(text):
    with pytest.raises(Unreadable) as caught:
        parse(CommandText(b"tag " + text, (Literal(b"abc", isBinary=True),)))
    assert "literal8" in caught.value.reply.text


def test_a_name_that_cannot_be_is_refused_and_not_bad():
    with pytest.raises(Unreadable) as caught:
        read(b'CREATE "a&b"')
    assert (caught.value.reply.condition, caught.value.reply.code) == (b"NO", b"CANNOT")


# --- APPEND ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "flags", "when"),
    [
        (b"APPEND x {}", [], None),
        (b"APPEND x (\\seen Foo) {}", ["\\Seen", "Foo"], None),
        (b"APPEND x () {}", [], None),
        (b'APPEND x " 7-Feb-1994 21:52:25 -0800" {}', [], 760686745.0),
        (b'APPEND x (\\Draft) "07-Feb-1994 21:52:25 +0000" {}', ["\\Draft"], 760657945.0),
        (b'APPEND x "31-Dec-1969 23:59:59 +0000" {}', [], -1.0),
        (b'APPEND x "30-Jun-2015 23:59:60 +0000" {}', [], 1435708799.0),
    ],
)
def test_append(text, flags, when):
    assert read(text, b"message") == messages.Append("x", frozenset(flags), when, Literal(b"message"))


@pytest.mark.parametrize(
    "when",
    [b"7-Feb-1994 21:52:25 -0800", b"30-Feb-1994 21:52:25 +0000", b"07-Feb-1994 25:52:25 +0000",
     b"07-Feb-1994 21:52:25 GMT", b"07-Feb-1994 21:52:25 +9900", b"07-Feb-0000 21:52:25 +0000"],
)  # fmt: skip
def test_append_with_a_date_that_is_none(when):
    with pytest.raises(Unreadable):
        read(b'APPEND x "%b" {}' % when, b"message")


# --- FETCH -----------------------------------------------------------------------------------------------------------

_FAST = (Attribute.FLAGS, Attribute.INTERNAL_DATE, Attribute.SIZE)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (b"FAST", _FAST),
        (b"all", (*_FAST, Attribute.ENVELOPE)),
        (b"FULL", (*_FAST, Attribute.ENVELOPE, Attribute.BODY)),
        (b"(uid FLAGS uid)", (Attribute.UID, Attribute.FLAGS)),
        (b"BODYSTRUCTURE", (Attribute.BODY_STRUCTURE,)),
        (b"rfc822.size", (Attribute.SIZE,)),
        (b"BODY", (Attribute.BODY,)),
        (b"RFC822", (BodySection(Section(), b"RFC822"),)),
        (b"RFC822.HEADER", (BodySection(Section(text=Text.HEADER), b"RFC822.HEADER", isPeek=True),)),
        (b"RFC822.TEXT", (BodySection(Section(text=Text.TEXT), b"RFC822.TEXT"),)),
        (b"BODY[]", (BodySection(Section(), b"BODY[]"),)),
        (b"body.peek[]<0.100>", (BodySection(Section(), b"BODY[]<0>", (0, 100), isPeek=True),)),
        (b"BODY[1]", (BodySection(Section((1,)), b"BODY[1]"),)),
        (b"BODY[4.2.2.1]", (BodySection(Section((4, 2, 2, 1)), b"BODY[4.2.2.1]"),)),
        (b"BODY[4.1.mime]", (BodySection(Section((4, 1), Text.MIME), b"BODY[4.1.MIME]"),)),
        (b"BODY[2.TEXT]<5.1>", (BodySection(Section((2,), Text.TEXT), b"BODY[2.TEXT]<5>", (5, 1)),)),
        (
            b"BODY[3.HEADER.FIELDS.NOT (a B)]",
            (BodySection(Section((3,), Text.FIELDS_NOT, (b"a", b"B")), b"BODY[3.HEADER.FIELDS.NOT (a B)]"),),
        ),
    ],
)
def test_fetch_items(items, expected):
    assert read(b"FETCH 1 " + items) == Fetch(ranges("1"), expected)


def test_uid_fetch_always_names_the_uid():
    assert read(b"UID FETCH 1:* FLAGS") == Fetch(ranges("1:*"), (Attribute.UID, Attribute.FLAGS), isUID=True)


# --- SEARCH ----------------------------------------------------------------------------------------------------------

_SEEN, _DRAFT = HasFlag("\\Seen"), HasFlag("\\Draft")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (b"ALL", criteria.All()),
        (b"unseen", Not(_SEEN)),
        (b"NEW", AllOf((Recent(), Not(_SEEN)))),
        (b"OLD", Not(Recent())),
        (b"KEYWORD $Junk UNKEYWORD x", AllOf((HasFlag("$Junk"), Not(HasFlag("x"))))),
        (b"2,4:7", Messages(ranges("2,4:7"))),
        (b"*", Messages(ranges("*"))),
        (b"UID 1:*", Messages(ranges("1:*"), isUID=True)),
        (b"LARGER 5 SMALLER 10", AllOf((criteria.Larger(5), criteria.Smaller(10)))),
        (b'SINCE 1-Feb-1994 BEFORE "28-Feb-1994"', AllOf((
            criteria.Since(Dating.ARRIVED, date(1994, 2, 1)), criteria.Before(Dating.ARRIVED, date(1994, 2, 28))))),
        (b"SENTON 01-jan-2000", criteria.On(Dating.SENT, date(2000, 1, 1))),
        (b'FROM "Smith"', Header("From", "Smith")),
        (b"BCC a CC b TO c SUBJECT d", AllOf((
            Header("Bcc", "a"), Header("Cc", "b"), Header("To", "c"), Header("Subject", "d")))),
        (b'HEADER Message-ID "<x>"', Header("Message-ID", "<x>")),
        (b"TEXT x BODY y", AllOf((criteria.Text("x"), criteria.Body("y")))),
        (b"NOT SEEN", Not(_SEEN)),
        (b"NOT NOT SEEN", _SEEN),
        (b"NOT NOT NOT SEEN", Not(_SEEN)),
        (b"OR SEEN DRAFT", AnyOf((_SEEN, _DRAFT))),
        (b"OR OR SEEN DRAFT OR ANSWERED FLAGGED", AnyOf((_SEEN, _DRAFT, HasFlag("\\Answered"), HasFlag("\\Flagged")))),
        (b"OR (SEEN DRAFT) NOT (OR 1 2)", AnyOf((
            AllOf((_SEEN, _DRAFT)), Not(AnyOf((Messages(ranges("1")), Messages(ranges("2")))))))),
        (b"(SEEN)", _SEEN),
        (b"((SEEN (DRAFT)))", AllOf((_SEEN, _DRAFT))),
        (b"CHARSET UTF-8 SUBJECT x", Header("Subject", "x")),
        (b"charset us-ascii ALL", criteria.All()),
        (b'SUBJECT "\xc3\xbc"', Header("Subject", "ü")),
    ],
)  # fmt: skip
def test_search_keys(keys, expected):
    assert read(b"SEARCH " + keys) == Search(expected)


@pytest.mark.parametrize(
    "keys", [b"CHARSET x-unheard ALL", b'SUBJECT "\xff"', b'CHARSET UTF-8 BODY "\xff"', b"CHARSET hex ALL"]
)
def test_a_charset_that_is_not_known_or_not_kept_to(keys):
    with pytest.raises(Unreadable) as caught:
        read(b"SEARCH " + keys)
    assert (caught.value.reply.condition, caught.value.reply.code) == (b"NO", b"BADCHARSET (US-ASCII UTF-8)")


def test_long_lists_of_alternatives_are_not_deep():
    command = read(b"SEARCH " + b"OR SUBJECT x " * 5000 + b"SEEN")
    assert isinstance(command, Search)
    assert isinstance(command.key, AnyOf)
    assert len(command.key.keys) == 5001


# --- Everything else -------------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    [*SYNTAX, b"(", b")", b" ", b'"', b"1:*", b"\\Seen", b"BODY[", b"]", b"<1.2>", b"NOT", b"{3}\r\n", b"~"]
)


@given(st.lists(_WORDS | st.binary(max_size=5)).map(b"".join))
@example(b"FETCH 1 BODY[HEADER.FIELDS (~{3}\r\n")
def test_anything_is_a_command_or_unreadable(text):
    literals = tuple(Literal(b"abc") for _ in range(text.count(b"}\r\n")))
    try:
        tagged = parse(CommandText(b"a " + text, literals))
    except Unreadable as unreadable:
        assert unreadable.reply.condition in (b"BAD", b"NO")
    else:
        assert isinstance(tagged, Tagged)
        assert type(tagged.command) in HANDLERS


@pytest.mark.parametrize(
    "text",
    [
        b'LOGIN "' + b"\\" * 500_000,
        b"LOGIN " + b"x" * 500_000,
        b"SEARCH " + b"(" * 500_000,
        b"SEARCH " + b"NOT " * 130_000,
        b"SEARCH " + b"OR " * 170_000,
        b"SEARCH CHARSET " + b"x" * 500_000,
        b"FETCH 1 (" + b"BODY[] " * 70_000,
        b"FETCH 1 BODY[HEADER.FIELDS (" + b"x " * 250_000,
        b"STORE 1 FLAGS (" + b"x " * 250_000,
        b"STATUS x (" + b"MESSAGES " * 55_000,
        b"SELECT " + b"&" * 500_000,
        b"ENABLE" + b" x" * 250_000 + b" (",
    ],
)
def test_hostile_lines_are_read_in_linear_time(text):
    start = time.process_time()
    with pytest.raises(Unreadable):
        parse(CommandText(b"a " + text))
    assert time.process_time() - start < 2
