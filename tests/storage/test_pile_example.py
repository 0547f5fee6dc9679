"""The example of a store in one screen keeps its contract."""

from __future__ import annotations

import runpy
from pathlib import Path

from mailfw.interfaces import ISimpleStore
from mailfw.testing.simplestore import SimpleStoreContract
from mailfw.values import Entry

EXAMPLE = Path(__file__).parent.parent.parent / "etc" / "examples" / "twisted" / "plugins" / "pile.py"
pile = runpy.run_path(str(EXAMPLE))["pile"]


class TestPile(SimpleStoreContract):
    isTraced = False

    def openStore(self) -> ISimpleStore:
        return pile.openSimpleStore("mail", self.context)

    def foreignAppend(self, account: str, folder: str, content: bytes) -> None:
        path = pile.openSimpleStore("mail", self.context).path(account, folder)
        (path / "z-from-elsewhere.eml").write_bytes(content)

    def foreignRemove(self, account: str, folder: str, store: ISimpleStore, entry: Entry) -> None:
        store.remove(account, folder, [entry])
