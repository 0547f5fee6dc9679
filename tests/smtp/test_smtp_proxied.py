"""XCLIENT: who may say whom it speaks for, and what that changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.net.peer import Networks
from mailfw.sasl.exchange import Logins
from mailfw.smtp.grammar import XCLIENT_ATTRIBUTES, BadCommand, Xclient, parseCommand
from mailfw.smtp.proxied import proxied
from mailfw.testing.world import World
from mailfw.values import Identity, Peer


def test_only_trusted_peers_may(connect):
    client = connect(peer=connect.abroad)
    assert client.codes("XCLIENT ADDR=192.0.2.9") == [550]
    assert client.connection.peer.host == "192.0.2.7"


def test_the_session_is_the_clients_then(connect, tmp_path):
    world = World(directory=str(tmp_path / "spool"))
    world.context.xclient = Networks.parse(["127.0.0.0/8"])
    client = connect(world=world)
    client.deliver(b"Subject: x\r\n")
    assert client.codes("XCLIENT ADDR=192.0.2.9 PORT=4711", "EHLO behind.example") == [220, 250]
    assert client.connection.peer == Peer("192.0.2.9", 4711)
    assert [info.peer for info in world.context.sessions.infos()] == ["192.0.2.9:4711"]
    client.deliver(b"Subject: x\r\n")
    assert b"from behind.example ([192.0.2.9])" in client.messages[-1].content
    assert client.codes("XCLIENT ADDR=::1", "XCLIENT LOGIN=mbrain") == [550, 550]


def test_login_is_believed(connect, tmp_path):
    class Everybody:
        async def identityOf(self, user):
            return Identity(user)

    world = World(directory=str(tmp_path / "spool"))
    world.context.xclient = Networks.parse(["127.0.0.1"])
    world.context.logins = Logins(world.users, identities=Everybody(), domain="localhost")
    client = connect("submission", world=world)
    assert client.codes("XCLIENT LOGIN=mbrain", "EHLO x", "MAIL FROM:<mbrain@localhost>", "RSET") == [220, 250, 250, 250]
    assert client.codes("XCLIENT LOGIN=[UNAVAILABLE]", "EHLO x", "MAIL FROM:<mbrain@localhost>") == [220, 250, 530]


@pytest.mark.parametrize(
    ("said", "peer"),
    [
        ({"ADDR": "192.0.2.1"}, Peer("192.0.2.1")),
        ({"ADDR": "IPV6:2001:DB8::1", "PORT": "25"}, Peer("2001:db8::1", 25)),
        ({"ADDR": "::ffff:192.0.2.1"}, Peer("192.0.2.1")),
        ({"ADDR": None}, Peer("")),
        ({"PORT": None}, Peer("192.0.2.7", 0)),
        ({"NAME": "x", "DESTADDR": "192.0.2.2"}, Peer("192.0.2.7", 1)),
    ],
)
def test_peers(said, peer):
    assert proxied(Peer("192.0.2.7", 1), said) == peer


@pytest.mark.parametrize("line", ["XCLIENT ADDR=1.2.3", "XCLIENT PORT=x", "XCLIENT PORT=65536", "XCLIENT ADDR"])
def test_what_is_no_address(line):
    with pytest.raises(BadCommand):
        proxied(Peer(""), dict(parseCommand(line.encode()).attributes))


values = st.one_of(st.none(), st.text("abz+=[] 09.:", min_size=1).filter(lambda text: text[:1] != "["))


@given(st.dictionaries(st.sampled_from(sorted(XCLIENT_ATTRIBUTES)), values, min_size=1))
def test_what_is_written_is_read(attributes):
    command = Xclient(tuple(attributes.items()))
    assert parseCommand(bytes(command)) == command
