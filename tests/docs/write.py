"""Writes into pages of the book what really happens, where it is something else than what stands there:

    PYTHONPATH=.:docs/_ext python tests/docs/write.py docs/tutorial/*.md

A new transcript needs only its commands and what is typed; look at what comes before it is committed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from blocks import PLAYED, blocks
from playing import Player


def rewrite(page: Path) -> None:
    """Write into a page what happens."""
    with tempfile.TemporaryDirectory() as directory:
        player = Player(Path(directory), isWriting=True)
        text = page.read_text().splitlines()
        grown = 0
        try:
            for block in blocks(page):
                if block.excuse or block.test:
                    continue
                player.begin(block)
                if block.kind in PLAYED:
                    written = player.play(block)
                    start = block.line + grown
                    length = len(block.text.splitlines())
                    text[start : start + length] = written
                    grown += len(written) - length
        finally:
            player.close()
    page.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        rewrite(Path(name).resolve())
