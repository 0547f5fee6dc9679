"""Kill a process that queues and relays, again and again: what it acknowledged is delivered, or its sender is told."""

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("crashing.py")
PATIENCE = 300.0
IN_FLIGHT = 100


def start(directory, *words):
    path = os.pathsep.join(filter(None, (str(PROGRAM.parents[2]), os.environ.get("PYTHONPATH"))))
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), str(directory), *words], stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": path}
        )


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.prove
def test_nothing_that_was_queued_is_lost_by_a_kill(tmp_path, isProof):
    rounds = 200 if isProof else 3
    chance = random.Random(11)
    for number in range(rounds):
        process, before = start(tmp_path, f"r{number}"), len(lines(tmp_path / "accepted"))
        while len(lines(tmp_path / "accepted")) == before:
            assert process.poll() is None, (tmp_path / "log").read_text()
            threading.Event().wait(0.01)
        threading.Event().wait(chance.uniform(0.0, 1.2))  # how long mail flows before the power fails is the experiment
        process.kill()
        process.wait()
    assert start(tmp_path, "last", "drain").wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    accepted = set(lines(tmp_path / "accepted"))
    taken = [line.split() for line in lines(tmp_path / "taken")]
    delivered = Counter(ident for fate, ident in taken if fate == "delivered")
    told = Counter(ident for fate, ident in taken if fate == "failed")
    assert accepted
    lost = accepted - set(delivered) - set(told)
    assert not lost
    twice = sum(count - 1 for counts in (delivered, told) for count in counts.values())
    both = len(set(delivered) & set(told))
    assert twice + both <= rounds * IN_FLIGHT, "sent twice only what was under way when it was killed"
    assert "Traceback" not in (tmp_path / "log").read_text()
