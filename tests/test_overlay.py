"""--dir: claude on a layer over a folder, which stays as it is; on the real engine."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_container import images
from claude_container.engines.docker import Docker
from claude_container.host import launcher_id
from claude_container.sessions import lay, layered, model, overlay
from tests.conftest import TOKEN, Cli, Ran, StartModel, sh
from tests.conftest import PlainProgress as Quiet
from tests.gitsession import git_session, make_repository, unique
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


@contextlib.contextmanager
def looked(docker: Docker, name: str) -> Iterator[layered.Layered]:
    found = overlay.find(docker, name)
    assert found is not None
    with layered.look(docker, found, Quiet()) as seen:
        yield seen


def inside(name: str, script: str) -> str:
    """Run a shell script as root where claude works; return what it prints."""
    volume = f"{model.merged_volume(name)}:{model.WORKSPACE}"
    argv = ["docker", "run", "--rm", "--network", "none", "-v", volume]
    argv += ["--workdir", model.WORKSPACE, "--entrypoint", "/bin/sh", images.DEFAULT]
    return sh(*argv, "-euc", script)


def test_claude_works_on_the_folder_and_the_folder_stays_as_it_is(
    works: Works, folder: Path
) -> None:
    before = everything(folder)
    first = works("cat a.txt && echo new >a.txt && rm sub/b.txt && mkdir n && echo n >n/n")
    assert (first.code, first.stdout) == (0, "all done\n"), first.stderr
    assert "⚠ --dir is deprecated: claude-container start NAME" in first.stderr
    assert everything(folder) == before
    # And goes on where it was; what is new in the folder is seen.
    (folder / "later").write_text("later\n")
    second = works("cat a.txt n/n later >told; ls sub >>told")
    assert second.code == 0, second.stderr
    assert inside(works.name, "cat told") == "new\nn\nlater\nc.txt\n"
    assert volumes(works.name) == sorted(
        [
            model.changes_volume(works.name),
            model.merged_volume(works.name),
            model.state_volume(works.name),
        ]
    )


def test_a_look_tells_all_that_changed(
    docker: Docker, works: Works, name: str, tmp_path: Path
) -> None:
    """Of layers that are laid by the kernel's own rules: whiteouts, opaque folders, renames."""
    write(works.folder, {p: f"{p}\n" for p in ("x/1", "x/2", "x/3/4", "same", "gone", "to/dir")})
    (works.folder / "ln").symlink_to("a.txt")
    (works.folder / "prog").write_text("p")
    assert works("true").code == 0
    inside(
        name,
        "rm gone; rm -r x; mkdir x; echo new >x/1; echo more >x/5; chmod +x prog; chmod 600 same;"
        "rm ln; ln -s b ln; ln -s nowhere new-ln; mv sub moved; rm -r to; echo f >to; mkdir void;"
        "mkfifo pipe; mkdir -p .git/hooks; echo evil >.git/hooks/pre-commit; touch a.txt;"
        "printf w >'we\\ird \"ünï\n:x'; rm a.txt; mkdir a.txt; echo inner >a.txt/inner",
    )
    with looked(docker, name) as seen:
        assert set(seen.changed) == {
            *("gone", "x/1", "x/2", "x/3/4", "x/5", "prog", "ln", "new-ln"),
            *("sub/b.txt", "sub/c.txt", "moved/b.txt", "moved/c.txt", "to/dir", "to"),
            *('we\\ird "ünï\n:x', "a.txt", "a.txt/inner"),
        }
        shown = seen.repository.git("diff-tree", "-r", "--raw", seen.base, seen.head, "--", "prog")
        assert shown.text.startswith(":100644 100755")
        assert seen.repository.git("show", f"{seen.head}:x/1").stdout == b"new\n"
        assert seen.repository.git("show", f"{seen.base}:x/1").stdout == b"x/1\n"
        assert {kind: left.paths for kind, left in seen.left.items()} == {
            "git": (".git",),
            "special": ("pipe",),
            "empty": ("void",),
            "modes": ("same",),
        }


# Its life: listed, refused, deleted


def test_it_is_listed_and_deleted_only_when_nothing_is_lost_or_it_is_told_to(
    works: Works, cli: Cli, name: str
) -> None:
    assert works("echo new >a.txt; rm sub/c.txt").code == 0
    row = next(row for row in json.loads(cli("list", "--json").stdout) if row["name"] == name)
    assert (row["kind"], row["directory"]) == ("overlay", str(works.folder))
    assert row["volumes"] == [
        model.merged_volume(name),
        model.changes_volume(name),
        model.state_volume(name),
    ]
    assert name in cli("list").stdout.split("Layers over a directory")[1]
    refused = cli("delete", name)
    assert refused.code == 1
    assert "2 changes that its folder does not have:" in refused.stderr
    assert "a.txt" in refused.stderr and "sub/c.txt" in refused.stderr
    cleaned = cli("cleanup", "--merged", "--yes")
    assert name not in cleaned.stdout and len(volumes(name)) == 3, cleaned
    # What the folder has, too, is not lost.
    (works.folder / "a.txt").write_text("new\n")
    (works.folder / "sub" / "c.txt").unlink()
    done = cli("delete", name)
    assert (done.code, volumes(name)) == (0, []), done.stderr


def test_force_deletes_it_and_the_original_s_volumes_are_something_else(
    works: Works, cli: Cli, name: str
) -> None:
    assert works("echo new >a.txt").code == 0
    original = f"session-data-{name}-old"
    sh("docker", "volume", "create", original)
    try:
        rows = {row["name"]: row["kind"] for row in json.loads(cli("list", "--json").stdout)}
        assert (rows[name], rows[f"{name}-old"]) == ("overlay", "original")
        words = ("--dir", str(works.folder), "-s", f"{name}-old", "--env", "ANTHROPIC_API_KEY=x")
        refused = cli(*words)
        assert refused.code == 1 and "not of this tool" in refused.stderr
        assert original in sh("docker", "volume", "ls", "--quiet").split()
    finally:
        sh("docker", "volume", "rm", original)
    assert cli("delete", "--force", name).code == 0
    assert volumes(name) == []
    assert everything(works.folder)


def test_a_running_one_refuses_a_second_and_its_deletion(works: Works, cli: Cli, name: str) -> None:
    assert works("true").code == 0
    labels = {model.KIND: model.OVERLAY_KIND, model.SESSION: name, model.LAUNCHER: launcher_id()}
    argv = ["docker", "run", "--detach", "--init", "--network", "none", "--name"]
    argv += [model.container_name(name), *(f"--label={k}={v}" for k, v in labels.items())]
    argv += ["-v", f"{model.merged_volume(name)}:/workspace", "--entrypoint", "sleep"]
    sh(*argv, images.DEFAULT, "600")
    second = works("true")
    assert second.code == 1 and "in use by another launch" in second.stderr
    refused = cli("delete", name)
    assert refused.code == 1 and f"session {name} is running" in refused.stderr
    assert len(volumes(name)) == 3


def test_a_name_that_is_taken_is_told(
    cli: Cli, folder: Path, docker: Docker, name: str, tmp_path: Path
) -> None:
    lay.make(docker, name, folder, Quiet())
    key = ("--env", "ANTHROPIC_API_KEY=x")
    other = tmp_path / "other"
    other.mkdir()
    told = cli("--dir", str(other), "-s", name, *key)
    assert told.code == 2 and f"session {name} works on {folder}" in told.stderr
    told = cli("--dir", str(folder), "-s", name.upper(), *key)
    assert told.code == 2 and "unique whatever the case" in told.stderr
    repo = make_repository(tmp_path / "repo")
    told = cli("start", name, "--no-enter", cwd=repo)
    assert told.code == 2 and f"{name} is a session of --dir" in told.stderr
    with git_session(cli, repo) as session:
        told = cli("--dir", str(folder), "-s", session.name, *key)
        assert told.code == 2 and "is a git session" in told.stderr
    labels = {model.KIND: model.STATE_KIND, model.SESSION: f"{name}2", model.DIRECTORY: "/x"}
    flags = [f"--label={key}={value}" for key, value in labels.items()]
    sh("docker", "volume", "create", *flags, model.state_volume(f"{name}2"))
    try:
        told = cli("--dir", str(folder), "-s", f"{name}2", *key)
        assert told.code == 2 and "is a conversation about /x" in told.stderr
    finally:
        remove(f"{name}2")
