"""The answering machine's own suite."""

from pathlib import Path

import pytest

from mailfw.testing.code import Functions

HERE = str(Path(__file__).parent)
ME = "jsmith@example.org"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOREPLY", str(tmp_path))
    return Functions("autoreply", path=HERE, accounts=["jsmith"])


def test_delivers_and_answers(machine):
    handled = machine.send(ME, subject="Lunch?")
    (delivered,), (answer,) = handled.delivered, handled.sent
    assert (delivered.account, delivered.mailbox) == (ME, "INBOX")
    assert answer.sender == "" and answer.recipients == ("shop@example.com",) and answer["From"] == ME
    assert answer.subject == "Auto: Lunch?" and answer["Auto-Submitted"] == "auto-replied" and "Monday" in answer.text


def test_once_a_week(machine, monkeypatch):
    import autoreply

    now = 1e9
    monkeypatch.setattr(autoreply.time, "time", lambda: now)
    assert machine.send(ME).sent and not machine.send(ME).sent and not machine.send(ME, sender="SHOP@example.com").sent
    assert machine.send(ME, sender="mbrain@example.com").sent
    now += 7 * 86400
    assert machine.send(ME).sent


def test_after_a_crash_it_answers_still(machine):
    handled = machine.send(ME)
    assert handled.again().sent and not machine.send(ME).sent


@pytest.mark.parametrize(
    "sender, headers",
    [
        ("", {}),
        ("shop@example.com", {"Auto-Submitted": "auto-generated"}),
        ("shop@example.com", {"Precedence": "list"}),
        ("shop@example.com", {"List-Id": "<x>"}),
        ("mailer-daemon@example.com", {}),
    ],
)
def test_whom_it_does_not_answer(machine, sender, headers):
    handled = machine.send(ME, sender=sender, headers=headers)
    assert handled.delivered and not handled.sent
    assert machine.send(ME).sent, "and who is not answered was not told"


def test_what_was_written_to_many(machine):
    handled = machine.send(ME, b"To: everybody@example.com\r\nSubject: x\r\n\r\nx\r\n")
    assert handled.delivered and not handled.sent
    assert machine.send(ME, b'To: a@example.com\r\nCc: "J" <JSmith@example.org>\r\n\r\nx\r\n').sent


def test_two_machines_do_not_talk(machine):
    (answer,) = machine.send(ME, subject="Lunch?", sender="other@example.org").sent
    assert not machine.send(ME, answer.content, sender="other@example.org").sent
    assert not machine.send(ME, answer.content, sender="").sent


def test_others_have_no_function(machine):
    with pytest.raises(LookupError):
        machine.send("mbrain@example.org")
