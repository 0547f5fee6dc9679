"""The chapters that are made from code leave nothing out."""

from __future__ import annotations

import inspect

import commands
import contracts
import listings
import pytest
import settings
from blocks import DOCS, ROOT
from docstrings import read
from zope.interface.interface import InterfaceClass

from mailfw import errors, interfaces, stages, tally, values

KEYS = [(table.heading, key) for table in settings.tables() for key in table.keys]


@pytest.mark.parametrize(("heading", "key"), KEYS, ids=lambda each: each if isinstance(each, str) else each.name)
def test_every_key_is_told(heading: str, key: settings.Key) -> None:
    """A key without a meaning helps nobody: say it as `:ivar name:` in its section's docstring."""
    assert key.meaning.strip() and key.meaning != "Must be said." and key.kind != "anything", key


def test_settings_are_as_people_write_them() -> None:
    keys = {f"{heading} {key.name}".strip(): key for heading, key in KEYS}
    assert keys["[limits] message_size"].default == '"50 MiB"' and keys["[limits] message_size"].kind == "size"
    assert keys["[queue] warn_after"].default == '"4h"' and keys["[[hook]] deadline"].default == '"10s"'
    assert keys["[auth] plaintext"].kind == '`"loopback"`, `"never"`, `"always"`'
    assert keys["hostname"].meaning.endswith("Must be said.")


@pytest.mark.parametrize("module", [interfaces, values, errors, stages, tally], ids=lambda module: module.__name__)
def test_every_public_class_has_its_place(module) -> None:
    chapter = contracts.chapter(ROOT, module.__name__)
    for name, thing in inspect.getmembers(module):
        isOurs = isinstance(thing, type | InterfaceClass) and thing.__module__.startswith(module.__name__)
        if isOurs and not name.startswith("_"):
            assert f"}} {name}\n:module: {module.__name__}" in chapter, name
        if isOurs and isinstance(thing, InterfaceClass):
            for method in thing.names():
                assert f"}} {method}" in chapter, f"{name}.{method}"


def test_every_command_has_its_place() -> None:
    chapter = commands.chapter()
    for words in ("mailfw", "mailfw user add", "mailfw queue bounce", "mailfw plugin new", "mailfw check-config"):
        assert f"# `{words}`\n" in chapter
    assert "`--password-stdin`" in chapter and "mailfw queue flush example.com" in chapter
    assert "--listen" in commands.twistd() and "--store STORE" in commands.twistd()


def test_fields_of_docstrings() -> None:
    doc = read("Text. :raises A, B: why\n\n:ivar x: :ivar y: both\n    of them. :ivar z: else.\n:raises C:\n")
    assert doc.text == "Text."
    assert doc.fields == (
        ("raises", "A", "why"),
        ("raises", "B", "why"),
        ("ivar", "x", "both of them."),
        ("ivar", "y", "both of them."),
        ("ivar", "z", "else."),
        ("raises", "C", ""),
    )


def test_listings_have_every_row() -> None:
    rows = len((DOCS / "rfcs.tsv").read_text().splitlines()) - 1
    tables = [line for line in listings.standards(ROOT).splitlines() if line.startswith("| ")]
    assert sum(not line.startswith(("| RFC", "| ---")) for line in tables) == rows
    fragments = list((DOCS / "newsfragments").glob("*.md"))
    assert listings.news(ROOT).count("\n- ") >= len(fragments)
    assert {path.name.split(".")[-2] for path in fragments} <= set(listings.KINDS)


def test_every_plugin_is_listed() -> None:
    table = settings.plugins()
    assert all(f"| `{each.word}` |" in table for each in settings.BUILT_IN)
    assert set(settings.PLACES) == set(settings.Kind)
