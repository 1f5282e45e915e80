"""Merging again, undoing, conflicts, and merges that were cut short. Real git."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_container import git
from claude_container.changes import merge, patches, ready, taken, undo
from claude_container.changes import plan as planning
from claude_container.changes.own import remaining
from claude_container.changes.taken import Refused
from claude_container.errors import ClaudeContainerError
from claude_container.process import ProcessError
from claude_container.refs import our_ref
from tests.histories import IDENTITY, NAME, Lab, subjects
from tests.test_merge import refused, state

pytestmark = pytest.mark.git


@pytest.fixture
def lab(tmp_path: Path, home: Path) -> Lab:
    """A session with three commits, and a branch that moved: replayed, without a conflict."""
    (home / ".gitconfig").write_text(IDENTITY)
    lab = Lab(tmp_path)
    lab.start()
    for name in ("one", "two", "three"):
        lab.agent.commit(name, **{name: f"{name}\n"})
    lab.host.commit("mine", b="mine\n")
    return lab


def new(lab: Lab) -> list[str]:
    return subjects(lab.plan().commits)


def left(lab: Lab, **more: Any) -> list[str]:
    lab.look()
    return subjects(remaining(lab.repository, NAME, **more))


# again


def test_merging_again_brings_only_what_is_new(lab: Lab) -> None:
    lab.merge()
    assert new(lab) == []
    lab.agent.commit("four", four="four\n")
    assert new(lab) == ["four"]
    lab.merge()
    assert lab.host.subjects() == ["base", "mine", "one", "two", "three", "four"]
    assert subjects(lab.plan().taken) == ["one", "two", "three", "four"]


def amend(lab: Lab) -> None:
    lab.host.commit("")
    lab.host.git("reset", "--quiet", "--soft", "HEAD~2")
    lab.host.commit("three, said better", three="three\nbetter\n")


def rebase(lab: Lab) -> None:
    lab.host.git("switch", "--quiet", "-c", "elsewhere", "HEAD~4")
    lab.host.commit("elsewhere", z="z\n")
    lab.host.git("rebase", "--quiet", "elsewhere", "main")


def squash(lab: Lab) -> None:
    lab.host.git("reset", "--quiet", "--soft", "HEAD~3")
    lab.host.commit("all three")


def revert(lab: Lab) -> None:
    lab.host.git("revert", "--no-edit", "HEAD")


@pytest.mark.parametrize("rewrite", [amend, rebase, squash, revert])
def test_merging_again_after_the_host_rewrote_it(lab: Lab, rewrite: Callable[[Lab], None]) -> None:
    lab.merge()
    rewrite(lab)
    lab.agent.commit("four", four="four\n")
    assert new(lab) == ["four"]
    assert left(lab) == ["four"]
    lab.merge()
    assert new(lab) == left(lab) == []


def test_merging_again_after_a_selection(lab: Lab) -> None:
    lab.merge(chosen=(lab.agent.id("HEAD~1"),))
    assert lab.host.subjects() == ["base", "mine", "two"]
    assert new(lab) == ["one", "three"] == left(lab)
    lab.merge()
    assert lab.host.subjects() == ["base", "mine", "two", "one", "three"]


def test_what_the_user_picked_by_hand_is_known_by_its_change(lab: Lab) -> None:
    lab.look()
    lab.agent.write("binary", bytes(range(256)))
    lab.agent.commit("binary")
    lab.agent.write("binary", bytes(range(255, -1, -1)))
    lab.agent.commit("binary again")
    lab.look()
    head = "refs/claude-container/work/head"
    lab.host.git("cherry-pick", f"{head}~1", f"{head}~3")
    planned = lab.plan()
    assert subjects(planned.commits) == ["one", "three", "binary again"]
    assert subjects(planned.equal) == ["two", "binary"]
    assert left(lab) == ["one", "three", "binary again"]


def test_a_change_that_was_made_taken_back_and_made_again_counts_each_time(lab: Lab) -> None:
    lab.agent.git("revert", "--no-edit", "HEAD")
    lab.agent.commit("three again", three="three\n")
    lab.merge(chosen=(lab.agent.id("HEAD~2"),))
    assert new(lab) == ["one", "two", 'Revert "three"', "three again"]
    lab.undo()
    lab.host.commit("three by hand", three="three\n")
    assert new(lab) == ["one", "two", 'Revert "three"', "three again"]
    lab.merge()
    assert lab.host.read("three.txt") == "three\n"


def test_empty_commits_are_no_twins(lab: Lab) -> None:
    lab.host.commit("the host's empty one")
    lab.agent.commit("empty")
    assert new(lab)[-1] == "empty"


def test_a_session_that_rewrote_what_was_taken(lab: Lab) -> None:
    """The same changes under other ids were taken; a changed one was not."""
    lab.merge()
    lab.agent.git("reset", "--quiet", "--hard", "HEAD~3")
    lab.agent.commit("before all", zero="zero\n")
    for name in ("one", "two"):
        lab.agent.commit(f"{name}, reworded", **{name: f"{name}\n"})
    lab.agent.commit("three, changed", three="three\nchanged\n")
    assert new(lab) == ["before all", "three, changed"]
    assert left(lab) == ["before all", "three, changed"]


def test_a_squash_after_a_session_rewrote_what_was_taken(lab: Lab) -> None:
    lab.merge()
    lab.agent.git("reset", "--quiet", "--soft", "HEAD~3")
    lab.agent.commit("all in one", three="three\nchanged\n", four="four\n")
    lab.merge(squash=True)
    assert lab.host.git("show", "--name-only", "--format=").split() == ["four.txt", "three.txt"]
    assert new(lab) == []


def test_patch_keys_know_modes_links_and_places(lab: Lab) -> None:
    lab.agent.write("a.txt", "top\na\n")
    first = lab.agent.commit("edit")
    (lab.agent.folder / "a.txt").chmod(0o755)
    mode = lab.agent.commit("mode")
    empty = lab.agent.commit("empty")
    lab.look()
    keys = patches.keys(lab.repository, [first, mode, empty])
    assert set(keys) == {first, mode} and keys[first] != keys[mode]
    assert patches.keys(lab.repository, []) == {}


# what would be lost


def test_what_remains_is_not_reachable_from_the_users_own_refs(lab: Lab) -> None:
    assert left(lab) == ["one", "two", "three"]
    lab.host.git("tag", "kept", "refs/claude-container/work/head~1")
    assert left(lab) == ["three"]
    lab.agent.git("branch", "other", "HEAD~1")
    lab.agent.git("reset", "--quiet", "--hard", "HEAD~3")
    lab.agent.commit("elsewhere", x="x\n")
    lab.host.git("fetch", "-q", str(lab.agent.folder), "+other:refs/claude-container/work/other/1")
    tips = [lab.agent.id(), lab.agent.id("other")]
    lab.host.git("tag", "-d", "kept")
    assert sorted(left(lab, tips=tips)) == ["elsewhere", "one", "two"]


def test_the_snapshot_does_not_remain(tmp_path: Path, home: Path) -> None:
    (home / ".gitconfig").write_text(IDENTITY)
    lab = Lab(tmp_path)
    lab.host.write("a.txt", "unstaged\n")
    lab.start(snapshot=True)
    assert left(lab) == []
    assert lab.plan().kind == planning.NOTHING
    lab.agent.commit("one", c="c\n")
    assert left(lab) == ["one"]


# conflicts


def conflict(lab: Lab) -> merge.Outcome:
    lab.host.commit("in the way", two="mine\n")
    return lab.merge()


def test_a_conflict_is_left_as_git_leaves_it(lab: Lab) -> None:
    outcome = conflict(lab)
    assert outcome.conflicts == ("two.txt",) and not outcome.finished
    assert outcome.stopped and outcome.stopped.subject == "two"
    assert subjects(outcome.left) == ["three"]
    assert outcome.commands == tuple(
        f"git cherry-pick --{w}" for w in ("continue", "skip", "abort")
    )
    assert lab.host.id("CHERRY_PICK_HEAD") == lab.agent.id("HEAD~1")
    assert "<<<<<<<" in (lab.host.read("two.txt") or "")
    error = refused(lab)
    assert error.evidence.splitlines() == list(outcome.commands) and "--undo" in error.hint


def test_after_continue_all_is_taken(lab: Lab) -> None:
    conflict(lab)
    lab.host.commit("two", two="both\n")
    lab.host.git("cherry-pick", "--continue")
    assert new(lab) == []
    lab.agent.commit("four", four="four\n")
    assert new(lab) == ["four"]


def test_after_continue_with_a_hand_on_the_message_only_that_one_is_offered_again(lab: Lab) -> None:
    conflict(lab)
    lab.host.write("two.txt", "both\n")
    lab.host.git("add", "--all")
    lab.host.git("-c", "core.editor=true", "cherry-pick", "--continue")
    assert new(lab) == []
    lab.undo()
    assert lab.host.subjects("-1") == ["in the way"]


def test_after_skip_the_skipped_one_is_offered_again(lab: Lab) -> None:
    conflict(lab)
    lab.host.git("cherry-pick", "--skip")
    assert lab.host.subjects("-2") == ["one", "three"]
    assert new(lab) == ["two"]


def test_after_abort_all_is_new(lab: Lab) -> None:
    conflict(lab)
    lab.host.git("cherry-pick", "--abort")
    assert new(lab) == ["one", "two", "three"]
    assert taken.read(lab.repository, NAME) is None


def test_undo_ends_a_merge_that_is_under_way(lab: Lab) -> None:
    lab.host.commit("in the way", two="mine\n")
    lab.host.write("new.txt", "untracked\n")
    lab.host.write("a.txt", "unstaged\n")
    before = state(lab)
    assert not lab.merge().finished
    lab.undo()
    assert state(lab) == before
    assert new(lab) == ["one", "two", "three"]


def test_with_no_conflicts_everything_is_put_back(lab: Lab) -> None:
    tip = lab.host.commit("in the way", two="mine\n")
    for way in ({}, {"squash": True}, {"merge": True}):
        with pytest.raises(Refused, match="conflicts with main") as caught:
            lab.merge(no_conflicts=True, **way)  # type: ignore[arg-type]
        assert caught.value.evidence == "two.txt"
        assert (lab.host.id(), lab.host.status()) == (tip, "")
        assert taken.read(lab.repository, NAME) is None


def test_a_conflict_of_a_merge(lab: Lab) -> None:
    tip = lab.host.commit("in the way", two="mine\n")
    outcome = lab.merge(merge=True)
    assert outcome.commands == ("git merge --continue", "git merge --abort")
    refused(lab)
    lab.undo()
    assert (lab.host.id(), lab.host.status()) == (tip, "")
    lab.merge(merge=True)
    lab.host.commit("solved", two="both\n")
    assert new(lab) == []
    lab.undo()
    assert lab.host.id() == tip


def test_a_conflict_of_a_squash(lab: Lab) -> None:
    lab.host.commit("in the way", two="mine\n")
    assert lab.merge(squash=True).conflicts == ("two.txt",)
    lab.host.write("two.txt", "both\n")
    lab.host.git("add", "--all")
    lab.host.git("-c", "core.editor=true", "cherry-pick", "--continue")
    assert new(lab) == []


def test_what_rerere_resolved_is_still_a_conflict_to_end(lab: Lab) -> None:
    lab.host.git("config", "rerere.enabled", "true")
    lab.host.git("config", "rerere.autoUpdate", "true")
    conflict(lab)
    lab.host.write("two.txt", "both\n")
    lab.host.git("add", "--all")
    lab.host.git("-c", "core.editor=true", "cherry-pick", "--continue")
    lab.undo()
    outcome = lab.merge()
    assert (outcome.conflicts, outcome.finished) == ((), False)
    assert lab.host.read("two.txt") == "both\n"
    lab.undo()


# undo


def test_undo_puts_the_branch_back_once(lab: Lab) -> None:
    before = state(lab)
    lab.merge()
    undone = lab.undo()
    assert state(lab) == before and len(undone.brought) == 3
    with pytest.raises(Refused, match="nothing was merged"):
        lab.undo()


def test_undo_goes_back_one_merge_at_a_time(lab: Lab) -> None:
    tips = [lab.host.id()]
    for id in (lab.agent.id("HEAD~2"), lab.agent.id("HEAD~1"), lab.agent.id()):
        lab.merge(chosen=(id,))
        tips.append(lab.host.id())
    for tip in reversed(tips[:-1]):
        lab.undo()
        assert lab.host.id() == tip
    assert new(lab) == ["one", "two", "three"]


def test_undo_is_refused_once_something_came_after(lab: Lab) -> None:
    lab.merge()
    tip = lab.host.commit("later", z="z\n")
    with pytest.raises(Refused, match="moved after the merge"):
        lab.undo()
    assert lab.host.id() == tip


def test_undo_is_refused_where_work_of_the_users_is_in_the_way(lab: Lab) -> None:
    lab.merge()
    lab.host.write("two.txt", "unstaged\n")
    before = state(lab)
    with pytest.raises(Refused, match="work of yours"):
        lab.undo()
    assert state(lab) == before
    lab.host.git("checkout", "two.txt")
    lab.undo()


def test_undo_is_refused_from_another_working_tree(lab: Lab, tmp_path: Path) -> None:
    lab.merge()
    lab.host.git("switch", "--quiet", "-c", "else")
    lab.host.git("worktree", "add", "-q", str(tmp_path / "linked"), "main")
    with pytest.raises(Refused, match="another working tree") as caught:
        lab.undo()
    assert str(tmp_path / "linked") in caught.value.evidence


def test_undo_of_a_branch_that_is_not_checked_out_any_more(lab: Lab) -> None:
    before = lab.host.id()
    lab.merge()
    lab.host.git("switch", "--quiet", "-c", "else")
    lab.undo()
    assert lab.host.id("main") == before and lab.host.read("one.txt") == "one\n"


# cut short


class Cut(BaseException):
    """The program dies here."""


@contextlib.contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, calls: int) -> Iterator[None]:
    """After so many calls of git. Raises Cut."""
    real, left = git.git, iter(range(calls))

    def counted(*args: str, **more: Any) -> Any:
        if next(left, None) is None:
            raise Cut
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(git, "git", counted)
        patch.setattr(merge, "git", counted)
        yield


WAYS: dict[str, dict[str, Any]] = {
    "replay": {},
    "squash": {"squash": True},
    "merge": {"merge": True},
    "aside": {"into": "other"},
    "fast-forward aside": {"into": "made"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_merge_cut_short_before_any_git_call_loses_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """At each call of git in turn: the next plan is right, and undo puts all back."""
    lab.host.git("branch", "other")
    lab.host.write("a.txt", "unstaged\n")
    begun = state(lab)
    for calls in range(100):
        planned = lab.plan(**WAYS[way])
        ended = False
        with dying(monkeypatch, calls), contextlib.suppress(Cut):
            merge.apply(lab.repository, planned)
            ended = True
        brought = {"one", "two", "three"} - set(new(lab))
        assert brought in (set(), set(subjects(planned.commits)))
        if brought:
            lab.undo()
        assert state(lab) == begun
        if ended:
            break
    assert ended and calls > 5
    assert new(lab) == ["one", "two", "three"]


def test_undo_cut_short_can_be_done_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.merge()
    repository = lab.repository
    for calls in range(100):
        with dying(monkeypatch, calls), contextlib.suppress(Cut):
            undo.undo(repository, NAME)
            break
    assert calls > 5
    assert lab.host.subjects() == ["base", "mine"] and lab.host.status() == ""
    assert new(lab) == ["one", "two", "three"]


def test_a_part_that_was_brought_before_the_cut_is_taken(lab: Lab) -> None:
    """Killed in a replay: two commits are there under new ids, the third is not."""
    planned = lab.plan()
    record = merge._record(planned)
    taken.write(lab.repository, NAME, record, old=None)
    lab.host.git("cherry-pick", planned.commits[0].id, planned.commits[1].id)
    assert new(lab) == ["three"]
    settled = taken.read(lab.repository, NAME)
    assert settled and settled.state == taken.DONE and len(settled.brought) == 2
    lab.undo()
    assert lab.host.subjects() == ["base", "mine"]


def test_twins_are_told_apart_by_their_change(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of commits of one author, second and subject, the one that was not brought is new."""
    lab.agent.git("reset", "--quiet", "--hard", "HEAD~3")
    monkeypatch.setattr("tests.histories._clock", iter([1_700_000_000] * 9))
    for name in ("x", "y", "z"):
        lab.agent.commit("wip", **{name: "x\n"})
    planned = lab.plan()
    taken.write(lab.repository, NAME, merge._record(planned), old=None)
    lab.host.git("cherry-pick", planned.commits[0].id, planned.commits[2].id)
    assert [c.id for c in lab.plan().commits] == [planned.commits[1].id]


def test_a_replay_that_git_never_ended_is_under_way_and_can_be_undone(lab: Lab) -> None:
    """As after TERM between two commits: the list of what is to be done is there, no conflict."""
    before = lab.host.id()
    outcome = conflict(lab)
    lab.host.commit("two", two="both\n")
    assert ready.operation(lab.repository.git_dir) == "cherry-pick"
    assert refused(lab).evidence.splitlines() == list(outcome.commands)
    lab.undo()
    assert lab.host.id() != before


def test_refs_move_all_or_none_and_only_from_where_they_were_seen(lab: Lab) -> None:
    here, one, a, b = lab.repository, lab.base, "refs/test/a", "refs/test/b"
    here.update_refs({a: one}, old={a: None})
    elsewhere: list[dict[str, str | None]] = [{b: one}, {a: "1" * 40}, {"refs/test/c": one}]
    for old in elsewhere:
        with pytest.raises(ProcessError):
            here.update_refs({b: one, a: None}, old=old)
    assert here.refs("refs/test") == {a: one}
    with pytest.raises(ProcessError):
        here.update_refs({a: one}, old={a: None})
    here.update_refs({b: one, a: None}, old={a: one, b: None})
    assert here.refs("refs/test") == {b: one}


def test_two_merges_at_once_end_in_a_clear_message(lab: Lab) -> None:
    first, second = lab.plan(), lab.plan(chosen=(lab.agent.id(),))
    third = lab.plan(into="aside")
    merge.apply(lab.repository, first)
    with pytest.raises(Refused, match="moved in the meantime"):
        merge.apply(lab.repository, second)
    with pytest.raises(Refused, match="could not move"):
        merge.apply(lab.repository, third)
    assert "aside" not in lab.refs()


def test_work_that_came_between_plan_and_merge_is_seen(lab: Lab) -> None:
    planned = lab.plan()
    lab.host.write("two.txt", "mine\n")
    with pytest.raises(Refused, match="uncommitted work"):
        merge.apply(lab.repository, planned)


def test_a_record_that_cannot_be_read_is_an_error(lab: Lab) -> None:
    lab.look()
    lab.host.git("update-ref", our_ref(NAME, "merged"), lab.base)
    with pytest.raises(ClaudeContainerError, match="cannot be read"):
        lab.plan()


def test_a_record_is_kept_by_git_with_all_it_names(lab: Lab) -> None:
    lab.merge()
    lab.agent.git("reset", "--quiet", "--hard", "HEAD~3")
    lab.look()
    lab.host.git("reflog", "expire", "--expire=all", "--all")
    lab.host.git("gc", "--quiet", "--prune=now")
    lab.agent.commit("one, again", one="one\n")
    assert new(lab) == []
