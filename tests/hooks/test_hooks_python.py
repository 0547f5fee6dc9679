"""Hooks in Python, as the documentation has them; and the documentation's table, as the code has it."""

import os
import re
import runpy
import sys
from pathlib import Path

import pytest
from attrs import define, field
from twisted.internet.task import Clock

from mailfw.hooks.python import python
from mailfw.hooks.runner import Attached, Hooks
from mailfw.interfaces import IHookPlugin
from mailfw.net.connection import Connection
from mailfw.plugins import check
from mailfw.smtp.server import smtp
from mailfw.stages import STAGES, Client, Event, Stage
from mailfw.testing.now import result
from mailfw.testing.world import World
from mailfw.values import Identity, Peer

ROOT = Path(__file__).parents[2]


@define
class Context:
    data: str
    reactor: object = field(factory=Clock)
    options: object = None
    hour: int = 12

    def now(self):
        return self.hour * 3600.0


def converse(world, *lines):
    transport = world.connect(smtp)
    assert isinstance(transport.connection, Connection)
    said = []
    for line in ("", *lines):
        if line:
            transport.send(line.encode() + b"\r\n")
        said.append(transport.take().decode().strip())
    transport.hangUp()
    return said


def test_a_file_is_read_anew_however_soon_it_was_changed(tmp_path, monkeypatch):
    """Python's own cache of compiled files knows seconds and sizes."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "own.py"
    for number in (1, 2):
        file.write_text(f"def answer(event):\n    return {number}\n")
        os.utime(file, ns=(5_000_000_000 + number,) * 2)
        assert python.openHook("own.py:answer", Context(str(tmp_path)))(None) == number
    assert list(tmp_path.iterdir()) == [file]


def test_the_example_of_the_documentation(tmp_path):
    (code,) = re.findall(r"```python\n(from mailfw.stages.*?)```", (ROOT / "docs/HACKING.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) < 30
    (tmp_path / "antispam.py").write_text(code)
    hook = python.openHook("antispam.py:antispam", Context(str(tmp_path)))
    world = World(directory=str(tmp_path / "spool"))
    stages = (Stage.EHLO, Stage.END_OF_MESSAGE)
    world.context.hooks = Hooks({stage: [Attached("antispam", hook)] for stage in stages}, world.clock)
    assert converse(world, "EHLO mail.localhost")[1] == "550 5.7.1 that is my name, not yours"
    envelope = ("HELO x", "MAIL FROM:<>", "RCPT TO:<jsmith@localhost>", "DATA")
    assert converse(world, *envelope, "Subject: x\r\n\r\nA lottery.\r\n.")[-1].startswith("250")
    assert converse(world, *envelope, "Subject: x\r\n\r\nA miracle at the CASINO!\r\n.")[-1].startswith("250")
    ham, spam = world.context.router.messages
    assert b"\r\nX-Spam-Score: 1\r\nSubject: x" in ham.content and not ham.envelope.isQuarantined
    assert b"\r\nX-Spam-Score: 2\r\nSubject: x" in spam.content and spam.envelope.isQuarantined
    result(world.context.hooks.close())


def test_the_example_plugin():
    curfew = runpy.run_path(str(ROOT / "etc/examples/twisted/plugins/curfew.py"))["curfew"]
    check(IHookPlugin, curfew)
    client = Client("1", "smtp", Peer("192.0.2.7"))
    said = {}
    for hour in (5, 6, 21, 22):
        context = Context("", options=curfew.model(), hour=hour)
        said[hour] = result(curfew.openHook("", context)(Event(Stage.MAIL_FROM, client)))
    assert [hour for hour, answer in said.items() if answer is None] == [6, 21]
    ours = Client("1", "smtp", Peer(""), identity=Identity("a@b"))
    assert result(curfew.openHook("", Context("", options=curfew.model(), hour=3))(Event(Stage.MAIL_FROM, ours))) is None


def test_the_documentations_table_is_the_codes():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| (.*?) ?\| (.*?) ?\|$", (ROOT / "docs/hooks.md").read_text(), re.MULTILINE)
    words = {row[0]: [set(filter(None, cell.split(", "))) for cell in row[1:]] for row in rows}
    assert words == {
        stage.value: [set(rules.given), {each.__name__ for each in rules.results}, {each.__name__ for each in rules.edits}]
        for stage, rules in STAGES.items()
    }


def test_every_plugin_of_the_documentation_is_there():
    from mailfw.app.catalogue import BUILT_IN
    from mailfw.plugins import Kind

    first = (ROOT / "docs/hooks.md").read_text().split("## ")[0]
    rows = [line.split("|")[1] for line in first.splitlines() if line.startswith("| `")]
    named = {word for row in rows for word in re.findall(r"`(\w+):", row)}
    assert named == {each.word for each in BUILT_IN if each.kind is Kind.HOOK}


def test_functions_and_classes_are_found(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "class Counter:\n    def __init__(self, context):\n        self.count = 0\n    async def __call__(self, event):\n"
        "        self.count += 1\n        return None\nnothing = 5\n"
    )
    context = Context(str(tmp_path))
    hook = python.openHook("own.py:Counter", context)
    hooks = Hooks({Stage.EHLO: [Attached("own", hook)]}, context.reactor)
    result(hooks.ask(Event(Stage.EHLO)))
    result(hooks.close())
    assert hook.count == 1


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("", "write python:"), ("module", "write python:"), ("nowhere.at.all:f", "cannot be imported"),
        ("missing.py:f", "cannot be imported"), ("own.py:f", "has no function f"), ("own.py:nothing", "has no function nothing"),
        ("broken.py:f", "SyntaxError"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path, argument, why):
    (tmp_path / "own.py").write_text("nothing = 5\n")
    (tmp_path / "broken.py").write_text("def (\n")
    with pytest.raises(ValueError, match=why):
        python.openHook(argument, Context(str(tmp_path)))
