"""What a store keeps of a message."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from mailfw.message.envelope import envelope
from mailfw.message.mime import scan
from mailfw.message.structure import bodyStructure
from mailfw.message.summary import Summary, summarise, summarisePart

CONTENT = (
    b"From: A <a@b>\r\nSubject: Re: [list] =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Thu, 15 Feb 2007 01:02:03 +0200\r\n"
    b"Message-ID: <3@x>\r\nIn-Reply-To: <2@x>\r\nReferences: <1@x>\r\n <2@x>\r\n\r\nbody\r\n"
)


def test_summary() -> None:
    made = summarise(CONTENT)
    root = scan(CONTENT)
    assert made == Summary(
        envelope=envelope(root.fields),
        bodyStructure=bodyStructure(root, CONTENT),
        headerSize=CONTENT.index(b"body"),
        messageId="3@x",
        inReplyTo=("2@x",),
        references=("1@x", "2@x"),
        subject="Re: [list] Grüße",
        baseSubject="Grüße",
        isReply=True,
        sentDate=datetime(2007, 2, 15, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
    )
    assert pickle.loads(pickle.dumps(made)) == made


def test_aMessageWithNothingInItHasASummary() -> None:
    made = summarise(b"")
    assert (made.headerSize, made.messageId, made.references, made.subject, made.sentDate) == (0, "", (), "", None)


@given(st.binary())
def test_whatIsInsideAnotherMessageIsSummarisedAsByItself(inner: bytes) -> None:
    content = b"Content-Type: message/rfc822\r\n\r\n" + inner
    assert summarisePart(scan(content).children[0], content) == summarise(inner)
