"""Replies, and what becomes of refusals."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw import errors
from mailfw.smtp.reply import Reply, ReplyParser, each, final, refusal, reply
from mailfw.values import Fate, Outcome

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.Refusal)]
DELIVERED = Outcome(Fate.DELIVERED, remark="INBOX")


def test_a_reply_on_the_wire():
    assert reply(250, "2.1.0", "OK").encode() == b"250 2.1.0 OK\r\n"
    assert reply(250, "", "a", "b", "c").encode() == b"250-a\r\n250-b\r\n250 c\r\n"
    assert reply(250, "2.0.0", "a", "b").encode() == b"250-2.0.0 a\r\n250 2.0.0 b\r\n"


@given(st.lists(st.text(max_size=700), min_size=1, max_size=3), st.booleans())
def test_no_text_breaks_a_reply(lines, isUTF8):
    wire = Reply(550, "5.1.1", tuple(lines)).encode(isUTF8)
    assert wire.endswith(b"\r\n")
    for number, line in enumerate(wire.split(b"\r\n")[:-1]):
        assert line.startswith(b"550 5.1.1 " if number == len(lines) - 1 else b"550-5.1.1 ")
        assert len(line) <= 510
        text = line.decode("utf-8" if isUTF8 else "ascii")
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


@given(
    st.lists(
        st.builds(
            Reply,
            st.sampled_from([220, 250, 354, 421, 550]),
            st.sampled_from(["", "2.0.0", "5.1.10"]),
            st.lists(st.text("abc ü.5", max_size=20).map(str.strip), min_size=1, max_size=3).map(tuple),
        ).filter(lambda r: not r.enhanced or r.enhanced[0] == str(r.code)[0]),
        max_size=4,
    ),
    st.lists(st.integers(0, 200), max_size=5),
)
def test_replies_are_read_back_however_they_are_cut(replies, cuts):
    wire = b"".join(r.encode(isUTF8=True) for r in replies)
    parser, found, at = ReplyParser(), [], 0
    for cut in [*sorted(cuts), len(wire)]:
        found += parser.feed(wire[at:cut])
        at = max(at, cut)
    assert found == replies


@pytest.mark.parametrize("wire", [b"hello\r\n", b"25 x\r\n", b"250-a\r\n251 b\r\n", b"950 x\r\n", b"\r\n", b"x" * 70000])
def test_what_is_no_reply(wire):
    with pytest.raises(ValueError):
        ReplyParser().feed(wire)


def test_replies_without_text_or_with_a_bare_lf_are_read():
    assert ReplyParser().feed(b"250\r\n250 \n220 x\n") == [Reply(250, "", ("",)), Reply(250, "", ("",)), Reply(220, "", ("x",))]


# --- Refusals ----------------------------------------------------------------------------------------------------------

TEMPORARY_HERE = (errors.LimitExceeded, errors.OverQuota)
"""Permanent as such, but mail may be deleted, and limits raised: SMTP's sender is to try again."""


@pytest.mark.parametrize("kind", CLASSES)
def test_every_refusal_has_codes_that_agree_with_each_other_and_with_it(kind):
    said = refusal(kind())
    assert str(said.code)[0] == said.enhanced[0] in "45"
    assert (said.code < 500) == (kind.isTemporary or issubclass(kind, TEMPORARY_HERE))
    assert said.text == kind().text


@pytest.mark.parametrize(
    ("error", "code", "enhanced"),
    [
        (errors.NoSuchRecipient(), 550, "5.1.1"),
        (errors.RelayDenied(), 550, "5.7.1"),
        (errors.OverQuota(), 452, "4.2.2"),
        (errors.MessageTooLarge(), 552, "5.3.4"),
        (errors.AuthenticationFailed(), 535, "5.7.8"),
        (errors.AuthenticationUnavailable(), 454, "4.7.0"),
        (errors.Vanished(), 554, "5.0.0"),
        (type("Own", (errors.NoRoute,), {})("not there"), 550, "5.4.4"),
    ],
)
def test_codes(error, code, enhanced):
    said = refusal(error)
    assert (said.code, said.enhanced) == (code, enhanced)


def test_a_fault_says_nothing_about_itself():
    said = refusal(ZeroDivisionError("secret"))
    assert (said.code, said.enhanced) == (451, "4.3.0")
    assert "secret" not in said.text


# --- Outcomes ----------------------------------------------------------------------------------------------------------


def deferred(error=None):
    return Outcome(Fate.DEFERRED, error)


def failed(error=None):
    return Outcome(Fate.FAILED, error)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([DELIVERED], 250),
        ([DELIVERED, Outcome(Fate.QUEUED)], 250),
        ([deferred()], 451),
        ([deferred(errors.NoSuchMailbox())], 451),
        ([deferred(errors.InUse())], 450),
        ([failed()], 554),
        ([failed(errors.NoSuchMailbox())], 550),
        ([failed(errors.OverQuota())], 452),
        ([DELIVERED, deferred()], 451),
        ([DELIVERED, failed()], 554),
        ([failed(), deferred(), DELIVERED], 451),
        ([deferred(ZeroDivisionError())], 451),
        ([failed(ZeroDivisionError())], 451),
    ],
)
def test_one_reply_for_all_recipients(outcomes, code):
    said = final(outcomes, ["a@b"] * len(outcomes), "id")
    assert said.code == code
    assert len(said.lines) == 1


def test_a_verbose_reply_says_what_became_of_each():
    said = final([DELIVERED, failed(errors.OverQuota())], ["a@b", "c@d"], "id", isVerbose=True)
    assert said.lines == (
        "<a@b> delivered: INBOX",
        "<c@d> failed: mailbox is over its quota",
        "mailbox is over its quota (1 of 2 recipients have it)",
    )


def test_lmtp_has_a_reply_for_each():
    said = each([DELIVERED, deferred(), failed(errors.NoSuchRecipient())], ["a@b", "c@d", "e@f"])
    assert [(r.code, r.enhanced) for r in said] == [(250, "2.1.5"), (451, "4.3.0"), (550, "5.1.1")]
    assert [r.text.split()[0] for r in said] == ["<a@b>", "<c@d>", "<e@f>"]
