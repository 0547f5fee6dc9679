"""The POP3 conversations on the memory store, whole and octet by octet."""

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailfw.pop3.server import pop3, pop3s
from mailfw.storage.memory import memory
from mailfw.testing.conversation import play
from mailfw.testing.fakes import FakeStoreContext
from mailfw.testing.world import World

TALKS = sorted((Path(__file__).parent.parent / "conversations").glob("pop3-*.talk"))


@pytest.mark.parametrize("isSplit", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("talk", TALKS, ids=lambda path: path.stem)
def test_conversation(tmp_path, talk, isSplit):
    def makeWorld():
        clock = Clock()
        return World(memory.openStore("", FakeStoreContext(str(tmp_path), clock=clock)), clock=clock)

    play(talk.read_text(), talk.name, makeWorld, {"pop3": pop3, "pop3s": pop3s}, isSplit)
