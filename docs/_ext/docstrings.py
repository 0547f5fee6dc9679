"""Our docstrings, read: sentences first, then fields such as `:param name:`, several of which may stand on one line."""

from __future__ import annotations

import inspect
import re

from attrs import frozen

_FIELD = re.compile(r":(param|raises|ivar)\s+([^:`]+):(?=\s|$)")


@frozen
class Docstring:
    """:ivar text: what stands before the first field. :ivar fields: kind, name and text of each, in their order."""

    text: str
    fields: tuple[tuple[str, str, str], ...]

    def named(self, kind: str) -> dict[str, str]:
        """Texts by name, of one kind of field."""
        return {name: text for each, name, text in self.fields if each == kind}


def read(docstring: str | None) -> Docstring:
    """Take a docstring apart. Fields that follow one another without a word share what the last of them says."""
    cleaned = inspect.cleandoc(docstring or "")
    text, *rest = _FIELD.split(cleaned)
    fields: list[tuple[str, str, str]] = []
    waiting: list[tuple[str, str]] = []
    for kind, names, said in zip(rest[0::3], rest[1::3], rest[2::3], strict=True):
        waiting += [(kind, name.strip()) for name in re.split(r",\s*", names)]
        # Several errors on one line need no words: their names say it.
        if said.strip() or kind == "raises":
            paragraphs = said.strip().split("\n\n", 1)
            fields += [(kind, name, " ".join(paragraphs[0].split())) for kind, name in waiting]
            waiting = []
            if len(paragraphs) > 1:
                text = f"{text.rstrip()}\n\n{paragraphs[1]}"
    return Docstring(text.strip(), (*fields, *((kind, name, "") for kind, name in waiting)))


def markdown(text: str) -> str:
    """The sentences as Markdown: examples at the prompt become blocks of code."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        isPrompt = paragraph.lstrip().startswith(">>>")
        paragraphs.append(f"```pycon\n{paragraph}\n```" if isPrompt else _plain(paragraph))
    return "\n\n".join(paragraphs)


def _plain(paragraph: str) -> str:
    """Outside code, what is Markdown by accident is text: `<>`, `*`, `_`."""
    pieces = re.split(r"(`[^`]*`)", paragraph)
    return "".join(piece if number % 2 else re.sub(r"([*_<\[])", r"\\\1", piece) for number, piece in enumerate(pieces))
