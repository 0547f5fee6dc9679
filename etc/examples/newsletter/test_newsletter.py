# test_newsletter.py
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailfw.testing.code import Functions

DAY = 86400
REPORT = (
    b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n"
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"
)


@pytest.fixture
def news(tmp_path):
    functions = Functions("newsletter", path=str(Path(__file__).parent))
    module = sys.modules["newsletter"]
    module.DATABASE = str(tmp_path / "newsletter.sqlite")
    module.now = lambda: 1_800_000_000.0
    return functions


def joined(news, address):
    (asked,) = news.send("news-subscribe@example.org", sender=address).sent
    assert asked.recipients == (address,) and "Answer this message" in asked.text
    (welcome,) = news.send(asked["From"], sender=address, subject="Re: Please confirm").sent
    assert "Welcome" in welcome.text
    return asked["From"]


def members(news):
    return [address for (address,) in sys.modules["newsletter"].ask("SELECT address FROM member ORDER BY id")]


def post(news, sender="ann@example.com", **keywords):
    return news.send("news@example.org", sender=sender, subject="Hello", text="Hello all!\n", **keywords)


def test_a_message_to_all(news):
    joined(news, "ann@example.com")
    joined(news, "bob@example.net")
    toAnn, toBob = post(news).sent
    assert (toAnn.recipients, toBob.recipients) == (("ann@example.com",), ("bob@example.net",))
    assert toAnn.sender != toBob.sender and toBob.sender.startswith("news-bounces-2-")
    assert (toBob.subject, toBob.text, toBob["List-Id"]) == ("Hello", "Hello all!\n", "<news.example.org>")
    assert toBob["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click" and toBob["From"] == "ann@example.com"


def test_only_members_write(news):
    assert post(news).rejected.startswith("5.7.1 only members")


def test_it_goes_round_in_no_circle(news):
    joined(news, "ann@example.com")
    (copy,) = post(news).sent
    assert not news.send("news@example.org", copy.content, sender="ann@example.com").sent
    for headers in ({"Auto-Submitted": "auto-replied"}, {"List-Id": "<other.example.net>"}, {"Precedence": "bulk"}):
        assert not post(news, headers=headers).sent


def test_nobody_joins_whom_nobody_asked(news):
    confirm = joined(news, "ann@example.com")
    news.send(confirm, sender="eve@example.net")
    news.send("news-join-0@example.org", sender="eve@example.net")
    (asked,) = news.send("news-subscribe@example.org", sender="bob@example.net").sent
    news.send(asked["From"], sender="bob@example.net", headers={"Auto-Submitted": "auto-replied"})
    assert members(news) == ["ann@example.com"]


def test_leaving(news):
    joined(news, "ann@example.com")
    assert "not a member" in news.send("news-unsubscribe@example.org", sender="eve@example.net").sent[0].text
    (asked,) = news.send("news-unsubscribe@example.org", sender="Ann@Example.com").sent
    news.send(asked["From"].replace("-1-", "-2-"), sender="ann@example.com")
    assert members(news) == ["ann@example.com"]
    assert "left" in news.send(asked["From"], sender="ann@example.com").sent[0].text
    assert members(news) == []


def test_leaving_by_one_click(news):
    joined(news, "ann@example.com")
    link = post(news).sent[0]["List-Unsubscribe"].partition(">")[0].lstrip("<")
    oneClick = sys.modules["newsletter"].OneClick()
    codes = []
    *_, member, token = link.encode().split(b"/")
    for path, args in (
        ([b"1", b"forged"], {b"List-Unsubscribe": [b"One-Click"]}),
        ([member, token], {}),
        ([b""], {b"List-Unsubscribe": [b"One-Click"]}),
    ):
        oneClick.render_POST(SimpleNamespace(postpath=path, args=args, setResponseCode=codes.append, content=BytesIO()))
    assert codes == [404, 404, 404] and members(news) == ["ann@example.com"]
    said = oneClick.render_POST(SimpleNamespace(postpath=[member, token], args={b"List-Unsubscribe": [b"One-Click"]}))
    assert said == b"You have left the list.\n" and members(news) == []


def test_who_cannot_be_reached_on_five_days_is_a_member_no_more(news):
    joined(news, "ann@example.com")
    joined(news, "gone@example.net")
    sender = post(news).sent[1].sender
    module = sys.modules["newsletter"]
    for day in range(5):
        module.now = lambda day=day: 1_800_000_000.0 + day * DAY
        assert members(news) == ["ann@example.com", "gone@example.net"]
        for _ in range(3):  # several on one day are one
            handled = news.send(sender, REPORT + b"Action: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n", sender="")
            assert handled.isDone
            if members(news) == ["ann@example.com"]:
                break
    assert members(news) == ["ann@example.com"] and day == 4
    assert handled.sent[0].recipients == ("owner@example.org",) and "gone@example.net" in handled.sent[0].subject


@pytest.mark.parametrize("action", [b"delayed", b"delivered", b"relayed"])
def test_other_reports_count_for_nothing(news, action):
    joined(news, "ann@example.com")
    sender = post(news).sent[0].sender
    news.send(sender, REPORT + b"Action: " + action + b"\r\n\r\n--b--\r\n", sender="")
    news.send(sender, headers={"Auto-Submitted": "auto-replied"}, sender="")
    news.send("news-bounces-1-0@example.org", sender="")
    news.send(sender, sender="somebody@example.com")
    assert sys.modules["newsletter"].ask("SELECT * FROM bounce") == []
