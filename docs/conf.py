"""How Sphinx makes a site of the documents: ``nox -s docs``. Warnings are errors there.

README.md, CONTRIBUTING.md and CHANGELOG.md stand at the root, where people look for them;
``index.md`` and two pages of the same names here include them. Nothing is fetched: links to
other sites are links, and no inventory of another site is read.
"""

from __future__ import annotations

import re
from typing import Any

from desim import __version__

project = "desim"
copyright = "the authors of desim; MIT licence"  # noqa: A001 - Sphinx's own name for it
version = release = __version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_heading_anchors = 3  # links to headings, as GitHub makes them
highlight_language = "none"  # a block without a language is what a program printed

smartquotes = False  # --option must stay what one types

autodoc_member_order = "bysource"
autodoc_class_signature = "separated"  # how an object is made is not always for users
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = f"desim {version}"
html_theme_options = {"source_directory": "docs/"}
html_static_path = ["_static"]
html_css_files = ["desim.css"]
html_copy_source = False


def _from_the_root(app: Any, docname: str, source: list[str]) -> None:
    """Links of a page to the files at the root go to the pages that include them."""
    source[0] = re.sub(r"\]\(\.\./(CONTRIBUTING|CHANGELOG)\.md", r"](\1.md", source[0])
    source[0] = source[0].replace("](../README.md", "](index.md")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _from_the_root)
