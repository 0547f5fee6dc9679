"""The help desk's own suite: functions without a server, then all of it over SMTP."""

import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailfw.testing.code import Functions

HERE = str(Path(__file__).parent)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setenv("TICKETS", str(tmp_path))
    return Functions("tickets", path=HERE, accounts=["support"])


def addressIn(message):
    return message["From"].partition("<")[2].rstrip(">")


def test_a_ticket(desk):
    handled = desk.send("support@example.org", subject="Printer", text="It is on fire.\n", sender="mbrain@example.com")
    (answer,), (delivered,) = handled.sent, handled.delivered
    assert answer.recipients == ("mbrain@example.com",) and answer.subject == "[#1] Printer" and "#1" in answer.text
    assert (delivered.account, delivered.mailbox) == ("support@example.org", "Tickets/1")
    assert delivered.message.text == "It is on fire.\n" and delivered.message["References"] == answer["References"]

    more = desk.send(addressIn(answer), text="Now it is out.\n", sender="mbrain@example.com")
    assert more.delivered[0].mailbox == "Tickets/1" and not more.sent

    (sent,) = desk.send(
        addressIn(more.delivered[0].message), text="Good.\n", sender="support@example.org", account="support"
    ).sent
    assert sent.recipients == ("mbrain@example.com",) and sent.subject == "Re: [#1] Printer" and sent.text == "Good.\n"
    assert addressIn(sent) == addressIn(answer), "the customer can go on"


def test_called_again_it_is_the_same_ticket(desk):
    handled = desk.send("support@example.org", subject="Printer")
    assert handled.again().sent[0].subject == handled.sent[0].subject == "[#1] Printer"
    assert desk.send("support@example.org", subject="Printer").sent[0].subject == "[#2] Printer"


def test_a_guess(desk):
    desk.send("support@example.org", subject="Printer")
    assert desk.send(f"ticket-1-{'0' * 20}@example.org").rejected == "5.1.1 there is no such ticket"
    assert desk.send(f"ticket-7-{'0' * 20}@example.org").rejected


def test_who_only_says_to_be_staff(desk):
    (answer,) = desk.send("support@example.org", subject="Printer", sender="mbrain@example.com").sent
    handled = desk.send(addressIn(answer), text="I am support.", sender="support@example.org")
    assert handled.delivered and not handled.sent


def test_programs_open_no_tickets(desk):
    handled = desk.send("support@example.org", subject="Away", headers={"Auto-Submitted": "auto-replied"})
    assert handled.delivered[0].mailbox == "INBOX" and not handled.sent


def test_names_of_attachments(desk):
    content = EmailMessage()
    content["Subject"] = "Here\t=?utf-8?q?=0d=0aBcc:_x@example.com?="
    content.set_content("see")
    content.add_attachment(b"x", maintype="text", subtype="html", filename="../../.profile")
    (delivered,) = desk.send("support@example.org", content).delivered
    assert [(each.name, each.type) for each in delivered.message.attachments] == [("profile", "application/octet-stream")]
    assert "Bcc" not in delivered.message


def test_over_smtp(mailfw, tmp_path, monkeypatch):
    monkeypatch.setenv("TICKETS", str(tmp_path))
    support = mailfw.account("support@example.org")
    mailfw.load("tickets", path=HERE)
    with smtplib.SMTP(*mailfw.smtp) as smtp:
        smtp.sendmail("mbrain@example.com", ["support@example.org"], "Subject: Printer\r\n\r\nIt is on fire.\r\n")
        answer = mailfw.outbox.waitFor(subject="[#1] Printer")
        assert support.mailbox("Tickets/1").waitFor(text="It is on fire.")
        smtp.sendmail("mbrain@example.com", [addressIn(answer)], "Subject: Re: Printer\r\n\r\nStill.\r\n")
        assert support.mailbox("Tickets/1").waitFor(text="Still.")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            smtp.sendmail("mbrain@example.com", ["ticket-x-y@example.org"], "Subject: x\r\n\r\n")
