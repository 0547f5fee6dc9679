"""Commands and replies, read and written."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw import errors
from mailfw.pop3 import grammar
from mailfw.pop3.grammar import BadCommand, Code, Command, Reply, parseCommand, parseReply

words = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs"]), min_size=1, max_size=40)
numbers = st.integers(1, 9_999_999_999)
mechanisms = st.sampled_from(["PLAIN", "LOGIN", "SCRAM-SHA-256", "X_OWN"])

commands: st.SearchStrategy[Command] = st.one_of(
    st.sampled_from(
        [grammar.STLS(), grammar.CAPA(), grammar.UTF8(), grammar.Stat(), grammar.Noop(), grammar.Rset(), grammar.Quit()]
    ),
    st.builds(grammar.User, words),
    st.builds(grammar.Pass, st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)),
    st.builds(grammar.APOP, words, st.text("0123456789abcdef", min_size=32, max_size=32)),
    st.just(grammar.Auth()),
    st.builds(grammar.Auth, mechanisms, st.none() | st.binary()),
    st.builds(grammar.Lang, st.sampled_from(["", "*", "en", "en-GB", "i-default"])),
    st.builds(grammar.List, st.none() | numbers),
    st.builds(grammar.UIDL, st.none() | numbers),
    st.builds(grammar.Retr, numbers),
    st.builds(grammar.Dele, numbers),
    st.builds(grammar.Top, numbers, st.integers(0, 9_999_999_999)),
)


@given(commands)
def test_whatIsWrittenIsReadBack(command: Command) -> None:
    assert parseCommand(command.line()) == command


@given(commands)
def test_keywordsAreReadInAnyCase(command: Command) -> None:
    keyword, space, rest = command.line().partition(b" ")
    assert parseCommand(keyword.lower() + space + rest) == command


@given(st.binary(max_size=300) | st.builds(lambda k, r: k + b" " + r, st.sampled_from([b"AUTH", b"TOP", b"PASS"]), st.binary()))
def test_anyOctetsAreACommandOrABadCommand(line: bytes) -> None:
    try:
        command = parseCommand(line)
    except BadCommand as refusal:
        assert "\r" not in refusal.text
        assert "\n" not in refusal.text
    else:
        assert parseCommand(command.line()) == command


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"", "unknown command"),
        (b"HELO there", "unknown command"),
        (b" STAT", "unknown command"),
        (b"STAT\t1", "unknown command"),
        (b"STAT 1", "STAT takes no argument"),
        (b"USER", "USER takes an argument"),
        (b"USER   ", "USER takes an argument"),
        (b"PASS", "PASS takes an argument"),
        (b"USER \xff", "argument is not UTF-8"),
        (b"USER a\x00b", "argument has control characters"),
        (b"RETR", "RETR takes a message number"),
        (b"RETR 1 2", "RETR takes a message number"),
        (b"RETR 0", "message numbers begin with 1"),
        (b"RETR -1", "not a message number"),
        (b"RETR \xb2", "not a message number"),
        (b"RETR 99999999999", "not a message number"),
        (b"LIST x", "not a message number"),
        (b"LIST 1 2", "LIST takes at most a message number"),
        (b"TOP 1", "TOP takes a message number and a number of lines"),
        (b"TOP 1 -1", "not a number of lines"),
        (b"AUTH PLAIN ?", "not base64"),
        (b"AUTH PLAIN YQ", "not base64"),
        (b"AUTH PL\xc3\xa4IN", "AUTH takes a mechanism and an initial response"),
        (b"APOP mbrain 123", "APOP takes a name and a digest of 32 digits"),
        (b"LANG en_GB", "LANG takes a language tag or *"),
    ],
)
def test_wrongArgumentsAreNamed(line: bytes, text: str) -> None:
    with pytest.raises(BadCommand) as caught:
        parseCommand(line)
    assert caught.value.text == text


def test_aPasswordMayHaveSpaces() -> None:
    assert parseCommand(b"PASS  open sesame ") == grammar.Pass(" open sesame ")


def test_spacesAtTheEndArePassedOver() -> None:
    assert parseCommand(b"STAT ") == grammar.Stat()
    assert parseCommand(b"USER mbrain ") == grammar.User("mbrain")
    assert parseCommand(b"TOP 1  0 ") == grammar.Top(1, 0)


def test_anEmptyInitialResponseIsNotAMissingOne() -> None:
    assert parseCommand(b"auth plain =") == grammar.Auth("PLAIN", b"")
    assert parseCommand(b"auth plain") == grammar.Auth("PLAIN", None)


def test_secretsStayOutOfLogs() -> None:
    assert "sesame" not in repr(grammar.Pass("sesame"))
    assert "sesame" not in repr(grammar.Auth("PLAIN", b"\0mbrain\0sesame"))


def test_aResponseIsBase64OrCancels() -> None:
    assert grammar.parseResponse(b"*") is None
    assert grammar.parseResponse(b"") == b""
    assert grammar.parseResponse(b"aGk=") == b"hi"
    with pytest.raises(BadCommand):
        grammar.parseResponse(b"a Gk=")


# --- Replies ---------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"])).map(str.strip).filter(lambda text: not text.startswith("["))


@given(
    st.builds(Reply, st.just(True), texts) | st.builds(Reply, st.just(False), texts, st.sampled_from(["", "AUTH", "SYS/TEMP"]))
)
def test_repliesAreReadBack(reply: Reply) -> None:
    assert parseReply(reply.line()) == reply


@given(st.binary(max_size=100))
def test_anyLineIsAReplyOrNone(line: bytes) -> None:
    try:
        parseReply(line)
    except ValueError:
        assert line[:4].upper() not in (b"+OK ", b"-ERR ")


def test_aPositiveReplyMayBeginWithABracket() -> None:
    assert parseReply(b"+OK [mail] ready") == Reply(True, "[mail] ready")


@given(st.binary())
def test_challengesAreReadBack(challenge: bytes) -> None:
    assert grammar.parseChallenge(grammar.challengeLine(challenge)) == challenge


def test_aReplyIsNoChallenge() -> None:
    assert grammar.parseChallenge(b"+OK done") is None
    assert grammar.parseChallenge(b"+") == b""


def test_everyRefusalHasItsWords() -> None:
    """Refusals that ask for another time say so; what is wrong with credentials is told apart from what is wrong with us."""
    refusals = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.Refusal)]
    for kind in refusals:
        reply = grammar.refusalReply(kind())
        assert not reply.isOK
        if issubclass(kind, errors.AuthenticationFailed):
            assert reply.code == Code.AUTH.value
        elif kind is errors.InUse:
            assert reply.code == Code.IN_USE.value
        elif kind.isTemporary:
            assert reply.code == Code.SYS_TEMP.value
