"""The conversation runner itself: that it fails when a server says something else."""

import pytest
from zope.interface import implementer

from mailfw.interfaces import IMailService
from mailfw.net.connection import Connection, Listener
from mailfw.net.factory import MailFactory
from mailfw.testing.conversation import ConversationError, parse, play
from mailfw.testing.world import World


class Parrot(Connection):
    def greet(self):
        self.write(b"* ready 17\r\n")
        self.setDeadline(60)

    def lineReceived(self, line):
        if line == b"QUIT":
            self.write(b"bye\r\n")
            self.close()
        else:
            self.write(b"you said " + line + b"\r\n")

    def timedOut(self):
        self.write(b"too late\r\n")


@implementer(IMailService)
class ParrotService:
    name = "parrot"
    port = 1
    isTLS = False

    def factory(self, context):
        return MailFactory(Parrot, context, Listener("parrot"))


def run(text, isSplit=False):
    play("service: parrot\n\n" + text, "test", World, {"parrot": ParrotService()}, isSplit)


@pytest.mark.parametrize("isSplit", [False, True])
def test_a_conversation_that_goes_as_written(isSplit):
    run(
        "S: * ready {{n:[0-9]+}}\n"
        "# a remark\n"
        "C: number {{n}}\nC: two\nS: you said number {{n}}\nS: you said {{...}}\n"
        "S[b]: * ready 17\nC[b]: x {{octets:3}}\nS[b]: you said x xxx\n"
        "C- ab\nC: cd\nS: you said abcd\nC64: aGkNCg==\nS: you said hi\n"
        "C[b]: QUIT\nS[b]: bye\n! closed b\n! advance 61\nS: too late\n! closed",
        isSplit,
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("S: * ready 18", "the server said '* ready 17'"),
        ("S: * ready 17\nS: more", "said nothing"),
        ("S: * ready 17\nC: a\nC: b\nS: you said a", "said more"),
        ("C: a", "said more"),
        ("S: * ready 17\n! closed", "still open"),
        ("S: * ready 17\n! tls", "did not begin TLS"),
        ("S: * ready 17\nC: {{x}}", "nothing has been learnt about x"),
        ("S: * ready {{n:[0-9]}}", "the server said"),
    ],
)
def test_a_conversation_that_goes_another_way(text, complaint):
    with pytest.raises(ConversationError, match="test:") as caught:
        run(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("text", ["S: x", "service: b\n\nnonsense", "service: b\n\nX: y", "service"])
def test_what_is_no_document(text):
    with pytest.raises(ValueError, match="t:"):
        parse(text, "t")
