"""The examples that the documentation shows keep their contracts."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailfw.interfaces import IAuthenticator, IAuthenticatorPlugin, IMailService
from mailfw.plugins import check
from mailfw.storage.memory import memory
from mailfw.testing.authenticator import AuthContext, AuthenticatorContract, resultOf
from mailfw.testing.conversation import fill
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World

EXAMPLES = Path(__file__).parent.parent / "etc" / "examples" / "twisted" / "plugins"
membersModule = runpy.run_path(str(EXAMPLES / "members.py"))
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
