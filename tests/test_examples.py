"""The examples that the documentation shows keep their contracts."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from mailfw.interfaces import IAuthenticator, IAuthenticatorPlugin, IDelivery, IMailService, IRoute, IRoutePlugin
from mailfw.plugins import check
from mailfw.storage.memory import memory
from mailfw.testing.authenticator import AuthContext, AuthenticatorContract, resultOf
from mailfw.testing.conversation import fill
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World
from mailfw.values import Address, Envelope, Fate, MessageSource, Recipient

EXAMPLES = Path(__file__).parent.parent / "etc" / "examples" / "twisted" / "plugins"
membersModule = runpy.run_path(str(EXAMPLES / "members.py"))
drop = runpy.run_path(str(EXAMPLES / "drop.py"))["drop"]
finger = runpy.run_path(str(EXAMPLES / "finger.py"))["finger"]


class TestMembers(AuthenticatorContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.data = str(tmp_path)

    def openAuthenticator(self, accounts):
        plugin = membersModule["members"]
        check(IAuthenticatorPlugin, plugin)
        source = plugin.openAuthenticator("members.sqlite", AuthContext(data=self.data))
        check(IAuthenticator, source)
        for address, password in accounts.items():
            salt = os.urandom(8)
            source.ask("INSERT INTO member VALUES (?, ?, ?, 0)", address, salt, membersModule["scrambled"](password, salt))
        return source


def test_finger_tells_who_has_mail():
    check(IMailService, finger)
    clock = Clock()
    world = World(memory.openStore("", FakeStoreContext(".", clock=clock)), clock=clock)
    resultOf(fill(world.context.store, "jsmith INBOX 3"))
    said = {}
    for name in ("jsmith", "mbrain@localhost", "nobody", "x y"):
        transport = world.connect(finger)
        transport.send(name.encode() + b"\r\n")
        said[name] = transport.take()
        assert transport.isClosed
    world.closeStore()
    assert said == {
        "jsmith": b"New mail: 3 of 3 messages unread.\r\n",
        "mbrain@localhost": b"No new mail.\r\n",
        "nobody": b"Nobody of that name is here.\r\n",
        "x y": b"Nobody of that name is here.\r\n",
    }


@pytest_twisted.ensureDeferred
async def test_drop_makes_a_file_of_each_message(tmp_path):
    check(IRoutePlugin, drop)
    context = SimpleNamespace(data=str(tmp_path))
    with pytest.raises(ValueError, match="there is no directory"):
        drop.openRoute("faxes", context)
    (tmp_path / "faxes").mkdir()
    route = drop.openRoute("faxes", context)
    check(IRoute, route)
    delivery = route.begin(Envelope(None))
    check(IDelivery, delivery)
    for name in ("one", "two"):
        await delivery.recipient(Recipient(Address(name, "faxes.example.org")))
    outcomes = await delivery.commit(MessageSource(b"Subject: x\r\n\r\nhello\r\n"))
    [path] = (tmp_path / "faxes").iterdir()
    assert [(outcome.fate, outcome.remark) for outcome in outcomes] == [(Fate.DELIVERED, path.name)] * 2
    assert path.read_bytes() == b"X-Fax: one\r\nX-Fax: two\r\nSubject: x\r\n\r\nhello\r\n"
