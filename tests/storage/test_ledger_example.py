"""The example of a full store keeps the full contract, and its ledger knows what was done."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mailfw.interfaces import IAccount, IMailbox, IMailStore, IMailStorePlugin, IStoreContext
from mailfw.plugins import check
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.now import result
from mailfw.testing.store import MailStoreContract
from mailfw.values import Append, Identity, MessageSource, NewMessage, Target

EXAMPLE = Path(__file__).parent.parent.parent / "etc" / "examples" / "twisted" / "plugins" / "ledger.py"
ledger = runpy.run_path(str(EXAMPLE))["ledger"]


class TestLedger(MailStoreContract):
    def openStore(self, directory: str, context: IStoreContext) -> IMailStore:
        return ledger.openStore("sqlite:mail", context)


def test_theLedgerKnowsWhatWasDone(tmp_path: Path) -> None:
    store = ledger.openStore("sqlite:mail", FakeStoreContext(str(tmp_path)))
    account = result(store.openAccount(Identity("mbrain@localhost"), "mbrain@localhost"))
    check(IMailStorePlugin, ledger)
    check(IMailStore, store)
    check(IAccount, account)
    check(IMailbox, result(account.open("INBOX")))
    result(store.deliver(MessageSource(b"\r\n"), [Target("mbrain@localhost"), Target("jsmith@localhost")]))
    result(account.apply([Append("INBOX", (NewMessage(MessageSource(b"\r\n")),))]))
    result(store.close())
    noted = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    assert [(line["account"], line["doing"]) for line in noted] == [
        ("mbrain@localhost", ["Deliver"]),
        ("jsmith@localhost", ["Deliver"]),
        ("mbrain@localhost", ["Append"]),
    ]


def test_aStoreThatIsNotThereIsNamed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a store to stand before"):
        ledger.openStore("nothing:mail", FakeStoreContext(str(tmp_path)))
