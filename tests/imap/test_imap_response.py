"""What the server writes: whatever goes in, one well-formed response comes out."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw import errors
from mailfw.imap.grammar import response
from mailfw.imap.grammar.dates import internalDate
from mailfw.imap.grammar.tokens import CommandText, Literal, Scanner


def reread(octets: bytes) -> Scanner:
    """A scanner over a response's string, literals taken out as a reader would."""
    announced = re.fullmatch(rb"\{([0-9]+)\}\r\n(.*)", octets, re.DOTALL)
    if announced is None:
        return Scanner(CommandText(octets))
    assert int(announced[1]) == len(announced[2])
    return Scanner(CommandText(b"{%b}\r\n" % announced[1], (Literal(announced[2]),)))


@given(st.binary(max_size=40).filter(lambda octets: b"\0" not in octets))
def test_strings_are_read_as_they_were_written(octets):
    assert reread(response.string(octets)).string() == octets
    assert reread(response.astring(octets)).astring() == octets
    assert reread(response.nstring(octets)).nstring() == octets


@pytest.mark.parametrize(
    ("octets", "written"),
    [
        (b"", b'""'),
        (b"abc", b'"abc"'),
        (b'a"b\\c', b'"a\\"b\\\\c"'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xc3\xbc", b"{2}\r\n\xc3\xbc"),
        (b"a\0b", b"{3}\r\na\0b"),
        (b"x" * 1001, b"{1001}\r\n" + b"x" * 1001),
    ],
)
def test_strings(octets, written):
    assert response.string(octets) == written


@given(st.text(), st.sampled_from([b"", b"ALERT"]))
def test_a_text_never_breaks_its_line(text, code):
    line = response.ok(text, code).render(b"a")
    assert re.fullmatch(rb"a OK (\[ALERT\] )?[\x20-\x7e]+\r\n", line)
    assert code or not line.startswith(b"a OK [")


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (errors.Unavailable(), b"UNAVAILABLE"),
        (errors.InUse(), b"INUSE"),
        (errors.LimitExceeded(), b"LIMIT"),
        (errors.NoPermission(), b"NOPERM"),
        (errors.OverQuota(), b"OVERQUOTA"),
        (errors.MessageTooLarge(), b"TOOBIG"),
        (errors.NoSuchMailbox(), b"NONEXISTENT"),
        (errors.MailboxExists(), b"ALREADYEXISTS"),
        (errors.HasChildren(), b"HASCHILDREN"),
        (errors.Vanished(), b"EXPUNGEISSUED"),
        (errors.AuthenticationFailed(), b"AUTHENTICATIONFAILED"),
        (errors.AccountSuspended(), b"AUTHENTICATIONFAILED"),
        (errors.AuthenticationUnavailable(), b"UNAVAILABLE"),
        (errors.InvalidName(), b"CANNOT"),
        (errors.Refusal(), b"CANNOT"),
        (errors.TemporaryRefusal(), b"UNAVAILABLE"),
    ],
)
def test_every_refusal_has_a_code(refusal, code):
    assert response.refused(refusal) == response.no(refusal.text, code)


def test_every_class_of_refusal_is_answered():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Refusal)]
    assert len(kinds) > 20
    for kind in kinds:
        assert response.refused(kind()).code


def test_flags_have_an_order():
    assert response.flags({"b", "\\Deleted", "a", "\\Recent", "\\Seen"}) == b"\\Seen \\Deleted \\Recent a b"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, b'" 1-Jan-1970 00:00:00 +0000"'),
        (1_790_000_059.999, b'"21-Sep-2026 14:14:19 +0000"'),
        (-0.5, b'" 1-Jan-1970 00:00:00 +0000"'),
        (-60.0, b'"31-Dec-1969 23:59:00 +0000"'),
        (1e30, b'"31-Dec-9999 23:59:59 +0000"'),
        (-1e30, b'" 1-Jan-0001 00:00:00 +0000"'),
    ],
)
def test_internal_dates(seconds, text):
    assert internalDate(seconds) == text
