"""The root of a store in files is gone, as when its disk is not mounted: nothing is taken for expunged, nothing taken in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailfw.errors import Unavailable
from mailfw.interfaces import ISimpleStorePlugin, IStoreContext
from mailfw.storage.maildir import maildir
from mailfw.storage.opening import openStore
from mailfw.storage.store import Store
from mailfw.storage.textfile import textfile
from mailfw.testing.promises.home import OWNER, Home, Promises, append, contents, message, promise
from mailfw.values import Create, Fate, MessageSource, Target


class RootPromises(Promises):
    plugin: ISimpleStorePlugin

    def openStore(self, directory: str, context: IStoreContext) -> Store:
        store = openStore(self.plugin, "mail", context)
        assert isinstance(store, Store)
        return store

    @pytest.fixture(params=["removed", "empty"])
    def isRemoved(self, request: pytest.FixtureRequest) -> bool:
        """What is left of the root: nothing, or the directory that a disk is mounted on."""
        return bool(request.param == "removed")

    @promise
    async def testARootThatIsGoneIsNotAnEmptyStore(self, home: Home, isRemoved: bool) -> None:
        account, inbox = await home.inbox()
        await append(account, message(1), message(2))
        root, elsewhere = Path(home.directory, "mail"), Path(home.directory, "elsewhere")
        os.rename(root, elsewhere)
        if not isRemoved:
            root.mkdir()
        home.clock.advance(60)
        modSeq = 0
        with pytest.raises(Unavailable):
            await inbox.changesSince(modSeq)
        with pytest.raises(Unavailable):
            await append(account, message(3))
        with pytest.raises(Unavailable):
            await account.apply([Create("Work")])
        (outcome,) = await home.store.deliver(MessageSource(message(4)), [Target(OWNER)])
        assert outcome.fate is Fate.DEFERRED
        assert isRemoved is not root.exists()
        if not isRemoved:
            assert not list(root.iterdir())
            root.rmdir()
        os.rename(elsewhere, root)
        assert await contents(inbox) == {1: message(1), 2: message(2)}
        assert not (await inbox.changesSince((await inbox.status()).highestModSeq)).vanished
        await append(account, message(3))
        assert await contents(inbox) == {1: message(1), 2: message(2), 3: message(3)}

    @promise
    async def testAServerDoesNotStartWithoutIt(self, home: Home, isRemoved: bool) -> None:
        account, _ = await home.inbox()
        await append(account, message(1))
        await home.store.close()
        root, elsewhere = Path(home.directory, "mail"), Path(home.directory, "elsewhere")
        os.rename(root, elsewhere)
        if not isRemoved:
            root.mkdir()
        with pytest.raises(ValueError, match="is its disk mounted"):
            home.start()
        if not isRemoved:
            root.rmdir()
        os.rename(elsewhere, root)
        home.start()
        _, inbox = await home.inbox()
        assert await contents(inbox) == {1: message(1)}


class TestMaildir(RootPromises):
    plugin = maildir


class TestTextfile(RootPromises):
    plugin = textfile
