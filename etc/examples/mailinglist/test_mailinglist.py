"""The lists' own suite."""

from pathlib import Path

import pytest
from twisted.web.test.requesthelper import DummyRequest

from mailfw.message import report
from mailfw.message.dsn import Action, DeliveryStatus, RecipientStatus
from mailfw.testing.code import Functions
from mailfw.values import Address

HERE = str(Path(__file__).parent)


@pytest.fixture
def lists(tmp_path, monkeypatch):
    monkeypatch.setenv("LISTS", str(tmp_path))
    return Functions("mailinglist", path=HERE, domains=["lists.example.org"])


def join(lists, *members):
    for member in members:
        (question,) = lists.send("cats+subscribe@lists.example.org", sender=member).sent
        assert question.recipients == (member,) and question["Auto-Submitted"]
        (done,) = lists.send(question["From"], sender=member).sent
        assert done.text == "It is done.\n"


def members():
    import mailinglist

    return mailinglist.ask("SELECT address, suspended FROM member ORDER BY id")


def bounce(member, action=Action.FAILED, status="5.1.1"):
    told = DeliveryStatus("mx.example.com", (RecipientStatus(member, action, status),))
    return report.render(told, Address.parse("x@example.org"), b"Subject: x\r\n\r\n", moment=0, messageId="1@x")


def test_a_message_for_all(lists):
    join(lists, "a@example.com", "b@example.com")
    a, b = lists.send("cats@lists.example.org", sender="A@example.com", subject="Mice", text="Are they food?\n").sent
    assert (a.recipients, b.recipients) == (("a@example.com",), ("b@example.com",)) and a.sender != b.sender
    assert a.subject == "Mice" and a.text == "Are they food?\n" and a["From"] == "A@example.com"
    assert (
        a["List-Id"] == "All about cats <cats.lists.example.org>" and a["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    )
    assert a["List-Unsubscribe"] != b["List-Unsubscribe"] and a.isAutomatic


def test_strangers_and_programs(lists):
    join(lists, "a@example.com")
    assert lists.send("cats@lists.example.org").rejected == "5.7.2 only members write to this list"
    assert lists.send("dogs@lists.example.org", sender="a@example.com").rejected == "5.1.1 there is no such list"
    for header in ({"Auto-Submitted": "auto-replied"}, {"List-Id": "<cats.lists.example.org>"}, {"Precedence": "bulk"}):
        handled = lists.send("cats@lists.example.org", sender="a@example.com", headers=header)
        assert handled.isDone and not handled.sent, "no vacation notice goes round the list, and no message twice"


def test_nobody_joins_for_another(lists):
    (question,) = lists.send("cats+subscribe@lists.example.org", sender="victim@example.com").sent
    assert not lists.send(question["From"], sender="mallory@example.com").sent
    assert not lists.send("cats+confirm-subscribe-0000000000000000@lists.example.org", sender="victim@example.com").sent
    assert not lists.send(question["From"], sender="victim@example.com", headers={"Auto-Submitted": "auto-replied"}).sent
    assert members() == []


def test_leaves(lists):
    join(lists, "a@example.com", "b@example.com", "c@example.com")
    (question,) = lists.send("cats+unsubscribe@lists.example.org", sender="a@example.com").sent
    assert lists.send(question["From"], sender="a@example.com").sent[0].subject == "All about cats: unsubscribed"
    b, c = lists.send("cats@lists.example.org", sender="b@example.com").sent
    lists.send(b["List-Unsubscribe"].rpartition("mailto:")[2].rstrip(">"), sender="whoever@example.com")
    assert members() == [("c@example.com", 0)]

    import mailinglist

    query = c["List-Unsubscribe"].partition("?")[2].partition(">")[0]
    request = DummyRequest([])
    request.args = {name.encode(): [value.encode()] for name, _, value in (pair.partition("=") for pair in query.split("&"))}
    assert b"form" in mailinglist.Leave().render_GET(request) and members(), "who only looks does not leave"
    wrong = DummyRequest([])
    wrong.args = {b"member": [b"3"], b"token": [b"x"]}
    mailinglist.Leave().render_POST(wrong)
    assert wrong.responseCode == 403 and members()
    assert mailinglist.Leave().render_POST(request) == b"You are unsubscribed.\n" and members() == []


def test_who_bounces_on_five_days_gets_no_more(lists, monkeypatch):
    join(lists, "a@example.com", "b@example.com")
    import mailinglist

    copies = lists.send("cats@lists.example.org", sender="a@example.com").sent
    returns = copies[1].sender
    for day in range(8):
        monkeypatch.setattr(mailinglist.time, "time", lambda day=day: 1e9 + 86400 * day)
        for _ in range(3):
            lists.send(returns, bounce("b@example.com", Action.DELAYED, "4.4.1"), sender="")
            lists.send(returns, b"Subject: I am away\r\n\r\n", sender="")
            lists.send("cats+bounce-1-0000000000000000@lists.example.org", bounce("a@example.com"), sender="")
            if day >= 2:
                lists.send(returns, bounce("b@example.com"), sender="")
        assert members()[1] == ("b@example.com", int(day >= 6)), "three on one day count once"
    assert [each.recipients for each in lists.send("cats@lists.example.org", sender="a@example.com").sent] == [("a@example.com",)]
    join(lists, "b@example.com")
    assert members()[1] == ("b@example.com", 0)
