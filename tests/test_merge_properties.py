"""Merging as properties: random histories on both sides, and a host with work of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from claude_container.changes import plan as planning
from claude_container.changes.own import remaining
from claude_container.changes.taken import Refused
from tests.histories import IDENTITY, NAME, Lab, Tree
from tests.test_merge import state

pytestmark = pytest.mark.git

# Few names, so that the sides meet now and then; one is a folder of another.
NAMES = ("a", "b", "d/one", "d/two", "e", "d")
LINES = [f"line {number}\n" for number in range(12)]

paths = st.sampled_from(NAMES)
changes = st.one_of(
    st.tuples(st.just("edit"), paths, st.integers(0, 11)),
    st.tuples(st.just("write"), paths, st.integers(0, 3)),
    st.tuples(st.just("move"), paths, paths),
    st.tuples(st.just("mode"), paths, st.none()),
    st.tuples(st.just("delete"), paths, st.none()),
    st.tuples(st.just("link"), paths, paths),
    st.tuples(st.just("nothing"), paths, st.none()),
)
forks = st.tuples(st.just("fork"), paths, st.integers(0, 11))
actions = st.one_of(changes, changes, changes, forks)
histories = st.lists(actions, max_size=5)


@pytest.fixture
def _identity(home: Path) -> None:
    (home / ".gitconfig").write_text(IDENTITY)


def act(tree: Tree, action: tuple[str, str, object], who: str, number: int) -> None:
    """One commit; what cannot be done in this tree is an empty one."""
    what, name, more = action
    file = tree.folder / name
    plain = file.is_file() and not file.is_symlink()
    if what == "fork" and plain:
        tree.git("switch", "--quiet", "--detach", "HEAD")
        tree.commit(f"{who} {number} aside", **{f"aside-{who}-{number}": "x\n"})
        side = tree.id()
        tree.git("switch", "--quiet", "main")
        edit(file, int(str(more)), who)
        tree.commit(f"{who} {number} straight")
        tree.git("merge", "--quiet", "--no-ff", "-m", f"{who} {number} join", side)
        return
    change(tree, action, who)
    tree.commit(f"{who} {number} {what} {name}")


def edit(file: Path, line: int, who: str) -> None:
    lines = file.read_text().splitlines(keepends=True)
    if lines:
        at = min(line, len(lines) - 1)
        lines[at] = f"{lines[at].rstrip()} {who}\n"
        file.write_text("".join(lines))


def change(tree: Tree, action: tuple[str, str, object], who: str) -> None:
    what, name, more = action
    file = tree.folder / name
    plain = file.is_file() and not file.is_symlink()
    if what == "edit" and plain:
        edit(file, int(str(more)), who)
    elif what == "mode" and plain:
        file.chmod(file.stat().st_mode ^ 0o111)
    elif what == "delete" and (plain or file.is_symlink()):
        file.unlink()
    elif what == "move" and plain:
        to = tree.folder / str(more)
        if not os.path.lexists(to) and not (to.parent.exists() and not to.parent.is_dir()):
            to.parent.mkdir(exist_ok=True)
            file.rename(to)
    elif what in ("write", "link") and not os.path.lexists(file):
        if file.parent.exists() and not file.parent.is_dir():
            return
        file.parent.mkdir(exist_ok=True)
        if what == "link":
            file.symlink_to(str(more))
        else:
            file.write_text("".join(LINES[: int(str(more))]))


def entries(tree: Tree, revision: str) -> dict[str, str]:
    rows = tree.git("ls-tree", "-r", revision).splitlines()
    return {row.split("\t")[1]: row.split("\t")[0] for row in rows}


def changed(tree: Tree, old: str, new: str) -> dict[str, str | None]:
    """path → its entry after, for all that two commits have differently."""
    before, after = entries(tree, old), entries(tree, new)
    return {
        path: after.get(path)
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    }


@settings(
    max_examples=int(os.environ.get("MERGE_EXAMPLES", "12")),
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize="MERGE_EXAMPLES" not in os.environ,
)
@given(
    theirs=histories,
    later=histories,
    mine=histories,
    work=st.lists(changes, max_size=2),
    snapshot=st.booleans(),
    way=st.sampled_from([{}, {}, {"squash": True}, {"merge": True}, {"into": "aside"}]),
)
def test_merges(
    _identity: None,
    theirs: list[tuple[str, str, object]],
    later: list[tuple[str, str, object]],
    mine: list[tuple[str, str, object]],
    work: list[tuple[str, str, object]],
    snapshot: bool,
    way: dict[str, object],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        for name in ("a", "b", "d/one", "d/two"):
            lab.host.write(name, "".join(LINES))
        lab.host.commit("files")
        if snapshot:
            for action in work:
                change(lab.host, action, "user")
        lab.start(snapshot=snapshot)
        for number, action in enumerate(theirs):
            act(lab.agent, action, "agent", number)
        if snapshot:
            # What the host does next must not commit that work.
            lab.host.git("stash", "--include-untracked", "--quiet")
        for number, action in enumerate(mine):
            act(lab.host, action, "host", number)
        if snapshot:
            lab.host.git("stash", "pop", "--quiet", check=False)
            if "U" in "".join(row[:2] for row in lab.host.status().splitlines()):
                lab.host.git("reset", "--quiet", "--hard")
            lab.host.git("reset", "--quiet")
        else:
            for action in work:
                change(lab.host, action, "user")
        first = merge_and_check(lab, way)
        for number, action in enumerate(later):
            act(lab.agent, action, "agent later", number)
        if first:
            merge_and_check(lab, way)


def merge_and_check(lab: Lab, way: dict[str, object]) -> bool:
    """Merge, and hold what a merge promises; whether it went through."""
    begun, places = state(lab), lab.host.git("worktree", "list")
    target = str(way.get("into", "main"))
    try:
        planned = lab.plan(**way)
        before = planned.before
        outcome = lab.merge(**way)
    except Refused as error:
        event(f"refused: {error.what[:30]}")
        assert state(lab) == begun
        return False
    event(f"{outcome.kind}, {'finished' if outcome.finished else 'conflict'}")
    assert lab.host.git("worktree", "list").count("\n") == places.count("\n")
    if not outcome.finished:
        lab.undo()
        assert state(lab) == begun
        return False
    # The user's uncommitted work is as it was.
    assert state(lab)[1:] == begun[1:]
    if planned.kind == planning.NOTHING:
        return True
    base = lab.host.id(planned.since)
    theirs = changed(lab.host, base, planned.head)
    hosts = changed(lab.host, lab.host.git("merge-base", base, before), before)
    after = entries(lab.host, target)
    # Where a side moved a file, the other's change to it moved along.
    if not (moves(lab, base, planned.head) or moves(lab, base, before)):
        for side, other in ((theirs, hosts), (hosts, theirs)):
            for path in side.keys() - other.keys():
                assert after.get(path) == side[path], path
    assert lab.plan(**way).kind == planning.NOTHING
    assert remaining(lab.repository, NAME, branches=(target,)) == []
    settled = state(lab)
    assert lab.merge(**way).kind == planning.NOTHING
    assert state(lab) == settled
    lab.undo()
    assert state(lab) == begun
    assert lab.merge(**way).finished
    assert lab.host.git("diff", target, outcome.after) == ""
    return True


def moves(lab: Lab, old: str, new: str) -> bool:
    rows = lab.host.git("diff", "--name-status", "-M30", "-C30", old, new).splitlines()
    return any(row[0] in "RC" for row in rows)
