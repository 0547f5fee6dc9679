"""Any input in every state of a session: nothing but the protocol's answers comes out, and the server lives on."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from mailfw.imap.grammar.commands import SYNTAX

ENTRANCES = {
    "not authenticated": (),
    "authenticating": (b"i AUTHENTICATE PLAIN",),
    "authenticated": (b"i LOGIN jsmith mailfw",),
    "selected": (b"i LOGIN jsmith mailfw", b"i APPEND INBOX {15+}\r\nSubject: s\r\n\r\nx", b"i SELECT INBOX"),
    "read-only": (b"i LOGIN jsmith mailfw", b"i EXAMINE INBOX"),
    "idle": (b"i LOGIN jsmith mailfw", b"i SELECT INBOX", b"i IDLE"),
    "notified": (
        b"i LOGIN jsmith mailfw",
        b"i ENABLE QRESYNC",
        b"i NOTIFY SET (selected (MessageNew (BODY[]) MessageExpunge)) (personal (MessageNew MessageExpunge MailboxName))",
        b"i SELECT INBOX",
    ),
    "in a literal": (b"i LOGIN jsmith mailfw", b"i SELECT INBOX", b"i APPEND INBOX {50}"),
}

_RESPONSE = re.compile(rb"(?:\* |\+ |[^\x00-\x20\x7f-\xff(){%*\"\\+]+ (?:OK|NO|BAD) )")
_LITERAL = re.compile(rb"\{([0-9]+)\}\Z")

_words = st.sampled_from(
    [
        *SYNTAX,
        *(
            b"INBOX",
            b"Archive",
            b'""',
            b"*",
            b"%",
            b"1",
            b"1:*",
            b"2,1",
            b"0",
            b"(",
            b")",
            b"()",
            b"\\Seen",
            b"(\\Deleted x)",
        ),
        *(
            b"+FLAGS",
            b"-FLAGS.SILENT",
            b"FLAGS",
            b"(UID FLAGS)",
            b"BODY[]",
            b"BODY.PEEK[1.MIME]<0.9>",
            b"BODY[TEXT]",
            b"FULL",
        ),
        *(
            b"ALL",
            b"NOT",
            b"OR",
            b"SUBJECT",
            b"CHARSET",
            b"UTF-8",
            b"SINCE",
            b"1-Jan-2020",
            b"TEXT",
            b"KEYWORD",
            b"DONE",
        ),
        *(
            b"{0}",
            b"{3}",
            b"{3+}\r\nabc",
            b"{0+}\r\n",
            b"~{2+}\r\nab",
            b"{99999999}",
            b"NIL",
            b'"a b"',
            b"&",
            b"PLAIN",
            b"=",
        ),
        *(b"/private/comment", b"(/shared/comment {1+}\r\nx)", b"(DEPTH 1 MAXSIZE 2)", b"mbrain", b"+lrs"),
        *(b"anyone", b'"Other Users/mbrain@localhost/INBOX"', b"(STORAGE 1 MESSAGE 2)"),
        *(b"(MESSAGES RECENT)", b"AGpzbWl0aABtYWlsZnc=", b"CATENATE (TEXT {1+}\r\nx URL ;UID=1)", b"UTF8 (~{1+}\r\nx)"),
        *(b"SET", b"STATUS", b"NONE", b"(selected (MessageNew (UID) MessageExpunge))", b"(personal (MailboxName))"),
        *(b"(QRESYNC (1 1))", b"(CHANGEDSINCE 1 VANISHED)", b"(UNCHANGEDSINCE 2)", b"RETURN (UPDATE (FLAGS))", b"MODSEQ"),
    ]
)
_lines = st.lists(_words | st.binary(max_size=6), max_size=6).map(lambda words: b"t " + b" ".join(words))
_inputs = st.lists(_lines | st.binary(max_size=30), max_size=8).map(lambda lines: b"".join(line + b"\r\n" for line in lines))


def responses(output: bytes) -> list[bytes]:
    """What a client understands; fails where it would not."""
    found = []
    at = 0
    while at < len(output):
        start = at
        assert _RESPONSE.match(output, at), output[at : at + 80]
        while True:
            end = output.index(b"\r\n", at)
            literal = _LITERAL.search(output[at:end])
            at = end + 2
            if literal is None:
                break
            at += int(literal[1])
        found.append(output[start:at])
    return found


@settings(max_examples=300)
@given(state=st.sampled_from(list(ENTRANCES)), data=_inputs)
def test_any_input_is_answered_in_the_protocols_words(makeClient, state, data):
    client = makeClient()
    client.said()
    client.say(*ENTRANCES[state])
    responses(client.send(data))
    reader = client.transport.connection._reader
    assert reader._size < 100_000
    client.transport.hangUp()


@settings(max_examples=40)
@given(data=_inputs, cut=st.integers(1, 20))
def test_the_answers_do_not_depend_on_packets(makeClient, data, cut):
    whole, pieces = makeClient(), makeClient()
    for client in (whole, pieces):
        client.said()
        client.say(*ENTRANCES["selected"])
    expected = whole.send(data)
    assert b"".join(pieces.send(data[at : at + cut]) for at in range(0, len(data), cut)) == expected


@settings(max_examples=30)
@given(lines=st.lists(_lines.filter(lambda line: b"{" not in line and b"\n" not in line), max_size=5))
def test_nonsense_does_not_end_a_session(makeClient, lines):
    client = makeClient().logIn(b"INBOX")
    for line in lines:
        said = client.say(line)
        if b"+ idling" in said:
            client.say(b"DONE")
        if b"* BYE" in said:
            assert b"LOGOUT" in line.upper()
            return
    assert client.say(b"end NOOP").splitlines()[-1].startswith(b"end OK")
