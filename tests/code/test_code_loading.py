"""Modules of functions, imported and imported again."""

from __future__ import annotations

import os
import sys

import pytest

from mailfw.code.loading import Loaded, exceptionLine, load

ONE = 'from mailfw import mail\n@mail.route("one-{n:int}@example.org")\ndef one(message, n): return VALUE\n'


@pytest.fixture
def place(tmp_path):
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in ("first", "second", "helper"):
        sys.modules.pop(name, None)


def returned(loaded):
    return [(route.name, route.function(None, n=0)) for route in loaded.all]


def test_a_changed_file_is_imported_again(place):
    (place / "first.py").write_text("VALUE = 1\n" + ONE)
    before = load(["first"], str(place))
    assert returned(before) == [("first.one", 1)]
    assert load(["first"], str(place), before) is before, "what has not changed stays as it is, with what it keeps"
    (place / "first.py").write_text("VALUE = 2\n" + ONE)
    assert returned(load(["first"], str(place), before)) == [("first.one", 2)], "though it is of the same second and size"


def test_what_editors_leave_there_keeps_nobody_out(place):
    """Emacs marks what is being edited by a link that leads nowhere; a name need be no text."""
    (place / "first.py").write_text("VALUE = 1\n" + ONE)
    (place / ".#first.py").symlink_to("somebody@host.1:2")
    (place / "folder.py").mkdir()
    (place / os.fsdecode(b"\xff.py")).write_text("")
    before = load(["first"], str(place))
    assert returned(before) == [("first.one", 1)]
    (place / ".#first.py").unlink()
    (place / "first.py").write_text("VALUE = 2\n" + ONE)
    assert returned(load(["first"], str(place), before)) == [("first.one", 2)]


def test_what_it_imports_is_imported_again_too(place):
    (place / "helper.py").write_text("VALUE = 1\n")
    (place / "first.py").write_text("from helper import VALUE\n" + ONE)
    before = load(["first"], str(place))
    (place / "helper.py").write_text("VALUE = 2\n")
    assert returned(load(["first"], str(place), before)) == [("first.one", 2)]


@pytest.mark.parametrize("broken", ["import nonesuch", "def f(:", "raise SystemExit(3)", "1 / 0"])
def test_a_broken_module_keeps_what_it_had_and_holds_up_no_other(place, broken):
    (place / "first.py").write_text("VALUE = 1\n" + ONE)
    (place / "second.py").write_text("VALUE = 1\n" + ONE.replace("one", "two"))
    before = load(["first", "second"], str(place))
    (place / "first.py").write_text(broken + "\n")
    (place / "second.py").write_text("VALUE = 2\n" + ONE.replace("one", "two"))
    after = load(["first", "second"], str(place), before)
    assert returned(after) == [("first.one", 1), ("second.two", 2)]
    (failed,) = after.failures
    assert failed.module == "first" and "(first.py:1)" in str(failed) and "first.py" in failed.traceback
    (place / "first.py").write_text("VALUE = 3\n" + ONE)
    mended = load(["first", "second"], str(place), after)
    assert returned(mended) == [("first.one", 3), ("second.two", 2)] and not mended.failures


def test_a_module_that_is_not_there(place):
    (failed,) = load(["first"], str(place)).failures
    assert str(failed) == "module first cannot be imported: ModuleNotFoundError: No module named 'first'"


def test_a_file_that_is_called_as_another_module_takes_nothing_from_anybody(place):
    import json

    (place / "json.py").write_text("")
    (place / "first.py").write_text("VALUE = 1\n" + ONE)
    assert returned(load(["first"], str(place))) == [("first.one", 1)] and sys.modules["json"] is json


def test_packages_and_nested_functions(place):
    (place / "first").mkdir()
    (place / "first" / "__init__.py").write_text("from first import inner\n")
    (place / "first" / "inner.py").write_text(
        "from mailfw import mail\n"
        "for each in ('a', 'b'):\n"
        "    @mail.route(f'{each}@example.org')\n"
        "    def handle(message, which=each): return which\n"
    )
    loaded = load(["first"], str(place))
    assert [(str(route.pattern), route.function(None)) for route in loaded.all] == [
        ("a@example.org", "a"),
        ("b@example.org", "b"),
    ]
    for name in ("first", "first.inner"):
        sys.modules.pop(name)


def test_nothing_is_named():
    assert load([], "").all == Loaded().all == []


def test_exceptions_in_a_line():
    try:
        raise ValueError("a\nb\x1b[31m" + "c" * 1000)
    except ValueError as error:
        line = exceptionLine(error)
    assert line.startswith("ValueError: a b [31mccc") and len(line) < 360 and line.isprintable()
