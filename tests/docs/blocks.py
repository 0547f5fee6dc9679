"""The fenced blocks of the book, as the tests go through them.

A comment before a block says what a test cannot see by itself:

- `<!-- not run: WHY -->`: no test can run it. These are counted.
- `<!-- first: COMMAND -->`: what has to be done before, and is not worth a reader's time.

Anywhere on a page `<!-- played by TEST: KINDS -->` says that its blocks of these kinds are a matter of a test of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

PLAYED = ("console", "sh")
CHECKED = ("python", "toml", "json", "yaml", "zone", "ini", "tree")
ELSEWHERE = ("pycon",)
"""What only a test of its own can play."""

NEVER = ("text",)
"""What is shown, and has to say why nothing is done with it."""

KINDS = (*PLAYED, *CHECKED, *ELSEWHERE, *NEVER)
"""What can be run, or compared."""

_COMMENT = re.compile(r"<!-- (not run|first): (.*?) -->")

_PLAYED_BY = re.compile(r"^<!-- played by (\S+): (.*?) -->", re.MULTILINE)


@frozen
class Block:
    """:ivar line: its first line on the page, from 1. :ivar kind: the word after the fence. :ivar first: commands before it.

    :ivar excuse: why it is not run; empty: it is. :ivar test: that plays it instead of those here.
    """

    page: Path
    line: int
    kind: str
    text: str
    excuse: str = ""
    first: tuple[str, ...] = ()
    test: str = ""

    @property
    def place(self) -> str:
        """For a person to find it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def fileName(self) -> str:
        """The file that the block is, as its first line says; empty: it is none."""
        named = re.match(r"# ([\w./-]+\.\w+)\n", self.text)
        return named[1] if named and self.kind not in PLAYED else ""


def pages() -> list[Path]:
    """Every page of the book, and README."""
    found = (path for path in DOCS.rglob("*.md") if not {"_build", "newsfragments"} & set(path.parts))
    return [ROOT / "README.md", *sorted(found)]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, but for Sphinx's directives."""
    return list(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    marks: dict[str, list[str]] = {}
    text = page.read_text()
    elsewhere = {kind: test for test, kinds in _PLAYED_BY.findall(text) for kind in kinds.split()}
    for token in MarkdownIt().parse(text):
        if token.type == "html_block":
            for kind, text in _COMMENT.findall(token.content):
                marks.setdefault(kind, []).append(text)
        elif token.type in ("fence", "code_block") and token.map is not None:
            kind = token.info.strip() if token.type == "fence" else "indented"
            if not kind.startswith("{"):
                excuse = " ".join(marks.get("not run", []))
                first = tuple(marks.get("first", []))
                yield Block(page, token.map[0] + 1, kind, token.content, excuse, first, elsewhere.get(kind, ""))
            marks = {}
        elif token.type.endswith("_open"):
            marks = {}
