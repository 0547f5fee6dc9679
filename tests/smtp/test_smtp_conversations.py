"""The SMTP conversations with a router that keeps what it gets, whole and octet by octet."""

from pathlib import Path

import pytest

from mailfw.smtp.server import lmtp, smtp, submission, submissions
from mailfw.testing.conversation import play
from mailfw.testing.world import World

TALKS = sorted((Path(__file__).parent.parent / "conversations").glob("smtp-*.talk"))
SERVICES = {service.name: service for service in (smtp, submission, submissions, lmtp)}


@pytest.mark.parametrize("isSplit", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("talk", TALKS, ids=lambda path: path.stem)
def test_conversation(talk, isSplit):
    play(talk.read_text(), talk.name, World, SERVICES, isSplit)
