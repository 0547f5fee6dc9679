"""Sphinx extension: chapters made from the code.

A page says where by a line such as `<!-- generated: contracts mailfw.interfaces -->`, which is replaced by Markdown before
the page is read, so that headings, links and the index work as everywhere.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyClasslike

sys.path.insert(0, str(Path(__file__).parent))

import commands
import contracts
import listings
import settings
from transcript import TranscriptLexer

ROOT = Path(__file__).parents[2]

_MARK = re.compile(r"^<!-- generated: (\w+)(?: (\S+))? -->$", re.MULTILINE)

MAKERS = {
    "contracts": lambda module: contracts.chapter(ROOT, module),
    "commands": lambda _: commands.chapter(),
    "twistd": lambda _: commands.twistd(),
    "settings": lambda _: settings.chapter(),
    "plugins": lambda _: settings.plugins(),
    "standards": lambda _: listings.standards(ROOT),
    "news": lambda _: listings.news(ROOT),
}
"""What can be made, by the word in the mark."""


class PyInterface(PyClasslike):
    """A zope interface: a class to Sphinx, an interface to readers."""

    def run(self) -> list[nodes.Node]:
        """Sphinx's."""
        self.name = "py:class"
        return super().run()

    def get_signature_prefix(self, sig: str) -> list[addnodes.desc_sig_element]:
        """What stands before the name."""
        return [nodes.Text("interface"), addnodes.desc_sig_space()]


def generate(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put in what is to be made."""
    source[0] = _MARK.sub(lambda match: MAKERS[match[1]](match[2]), source[0])


def outdated(app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Pages that are made from code are made anew each time."""
    return [name for name in env.found_docs if _MARK.search(Path(env.doc2path(name)).read_text())]


def punctuate(app: Sphinx, doctree: nodes.document) -> None:
    """Between a field and what it means Sphinx writes two hyphens, and leaves the rest to quotes that we do not want changed."""
    for text in doctree.findall(nodes.Text):
        if str(text) == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's door."""
    app.connect("source-read", generate)
    app.connect("env-get-outdated", outdated)
    app.connect("doctree-read", punctuate)
    app.add_directive_to_domain("py", "interface", PyInterface)
    app.add_lexer("console", TranscriptLexer)
    for plain in ("tree", "zone"):
        app.add_lexer(plain, TextLexer)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
