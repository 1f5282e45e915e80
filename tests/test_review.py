"""What a session would bring: read from refs in the user's repository, with real git."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from claude_container.changes import automerge
from claude_container.changes.figures import Figures, Other
from claude_container.changes.review import File, Review, review
from claude_container.changes.taken import Refused
from claude_container.cli import diff
from claude_container.cli.console import Console
from claude_container.cli.main import Call
from claude_container.errors import UsageError
from claude_container.git import Repository
from claude_container.refs import our_ref
from claude_container.sessions.known import Session
from tests.histories import IDENTITY, NAME, Lab, subjects

pytestmark = pytest.mark.git

EVIL = "\x1b]0;pwned\x07\u202etxt"


@pytest.fixture
def lab(tmp_path: Path, home: Path) -> Lab:
    (home / ".gitconfig").write_text(IDENTITY)
    return Lab(tmp_path)


def figures(lab: Lab, **more: Any) -> Figures:
    seen = Figures(1_700_000_000, "id", lab.agent.id(), "main", (), 0)
    return dataclasses.replace(seen, **more)


def start_with_work(lab: Lab) -> None:
    """Begin with a snapshot of what is uncommitted."""
    lab.host.git("add", "--all")
    tree = lab.host.git("write-tree")
    lab.host.git("reset", "--quiet")
    snapshot = lab.host.git("commit-tree", tree, "-p", "HEAD", "-m", "snapshot")
    lab.start()
    lab._set(base=snapshot)
    lab.agent.git("fetch", "--quiet", str(lab.host.folder), our_ref(NAME, "base"))
    lab.agent.git("reset", "--quiet", "--hard", "FETCH_HEAD")


def reviewed(lab: Lab, *paths: str, **more: Any) -> Review:
    lab.look()
    return review(lab.repository, NAME, figures(lab, **more), paths)


def names(found: Review) -> dict[str, str]:
    return {file.path: file.status for file in found.files}


def counts(found: Review) -> dict[str, tuple[int | None, int | None]]:
    return {file.path: (file.added, file.removed) for file in found.files}


def test_a_session_that_did_nothing(lab: Lab) -> None:
    lab.start()
    found = reviewed(lab)
    assert (found.commits, found.files, found.risks, found.rewritten) == ((), (), (), False)
    assert found.base == found.origin == found.head == found.left == lab.base


def test_commits_and_the_net_difference(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", a="a\nmore\n", gone="x\n")
    lab.agent.commit("two", a="a\nless\n", gone=None, c="1\n2\n")
    found = reviewed(lab)
    assert subjects(found.commits) == ["two", "one"]  # type: ignore[arg-type]
    assert {(commit.author, commit.known) for commit in found.commits} == {("Claude", "")}
    assert counts(found) == {"a.txt": (1, 0), "c.txt": (2, 0)}
    assert (found.added, found.removed) == (3, 0)


def test_what_git_can_do_to_a_file(lab: Lab) -> None:
    lab.host.write("old.txt", "".join(f"{line}\n" for line in range(50)))
    lab.host.write("bin", b"\0\1")
    lab.host.commit("before")
    lab.start()
    lab.agent.git("mv", "old.txt", "new name.txt")
    lab.agent.write("bin", b"\0\2")
    (lab.agent.folder / "a.txt").chmod(0o755)
    (lab.agent.folder / "b.txt").unlink()
    (lab.agent.folder / "b.txt").symlink_to("a.txt")
    lab.agent.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    (lab.agent.folder / "sub").mkdir()
    lab.agent.write("empty", b"")
    lab.agent.commit("after")
    files = {file.path: file for file in reviewed(lab).files}
    assert files["new name.txt"] == File("new name.txt", "old.txt", "R", 0, 0, "100644", "100644")
    assert (files["bin"].added, files["bin"].removed) == (None, None)
    assert (files["a.txt"].old_mode, files["a.txt"].new_mode) == ("100644", "100755")
    assert (files["b.txt"].status, files["b.txt"].new_mode) == ("T", "120000")
    assert (files["sub"].status, files["sub"].new_mode) == ("A", "160000")
    assert (files["empty"].status, files["empty"].added) == ("A", 0)
    assert len(files) == 6


def test_names_and_messages_stay_what_they_are(lab: Lab) -> None:
    lab.start()
    odd = ["a\nb", "tab\there", 'quo"te', ":100644 x", "1\t2\tx", "ünï", EVIL, " blank ", "-p"]
    for name in odd:
        lab.agent.write(name, "x\n")
    (lab.agent.folder / os.fsdecode(b"half\xff")).write_text("x\n")
    lab.agent.commit(f"{EVIL} \x00subject".replace("\0", ""))
    found = reviewed(lab)
    assert set(names(found)) == {*odd, os.fsdecode(b"half\xff")}
    assert found.added == len(odd) + 1
    assert found.commits[0].subject == f"{EVIL} subject"
    again = json.loads(json.dumps(dataclasses.asdict(found)))
    assert {file["path"] for file in again["files"]} == set(names(found))


def test_the_snapshot_is_not_the_sessions(lab: Lab) -> None:
    lab.host.write("a.txt", "mine\n")
    lab.host.write("untracked.txt", "mine\n")
    start_with_work(lab)
    lab.agent.commit("theirs", b="b\nc\n")
    found = reviewed(lab)
    assert found.base != found.origin == lab.base
    assert subjects(found.commits) == ["theirs"]  # type: ignore[arg-type]
    assert counts(found) == {"b.txt": (1, 0)}


def test_what_the_host_pushed_is_not_the_sessions(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("theirs", b="b\nc\n")
    lab.host.commit("mine", a="mine\n", new="x\n")
    lab.push()
    found = reviewed(lab)
    assert counts(found) == {"b.txt": (1, 0)}
    assert [(c.subject, c.known) for c in found.commits if not c.known] == [("theirs", "")]
    assert [c.known for c in found.commits if len(c.parents) == 2] == ["host"]
    assert found.left == lab.host.id()


def test_what_the_host_pushed_onto_a_snapshot(lab: Lab) -> None:
    lab.host.write("a.txt", "uncommitted\n")
    start_with_work(lab)
    lab.agent.commit("theirs", b="b\nc\n")
    lab.host.git("stash", "--quiet")
    lab.host.commit("mine", new="x\n")
    lab.push()
    found = reviewed(lab)
    assert counts(found) == {"b.txt": (1, 0)}
    assert found.left not in (found.base, found.pushed, None)


def in_conflict(lab: Lab) -> None:
    """What the session began with and what the host pushed are in conflict."""
    lab.host.write("a.txt", "uncommitted\n")
    start_with_work(lab)
    lab.agent.commit("theirs", b="b\nc\n", new="1\n", gone="x\n", old="x\n")
    lab.agent.commit("more", b="b\nc\nd\n", new="1\n2\n", gone=None)
    lab.host.git("stash", "--quiet")
    lab.host.commit("mine", a="committed\n", host="x\n")
    lab.agent.git("fetch", "--quiet", str(lab.host.folder), "HEAD")
    lab.agent.git("merge", "--quiet", "FETCH_HEAD", check=False)
    lab.agent.commit("resolved", a="both\n")
    lab._set(pushed=lab.host.id())


def test_where_there_is_no_common_ground_each_commit_is_counted(lab: Lab) -> None:
    in_conflict(lab)
    found = reviewed(lab)
    assert found.left is None
    expected = {"b.txt": (2, 0), "new.txt": (2, 0), "old.txt": (1, 0)}
    assert counts(found) == expected
    assert names(found) == {"b.txt": "M", "new.txt": "A", "old.txt": "A"}
    assert counts(reviewed(lab, "new.txt")) == {"new.txt": (2, 0)}


def test_a_git_before_merge_tree_counts_the_same_way(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def old_git(repository: Repository, one: str, other: str) -> None:
        return None

    lab.host.write("a.txt", "uncommitted\n")
    start_with_work(lab)
    lab.agent.commit("theirs", b="b\nc\n")
    lab.host.git("stash", "--quiet")
    lab.host.commit("mine", new="x\n")
    lab.push()
    monkeypatch.setattr(automerge, "automatic", old_git)
    found = reviewed(lab)
    assert (found.left, counts(found)) == (None, {"b.txt": (1, 0)})


def test_what_is_taken_is_marked(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", b="b\nc\n")
    lab.merge()
    lab.agent.commit("two", c="x\n")
    lab.host.commit("mine", d="x\n")
    lab.merge()
    lab.agent.commit("three", e="x\n")
    lab.look()
    lab.host.git("cherry-pick", lab.agent.id())
    lab.agent.commit("four", f="x\n")
    found = reviewed(lab)
    known = {commit.subject: commit.known for commit in found.commits}
    assert known == {"one": "there", "two": "taken", "three": "equal", "four": ""}
    assert subjects(found.new) == ["four"]  # type: ignore[arg-type]


def test_a_rewritten_history_and_an_orphan(lab: Lab) -> None:
    lab.host.write("a.txt", "uncommitted\n")
    start_with_work(lab)
    lab.agent.git("commit", "--quiet", "--amend", "-m", "amended", "--allow-empty")
    assert reviewed(lab).rewritten
    lab.agent.git("checkout", "--quiet", "--orphan", "fresh")
    lab.agent.commit("root", c="x\n")
    lab.look()
    found = review(lab.repository, NAME, figures(lab))
    assert found.rewritten
    assert subjects(found.commits) == ["root"]  # type: ignore[arg-type]


def test_a_detached_host_and_a_host_without_commits(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="x\n")
    lab.host.git("checkout", "--quiet", "--detach")
    assert subjects(reviewed(lab).new) == ["one"]  # type: ignore[arg-type]
    lab.host.git("checkout", "--quiet", "--orphan", "unborn")
    assert subjects(reviewed(lab).new) == ["one"]  # type: ignore[arg-type]


def test_paths_choose_commits_and_files_but_hide_no_risk(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", b="b\nc\n")
    lab.agent.write(".mcp.json", "{}")
    lab.agent.commit("two")
    lab.host.git("config", "log.follow", "true")
    found = reviewed(lab, "b.txt")
    assert subjects(found.commits) == ["one"]  # type: ignore[arg-type]
    assert (set(names(found)), found.added) == ({"b.txt"}, 1)
    assert [(risk.path, risk.confirm) for risk in found.risks] == [(".mcp.json", True)]


def test_other_branches_and_uncommitted_work(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", b="x\n")
    head = lab.agent.id()
    lab.agent.git("checkout", "--quiet", "-b", "wip")
    lab.agent.commit("two", c="x\n")
    lab.agent.commit("three", c="y\n")
    wip = lab.agent.id()
    lab.host.git(
        "fetch", "--quiet", str(lab.agent.folder), "wip:refs/claude-container/work/other/1"
    )
    lab.agent.git("checkout", "--quiet", "--detach", head)
    others = (Other("wip", wip), Other("gone", "1" * 40))
    found = reviewed(lab, others=others, unseen=3, pending=("?? x",), pending_count=-1, branch=None)
    assert [(other.name, other.ahead) for other in found.others] == [("wip", 2), ("gone", None)]
    assert (found.unseen, found.pending, found.pending_count) == (3, ("?? x",), -1)


def test_no_session_is_refused(lab: Lab) -> None:
    with pytest.raises(Refused):
        review(lab.repository, "nobody", figures_of_nobody())


def figures_of_nobody() -> Figures:
    return Figures(0, "", "", None, (), 0)


def test_nothing_of_the_session_or_for_its_files_runs(lab: Lab, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    lab.start()
    lab.agent.write(".gitattributes", "* diff=own filter=own\n")
    lab.agent.commit("one", b="x\n", c="y\n")
    for key in ("diff.own.textconv", "diff.own.command", "diff.external", "filter.own.clean"):
        lab.host.git("config", key, f"touch '{ran}' #")
    (lab.host.folder / ".git" / "info" / "attributes").write_text("* diff=own\n")
    before = lab.refs(), lab.host.status()
    assert len(reviewed(lab).files) == 3
    assert (lab.refs(), lab.host.status(), ran.exists()) == (*before, False)


def test_twenty_thousand_files(lab: Lab) -> None:
    lab.start()
    blob = lab.agent.git("hash-object", "-w", "a.txt")
    rows = "".join(f"100755 {blob}\td{n % 100}/{n}\n" for n in range(20_000))
    words = ["git", "update-index", "--index-info"]
    subprocess.run(words, cwd=lab.agent.folder, input=rows.encode(), check=True)
    lab.agent.git("commit", "--quiet", "-m", "many")
    found = reviewed(lab)
    assert (len(found.files), found.added) == (20_000, 20_000)
    assert found.risks[-1].why == "19 950 more"


# The verb


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(lab: Lab, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """`diff NAME` with these options; what is seen with `more` figures, and paths after --."""

    def call(*options: str, paths: tuple[str, ...] = (), **more: Any) -> tuple[int, str, str]:
        lab.look()
        here = lab.repository
        opened = Session(NAME, "id", here.common, here.top, "main", "", 0)
        seen = here, opened, figures(lab, **more)
        monkeypatch.setattr(diff.session, "look_at", lambda *args: seen)
        obj = Call(Console({}), paths, passed=bool(paths))
        capfd.readouterr()
        code = diff.command.main([NAME, *options], obj=obj, standalone_mode=False)
        out, error = capfd.readouterr()
        return code, out, click.unstyle(error)

    monkeypatch.chdir(lab.host.folder)
    return call


def test_the_default_answer(lab: Lab, run: Run) -> None:
    lab.host.write("a.txt", "uncommitted\n")
    start_with_work(lab)
    lab.agent.write(".husky/pre-commit", "x\n")
    lab.agent.write("deep/" * 20 + "file.py", "x\n")
    lab.agent.commit(f"A subject that is long, {EVIL}, and goes on for longer than a line " * 2)
    pending = tuple(f"?? {EVIL}{n}" for n in range(40))
    code, out, error = run(pending=pending, pending_count=1500, others=(Other(EVIL, lab.base),))
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert not set(out) & set("\x1b\x07\u202e")
    for said in (
        *("session work, on main", "and your uncommitted work", "1 new commit\n", "2 files, +2 -0"),
        *("…", "⚠ hooks       .husky/pre-commit", "1500 files", "… and 1470 more", "Claude"),
    ):
        assert said in out
    assert "hint: claude-container merge work\n" in error


def test_the_default_answer_of_nothing(lab: Lab, run: Run) -> None:
    lab.start()
    code, out, error = run(branch=None)
    assert (code, out.splitlines()[2:], error) == (0, ["", "no new commits"], "")
    assert "on a detached HEAD" in out


def test_no_commit_in_these_paths_is_not_no_commit(lab: Lab, run: Run) -> None:
    lab.start()
    lab.agent.commit("one", b="x\n")
    assert "no new commits in these paths\n" in run(paths=("nowhere",))[1]
    assert "1 new commit in these paths\n" in run(paths=("b.txt",))[1]


def test_stat_and_json(lab: Lab, run: Run) -> None:
    lab.start()
    for number in range(50):
        lab.agent.write(f"f{number}", "x\n")
    lab.agent.commit("many")
    _, out, error = run("--stat")
    assert (len(out.splitlines()), out.splitlines()[-1], error) == (51, "50 files, +50 -0", "")
    assert "… and 20 more: --stat" in run()[1]
    told = json.loads(run("--json")[1])
    assert len(told["files"]) == 50 and told["commits"][0]["subject"] == "many"
    assert set(told) == {field.name for field in dataclasses.fields(Review)}


def test_names_for_scripts(lab: Lab, run: Run) -> None:
    lab.start()
    for name in ("plain", "ünï", "a\nb", "\x1b[2J", 'quo"te'):
        lab.agent.write(name, "x\n")
    lab.agent.commit("odd")
    lines = run("--name-only")[1].splitlines()
    assert set(lines) == {"plain", "ünï", '"a\\nb"', '"\\033[2J"', '"quo\\"te"'}
    parts = run("--name-only", "-z")[1].split("\0")
    assert set(parts) == {"plain", "ünï", "a\nb", "\x1b[2J", 'quo"te', ""}
    with pytest.raises(UsageError):
        run("-z")


def test_names_on_a_terminal_drive_nothing(
    lab: Lab, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.start()
    lab.agent.write(EVIL, "x\n")
    lab.agent.commit("odd")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run("--name-only")[1] == "\\x1b]0;pwned\\x07\\u202etxt\n"


def test_the_patch_is_gits_own(lab: Lab, run: Run) -> None:
    lab.start()
    lab.agent.commit("one", b="b\nc\n", c="x\n")
    lab.host.git("config", "diff.noprefix", "true")
    code, out, _ = run("--patch")
    assert code == 0 and "diff --git b.txt b.txt" in out and "+c\n" in out
    assert "c.txt" not in run("-p", paths=("b.txt",))[1]
    lab.host.git("config", "diff.external", "exit 3; #")
    assert run("-p")[0] == 128


def test_the_patch_where_there_is_no_common_ground(lab: Lab, run: Run) -> None:
    in_conflict(lab)
    lab.agent.commit(EVIL, b="b\n")
    code, out, _ = run("-p")
    assert code == 0 and out.count("commit ") == 3
    assert "+uncommitted" not in out and "\x1b" not in out
    assert "summed by commit" in run()[1]


def test_paths_are_seen_from_where_one_stands(
    lab: Lab, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.start()
    for name in ("sub/x", "sub/y", "x", "-p"):
        lab.agent.write(name, "x\n")
    lab.agent.commit("some")
    (lab.host.folder / "sub").mkdir()
    monkeypatch.chdir(lab.host.folder / "sub")

    def shown(*paths: str) -> list[str]:
        return run("--name-only", paths=paths)[1].splitlines()

    assert shown("x") == ["sub/x"]
    assert shown("../x") == ["x"]
    assert shown(":/x") == ["x"]
    assert shown(".") == ["sub/x", "sub/y"]
    assert shown(str(lab.host.folder / "x")) == ["x"]
    monkeypatch.chdir(lab.host.folder)
    assert shown("-p") == ["-p"]
    monkeypatch.chdir(lab.host.folder.parent)
    assert shown("sub") == ["sub/x", "sub/y"]
