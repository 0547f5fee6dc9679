"""The book: `make docs` builds it into docs/_build/html, and no warning is let pass."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from mailfw import __version__  # noqa: E402

project = "mailfw"
author = "the mailfw authors"
copyright = "the mailfw authors, MIT licence"
release = version = __version__

extensions = ["myst_parser", "sphinx_copybutton", "reference"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "newsfragments"]

myst_enable_extensions = ["colon_fence", "fieldlist", "deflist"]
myst_heading_anchors = 4
myst_fence_as_directive = []

smartquotes = False  # two hyphens are an option, not a dash

# Names are shown without their modules; links know them.
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 150
toc_object_entries_show_parents = "hide"

# What the standard library and Twisted call things has no page here.

nitpicky = True
nitpick_ignore_regex = [
    (
        "py:class",
        r"Any|Awaitable|AsyncIterator|BinaryIO|Callable|Collection|Generic|Iterable|Iterator|(Mutable)?Mapping|Sequence",
    ),
    ("py:class", r"[RT]|Row|Edits?|Operation|Result|Credentials|Change"),
]

html_theme = "furo"
html_title = "mailfw"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

# A command is copied without its prompt and without what it answered.
copybutton_prompt_text = r"\$ |# |> ?"
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"
copybutton_here_doc_delimiter = "END"
