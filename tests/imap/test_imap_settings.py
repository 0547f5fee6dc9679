"""What the configuration says to IMAP: words switched off, what ID answers, what is let pass."""

import pytest

from mailfw.imap.capability import BELONGS, switchable
from mailfw.imap.grammar.commands import SYNTAX
from mailfw.imap.settings import Settings, Workaround
from mailfw.net.limits import Limits


def announced(client):
    """What the server says it can do now."""
    [line, _] = client.say(b"c CAPABILITY").splitlines()
    return set(line.decode().split()[2:])


def within(world, connect, settings):
    """A client of a server with those settings."""
    world.context.protocols = {"imap": settings}
    client = connect()
    client.said()
    return client


ALWAYS = {
    *(b"CAPABILITY", b"NOOP", b"LOGOUT", b"STARTTLS", b"AUTHENTICATE", b"LOGIN"),
    *(b"SELECT", b"EXAMINE", b"CREATE", b"DELETE", b"RENAME", b"SUBSCRIBE", b"UNSUBSCRIBE", b"LIST", b"LSUB", b"STATUS"),
    *(b"APPEND", b"CHECK", b"CLOSE", b"EXPUNGE", b"SEARCH", b"FETCH", b"STORE", b"COPY"),
    *(b"UID SEARCH", b"UID FETCH", b"UID STORE", b"UID COPY"),
    *(b"THREAD", b"UID THREAD"),  # which belong to several capabilities, one for each algorithm
}


def test_every_command_is_always_there_or_belongs_to_a_capability():
    assert SYNTAX.keys() - BELONGS.keys() == ALWAYS
    assert BELONGS.keys() <= SYNTAX.keys()
    assert set(BELONGS.values()) <= set(switchable())


@pytest.mark.parametrize("word", switchable())
def test_a_capability_that_is_switched_off_is_not_announced_and_its_commands_are_unknown(world, connect, word):
    everything = announced(connect().logIn(b"INBOX"))
    client = within(world, connect, Settings(without=frozenset((word.upper(),)))).logIn(b"INBOX")
    [gone] = everything - announced(client)
    assert gone.removesuffix(f"={Limits().messageSize}").removesuffix(f"={Limits().messageLimit}") == word
    for name in (name for name, capability in BELONGS.items() if capability == word):
        assert client.say(b"a " + name) == b"a BAD unknown command\r\n"


def test_what_is_switched_off_cannot_be_enabled(world, connect):
    client = within(world, connect, Settings(without=frozenset(("QRESYNC", "IMAP4REV2")))).logIn()
    assert client.say(b"a ENABLE IMAP4rev2 QRESYNC CONDSTORE").startswith(b"* ENABLED CONDSTORE\r\n")
    assert b"RECENT" in client.say(b"b SELECT INBOX")


def test_a_mechanism_that_is_switched_off(world, connect):
    client = within(world, connect, Settings(without=frozenset(("AUTH=PLAIN",))))
    assert not {"AUTH=PLAIN"} & announced(client)
    assert client.say(b"a AUTHENTICATE PLAIN AGpzbWl0aABtYWlsZnc=").startswith(b"a NO [CANNOT]")
    assert client.say(b"b LOGIN jsmith mailfw").startswith(b"b OK")


def test_one_account_can_be_without_what_others_have(world, connect):
    settings = Settings(withoutFor={"jsmith@localhost": frozenset(("IDLE",))})
    client = within(world, connect, settings)
    assert "IDLE" in announced(client)
    said = client.say(b"a LOGIN jsmith mailfw")
    assert b" IDLE " not in said
    assert client.say(b"b IDLE").startswith(b"b BAD unknown command")
    assert "IDLE" not in announced(client)
    client.say(b"c UNAUTHENTICATE")
    client.say(b"d LOGIN mbrain mailfw")
    assert "IDLE" in announced(client)
    assert client.say(b"e IDLE") == b"+ idling\r\n"


def test_what_id_answers(world, connect):
    client = within(world, connect, Settings(identification=(("name", "ours"), ("vendor", "Müller"))))
    assert client.say(b"a ID NIL").startswith('* ID ("name" "ours" "vendor" {7}\r\nMüller)'.encode())
    assert within(world, connect, Settings(identification=())).say(b"a ID NIL").startswith(b"* ID NIL\r\n")


RAW = "Subject: Grüße\r\n\r\nbody".encode()


@pytest.mark.parametrize(
    ("workarounds", "enable", "expected"),
    [
        ([Workaround.RAW_HEADERS], b"NOOP", b"OK"),
        ([], b"NOOP", b"NO [CANNOT]"),
        ([], b"ENABLE UTF8=ACCEPT", b"OK"),
        ([], b"ENABLE IMAP4rev2", b"OK"),
    ],
)
def test_headers_in_utf8_of_who_has_not_said_so(world, connect, workarounds, enable, expected):
    client = within(world, connect, Settings(workarounds=frozenset(workarounds))).logIn()
    client.say(b"a " + enable)
    assert client.say(b"b APPEND INBOX {%d+}" % len(RAW), RAW).startswith(b"b " + expected)


@pytest.mark.parametrize("body", ["Grüße", "x" * 70000, ""])
def test_bodies_may_be_in_utf8_whatever_was_said(world, connect, body):
    client = within(world, connect, Settings(workarounds=frozenset())).logIn()
    message = b"Subject: s\r\n\r\n" + body.encode()
    assert client.say(b"b APPEND INBOX {%d+}" % len(message), message).startswith(b"b OK")


@pytest.mark.parametrize("command", [b"NOOP  ", b'LIST "" INBOX ', b"STATUS INBOX (UIDNEXT)  ", b"LOGIN jsmith {6+}\r\nmailfw "])
def test_spaces_behind_a_command(world, connect, command):
    lenient, strict = (
        within(world, connect, Settings(workarounds=frozenset(each))) for each in ([Workaround.TRAILING_SPACE], [])
    )
    for client, expected in (lenient, b"a OK "), (strict, b"a BAD "):
        if not command.startswith(b"LOGIN"):
            client.logIn()
        assert expected in client.say(b"a " + command)
