"""The quick start, typed line by line as the page has it, with the real claude on a terminal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROGRAM, StartModel
from tests.gitsession import git, make_repository, remove, unique
from tests.running import bash
from tests.test_terminal import Terminal, ask

pytestmark = pytest.mark.engine

PAGE = Path(__file__).parents[1] / "docs" / "quick-start.md"
FIX = "echo mended >>a.txt; git commit -qam 'Mend it'"


def lines() -> list[str]:
    """What is to be typed once there is a token."""
    said = PAGE.read_text(encoding="utf-8").partition("$ cd your/project\n")[2]
    return re.findall(r"^\$ (.*)$", said, re.MULTILINE)


@pytest.fixture
def name() -> Iterator[str]:
    chosen = unique()
    yield chosen
    remove(chosen)


def test_every_line_does_what_the_page_says(
    home: Path,
    tmp_path: Path,
    name: str,
    start_model: StartModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = start_model([bash(FIX), {"text": "Fixed and committed."}])
    settings = home / ".config" / "claude-container" / "config.toml"
    settings.parent.mkdir(parents=True)
    network, address = model.flags[1], model.flags[3]
    settings.write_text(f'network = "{network}"\nenv = ["{address}"]\n')
    monkeypatch.setenv("PATH", f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PAGER", "cat")
    repo = make_repository(tmp_path / "project")
    before = git(repo, "rev-parse", "HEAD")

    ended = {}
    for line in lines():
        # The page's name may be that of somebody's session, on this engine.
        typed = re.sub(r"(claude-container \w+) fix\b", rf"\1 {name}", line).partition("  #")[0]
        verb, *rest = typed.split()[1:]
        terminal = Terminal(["bash", "-c", typed], repo, rows=50)
        if verb == "start" and "-p" not in rest:
            terminal.until_text("bypass permissions on")
            ask(terminal, "/exit")
        elif verb == "merge" and "--undo" not in rest:
            terminal.until_text("Bring this into main?")
            terminal.type("y\r")
        ended[line] = terminal.wait()
        if verb == "merge":
            there = git(repo, "log", "--format=%an: %s", f"{before}..")
            assert there == ("" if "--undo" in rest else "Claude: Mend it"), terminal.read()
    # The merge was taken back, so work would be lost.
    assert [line.split()[1] for line, code in ended.items() if code != 0] == ["delete"]
    assert len(ended) >= 9
