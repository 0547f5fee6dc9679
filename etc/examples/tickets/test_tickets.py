# test_tickets.py
import sys
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

import pytest

from mailfw.testing.code import Functions


@pytest.fixture
def desk(tmp_path):
    functions = Functions("tickets", path=str(Path(__file__).parent), accounts=["support"])
    sys.modules["tickets"].DATABASE = str(tmp_path / "tickets.sqlite")
    return functions


def senderOf(message):
    return parseaddr(message["From"])[1]


def test_a_conversation(desk):
    first = desk.send("support@example.org", subject="Printer", text="It is on fire.\n")
    (atStaff,), (answer,) = first.delivered, first.sent
    assert (atStaff.account, atStaff.mailbox) == ("support@example.org", "Tickets/1")
    assert (atStaff.message.text, atStaff.message.subject) == ("It is on fire.\n", "Re: Printer")
    assert answer.recipients == ("shop@example.com",) and "ticket 1" in answer.text and answer.isAutomatic

    second = desk.send(senderOf(atStaff.message), sender="ann@example.org", subject="Re: Printer", text="Use water.\n")
    (toCustomer,) = second.sent
    assert toCustomer.recipients == ("shop@example.com",) and toCustomer.text == "Use water.\n"
    assert b"ann@" not in toCustomer.content, "people of ours stay private"
    assert senderOf(toCustomer) == senderOf(answer) == toCustomer.sender

    third = desk.send(senderOf(toCustomer).upper(), sender="boss@example.com", text="Thanks!\n")
    assert third.delivered[0].mailbox == "Tickets/1" and not third.sent


def test_called_again_it_opens_no_second_ticket(desk):
    handled = desk.send("support@example.org", text="Hello?\n")
    assert [each.mailbox for each in (*handled.delivered, *handled.again().delivered)] == ["Tickets/1", "Tickets/1"]
    assert desk.send("support@example.org").delivered[0].mailbox == "Tickets/2"


def test_attachments_are_passed_on(desk):
    message = EmailMessage()
    message["Subject"] = "Look"
    message.set_content("See below.\n")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="../fire.png")
    (delivered,) = desk.send("support@example.org", message).delivered
    assert [(each.name, each.content) for each in delivered.message.attachments] == [("fire.png", b"\x89PNG")]


def test_tokens_cannot_be_made_up(desk):
    real = senderOf(desk.send("support@example.org").sent[0])
    madeUp = ("ticket-1-customer-0@example.org", "ticket-1-ä-ö@example.org")
    for forged in (real.replace("-1-", "-2-"), real.replace("customer", "staff"), *madeUp):
        assert desk.send(forged).rejected == "5.1.1 there is no such ticket"


def test_programs_open_no_tickets_and_get_no_answers(desk):
    handled = desk.send("support@example.org", sender="")
    assert handled.delivered[0].mailbox == "INBOX" and not handled.sent
    (ticket,) = desk.send("support@example.org").delivered
    assert desk.send(senderOf(ticket.message), headers={"Auto-Submitted": "auto-replied"}).isDone
    assert not desk.send(senderOf(ticket.message), headers={"Auto-Submitted": "auto-replied"}).sent
