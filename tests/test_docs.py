"""The documentation says what the program does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from claude_container import images
from claude_container.cli import main
from claude_container.cli.main import FLAGS, VERBS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TESTS = ROOT / "tests"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
GENERATED = [DOCS / "commands.md", DOCS / "configuration.md"]
_BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(rf"{_BLOCK.pattern}|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["commands", "configuration"])
def test_what_is_written_from_the_code_is_current(script: str) -> None:
    argv = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), "--check"]
    checked = subprocess.run(argv, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_told_of_beside_the_reference(verb: str) -> None:
    written = [page for page in PAGES if page not in GENERATED]
    assert any(f"claude-container {verb}" in read(page) for page in written)


@pytest.mark.parametrize("verb", VERBS)
def test_no_line_of_a_help_ends_within_a_flag_or_name(verb: str) -> None:
    command = main.cli.get_command(click.Context(main.cli), verb)
    assert command
    help = command.get_help(click.Context(command, info_name=verb, terminal_width=78))
    assert [line for line in help.splitlines() if re.search(r"\w-$", line)] == []


def test_what_an_image_needs_is_what_is_looked_for() -> None:
    named = re.search(r"^\| `(cat .*?)` \|", (ROOT / "docs" / "own-images.md").read_text(), re.M)
    looked_for = re.search(r"for program in (cat .*?);", (images.RECIPES / "look.sh").read_text())
    assert named and looked_for
    assert named[1] == looked_for[1]


def test_the_originals_flags_lead_to_verbs() -> None:
    assert set(FLAGS.values()) <= set(VERBS)


def typed() -> Iterator[str]:
    """Every call of ours that a page shows, on a line to type or within a sentence."""
    shown = re.compile(r"(?:^\$ |&& |`)(claude-container [^`\n]*)", re.MULTILINE)
    for page in PAGES:
        for call in shown.findall("" if page in GENERATED else read(page)):
            words = re.split(r" +(?:&&|[|<>#])", call)[0].strip()
            # A verb alone is its name.
            if words.split()[1:] not in [[verb] for verb in VERBS]:
                yield words


@pytest.mark.parametrize("call", sorted(set(typed())))
def test_what_a_page_tells_to_type_is_understood(
    call: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: 0)
    _, *words = shlex.split(call)
    assert (main.main(words), capsys.readouterr().err) == (0, "")


# Links


def links(text: str) -> list[str]:
    """Where a text leads, but for its code, in which a bracket is no link."""
    return _LINK.findall(_CODE.sub("", text))


def anchors(text: str) -> set[str]:
    """What links to headings are called, by GitHub and on the site."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> Iterator[str]:
    """The links of a page with this text that lead to nothing in the repository.

    Nothing is fetched: whether others keep their pages is not for a test to say.
    """
    for link in links(text):
        path, _, anchor = link.partition("#")
        if re.match(r"https?:|mailto:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        there = target.is_relative_to(ROOT) and target.exists()
        if there and anchor:
            there = anchor in anchors(text if target == page else read(target))
        if not there:
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    assert list(broken(page, read(page))) == []


def test_a_link_to_nothing_is_found() -> None:
    there = "[a](ci.md) [b](#a-heading) [c](../README.md) [d](https://example.com/x)"
    gone = "[e](none.md) [f](#none) [g](ci.md#none) [h](../../elsewhere)"
    text = f"# A `heading`\n\n{there} {gone} `[i](code)`\n\n```\n# no heading\n[j](code)\n```\n"
    found = list(broken(DOCS / "index.md", text))
    assert found == ["none.md", "#none", "ci.md#none", "../../elsewhere"]


def test_the_first_page_names_every_other() -> None:
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    assert pages - set(links(read(DOCS / "index.md"))) == set()


# Promises


def test_every_test_that_holds_a_promise_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", read(DOCS / "security.md"))
    assert len(named) > 40
    gone = [f"{file}::{name}" for file, name in named if f"def {name}(" not in read(TESTS / file)]
    assert gone == []


def test_every_promise_names_a_test() -> None:
    held = read(DOCS / "security.md").partition("## The token")[2].partition("## Not promised")[0]
    rows = [line for line in held.splitlines() if line.startswith("| ") and "| test |" not in line]
    assert len(rows) > 25
    assert [row for row in rows if not row.split("|")[3].strip().startswith("`test_")] == []
