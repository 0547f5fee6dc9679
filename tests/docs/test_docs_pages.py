"""Every block of the book is run or compared, page by page; the few that cannot be are counted."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import dns.zone
import pytest
from blocks import DOCS, ELSEWHERE, KINDS, NEVER, PLAYED, ROOT, Block, blocks, pages
from playing import Missing, Player

from mailfw.app.catalogue import plugins
from mailfw.app.configuration import ConfigurationError, Source

BLOCKS = {page: blocks(page) for page in pages()}
ALL = [block for found in BLOCKS.values() for block in found]
WITH_BLOCKS = [page for page, found in BLOCKS.items() if any(not block.excuse and not block.test for block in found)]

NOT_RUN = 28
"""How many blocks no test can run. A page that adds one says why, and changes this number."""


def test_no_block_is_of_an_unknown_kind() -> None:
    assert not [f"{block.place}: {block.kind or 'no kind'}" for block in ALL if block.kind not in KINDS]
    assert not [block.place for block in ALL if block.kind in NEVER and not block.excuse]
    assert not [block.place for block in ALL if block.kind in ELSEWHERE and not block.test]


def test_a_test_of_its_own_is_there_and_reads_the_page() -> None:
    for block in ALL:
        text = (ROOT / block.test).read_text() if block.test else ""
        folder = block.page.parent  # of which a test may read every page
        isRead = block.page.name in text or (folder != DOCS and f'"{folder.name}").glob("*.md")' in text)
        assert not block.test or isRead, block.place


def test_what_is_not_run_is_counted() -> None:
    excused = [f"{block.place}: {block.excuse}" for block in ALL if block.excuse]
    assert len(excused) == NOT_RUN, "\n".join(excused)


@pytest.mark.interop
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page: Path, tmp_path: Path) -> None:
    """All blocks of a page, in their order and in one world."""
    player = Player(tmp_path)
    run = [block for block in BLOCKS[page] if not block.excuse and not block.test]
    try:
        for block in run:
            player.begin(block)
            if block.kind in PLAYED:
                player.play(block)
            elif block.kind != "python":
                CHECKS[block.kind](block, player)
    except Missing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    finally:
        player.close()
    snippets = [block for block in run if block.kind == "python" and not block.fileName]
    if snippets:
        _execute(snippets, player)
    _runTests([block for block in run if Path(block.fileName).name.startswith("test_")], player)


# --- Python ---

_RUNNER = """
import json, sys
from zope.interface import implementedBy
from zope.interface.verify import verifyClass
names = {"__name__": "book"}
for place, text in json.load(sys.stdin):
    before = set(names)
    exec(compile(text, place, "exec"), names)
    for name in set(names) - before:
        if isinstance(names[name], type):
            for interface in implementedBy(names[name]):
                if interface.__module__.startswith("mailfw"):
                    verifyClass(interface, names[name])
"""


def _execute(snippets: Sequence[Block], player: Player) -> None:
    """Snippets that are no files, one after another in one namespace; classes have every method of the interfaces they name."""
    shown = json.dumps([(block.place, "\n" * block.line + player.place.real(block.text)) for block in snippets])
    environment = player.place.environment | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'etc' / 'examples'}"}
    words = [sys.executable, "-c", _RUNNER]
    given = {"input": shown, "env": environment, "cwd": player.place.where}
    done = subprocess.run(words, **given, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


_TRAP = [] if entry_points(group="pytest11", name="mailfw") else ["-p", "mailfw.trap.plugin"]
"""Pytest has the trap by itself where mailfw is installed."""


def _runTests(files: Sequence[Block], player: Player) -> None:
    """Files of tests, as their readers would run them: those for Twisted's people in one run, the others in another."""
    isTwisted = {block.fileName: bool(re.search("pytest_twisted|ensureDeferred", block.text)) for block in files}
    for kind in sorted(set(isTwisted.values())):
        names = [name for name, each in isTwisted.items() if each is kind]
        texts = [block.text for block in files if block.fileName in names]
        counted = sum(len(re.findall(r"^(?:async )?def test_", text, re.MULTILINE)) for text in texts)
        options = ["-q", "-p", "no:cacheprovider", *_TRAP, *([] if kind else ["-p", "no:twisted"])]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *names],
            cwd=player.place.where,
            env=player.place.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        passed = re.search(r"(\d+) passed", done.stdout)
        assert done.returncode == 0 and passed and int(passed[1]) >= counted > 0, done.stdout + done.stderr


# --- Configuration ---


def _toml(block: Block, player: Player) -> None:
    """The reader of the configuration finds no mistake in it; what every file has to say is added where it is a part of one."""
    text = player.place.real(block.text)
    whole = "" if re.search(r"^domains *=", text, re.MULTILINE) else 'hostname = "mail.example.org"\ndomains = ["example.org"]\n'
    if "[[listen]]" not in text:
        text += '\n[[listen]]\nservice = "smtp"\nendpoint = "localhost:1025"\n'
    for name in re.findall(r'"(/[\w./-]+\.pem)"', text):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    for name in re.findall(rf"pipe:({player.place.directory}/[\w./-]+)", text):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch(mode=0o755)
    path = player.place.directory / "checked.toml"
    path.write_text(whole + text)
    try:
        Source(str(path), {("data",): str(player.place.where)}).read(plugins())
    except ConfigurationError as error:
        pytest.fail(f"{block.place}: {error}")


def _zone(block: Block, player: Player) -> None:
    """The DNS takes it."""
    dns.zone.from_text(block.text, origin="example.org.", relativize=False, check_origin=False)


def _ini(block: Block, player: Player) -> None:
    reader = configparser.ConfigParser(strict=False, interpolation=None)
    reader.read_string(block.text)
    assert reader.sections(), block.place


def _yaml(block: Block, player: Player) -> None:
    pytest.importorskip("yaml").safe_load(block.text)


def _json(block: Block, player: Player) -> None:
    json.loads(block.text)


def _tree(block: Block, player: Player) -> None:
    """Files and directories of the repository that a picture names are there."""
    parents: list[tuple[int, Path]] = []
    for line in block.text.splitlines():
        indent = len(line) - len(line.lstrip())
        parents = [each for each in parents if each[0] < indent]
        above = parents[-1][1] if parents else ROOT
        words = re.match(r"\s*((?:[\w/.]+(?:\.py|/) ?)+)", line)
        for word in words[1].split() if words else ():
            path = next((base / word for base in (above, ROOT, ROOT / "mailfw") if (base / word).exists()), None)
            assert path is not None, f"{block.place}: there is no {above / word}"
            if word.endswith("/"):
                parents.append((indent, path))


CHECKS = {"toml": _toml, "zone": _zone, "ini": _ini, "json": _json, "yaml": _yaml, "tree": _tree}
"""How each kind of block is compared that is neither played nor Python."""
