"""Merging a session: what comes, under which ids, and what is refused beforehand. Real git."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_container.errors import UsageError
from claude_container.sessions import plan as planning
from claude_container.sessions.taken import Refused
from tests.histories import IDENTITY, NAME, Lab


@pytest.fixture
def lab(tmp_path: Path, home: Path) -> Lab:
    (home / ".gitconfig").write_text(IDENTITY)
    return Lab(tmp_path)


def test_a_clean_session_on_a_branch_that_did_not_move_is_fast_forwarded(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    tip = lab.agent.commit("two", a="changed\n")
    outcome = lab.merge()
    assert (outcome.kind, outcome.new_ids, outcome.after) == (planning.FAST_FORWARD, False, tip)
    assert lab.host.id() == tip and lab.host.read("a.txt") == "changed\n"
    assert lab.host.status() == ""
    assert lab.plan().kind == planning.NOTHING


def test_on_a_branch_that_moved_commits_are_replayed_under_new_ids(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one\n\nbody  \n# no comment\n", c="c\n")
    lab.agent.commit("two", a="changed\n")
    lab.host.commit("mine", b="mine\n")
    outcome = lab.merge()
    assert (outcome.kind, outcome.new_ids) == (planning.REPLAY, True)
    assert lab.host.subjects() == ["base", "mine", "one", "two"]
    for side in (lab.host, lab.agent):
        side.said = side.git("log", "-2", "--format=%an %ae %ad %B", "--date=raw")  # type: ignore[attr-defined]
    assert lab.host.said == lab.agent.said  # type: ignore[attr-defined]
    assert lab.host.git("log", "-1", "--format=%cn") == "A User"
    assert lab.plan().kind == planning.NOTHING


def test_undo(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    before = lab.host.commit("mine", b="mine\n")
    lab.merge()
    undone = lab.undo()
    assert undone.tip == before == lab.host.id()
    assert lab.host.status() == ""
    assert [c.subject for c in lab.plan().commits] == ["one"]


def test_into(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.commit("mine", b="mine\n")
    lab.host.git("branch", "other")
    o = lab.merge(into="other")
    assert o.kind == planning.REPLAY
    assert lab.host.subjects("other") == ["base", "mine", "one"]
    assert lab.host.git("worktree", "list").count("\n") == 0


def test_snapshot(lab: Lab) -> None:
    lab.host.write("u.txt", "untracked\n")
    lab.host.write("a.txt", "unstaged\n")
    lab.start(snapshot=True)
    tip = lab.agent.commit("one", c="c\n")
    o = lab.merge()
    assert lab.host.subjects() == ["base", "one"]
    lab.undo()
    o = lab.merge(with_snapshot=True)
    assert lab.host.id() == tip
    assert lab.host.status() == ""
    lab.undo()
    assert lab.host.status() == " M a.txt\n?? u.txt"
    o = lab.merge(squash=True)
    assert lab.host.status() == " M a.txt\n?? u.txt"


def test_conflict(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.agent.commit("two", a="c\n")
    lab.agent.commit("three", c="cc\n")
    lab.host.commit("mine", a="mine\n")
    o = lab.merge()
    assert o.conflicts == ("a.txt",)
    assert o.stopped and o.stopped.subject == "two"
    with pytest.raises(Refused):
        lab.plan()
    lab.undo()
    assert lab.host.subjects() == ["base", "mine"]
    assert lab.host.status() == ""
    o = lab.merge()
    lab.host.write("a.txt", "both\n")
    lab.host.git("add", "a.txt")
    lab.host.git("-c", "core.editor=true", "cherry-pick", "--continue")
    assert lab.plan().kind == planning.NOTHING
    lab.undo()
    assert lab.host.subjects() == ["base", "mine"]
