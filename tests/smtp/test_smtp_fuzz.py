"""Any octets, in every state of a session: only replies come out, memory stays bounded, nothing hangs."""

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from mailfw.hooks.runner import Attached, Hooks
from mailfw.net.connection import INPUT_HIGH_WATER
from mailfw.net.limits import Limits
from mailfw.net.peer import Networks
from mailfw.smtp.data import DataEncoder
from mailfw.smtp.reply import ReplyParser
from mailfw.smtp.server import lmtp, smtp, submission
from mailfw.stages import (
    STAGES,
    AddHeader,
    AddRecipient,
    ChangeSender,
    Continue,
    DeleteHeader,
    RemoveRecipient,
    ReplaceBody,
    Stage,
)
from mailfw.testing.world import World
from mailfw.values import Address, Recipient

LOGIN = b"AUTH PLAIN AG1icmFpbgBtYWlsZnc="
MAIL, RCPT = b"MAIL FROM:<mbrain@localhost>", b"RCPT TO:<jsmith@localhost>"
STATES = {
    "connected": (smtp, []),
    "hello": (smtp, [b"EHLO x"]),
    "auth": (smtp, [b"EHLO x", b"AUTH LOGIN"]),
    "auth password": (smtp, [b"EHLO x", b"AUTH LOGIN", b"bWJyYWlu"]),
    "TLS": (smtp, [b"EHLO x", b"STARTTLS"]),
    "mail": (smtp, [b"EHLO x", MAIL]),
    "rcpt": (smtp, [b"EHLO x", MAIL, RCPT]),
    "data": (smtp, [b"EHLO x", MAIL, RCPT, b"DATA"]),
    "bdat": (smtp, [b"EHLO x", MAIL, RCPT, b"BDAT 100"]),
    "after bdat": (smtp, [b"EHLO x", MAIL, RCPT, b"BDAT 1\r\nA"]),
    "submission": (submission, [b"EHLO x", LOGIN, MAIL, RCPT]),
    "submission data": (submission, [b"EHLO x", LOGIN, MAIL, RCPT, b"DATA"]),
    "LMTP": (lmtp, [b"LHLO x", MAIL, RCPT, RCPT]),
    "LMTP data": (lmtp, [b"LHLO x", MAIL, RCPT, RCPT, b"DATA"]),
}

lines = st.sampled_from(
    [
        b"EHLO x\r\n", b"HELO x\r\n", b"LHLO x\r\n", b"RSET\r\n", b"NOOP\r\n", b"HELP\r\n", b"VERB\r\n", b"STARTTLS\r\n",
        MAIL + b"\r\n", MAIL + b" SIZE=1 BODY=8BITMIME SMTPUTF8\r\n", RCPT + b"\r\n", b"RCPT TO:<nobody@localhost>\r\n",
        b"RCPT TO:<a@example.org>\r\n", b"DATA\r\n", b"BDAT 3\r\n", b"BDAT 5 LAST\r\n", b"BDAT 0 LAST\r\n",
        b"BDAT 99999999999\r\n", b"VRFY jsmith\r\n", b"EXPN x\r\n", LOGIN + b"\r\n", b"AUTH LOGIN\r\n",
        MAIL + b" BODY=BINARYMIME RET=HDRS ENVID=x BY=5;N MT-PRIORITY=3 HOLDFOR=9\r\n", MAIL + b" BODY=BINARYMIME BY=9;R\r\n",
        RCPT + b" NOTIFY=NEVER ORCPT=rfc822;a\r\n", b"XCLIENT ADDR=192.0.2.1 LOGIN=x PORT=1\r\n", b"XCLIENT ADDR=x\r\n",
        b"AUTH PLAIN\r\n", b"*\r\n", b"AGEAYg==\r\n", b".\r\n",
        b"\r\n.\r\n", b"Subject: x\r\n\r\n", b"\r\n", b"\n", b"\r", b".", b"\0", b"hello", b"GET / HTTP/1.1\r\n", b"x" * 5000,
    ]
)  # fmt: skip
noise = st.lists(st.one_of(lines, lines, st.binary(max_size=30)), max_size=12).map(b"".join)
cuts = st.lists(st.integers(0, 400), max_size=6)


def run(state, data, at, limits, hooks=None):
    """All that the server says, and the router at the end. :param hooks: what hooks answer, by stage."""
    service, steps = STATES[state]
    world = World(limits=limits)
    world.context.spool.prepare()
    world.context.xclient = Networks.parse(["127.0.0.1"])
    if hooks is not None:
        chains = {stage: [Attached("fuzz", lambda event: hooks.get(event.stage))] for stage in Stage}
        world.context.hooks = Hooks(chains, world.clock)
    transport = world.connect(service)
    for step in steps:
        transport.send(step + b"\r\n")
    assert not transport.isClosed
    for a, b in itertools.pairwise(sorted({0, len(data), *(cut for cut in at if cut < len(data))})):
        transport.send(data[a:b])
        world.advance(5)
        # Nothing but the start of a line, the content in the spool's bounds, and input behind a command under way is kept.
        connection = transport.connection
        assert connection._lines.partialSize <= 12289
        assert connection._waitingSize <= INPUT_HIGH_WATER + 400
    for _ in range(30):
        world.advance(5)
    said = transport.take()
    if not transport.isClosed:
        world.advance(1000)
        world.advance(1000)
        assert transport.isClosed, "a session that says nothing more is never ended"
    assert world.clock.getDelayedCalls() == []
    return said, world.context.router


@settings(max_examples=500)
@given(state=st.sampled_from(sorted(STATES)), data=noise, at=cuts)
def test_any_octets_in_every_state(state, data, at):
    said, router = run(state, data, at, Limits(messageSize=200, recipients=3))
    # The parser raises at what is no reply.
    replies = ReplyParser().feed(said)
    assert replies
    assert 451 not in {reply.code for reply in replies}, "something failed"
    for message in router.messages:
        assert message.recipients
        assert b"\0" not in message.content


answers = {stage: st.sampled_from([None, *(each() for each in STAGES[stage].results)]) for stage in Stage}
edits = st.lists(
    st.sampled_from(
        [
            AddHeader("A", "b"),
            AddHeader("A", "b\r\n\r\nC: d", 0),
            DeleteHeader("Subject"),
            ReplaceBody(b"a\0b\nc\r"),
            ChangeSender(None),
            RemoveRecipient(Address("jsmith", "localhost")),
            AddRecipient(Recipient(Address("nobody", "localhost"))),
        ]
    ),
    max_size=4,
)


@settings(max_examples=300)
@given(
    state=st.sampled_from(["data", "bdat", "rcpt", "LMTP data", "submission data", "after bdat"]),
    data=noise,
    at=cuts,
    hooks=st.fixed_dictionaries({}, optional=answers),
    edits=edits,
)
def test_any_octets_with_any_hooks(state, data, at, hooks, edits):
    # What is asked on the way to the state is left alone; the line end behind a chunk is a command that nobody knows.
    early = {stage for stage in Stage if list(Stage).index(stage) < list(Stage).index(Stage.HEADER)} | {Stage.UNKNOWN_COMMAND}
    hooks = {stage: said for stage, said in hooks.items() if stage not in early}
    hooks.setdefault(Stage.END_OF_MESSAGE, Continue(tuple(edits)))
    said, router = run(state, data, at, Limits(messageSize=200, recipients=3), hooks)
    assert ReplyParser().feed(said)
    for message in router.messages:
        assert message.recipients
        assert b"\0" not in message.content
        assert b"\n" not in message.content.replace(b"\r\n", b"")


senders = st.sampled_from([b"a@example.org", b"", b"no address", b"b@example.org> SIZE=9999"])
contents = st.sampled_from([b"Subject: x\r\n\r\nhi\r\n", b"..\r\n", b"a\nb\r\n", b"\r\n", b".\n.\r\n"])


@settings(max_examples=100)
@given(
    envelopes=st.lists(senders, min_size=1, max_size=4),
    bodies=st.lists(contents, min_size=4, max_size=4),
    at=st.lists(st.integers(0, 2000), max_size=30),
    isChunked=st.booleans(),
)
def test_legal_pipelining_is_answered_alike_however_it_is_cut(envelopes, bodies, at, isChunked):
    def converse(cutAt):
        world = World(limits=Limits(messageSize=5000))
        transport = world.connect(smtp)
        transport.send(b"EHLO x\r\n")
        said = transport.take()
        for envelope, body in zip(envelopes, bodies, strict=False):
            group = b"NOOP\r\nMAIL FROM:<" + envelope + b">\r\nRCPT TO:<jsmith@localhost>\r\nRCPT TO:<nobody@localhost>\r\n"
            if isChunked:
                groups = [group + b"BDAT %d\r\n" % len(body) + body + b"BDAT 0 LAST\r\nRSET\r\n"]
            else:
                groups = [group + b"DATA\r\n", None]
            for data in groups:
                if data is None:
                    # The body is sent only after 354, as RFC 2920 §3.1 asks.
                    data = DataEncoder().feed(body) + b".\r\n" if b"\r\n354 " in transport.output else b""
                    data += b"RSET\r\n"
                    said += transport.take()
                for a, b in itertools.pairwise(sorted({0, len(data), *(cut for cut in cutAt if cut < len(data))})):
                    transport.send(data[a:b])
                    while transport.connection.isOpen and transport.connection._isBusy:
                        world.advance(1)
        said += transport.take()
        return re.sub(rb"accepted as [0-9a-f-]+", b"accepted", said), len(world.context.router.messages)

    whole = converse([])
    assert converse(at) == whole
    assert converse(range(2000)) == whole


def test_a_client_that_never_reads_is_not_served_for_ever():
    world = World()
    transport = world.connect(smtp)
    transport.isReading = False
    for _ in range(5000):
        transport.send(b"HELP\r\n" * 20)
        world.advance()
    assert len(transport.output) < 200_000
    world.advance(121)
    world.advance(121)
    assert transport.isClosed
