"""The site: `make site` builds it of docs/, and a reader's browser asks nobody else."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="`make site` installs it, from Python 3.11 on")
ROOT = Path(__file__).parents[1]


pytestmark = pytest.mark.git


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as built, with warnings as errors: a link that leads nowhere is one."""
    built = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--fresh-env"]
    argv += ["--doctree-dir", str(built / "doctrees"), str(ROOT / "docs"), str(built / "html")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return built / "html"


class Loads(HTMLParser):
    """What a page has a browser fetch: scripts, styles, pictures; no link that one clicks."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "data") or (name == "href" and tag == "link"):
                self.found.add(value or "")


def test_every_page_is_built(site: Path) -> None:
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages <= {page.stem for page in site.glob("*.html")}


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    found = set().union(*(Loads(page.read_text("utf-8")).found for page in site.rglob("*.html")))
    assert any(load.startswith("_static/") for load in found)
    assert [load for load in found if ":" in load or load.startswith("//")] == []
    styles = [*site.rglob("*.css"), *site.rglob("*.svg")]
    outside = [
        style.name
        for style in styles
        if any(word in style.read_text("utf-8") for word in ("url(http", "url(//", "@import"))
    ]
    assert outside == []
