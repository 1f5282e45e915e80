"""--dir: claude on a layer over a folder, which stays as it is; on the real engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_container.sessions import model
from tests.conftest import TOKEN, Cli, Ran, StartModel, sh
from tests.gitsession import unique
from tests.running import bash
from tests.trees import everything, write

pytestmark = pytest.mark.engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is no repository, whose path has what paths can have."""
    made = tmp_path / "plain fo\\der, ünï:x"
    write(made, {"a.txt": "a\n", "sub/b.txt": "b\n", "sub/c.txt": "c\n"})
    return made


@pytest.fixture
def name() -> Iterator[str]:
    chosen = unique()
    yield chosen
    remove(chosen)


def remove(name: str) -> None:
    label = f"label={model.SESSION}={name}"
    for container in sh("docker", "ps", "--all", "--quiet", "--filter", label).split():
        subprocess.run(["docker", "rm", "-f", container], capture_output=True)
    for volume in volumes(name):
        subprocess.run(["docker", "volume", "rm", "-f", volume], capture_output=True)


def volumes(name: str) -> list[str]:
    label = f"label={model.SESSION}={name}"
    return sorted(sh("docker", "volume", "ls", "--quiet", "--filter", label).split())


class Works:
    """Have claude run a command in a session of --dir, by a scripted model."""

    def __init__(self, cli: Cli, start_model: StartModel, folder: Path, name: str) -> None:
        self._cli = cli
        self._start_model = start_model
        self.folder = folder
        self.name = name

    def __call__(self, command: str, *flags: str, cwd: Path | None = None, **env: str) -> Ran:
        answers = self._start_model([bash(command), {"text": "all done"}])
        words = ["--dir", str(self.folder), "-s", self.name, *answers.flags, *flags]
        env = {"CLAUDE_CODE_OAUTH_TOKEN": TOKEN, **env}
        return self._cli(*words, "--", "-p", "work", cwd=cwd, **env)


@pytest.fixture
def works(cli: Cli, start_model: StartModel, folder: Path, name: str) -> Works:
    return Works(cli, start_model, folder, name)


def test_claude_works_on_the_folder_and_the_folder_stays_as_it_is(
    works: Works, folder: Path
) -> None:
    before = everything(folder)
    first = works("cat a.txt && echo new >a.txt && rm sub/b.txt && mkdir n && echo n >n/n")
    assert (first.code, first.stdout) == (0, "all done\n"), first.stderr
    assert "⚠ --dir is deprecated: claude-container start NAME" in first.stderr
    assert everything(folder) == before
    # And goes on where it was, also with a folder that changed meanwhile.
    (folder / "later").write_text("seen")
    second = works(
        "cat a.txt n/n later | tr '\\n' ' ' >told && ls sub >>told && grep -q '^new n seen' told"
        " && ! [ -e sub/b.txt ] && touch good || touch bad"
    )
    assert second.code == 0, second.stderr
    assert sh("docker", "run", "--rm", "-v", f"{model.merged_volume(works.name)}:/w:ro",
              "--entrypoint", "ls", "ghcr.io/hypermemetic/claude-container:0.1.0", "/w") == ""
