"""Chapters that are made of other files: which RFC is kept how, the stages' table, and what is new."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

KINDS = {"feature": "New", "bugfix": "Mended", "doc": "Documentation"}
"""Kinds of newsfragments in the order of the page, with their headings; as in pyproject.toml."""


def standards(root: Path) -> str:
    """`docs/rfcs.tsv` as one table, the number once for all rows of an RFC."""
    _, *lines = (root / "docs" / "rfcs.tsv").read_text().splitlines()
    written = ["| RFC | section or extension | how much | room |", "| --- | --- | --- | --- |"]
    before = ""
    for number, *cells in (line.split("\t") for line in lines):
        link = f"[{number}](https://www.rfc-editor.org/rfc/rfc{number}.html)" if number.isdigit() else number
        written.append(f"| {' | '.join([link if number != before else '', *(_cell(cell, root) for cell in cells[:3])])} |")
        before = number
    return "\n".join(written)


def _cell(text: str, root: Path) -> str:
    """What is Markdown by accident is text; decisions are linked."""
    text = re.sub(r"([*_<|\[])", r"\\\1", text)
    return re.sub(r"\bdocs/decisions/(\d+)\b", lambda match: _decision(match[1], root), text)


def _decision(number: str, root: Path) -> str:
    (page,) = (root / "docs" / "decisions").glob(f"{number}-*.md")
    return f"[decision {number}](../decisions/{page.name})"


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
