"""How Sphinx builds the site; `make site` calls it."""

import re

from sphinx.application import Sphinx

project = "claude-container"
author = "claude-container contributors"
copyright = "claude-container contributors"
extensions = ["myst_parser"]
exclude_patterns = ["requirements.txt"]
html_theme = "furo"
html_title = "claude-container"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
# Links to headings have GitHub's anchors, so that they work there too.
myst_heading_anchors = 4
html_static_path = ["_static"]
html_css_files = ["site.css"]

_REPOSITORY = "https://github.com/hypermemetic/claude-container/blob/main/"


def _outside(app: Sphinx, name: str, source: list[str]) -> None:
    """What a page links to outside of docs/ is a file of the repository, and no page."""
    source[0] = re.sub(r"(?<=\]\()\.\./", _REPOSITORY, source[0])


def setup(app: Sphinx) -> None:
    app.connect("source-read", _outside)
