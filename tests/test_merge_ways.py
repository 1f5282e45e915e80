"""Merging by choice: branches, merge commits, squashes, rewritten sessions, single commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_container.changes import foresee
from claude_container.changes import plan as planning
from claude_container.changes.own import remaining
from claude_container.changes.taken import Refused
from tests.histories import IDENTITY, NAME, Lab, run, subjects
from tests.test_merge import refused, state

# A merge of merges needs git 2.38.
_NEEDS = pytest.mark.skipif(
    tuple(map(int, run(Path("/"), "version").split()[2].split(".")[:2])) < (2, 38),
    reason="git merge-tree --write-tree",
)
pytestmark = [pytest.mark.git, _NEEDS]


@pytest.fixture
def lab(tmp_path: Path, home: Path) -> Lab:
    (home / ".gitconfig").write_text(IDENTITY)
    return Lab(tmp_path)


def fork(lab: Lab) -> None:
    """A merge commit of the session's own."""
    lab.agent.git("switch", "--quiet", "-c", "side")
    lab.agent.commit("side", s="s\n")
    lab.agent.git("switch", "--quiet", "main")
    lab.agent.commit("straight", c="c\n")
    lab.agent.git("merge", "--quiet", "-m", "join", "side")


# --into


def test_into_a_branch_that_is_not_checked_out_touches_nothing_else(lab: Lab) -> None:
    lab.start()
    lab.host.git("branch", "other")
    one = lab.agent.commit("one", c="c\n")
    lab.host.commit("mine", a="mine\n")
    lab.host.write("a.txt", "unstaged\n")
    lab.host.write("staged.txt", "staged\n")
    lab.host.git("add", "staged.txt")
    lab.host.write("c.txt", "in the way, were it this branch\n")
    before, head = state(lab)[1:], lab.host.id()
    outcome = lab.merge(into="other")
    assert (outcome.kind, lab.host.id("other")) == (planning.FAST_FORWARD, one)
    lab.host.git("branch", "third")
    lab.agent.commit("two", a="a\n", d="d\n")
    outcome = lab.merge(into="third")
    assert (outcome.kind, outcome.new_ids) == (planning.REPLAY, True)
    assert lab.host.subjects("third") == ["base", "mine", "two"]
    assert lab.host.git("show", "third:a.txt") == "mine"
    assert (state(lab)[1:], lab.host.id()) == (before, head)
    lab.undo()
    lab.undo()
    assert (lab.host.id("third"), lab.host.id("other")) == (head, lab.base)
    assert not (lab.host.folder / ".git/worktrees").exists()
    assert not (lab.host.folder / ".git/claude-container").exists()


def test_into_makes_a_branch_where_the_session_began(lab: Lab) -> None:
    lab.start()
    tip = lab.agent.commit("one", c="c\n")
    mine = lab.host.commit("mine", a="mine\n")
    planned = lab.plan(into="review/it")
    assert planned.created and planned.branch_name == "review/it"
    outcome = lab.merge(into="review/it")
    assert outcome.created and lab.host.id("review/it") == tip and lab.host.id() == mine
    assert lab.undo().tip is None
    assert "review" not in lab.refs()
    lab.merge(into="review/it", squash=True)
    assert lab.host.git("rev-parse", "review/it~1") == lab.base
    lab.host.git("switch", "--quiet", "review/it")
    assert lab.undo().tip == lab.base == lab.host.id()
    with pytest.raises(Refused, match="beside"):
        lab.merge(into="review")


def test_into_without_uncommitted_work_of_the_users(lab: Lab) -> None:
    lab.host.write("a.txt", "unstaged\n")
    lab.start(snapshot=True)
    lab.agent.commit("one", c="c\n")
    lab.merge(into="new")
    assert lab.host.subjects("new") == ["base", "one"]
    assert lab.host.git("show", "new:a.txt") == "a"


def test_into_a_branch_of_another_working_tree_is_refused(lab: Lab, tmp_path: Path) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked tree"))
    assert str(tmp_path / "linked tree") in refused(lab, into="linked").evidence


def test_a_conflict_aside_leaves_everything_untouched(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.agent.commit("two", a="agent\n")
    lab.host.git("switch", "--quiet", "-c", "other")
    lab.host.commit("mine", a="mine\n")
    lab.host.git("switch", "--quiet", "main")
    for way in ({}, {"squash": True}, {"merge": True}):
        error = refused(lab, into="other", **way)
        assert error.evidence == "a.txt" and "git switch other" in error.hint
    assert not (lab.host.folder / ".git/worktrees").exists()
    assert lab.plan(into="other").record is None


def test_what_a_kill_left_of_a_working_tree_aside_is_no_hindrance(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.git("branch", "other")
    lab.host.commit("mine", a="mine\n")
    folder = lab.host.folder / f".git/claude-container/{NAME}"
    lab.host.git("worktree", "add", "-q", "--lock", "--detach", str(folder))
    assert lab.merge(into="made", squash=True).finished
    folder.mkdir(parents=True)
    (folder / "file").write_text("")
    assert lab.merge(into="other", chosen=(lab.agent.id(),), squash=True).finished
    assert not folder.parent.exists()


# merge commits


def test_merge_commits_are_refused_with_the_choice(lab: Lab) -> None:
    lab.start()
    fork(lab)
    lab.host.commit("mine", a="mine\n")
    error = refused(lab)
    assert "join" in error.evidence and "--merge" in error.hint and "--squash" in error.hint


def test_merge_keeps_ids_and_merges(lab: Lab) -> None:
    lab.start()
    fork(lab)
    lab.host.commit("mine", a="mine\n")
    outcome = lab.merge(merge=True, message="Bring it")
    assert (outcome.kind, outcome.new_ids) == (planning.MERGE, False)
    assert lab.host.git("log", "-1", "--format=%s %P").split()[-1] == lab.agent.id()
    assert lab.host.subjects("-1") == ["Bring it"]
    assert lab.plan(merge=True).kind == planning.NOTHING
    lab.undo()
    assert lab.host.subjects("-1") == ["mine"]


def test_merge_makes_a_merge_commit_where_a_fast_forward_would_do(lab: Lab) -> None:
    lab.start()
    tip = lab.agent.commit("one", c="c\n")
    lab.merge(merge=True)
    assert lab.host.git("log", "-1", "--format=%P") == f"{lab.base} {tip}"


def test_merge_is_refused_where_the_users_own_work_would_come(lab: Lab) -> None:
    lab.host.write("a.txt", "unstaged\n")
    lab.start(snapshot=True)
    lab.agent.commit("one", c="c\n")
    assert "your own uncommitted work" in refused(lab, merge=True).what


def test_a_merge_of_what_the_host_pushed_is_nothing_to_bring(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.commit("mine", a="mine\n")
    lab.push()
    lab.agent.commit("two", d="d\n")
    lab.host.commit("later", z="z\n")
    planned = lab.plan()
    assert subjects(planned.commits) == ["one", "two"]
    lab.merge()
    assert lab.host.subjects() == ["base", "mine", "later", "one", "two"]
    assert lab.plan().kind == planning.NOTHING
    assert remaining(lab.repository, NAME) == []


def test_a_merge_of_the_hosts_that_holds_more_is_refused(lab: Lab) -> None:
    lab.start()
    lab.host.commit("mine", b="mine\n")
    lab.agent.commit("one", c="c\n")
    lab.push()
    lab.agent.write("evil.txt", "in the merge only\n")
    lab.agent.git("add", "--all")
    lab.agent.git("commit", "--quiet", "--amend", "--no-edit")
    lab.host.commit("later", z="z\n")
    refused(lab)
    lab.merge(squash=True)
    assert lab.host.read("evil.txt") and lab.host.read("b.txt") == "mine\n"


# --squash


@pytest.mark.parametrize("snapshot", [False, True])
def test_squash_is_one_commit_of_the_sessions_author(lab: Lab, snapshot: bool) -> None:
    if snapshot:
        lab.host.write("a.txt", "unstaged\n")
    lab.start(snapshot=snapshot)
    fork(lab)
    lab.host.git("commit", "--allow-empty", "-m", "mine")
    outcome = lab.merge(squash=True)
    assert (outcome.kind, outcome.new_ids) == (planning.SQUASH, True)
    assert lab.host.git("log", "-1", "--format=%an, %cn, %P") == (
        f"Claude, A User, {lab.host.id('HEAD~1')}"
    )
    body = lab.host.git("log", "-1", "--format=%B")
    assert all(f"- {subject}\n" in f"{body}\n" for subject in ("side", "straight", "join"))
    assert lab.host.git("show", "--name-only", "--format=").split() == ["c.txt", "s.txt"]
    assert lab.plan().kind == planning.NOTHING and lab.plan(squash=True).kind == planning.NOTHING


def test_a_second_squash_brings_what_is_new(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", a="one\n")
    lab.agent.commit("two", a="two\n")
    lab.merge(squash=True, message="first\n\nwith a body")
    lab.agent.commit("three", a="three\n")
    lab.host.commit("mine", b="mine\n")
    lab.merge(squash=True, message="second")
    assert lab.host.subjects() == ["base", "first", "mine", "second"]
    assert (lab.host.read("a.txt"), lab.host.read("b.txt")) == ("three\n", "mine\n")


def test_a_squash_of_pieces_is_refused(lab: Lab) -> None:
    lab.start()
    one, two, _ = (lab.agent.commit(name, **{name: "x\n"}) for name in ("one", "two", "three"))
    lab.merge(chosen=(two,))
    refused(lab, squash=True)
    assert lab.merge(squash=True, chosen=(one,)).finished
    lab.merge(squash=True)
    assert lab.host.status() == "" and lab.host.read("three.txt") == "x\n"


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_squash_leaves_out_what_the_host_pushed(lab: Lab, snapshot: bool) -> None:
    if snapshot:
        lab.host.write("b.txt", "b\nunstaged\n")
    lab.start(snapshot=snapshot)
    lab.agent.commit("one", c="c\n")
    lab.host.git("stash", "--include-untracked")
    lab.host.commit("mine", a="mine\n")
    lab.push()
    lab.agent.commit("two", d="d\n")
    lab.host.git("branch", "old", lab.base)
    lab.merge(squash=True, into="old")
    shown = lab.host.git("show", "--name-only", "--format=", "old").split()
    assert shown == ["c.txt", "d.txt"]


# sessions that rewrote their history


def test_an_amended_snapshot_is_refused_or_squashed(lab: Lab) -> None:
    lab.host.write("a.txt", "unstaged\n")
    lab.start(snapshot=True)
    lab.agent.write("c.txt", "c\n")
    lab.agent.git("add", "--all")
    lab.agent.git("commit", "--quiet", "--amend", "-m", "amended")
    lab.agent.commit("two", d="d\n")
    assert "--squash" in refused(lab).hint
    refused(lab, merge=True)
    lab.merge(squash=True)
    assert lab.host.git("show", "--name-only", "--format=").split() == ["c.txt", "d.txt"]
    assert lab.host.status() == " M a.txt"


def test_an_orphan_branch_is_refused_or_squashed(lab: Lab) -> None:
    lab.start()
    lab.agent.git("switch", "--quiet", "--orphan", "anew")
    lab.agent.commit("root", a="a\n", c="c\n")
    assert "--squash" in refused(lab).hint
    lab.merge(squash=True)
    assert (lab.host.read("c.txt"), lab.host.read("b.txt")) == ("c\n", None)


def test_unrelated_history_that_was_merged_is_a_merge_commit(lab: Lab) -> None:
    lab.start()
    lab.agent.git("switch", "--quiet", "--orphan", "anew")
    lab.agent.commit("root", c="c\n")
    lab.agent.git("switch", "--quiet", "main")
    lab.agent.git("merge", "--quiet", "--allow-unrelated-histories", "-m", "join", "anew")
    lab.host.commit("mine", z="z\n")
    refused(lab)
    assert lab.merge(merge=True).finished and lab.host.read("c.txt") == "c\n"


def test_a_detached_head_is_as_good_as_a_branch(lab: Lab) -> None:
    lab.start()
    lab.agent.git("checkout", "--quiet", "--detach")
    tip = lab.agent.commit("one", c="c\n")
    assert lab.merge().after == tip


# --commits, --select


@pytest.mark.parametrize(
    "words, brought",
    [
        (["{0}..{2}"], ["two", "three"]),
        (["{0}.."], ["two", "three", "four"]),
        (["..{1}"], ["one", "two"]),
        (["{3}", "{0}"], ["one", "four"]),
        (["claude-container/work/head~1"], ["three"]),
        (["main..claude-container/work/head"], ["one", "two", "three", "four"]),
    ],
)
def test_commits_are_named_as_git_names_them(
    lab: Lab, words: list[str], brought: list[str]
) -> None:
    lab.start()
    ids = [lab.agent.commit(n, **{n: "x\n"})[:7] for n in ("one", "two", "three", "four")]
    planned = lab.plan(ranges=tuple(word.format(*ids) for word in words))
    assert subjects(planned.commits) == brought
    lab.merge(ranges=tuple(word.format(*ids) for word in words))
    assert lab.host.subjects() == ["base", *brought]
    rest = [n for n in ("one", "two", "three", "four") if n not in brought]
    assert subjects(lab.plan().commits) == rest


@pytest.mark.parametrize(
    "word", ["main", "HEAD", "nothing", "--all", "-1", "--output=x", "main..main", "--not..main"]
)
def test_what_names_no_commit_of_the_session_is_refused(lab: Lab, word: str) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    refused(lab, ranges=(word,))
    assert not (lab.host.folder / "x").exists()


def test_the_snapshot_cannot_be_named(lab: Lab) -> None:
    lab.host.write("a.txt", "unstaged\n")
    lab.start(snapshot=True)
    lab.agent.commit("one", c="c\n")
    refused(lab, ranges=(lab.host.id("refs/claude-container/work/base"),))


def test_what_was_taken_before_comes_when_it_is_named(lab: Lab) -> None:
    lab.start()
    one = lab.agent.commit("one", c="c\n")
    lab.host.commit("mine", b="mine\n")
    lab.merge()
    lab.host.git("reset", "--quiet", "--hard", "HEAD~1")
    planned = lab.plan()
    assert (planned.kind, subjects(planned.taken)) == (planning.NOTHING, ["one"])
    assert lab.merge(chosen=(one,)).finished
    assert lab.host.subjects() == ["base", "mine", "one"]


# what the user's submodules lack


def test_a_submodule_commit_that_the_user_lacks_is_named(lab: Lab, tmp_path: Path) -> None:
    allow = ("-c", "protocol.file.allow=always")
    (tmp_path / "lib").mkdir()
    run(tmp_path / "lib", "init", "-q")
    run(tmp_path / "lib", "commit", "-q", "--allow-empty", "-m", "lib")
    lab.host.git(*allow, "submodule", "--quiet", "add", str(tmp_path / "lib"), "lib")
    lab.host.commit("lib")
    lab.start()
    lab.agent.git(*allow, "submodule", "--quiet", "update", "--init")
    run(lab.agent.folder / "lib", "commit", "-q", "--allow-empty", "-m", "more")
    new = run(lab.agent.folder / "lib", "rev-parse", "HEAD")
    lab.agent.commit("bump")
    (warning,) = lab.plan().warnings
    assert (warning.kind, warning.path) == ("submodule", "lib") and new[:10] in warning.why
    run(lab.host.folder / "lib", "fetch", "-q", str(lab.agent.folder / "lib"), "HEAD")
    assert lab.plan().warnings == ()


# what would conflict


def test_conflicts_are_foreseen_and_nothing_changes(lab: Lab) -> None:
    lab.host.write("z.txt", "unstaged\n")
    lab.start(snapshot=True)
    ids = [lab.agent.commit(f"{n}", a=f"agent {n}\n", d="d\n") for n in range(3)]
    before = state(lab)
    assert foresee.conflicts(lab.repository, lab.plan()) == ()
    assert state(lab) == before
    lab.host.git("stash", "--include-untracked")
    lab.host.commit("mine", a="mine\n", d="mine\n")
    for way in ({}, {"squash": True}, {"chosen": (ids[0],)}):
        assert foresee.conflicts(lab.repository, lab.plan(**way)) == ("a.txt", "d.txt")
    assert foresee.conflicts(lab.repository, lab.plan(chosen=(ids[0], ids[2]))) is None
