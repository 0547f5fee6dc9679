"""Chapters that are made of other files: which RFC is kept how, the stages' table, and what is new."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

KINDS = {"feature": "New", "bugfix": "Mended", "doc": "Documentation"}
"""Kinds of newsfragments in the order of the page, with their headings; as in pyproject.toml."""


def standards(root: Path) -> str:
    """`docs/rfcs.tsv` as tables, one for each RFC."""
    _, *lines = (root / "docs" / "rfcs.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    written: list[str] = []
    for number, group in groupby(rows, key=lambda row: row[0]):
        name = f"[RFC {number}](https://www.rfc-editor.org/rfc/rfc{number}.html)" if number.isdigit() else number
        written += [f"## {name}", "", "| section or extension | how much | room |", "| --- | --- | --- |"]
        written += [f"| {' | '.join(_cell(cell) for cell in row[1:4])} |" for row in group]
        written.append("")
    return "\n".join(written)


def _cell(text: str) -> str:
    """Decisions are linked; what is Markdown by accident is text."""
    text = re.sub(r"([*_<|\[])", r"\\\1", text)
    return re.sub(r"\bdocs/decisions/(\d+)\b", r"decision \1", text)


def news(root: Path) -> str:
    """All newsfragments by kind, those of the latest issue first."""
    written: list[str] = []
    for kind, heading in KINDS.items():
        written += [f"## {heading}", ""]
        for path in _fragments(root, kind):
            text = path.read_text().strip()
            # A fragment whose paragraphs stand one a line is as many entries.
            written += [f"- {entry}" for entry in _entries(text)]
        written.append("")
    return "\n".join(written)


def _fragments(root: Path, kind: str) -> list[Path]:
    found = (root / "docs" / "newsfragments").glob(f"*.{kind}.md")
    return sorted(found, key=lambda path: (-int(path.name.partition(".")[0]), path.name))


def _entries(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        yield " ".join(line.strip().removeprefix("- ") for line in paragraph.splitlines())
