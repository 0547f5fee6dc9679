"""The accounts for trying out, and who may use them."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
import pytest_twisted

from mailfw.app.development import Undemonstrated, configuration
from mailfw.errors import AuthenticationFailed
from mailfw.sasl.verifier import Verifier
from mailfw.values import Identity, PasswordCredentials

SHA = "SCRAM-SHA-256"


def test_aPortThatIsRootsIsLeftOut(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mailfw console` needs none; everything else is on ports for anybody."""

    class Socket(socket.socket):
        def bind(self, address: Any) -> None:
            if address[1] < 1024:
                raise PermissionError

    if os.geteuid() == 0:
        assert "manhole" in {each["service"] for each in configuration()["listen"]}
    monkeypatch.setattr(socket, "socket", Socket)
    listens = configuration()["listen"]
    assert {"service": "imap", "endpoint": "localhost:1143"} in listens
    assert "manhole" not in {each["service"] for each in listens}


class Sources:
    """Any name with any password; verifiers for the password that is asked about."""

    def __init__(self, password: str) -> None:
        self.password = password

    async def authenticate(self, credentials: PasswordCredentials) -> Identity:
        return await self.identify(credentials.user)

    def mechanisms(self) -> Any:
        return {SHA}

    async def verifier(self, user: str, mechanism: str) -> Any:
        return Verifier.fromPassword(mechanism, self.password, iterations=1)

    async def identify(self, user: str) -> Identity:
        return Identity(user if "@" in user else f"{user}@localhost")


async def logsIn(user: str, password: str) -> bool:
    guarded = Undemonstrated(Sources(password), "localhost")
    try:
        await guarded.authenticate(PasswordCredentials(user, password))
    except AuthenticationFailed:
        isPlain = False
    else:
        isPlain = True
    assert (await guarded.verifier(user, SHA) is not None) == isPlain
    return isPlain


@pytest.mark.parametrize("user", ["mbrain", "jsmith@localhost", "JSmith@LOCALHOST"])
@pytest_twisted.ensureDeferred
async def test_thePasswordOfTheDocumentationIsRefused(user: str) -> None:
    assert not await logsIn(user, "mailfw")


@pytest.mark.parametrize(("user", "password"), [("jsmith", "a real one"), ("anna", "mailfw")])
@pytest_twisted.ensureDeferred
async def test_othersComeInByEveryMechanism(user: str, password: str) -> None:
    assert await logsIn(user, password)
