"""The IMAP conversations on the memory store, whole and octet by octet."""

from pathlib import Path

import pytest

from mailfw.imap.server import imap, imaps
from mailfw.testing.conversation import play

TALKS = sorted((Path(__file__).parent.parent / "conversations").glob("imap-*.talk"))


@pytest.mark.parametrize("isSplit", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("talk", TALKS, ids=lambda path: path.stem)
def test_conversation(makeWorld, talk, isSplit):
    play(talk.read_text(), talk.name, makeWorld, {"imap": imap, "imaps": imaps}, isSplit)
