"""Functions with addresses, as whoever writes them tests them: what they are called with, and what their results become."""

from __future__ import annotations

import textwrap
from email.message import EmailMessage

import pytest

from mailfw import mail
from mailfw.testing.code import Functions


@pytest.fixture
def functions(tmp_path):
    """Functions of a module with that source."""

    def write(source, **keywords):
        (tmp_path / "own.py").write_text("from mailfw import mail\n" + textwrap.dedent(source))
        return Functions("own", path=str(tmp_path), **keywords)

    return write


RETURNS = """
@mail.route("{{what}}@example.org")
def handle(message, what):
    return {}
"""


def test_values_and_message(functions):
    seen = functions("""
        seen = []

        @mail.route("ticket-{id:int}@{domain}", "old-{id:int}@{domain}")
        async def ticket(message, id, *, domain, extra=None):
            envelope = message.sender, message.recipient, message.tag, message.account
            seen.append((id, domain, *envelope, message.subject, message.text))
    """)
    subject = "Gr\u00fc\u00dfe"
    recipient = "Ticket-17+urgent@example.org"
    handled = seen.send(recipient, subject=subject, text="hello\n", account="jsmith")
    assert handled.isDone and not handled.sent and not handled.delivered
    seen.send("old-3@EXAMPLE.org", sender="")
    import own

    assert own.seen == [
        (17, "example.org", "shop@example.com", recipient, "urgent", "jsmith@example.org", subject, "hello\n"),
        (3, "example.org", "", "old-3@example.org", "", "", "", "\n"),
    ]


def test_the_same_message_has_the_same_id(functions):
    handling = functions("""
        ids = []

        @mail.route("{a}@example.org")
        def note(message, a):
            ids.append(message.id)
    """)
    first = handling.send("a@example.org")
    first.again()
    handling.send("a@example.org")
    handling.send("b@example.org")
    import own

    assert own.ids[0] == own.ids[1] and len(set(own.ids)) == 3 and all(len(each) == 32 for each in own.ids)


def test_the_most_is_said_first(functions):
    handling = functions("""
        @mail.route("{a}@{domain}")
        def any(message, a, domain): return mail.Reject("5.1.0 any")
        @mail.route("{a}@example.org")
        def ours(message, a): return mail.Reject("5.1.0 ours")
        @mail.route("x-{a}@example.org")
        def x(message, a): return mail.Reject("5.1.0 x")
        @mail.route("x-{a:int}@example.org")
        def number(message, a): return mail.Reject("5.1.0 number")
        @mail.route("x-1@example.org")
        def one(message): return mail.Reject("5.1.0 one")
        @mail.route("x-{a}+{b}@example.org")
        def tagged(message, a, b): return mail.Reject("5.1.0 tagged")
    """, domains=["example.org", "example.net"])  # fmt: skip
    said = {local: handling.send(f"{local}").rejected for local in (
        "a@example.net", "a@example.org", "x-a@example.org", "x-2@example.org", "x-1@example.org", "x-1+t@example.org",
        "x-1+@example.org")}  # fmt: skip
    assert [each.removeprefix("5.1.0 ") for each in said.values()] == ["any", "ours", "x", "number", "one", "tagged", "one"]


def test_postmaster_is_a_person_unless_named(functions):
    handling = functions(RETURNS.format("mail.Discard()"))
    with pytest.raises(LookupError):
        handling.send("Postmaster@example.org")
    named = functions('@mail.route("postmaster@example.org")\ndef handle(message): pass')
    assert named.send("Postmaster@example.org").isDone


@pytest.mark.parametrize(
    "source, said",
    [
        ('@mail.route("a-{id}@example.org")\ndef f(message): pass', "own.f has no parameter id"),
        ('@mail.route("a@example.org")\ndef f(message, id): pass', "own.f wants id"),
        ('@mail.route("a@example.org")\ndef f(): pass', "own.f has to take the message"),
        ('@mail.route("a-{m}@example.org")\ndef f(m): pass', "is what the message is called"),
        ('@mail.route\ndef f(message): pass', "a route has a pattern"),
        ('@mail.route("a@example.org")\nclass F: pass', "only functions have routes"),
        ('@mail.route("a@example.com")\ndef f(message): pass', "is of none of the configured domains (example.org)"),
        ('@mail.route("a-{x}@example.org")\n@mail.route("a-{y}@example.org")\ndef f(message, **k): pass', "which is meant?"),
        ('@mail.route("a@example.org", concurrency=0)\ndef f(message): pass', "nothing would ever be called"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_when_it_is_loaded(functions, source, said):
    with pytest.raises(ValueError) as caught:
        functions(source)
    assert said in str(caught.value)


def test_ambiguous_patterns_are_named(functions):
    handling = functions("""
        @mail.route("{a:word}-b@example.org")
        def first(message, a): pass
        @mail.route("a-{b:word}@example.org")
        def second(message, b): pass
    """)
    (overlap,) = handling.table.overlaps
    assert (overlap.first.name, overlap.second.name, overlap.address) == ("own.first", "own.second", "a-b@example.org")


# --- Results ---------------------------------------------------------------------------------------------------------


def test_delivers(functions):
    handling = functions(RETURNS.format('[mail.Deliver(), mail.Deliver("jsmith", mailbox="Tickets/1", flags="\\\\Seen")]'))
    own, other = handling.send("mbrain@example.org", text="hello").delivered
    assert (own.account, own.mailbox, own.flags) == ("mbrain@example.org", "INBOX", frozenset())
    assert (other.account, other.mailbox, other.flags) == ("jsmith@example.org", "Tickets/1", frozenset(("\\Seen",)))
    assert other.message.text == "hello\n"


def test_rejects_and_defers(functions):
    assert functions(RETURNS.format('mail.Reject("5.2.1 members only")')).send("a@example.org").rejected == "5.2.1 members only"
    assert functions(RETURNS.format("mail.Reject()")).send("a@example.org").rejected == "5.7.1 refused"
    assert functions(RETURNS.format('mail.Reject("no\\r\\nX: y")')).send("a@example.org").rejected == "5.7.1 no X: y"
    later = functions(RETURNS.format('mail.Defer("the shop is closed", after="10m")')).send("a@example.org")
    assert (later.deferred, later.after) == ("the shop is closed", 600.0)


def test_replies(functions):
    handling = functions(RETURNS.format('mail.Reply("Thank you.\\n")'))
    content = EmailMessage()
    content["Message-ID"], content["References"], content["Subject"] = "<3@shop>", "<1@shop> <2@shop>", "Order"
    content.set_content("x")
    (answer,) = handling.send("a@example.org", content).sent
    assert (answer.sender, answer.recipients) == ("", ("shop@example.com",))
    assert answer["From"] == "a@example.org" and answer["To"] == "shop@example.com" and answer["Subject"] == "Re: Order"
    assert answer["In-Reply-To"] == "<3@shop>" and answer["References"] == "<1@shop> <2@shop> <3@shop>"
    assert answer["Auto-Submitted"] == "auto-replied" and answer["Date"] and answer.messageId.endswith("@mail.example.org")
    assert answer.text == "Thank you.\n" and b"\r\n\r\nThank you.\r\n" in answer.content


@pytest.mark.parametrize(
    "sender, headers",
    [
        ("", {}),
        ("shop@example.com", {"Auto-Submitted": "auto-replied"}),
        ("shop@example.com", {"Auto-Submitted": "Auto-Generated; x=y"}),
        ("shop@example.com", {"Precedence": "bulk"}),
        ("shop@example.com", {"List-Id": "<x.example.com>"}),
        ("shop@example.com", {"List-Unsubscribe": "<https://example.com/>"}),
        ("MAILER-DAEMON@example.com", {}),
        ("no-reply@example.com", {}),
        ("list-request@example.com", {}),
        ("owner-list@example.com", {}),
    ],
)
def test_what_nobody_should_answer_is_not_answered(functions, sender, headers):
    handled = functions(RETURNS.format('mail.Reply("Thank you.")')).send("a@example.org", sender=sender, headers=headers)
    assert handled.isDone and not handled.sent


def test_a_person_is_answered_who_says_so(functions):
    handling = functions(RETURNS.format('mail.Reply("x")'))
    assert handling.send("a@example.org", headers={"Auto-Submitted": "no"}).sent


def test_a_test_writes_headers_of_its_own(functions):
    handled = functions(RETURNS.format("[mail.Deliver(), mail.Deliver(mailbox=message['To'])]")).send(
        "a@example.org", headers={"To": "everybody@example.org", "From": "b@example.org"}
    )
    assert handled.delivered[1].mailbox == "everybody@example.org"
    assert handled.delivered[0].message.all("From") == ["b@example.org"]


def test_a_tag_leads_to_the_account(functions):
    handling = functions(RETURNS.format("mail.Deliver()"))
    assert handling.send("a+tea@example.org").delivered[0].account == "a@example.org"


def test_hostile_headers_of_what_is_answered(functions):
    """Whatever the message says, the answer is one message, to its sender."""
    handling = functions(RETURNS.format('mail.Reply("x")'))
    for header in (
        b"Subject: =?utf-8?q?a=0d=0aBcc:_x@example.net?=\r\nMessage-ID: <a b\x01@c>\r\nReferences: " + b"<x@y> " * 5000,
        b"Subject: " + b"=?utf-8?b?//8=?= " * 2000,
        b"Subject: \xff\xfe\x00\r\nMessage-ID: <\xc3\xbc@x>\r\nFrom: \"\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n" + b"\r\n--x\r\nContent-Type: multipart/mixed; boundary=x\r\n" * 2000,
    ):
        handled = handling.send("a@example.org", header + b"\r\n\r\nhi\r\n")
        (answer,) = handled.sent
        assert answer.recipients == ("shop@example.com",) and "Bcc" not in answer and answer.text == "x\n"


def test_sends(functions):
    handling = functions("""
        from email.message import EmailMessage

        @mail.route("list@example.org")
        def post(message):
            made = EmailMessage()
            made["Subject"] = "made"
            made.set_content("made")
            readers = {"list+a=x.org@example.org": "a@x.org", "list+b=x.org@example.org": "b@x.org"}
            verp = [mail.Send(message, reader, sender=sender) for sender, reader in readers.items()]
            return [*verp, mail.Send(made, ["c@x.org", "d@x.org"], sender="")]
    """)
    a, b, both = handling.send("list@example.org", subject="x").sent
    assert [(each.sender, each.recipients) for each in (a, b)] == [
        ("list+a=x.org@example.org", ("a@x.org",)),
        ("list+b=x.org@example.org", ("b@x.org",)),
    ]
    assert (both.sender, both.recipients, both.subject) == ("", ("c@x.org", "d@x.org"), "made")
    assert a.source is b.source and a["Delivered-To"] == "list@example.org", "one content for all who get it"


def test_what_comes_round_again_goes_back(functions):
    handling = functions('@mail.route("list@example.org")\ndef post(message): return mail.Send(message, "list@example.org")')
    (sent,) = handling.send("list@example.org").sent
    rejected = handling.send("list@example.org", sent.content).rejected
    assert rejected.startswith("5.4.6 the message was sent by list@example.org itself")


@pytest.mark.parametrize(
    "returned, said",
    [
        ("42", "it returns 42, which is nothing that a function returns"),
        ("mail.Discard", "it returns the class Discard (it lacks its brackets)"),
        ('[mail.Reject("x"), mail.Deliver()]', "it returns Reject beside something else"),
        ("[mail.Defer(), mail.Defer()]", "it returns Defer beside something else"),
        ('mail.Deliver("nobody")', "it delivers to nobody@example.org: no such recipient"),
        ('mail.Deliver("jsmith@example.com")', "it delivers to jsmith@example.com: relaying denied"),
        ('mail.Deliver("jsmith", flags="\\\\Great")', ": there is no such system flag"),
        ('mail.Deliver("jsmith", flags="two words")', 'it delivers to "INBOX" of jsmith@example.org: '),
        ('mail.Deliver("jsmith", mailbox="a//b")', 'it delivers to "a//b" of jsmith@example.org'),
        ('mail.Deliver("a b")', "it delivers to nobody"),
        ('mail.Send(message, "nowhere")', "it sends to or from what is no address"),
        ('mail.Send("text", "a@x.org")', "it sends str"),
        ("mail.Send(message, [])", "it sends a message to nobody"),
        ("mail.Reply(None)", "it replies with NoneType"),
        ('mail.Defer(after="soon")', "it returns Defer(after='soon')"),
        ('__import__("mailfw.stages").stages.Reject()', "which is nothing that a function returns: write mail.Reject(\u2026)"),
    ],
)
def test_nonsense_is_put_off_and_says_why(functions, returned, said):
    handling = functions(RETURNS.format(returned), accounts=["jsmith"])
    handled = handling.send("jsmith@example.org")
    assert said in handled.deferred and not handled.sent and not handled.delivered


def test_what_is_raised_is_put_off_in_one_line(functions):
    handling = functions("""
        @mail.route("{what:word}@example.org")
        def handle(message, what):
            if what == "exit":
                raise SystemExit(1)
            return {}[message.subject]
    """)
    separated = b"Subject: =?utf-8?q?x=E2=80=A8y?=\r\n\r\n"
    assert handling.send("a@example.org", separated).deferred == r"KeyError: 'x\u2028y' (own.py:7)"
    assert handling.send("exit@example.org").deferred == "SystemExit: 1 (own.py:6)"


def test_a_coroutine_that_waits(functions):
    handling = functions("""
        from twisted.internet.defer import Deferred

        @mail.route("slow@example.org", timeout=5)
        async def slow(message):
            await Deferred()
    """)
    with pytest.raises(AssertionError, match="waits for something"):
        handling.send("slow@example.org")
    done = []
    handling.whenSent("slow@example.org").addCallback(done.append)
    handling.clock.advance(5)
    assert done[0].deferred == "own.slow has not returned within 5 s"


def test_functions_can_still_be_called():
    @mail.route("a-{n:int}@example.org")
    def double(message, n):
        return n * 2

    assert double(None, n=2) == 4


@pytest.mark.parametrize(
    "name, safe",
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\evil.exe", "evil.exe"),
        ("", "attachment"),
        ("..", "attachment"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("a\x00b\n\u202egnp.exe", "a_b_gnp.exe"),
        ("x" * 500 + ".csv", "x" * 116 + ".csv"),
        ("x" * 500, "x" * 120),
        ("\u00dcbersicht.csv", "\u00dcbersicht.csv"),
    ],
)
def test_safe_names(name, safe):
    assert mail.Attachment(name, "", b"").safeName == safe
