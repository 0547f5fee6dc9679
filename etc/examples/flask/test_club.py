"""The application's own suite, under plain pytest: real SMTP, and no mail that leaves."""

from urllib.parse import urlsplit

import pytest
from club import create


@pytest.fixture
def app(mailfw):
    return create(*mailfw.smtp)


@pytest.fixture
def browser(app):
    return app.test_client()


def test_signs_up(mailfw, app, browser):
    jsmith = mailfw.account("jsmith@example.com")
    assert browser.post("/signup", data={"address": jsmith.address}).status_code == 200
    message = jsmith.waitFor(subject="Welcome to the club")
    [link] = message.links("/confirm/")
    assert browser.get(urlsplit(link).path).text == "welcome\n"
    assert app.config["MEMBERS"] == {"jsmith@example.com"}
    assert [(each.name, each.content) for each in message.attachments] == [("rules.txt", b"Be kind.\r\n")]


def test_the_link_is_good_once(mailfw, browser):
    browser.post("/signup", data={"address": "anybody@example.com"})
    path = urlsplit(mailfw.outbox[0].links()[0]).path
    assert [browser.get(path).status_code for _ in range(2)] == [200, 404]


def test_no_such_address(mailfw, app, browser):
    assert browser.post("/signup", data={"address": "nobody@localhost"}).status_code == 400
    assert len(mailfw.outbox) == 0


def test_the_mail_server_is_busy(mailfw, browser):
    mailfw.failNext("451 4.3.2 too much to do")
    assert browser.post("/signup", data={"address": "anybody@example.com"}).status_code == 503
    assert browser.post("/signup", data={"address": "anybody@example.com"}).status_code == 200
    assert mailfw.outbox.waitFor(recipient="anybody@example.com").subject == "Welcome to the club"
