"""How a store says that it is."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailfw.errors import Unavailable
from mailfw.interfaces import IHealth
from mailfw.storage import indexer
from mailfw.storage.maildir import maildir
from mailfw.storage.memory import memory
from mailfw.storage.opening import openStore
from mailfw.storage.sqlite import sqlite
from mailfw.storage.textfile import textfile
from mailfw.testing.fakes import FakeStoreContext
from mailfw.values import MessageSource, Target

STORES = {"sqlite": (sqlite, "mail"), "maildir": (maildir, "mail"), "textfile": (textfile, "mail"), "memory": (memory, "")}
MESSAGE = MessageSource(b"Subject: x\r\n\r\nx\r\n")


def done(work: Coroutine[Any, Any, Any]) -> Any:
    found: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(found.append)
    assert found, "it waits"
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


@pytest.mark.parametrize("kind", list(STORES))
def test_everyStoreOfOursSaysHowItIs(kind: str, tmp_path: Path) -> None:
    clock = Clock()
    plugin, argument = STORES[kind]
    store: Any = openStore(plugin, argument, FakeStoreContext(str(tmp_path), clock=clock))
    assert IHealth.providedBy(store)
    for _ in range(3):
        done(store.deliver(MESSAGE, [Target("jsmith@localhost")]))
    done(store.prove())
    healths = done(store.health())
    assert [each.trouble for each in healths] == [""] * len(healths)
    assert len({each.name for each in healths}) == len(healths)
    assert sum(each.writer.jobs for each in healths) >= 3
    if kind != "memory":
        assert sum(each.octets for each in healths) > 0
        assert all(os.path.exists(each.path) for each in healths)
        assert sum(each.unindexed for each in healths) == 3
        clock.pump([1.0] * round(indexer.START + indexer.PATIENCE))
        assert sum(each.unindexed for each in done(store.health())) == 0
    done(store.close())


def test_aStoreThatCannotBeWrittenSaysSo(tmp_path: Path) -> None:
    """As when a backup was put in its place while it was open."""
    store: Any = openStore(sqlite, "mail?shards=1", FakeStoreContext(str(tmp_path), clock=Clock()))
    done(store.prove())
    path = tmp_path / "mail" / "mail0.sqlite"
    away = path.rename(tmp_path / "away")
    with pytest.raises(Unavailable):
        done(store.prove())
    [health] = done(store.health())
    assert str(path) in health.trouble
    assert health.writer.failures == 1
    away.rename(path)
    done(store.prove())
    assert done(store.health())[0].trouble == ""
    done(store.close())
