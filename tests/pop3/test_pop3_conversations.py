"""The POP3 conversations on the simplest store there can be, whole and octet by octet."""

from pathlib import Path

import pytest

from mailfw.pop3.server import pop3, pop3s
from mailfw.testing.conversation import play

TALKS = sorted((Path(__file__).parent.parent / "conversations").glob("pop3-*.talk"))


@pytest.mark.parametrize("isSplit", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("talk", TALKS, ids=lambda path: path.stem)
def test_conversation(newWorldAlone, talk, isSplit):
    play(talk.read_text(), talk.name, newWorldAlone, {"pop3": pop3, "pop3s": pop3s}, isSplit)
