"""Every key of a TOML document has its line."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfw.app.positions import Path, Positions

DOCUMENT = '''# a comment = 1
hostname = "x#y" # "z"
domains = ["a", # "]
  "b", [1,
 {x = 1, "y.z" = [2, 3]}]]
text = """
[not] a = 1 \\"""
""""
literal = \'\'\'
[[no]]\'\'\'
a.b . "c d" = 1979-05-27 07:32:00
[auth]
sources=["x"]
 [ tls . 'x' ]
k = {a=1,b={c=2}}
[[listen]]
service = "a"
[[listen]]
service = "b"
[listen.sub]
x=1
[[listen.inner]]
y=1
[[listen.inner]]
y=2'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("hostname",), 2),
        (("domains", 0), 3),
        (("domains", 1), 4),
        (("domains", 2, 1, "y.z", 1), 5),
        (("text",), 6),
        (("literal",), 9),
        (("a", "b", "c d"), 11),
        (("auth", "sources"), 13),
        (("tls",), 14),
        (("tls", "x", "k", "b", "c"), 15),
        (("listen",), 16),
        (("listen", 0, "service"), 17),
        (("listen", 1), 18),
        (("listen", 1, "service"), 19),
        (("listen", 1, "sub", "x"), 21),
        (("listen", 1, "inner", 0, "y"), 23),
        (("listen", 1, "inner", 1, "y"), 25),
    ],
)
def test_lines(path: Path, line: int) -> None:
    tomllib.loads(DOCUMENT)
    assert Positions(DOCUMENT).lineOf(path) == line


def test_whatIsMissingStandsWhereItsTableDoes() -> None:
    positions = Positions(DOCUMENT)
    assert positions.lineOf(("auth", "plaintext")) == 12
    assert positions.lineOf(("listen", 1, "endpoint")) == 18
    assert positions.lineOf(("nowhere", "at", "all")) == 1
    assert Positions("").lineOf(("hostname",)) == 1


KEYS = st.text(st.sampled_from("ab\"'#.=[] \\é\n"), max_size=4)
SCALARS = st.one_of(st.integers(-5, 5), st.booleans(), st.text(st.sampled_from("x\"'#=[]{},\\ \n\té"), max_size=8))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6)


def basic(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


def written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return basic(value)
    if isinstance(value, list):
        return "[" + ", ".join(written(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{basic(key)} = {written(item)}" for key, item in value.items()) + "}"
    return str(value)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_whatAnyDocumentHoldsHasItsOwnLine(document: dict[str, Any]) -> None:
    text = "\n".join(f"{basic(key)} = {written(value)}" for key, value in document.items())
    assert tomllib.loads(text) == document
    positions = Positions(text)
    for line, (key, value) in enumerate(document.items(), 1):
        assert positions.lineOf((key,)) == line
        if isinstance(value, dict | list):
            for inner in value if isinstance(value, dict) else range(len(value)):
                assert positions.lineOf((key, inner)) == line
