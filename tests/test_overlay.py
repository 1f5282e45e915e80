"""--dir: claude on a layer over a folder, which stays as it is; on the real engine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from claude_container import images
from claude_container.engines.base import Streams
from claude_container.engines.docker import Docker
from claude_container.host import launcher_id
from claude_container.process import NOTHING
from claude_container.sessions import lay, layered, model, overlay
from claude_container.wire.bounds import Limits
from tests.conftest import TOKEN, Cli, Ran, StartModel, sh
from tests.conftest import PlainProgress as Quiet
from tests.gitsession import git_session, make_repository, unique
from tests.running import bash
from tests.test_cleanup import Only
from tests.test_cleanup import only as only
from tests.test_start_cut_short import _WRAPPER as WRAPPER
from tests.trees import FILE, LINK, PROGRAM, everything, held, write

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
    with layered.look(docker, found, Quiet(), limits=Limits()) as seen:
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
        "mkdir -p made/.git inner/.git; echo y >made/f; touch inner/.git/x;"
        "printf w >'we\\ird \"ünï\n:x'; rm a.txt; mkdir a.txt; echo inner >a.txt/inner",
    )
    with looked(docker, name) as seen:
        assert set(seen.changed) == {
            *("gone", "x/1", "x/2", "x/3/4", "x/5", "prog", "ln", "new-ln"),
            *("sub/b.txt", "sub/c.txt", "moved/b.txt", "moved/c.txt", "to/dir", "to"),
            *('we\\ird "ünï\n:x', "a.txt", "a.txt/inner", "made/f"),
        }
        shown = seen.repository.git("diff-tree", "-r", "--raw", seen.base, seen.head, "--", "prog")
        assert shown.text.startswith(":100644 100755")
        assert seen.repository.git("show", f"{seen.head}:x/1").stdout == b"new\n"
        assert seen.repository.git("show", f"{seen.base}:x/1").stdout == b"x/1\n"
        assert {kind: left.paths for kind, left in seen.left.items()} == {
            "git": (".git", "inner/.git", "made/.git"),
            "special": ("pipe",),
            "empty": ("void",),
            "modes": ("same",),
        }


def test_an_empty_folder_gets_nothing_of_the_image_s(
    cli: Cli, docker: Docker, name: str, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    os.chown(empty, 1234, 4321)
    empty.chmod(0o2775)
    lay.make(docker, name, empty, Quiet())
    shown = cli("exec", name, "--", "sh", "-c", "ls -A; stat -c %u:%g:%a .")
    assert shown.stdout == "1234:4321:2775\n", shown.stderr
    assert "nothing that its folder does not have" in cli("diff", name).stdout


def test_claude_never_works_where_no_overlay_is(docker: Docker, name: str) -> None:
    """As where the session was deleted between two calls, and the engine made a new volume."""
    bare = lay.container(name, "enter", mounts=(overlay.merged(name),))
    said = bytearray()
    ended = docker.attach(docker.create(bare), Streams(stdin=NOTHING, stderr=said.extend))
    assert (ended.code, bytes(said)) == (95, "✗ no overlay is laid over the folder\n".encode())


# Its life: listed, refused, deleted


def test_it_is_listed_and_deleted_only_when_nothing_is_lost_or_it_is_told_to(
    works: Works, cli: Cli, name: str, only: Only
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
    cleaned = cli("cleanup", "--merged", "--yes", **only(name))
    assert "nothing to clean up" in cleaned.stderr and len(volumes(name)) == 3, cleaned
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
    assert second.code == 1 and "in use by another command" in second.stderr
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


# diff and merge


def test_diff_shows_what_is_otherwise_than_in_the_folder(
    cli: Cli, docker: Docker, folder: Path, name: str
) -> None:
    lay.make(docker, name, folder, Quiet())
    inside(name, "echo 2 >>a.txt; rm sub/b.txt; echo x >new; chmod 600 sub/c.txt; mkdir e .git")
    shown = cli("diff", name)
    assert shown.code == 0, shown.stderr
    assert shown.stdout.splitlines()[1:] == [
        "3 files, +2 -1",
        "M  a.txt      +1",
        "A  new        +1",
        "D  sub/b.txt  -1",
    ]
    assert "⚠ with other permissions, which stay there: sub/c.txt" in shown.stderr
    assert "⚠ an empty folder, and stays there: e" in shown.stderr
    assert "⚠ of git, and stays there: .git" in shown.stderr
    assert cli("diff", name, "--name-only").stdout == "a.txt\nnew\nsub/b.txt\n"
    assert "+2\n" in cli("diff", name, "--patch", "--", "a.txt").stdout
    data = json.loads(cli("diff", name, "--json").stdout)
    assert [file["status"] for file in data["files"]] == ["M", "A", "D"]
    assert data["left"]["empty"] == {"count": 1, "paths": ["e"]}


def test_merge_brings_files_deletions_modes_and_links_and_keeps_owners(
    cli: Cli, docker: Docker, folder: Path, name: str
) -> None:
    owner = (1234, 4321)
    write(folder, {"prog": "p", "old/one": "1", "own": "o\n"})
    os.chown(folder / "own", *owner)
    (folder / "own").chmod(0o604)
    lay.make(docker, name, folder, Quiet())
    inside(
        name,
        "echo 2 >>a.txt; rm sub/b.txt; mkdir -p n/n; echo x >n/n/x; chmod +x prog; ln -s a.txt ln;"
        "rm -r old; echo file >old; echo more >>own",
    )
    before = everything(folder)
    told = cli("merge", name, "--dry-run")
    assert told.code == 0 and "  deleted  sub/b.txt" in told.stdout, told.stderr
    assert everything(folder) == before
    refused = cli("merge", name)
    assert refused.code == 2 and "no terminal" in refused.stderr
    done = cli("merge", name, "--all")
    assert done.code == 0, done.stderr
    assert held(folder) == {
        "a.txt": (FILE, b"a\n2\n"),
        "sub/c.txt": (FILE, b"c\n"),
        "n/n/x": (FILE, b"x\n"),
        "prog": (PROGRAM, b"p"),
        "ln": (LINK, b"a.txt"),
        "old": (FILE, b"file\n"),
        "own": (FILE, b"o\nmore\n"),
    }
    told_of = (folder / "own").stat()
    assert (told_of.st_uid, told_of.st_gid, told_of.st_mode & 0o777) == (*owner, 0o604)
    again = cli("merge", name, "--all")
    assert again.code == 0 and "nothing new" in again.stdout


def test_a_file_that_changed_in_the_folder_meanwhile_is_a_conflict_and_nothing_is_written(
    cli: Cli, docker: Docker, folder: Path, name: str
) -> None:
    lay.make(docker, name, folder, Quiet())
    inside(name, "echo theirs >>a.txt; rm sub/b.txt; echo new >new")
    (folder / "a.txt").write_text("mine\n")
    (folder / "sub" / "b.txt").write_text("mine too\n")
    before = everything(folder)
    assert "changed in the folder since, too: a.txt" in cli("diff", name).stdout
    refused = cli("merge", name, "--all")
    assert refused.code == 1 and "a conflict: nothing was written" in refused.stderr
    assert "a.txt: changed here and in the session" in refused.stderr
    assert "sub/b.txt: changed here, deleted in the session" in refused.stderr
    assert everything(folder) == before


def test_a_folder_that_took_the_place_of_another_is_a_change(
    cli: Cli, docker: Docker, folder: Path, name: str
) -> None:
    """Its files are as old as they were."""
    write(folder, {"other/b.txt": "mine\n", "other/deep/x": "x\n", "sub/deep/x": "y\n"})
    lay.make(docker, name, folder, Quiet())
    inside(name, "echo theirs >sub/b.txt; echo theirs >sub/deep/x; echo theirs >a.txt")
    (folder / "sub").rename(folder / "before")
    (folder / "other").rename(folder / "sub")
    before = everything(folder)
    refused = cli("merge", name, "--all")
    assert refused.code == 1 and "a conflict: nothing was written" in refused.stderr
    assert "sub/b.txt" in refused.stderr and "sub/deep/x" in refused.stderr
    assert "a.txt" not in refused.stderr.replace("sub/", "")
    assert everything(folder) == before


def test_what_the_session_writes_by_a_rename_does_not_hide_the_users_change(
    cli: Cli, docker: Docker, folder: Path, name: str
) -> None:
    """As `sed -i` and formatters do: the file of the layer is then newer than the user's."""
    lay.make(docker, name, folder, Quiet())
    inside(name, "echo one >>a.txt")
    time.sleep(1.1)  # a session's beginning is known by the second
    (folder / "a.txt").write_text("mine\n")
    inside(name, "sed -i s/one/two/ a.txt")
    assert cli("merge", name, "--all").code == 1
    assert (folder / "a.txt").read_text() == "mine\n"


def test_a_merge_that_was_is_no_change_of_the_user_s_own(
    cli: Cli, docker: Docker, folder: Path, name: str
) -> None:
    """What claude goes on to write in place is on top of what the folder got."""
    lay.make(docker, name, folder, Quiet())
    inside(name, "echo one >>a.txt; echo new >new")
    assert cli("merge", name, "--all").code == 0
    inside(name, "echo two >>a.txt; echo newer >>new")
    second = cli("merge", name, "--all")
    assert second.code == 0, second.stderr
    assert (folder / "a.txt").read_text() == "a\none\ntwo\n"
    assert (folder / "new").read_text() == "new\nnewer\n"
    # But what the user then changes is.
    (folder / "a.txt").write_text("mine\n")
    inside(name, "echo three >>a.txt")
    assert cli("merge", name, "--all").code == 1


def test_merge_can_delete_it_afterwards_unless_it_holds_more(
    cli: Cli, docker: Docker, folder: Path, name: str
) -> None:
    lay.make(docker, name, folder, Quiet())
    inside(name, "echo one >>a.txt; mkdir empty")
    kept = cli("merge", name, "--all", "--delete")
    assert kept.code == 0 and "is kept: it holds more" in kept.stderr
    inside(name, "rmdir empty")
    gone = cli("merge", name, "--all", "--delete")
    assert (gone.code, volumes(name)) == (0, []), gone.stderr


def test_what_git_takes_for_its_own_folder_is_refused_and_delete_says_so(
    cli: Cli, docker: Docker, folder: Path, name: str
) -> None:
    """Names that other systems read as .git: git's own check finds them."""
    lay.make(docker, name, folder, Quiet())
    inside(name, "mkdir -p GIT~1/hooks; echo evil >GIT~1/hooks/pre-commit; echo fine >a.txt")
    refused = cli("merge", name, "--all")
    assert refused.code == 1 and "cannot be told what session" in refused.stderr
    assert "hasDotgit" in refused.stderr and (folder / "a.txt").read_text() == "a\n"
    kept = cli("delete", name)
    assert kept.code == 1 and "it cannot be looked at" in kept.stderr


def test_a_link_of_the_session_s_leads_no_merge_out_of_the_folder(
    cli: Cli, docker: Docker, folder: Path, name: str, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    write(outside, {"b.txt": "theirs\n"})
    lay.make(docker, name, folder, Quiet())
    inside(name, f"rm -r sub; ln -s '{outside}' sub; mkdir deep; echo x >deep/b.txt")
    (folder / "deep").symlink_to(outside)
    refused = cli("merge", name, "--all", "--accept-risks")
    assert refused.code == 1 and "a conflict: nothing was written" in refused.stderr
    assert (folder / "sub" / "b.txt").exists()
    (folder / "deep").unlink()
    done = cli("merge", name, "--all", "--accept-risks")
    assert done.code == 0 and os.readlink(folder / "sub") == str(outside), done.stderr
    assert (folder / "deep" / "b.txt").read_text() == "x\n"
    assert held(outside) == {"b.txt": (FILE, b"theirs\n")}


# Where the engine cannot lay the overlay


@pytest.fixture
def refusing(fake_docker: Callable[[str], str]) -> dict[str, str]:
    """The environment of an engine that takes no overlay for a volume."""
    real = shutil.which("docker")
    script = (
        f"case $* in *type=overlay*) echo 'no such device' >&2; exit 1 ;; esac\nexec {real} \"$@\""
    )
    return {"PATH": fake_docker(script)}


def test_without_the_flag_the_refusal_is_told_and_nothing_is_left(
    works: Works, name: str, refusing: dict[str, str]
) -> None:
    refused = works("true", **refusing)
    assert refused.code == 1
    assert "cannot lay an overlay over" in refused.stderr and "no such device" in refused.stderr
    assert (
        "hint: claude-container start NAME needs none; with --accept-privileged" in refused.stderr
    )
    assert volumes(name) == []


def test_with_it_the_container_lays_the_overlay_and_claude_has_no_privilege(
    works: Works, cli: Cli, folder: Path, name: str, refusing: dict[str, str]
) -> None:
    before = everything(folder)
    command = (
        "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f 2 | sort -u >caps;"
        "ls -A /run/claude-container-lower /run/claude-container-changes >layers;"
        "umount /workspace 2>&1 | head -n 1 >umount; echo new >a.txt; rm sub/b.txt"
    )
    first = works(command, "--accept-privileged", **refusing)
    assert first.code == 0, first.stderr
    assert "left session" in first.stderr and "5 changed files" in first.stderr
    assert everything(folder) == before
    shown = json.loads(cli("diff", name, "--json").stdout)
    assert [(file["status"], file["path"]) for file in shown["files"]] == [
        ("M", "a.txt"),
        ("A", "caps"),
        ("A", "layers"),
        ("D", "sub/b.txt"),
        ("A", "umount"),
    ]
    assert cli("merge", name, "--all").code == 0
    assert (folder / "caps").read_text() == "0000000000000000\n"
    assert (folder / "layers").read_text().split() == [
        "/run/claude-container-changes:",
        "/run/claude-container-lower:",
    ]
    assert "umount" in (folder / "umount").read_text()
    # It goes on where it was, but again only with the flag.
    refused = works("true")
    assert refused.code == 1 and "--accept-privileged" in refused.stderr
    again = works("cat a.txt >again; ls sub >>again", "--accept-privileged")
    assert again.code == 0, again.stderr
    shown = cli("exec", name, "--", "cat", "again")
    assert shown.stdout == "new\nc.txt\n", shown.stderr
    assert cli("delete", "--force", name).code == 0 and volumes(name) == []


# Cut short


@pytest.mark.parametrize("at", range(3, 14))
def test_a_launcher_that_is_killed_leaves_nothing_half_made(
    cli: Cli, folder: Path, name: str, docker: Docker, tmp_path: Path, at: int
) -> None:
    """After each of its calls; which of them are side by side is a matter of chance."""
    bin, calls = tmp_path / "bin", tmp_path / "calls"
    for made in (bin, calls):
        made.mkdir()
    (bin / "docker").write_text(WRAPPER.format(docker=shutil.which("docker")))
    (bin / "docker").chmod(0o755)
    env = {"PATH": f"{bin}:{os.environ['PATH']}", "CALLS": str(calls), "AT": str(at)}
    key = ("--env", "ANTHROPIC_API_KEY=x", "--network", "none")
    killed = cli("--dir", str(folder), "-s", name, *key, WHAT="after", **env)
    assert killed.code == -signal.SIGKILL
    # The first clears away what is left, unless another command on this engine is about to.
    for _ in range(2):
        assert cli("list").code == 0
    if overlay.find(docker, name) is None:
        assert set(volumes(name)) <= {model.state_volume(name)}
    made = lay.make(docker, name, folder, Quiet())
    assert inside(name, "cat a.txt") == "a\n" and made.laid_by == model.ENGINE
