"""Changes into a folder without git: exactly what a merge of git's gives, or nothing at all."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from claude_container.changes import folder as folders
from claude_container.changes.folder import Plan
from claude_container.changes.taken import Refused
from claude_container.clone import plain
from claude_container.git import Repository
from tests.histories import run
from tests.trees import Content, held

pytestmark = pytest.mark.git

Files = dict[str, str]
Edits = list[tuple[str, str, object]]
_EXAMPLES = int(os.environ.get("FOLDER_EXAMPLES", "25"))
LINES = [f"{number}\n" for number in range(12)]


class Desk:
    """A folder, and a repository that knows what it and a session held."""

    def __init__(self, above: Path) -> None:
        self.folder = above / "folder"
        self.folder.mkdir(parents=True)
        self.repository: Repository = plain.scratch(above / "scratch", self.folder)

    def write(self, path: str, content: str | None, *, mode: int | None = None) -> None:
        put(self.folder, path, content)
        if mode is not None:
            (self.folder / path).chmod(mode)

    def tree(self, files: Files) -> str:
        """A tree of files by path; `@x` is a link to x, `!x` a program."""
        with tempfile.TemporaryDirectory() as made:
            for path, content in files.items():
                put(Path(made), path, content)
            return plain.take(self.repository, Path(made)).tree

    def lay(self, files: Files) -> None:
        for path, content in files.items():
            put(self.folder, path, content)

    def plan(self, base: str, head: str) -> Plan:
        return folders.plan(self.folder, self.repository, base, head)

    def merge(self, base: str, head: str) -> Plan:
        planned = self.plan(base, head)
        folders.carry_out(planned)
        return planned

    def held(self) -> Content:
        return held(self.folder)

    def content(self, tree: str) -> Content:
        """What a tree holds, as held() tells it of a folder."""
        rows = run(self.repository.top, "ls-tree", "-r", "-z", tree).split("\0")
        content = {}
        for row in filter(None, rows):
            head, path = row.split("\t", 1)
            mode, _, id = head.split(" ")
            argv = ["git", "cat-file", "blob", id]
            content[path] = (mode, subprocess.check_output(argv, cwd=self.repository.top))
        return content


def put(folder: Path, path: str, content: str | None) -> None:
    file = folder / path
    if content is None:
        file.unlink()
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_symlink():
        file.unlink()
    if content.startswith("@"):
        if file.exists():
            file.unlink()
        file.symlink_to(content[1:])
    else:
        file.write_text(content)
        file.chmod(0o755 if content.startswith("!") else 0o644)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


NAMES = ("a", "b", "c", "d/one", "d/two", "d/e/x", "d")


@st.composite
def contents(draw: st.DrawFn) -> str:
    sign = draw(st.sampled_from(("", "", "", "!", "@")))
    return sign + "".join(draw(st.sampled_from((LINES, LINES[::-1], LINES[:4]))))


@st.composite
def trees(draw: st.DrawFn) -> Files:
    files: Files = {}
    for path, content in draw(st.dictionaries(st.sampled_from(NAMES), contents())).items():
        if fits(files, path):
            files[path] = content
    return files


def fits(files: Files, path: str) -> bool:
    return not any(path.startswith(f"{p}/") or p.startswith(f"{path}/") for p in files)


@st.composite
def edits(draw: st.DrawFn) -> Edits:
    """What somebody does to a tree, whatever is in it: see `edited`."""
    ways = st.one_of(
        st.tuples(st.just("line"), st.integers(0, 11)),
        st.tuples(st.just("line"), st.integers(0, 11)),
        st.tuples(st.just("delete"), st.none()),
        st.tuples(st.just("sign"), st.sampled_from(("", "!", "@"))),
        st.tuples(st.just("move"), st.sampled_from(NAMES)),
        st.tuples(st.just("write"), contents()),
    )
    some = st.lists(st.tuples(st.sampled_from((*NAMES, "a", "a", "a", "a")), ways), max_size=4)
    return [(path, way, value) for path, (way, value) in draw(some)]


def edited(files: Files, doing: Edits, who: str) -> Files:
    files = dict(files)
    for path, way, value in doing:
        if way == "write":
            if fits({p: c for p, c in files.items() if p != path}, path):
                files[path] = str(value)
        elif path in files:
            sign = files[path][0] if files[path][0] in "!@" else ""
            lines = files[path].removeprefix(sign).splitlines(keepends=True)
            if way == "line" and isinstance(value, int):
                lines[value % len(lines)] = f"{who}\n"
                files[path] = sign + "".join(lines)
            elif way == "sign":
                files[path] = str(value) + "".join(lines)
            else:
                content = files.pop(path)
                if way == "move" and fits(files, str(value)):
                    files[str(value)] = content
    return files


_PROPERTY = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize="FOLDER_EXAMPLES" not in os.environ,
)


@_PROPERTY
@given(base=trees(), head=trees())
def test_an_untouched_folder_becomes_what_the_session_has(base: Files, head: Files) -> None:
    with tempfile.TemporaryDirectory() as above:
        desk = Desk(Path(above))
        desk.lay(base)
        old, new = desk.tree(base), desk.tree(head)
        before = desk.held()
        desk.merge(old, new)
        assert desk.held() == desk.content(new)
        assert left_over(desk) == []
        assert desk.plan(old, new).rows == ()
        desk.merge(new, old)
        assert desk.held() == before


@_PROPERTY
@given(begun=edits(), here=edits(), there=edits())
def test_a_changed_folder_becomes_what_git_merges_or_stays(
    begun: Edits, here: Edits, there: Edits
) -> None:
    full = {path: "".join(LINES) for path in ("a", "b", "d/one", "d/two", "d/e/x")}
    base = edited(full, begun, "before")
    mine, head = edited(base, here, "mine"), edited(base, there, "theirs")
    with tempfile.TemporaryDirectory() as above:
        desk = Desk(Path(above))
        desk.lay(mine)
        old, ours, new = desk.tree(base), desk.tree(mine), desk.tree(head)
        before = desk.held()
        planned = desk.plan(old, new)
        if planned.conflicts:
            event("conflict")
            with pytest.raises(Refused):
                folders.carry_out(planned)
            assert desk.held() == before
            return
        event("merged" if any(row.merged for row in planned.rows) else "path by path")
        folders.carry_out(planned)
        # What both sides agree on is no question, which git's search for renames makes it.
        agreed = {path for path in NAMES if mine.get(path) == head.get(path)}
        settled = {path: text for path, text in base.items() if path not in agreed}
        settled |= {path: mine[path] for path in agreed if path in mine}
        possible = [merged(desk, tree, ours, new) for tree in (old, desk.tree(settled))]
        assert desk.held() in [desk.content(tree) for tree in possible if tree]
        assert left_over(desk) == []


def merged(desk: Desk, base: str, ours: str, theirs: str) -> str | None:
    """The tree that git merges these to, None for a conflict."""
    who = [word for s in ("name=A", "email=a@b") for word in ("-c", f"user.{s}")]
    make = lambda tree, *parent: run(  # noqa: E731
        desk.repository.top, *who, "commit-tree", tree, *parent, "-m", "-"
    )
    root = make(base)
    words = ("-c", "merge.directoryRenames=false")
    done = subprocess.run(
        ["git", *words, "merge-tree", "--write-tree", make(ours, "-p", root)]
        + [make(theirs, "-p", root)],
        cwd=desk.repository.top,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()[0] if done.returncode == 0 else None


def left_over(desk: Desk) -> list[str]:
    """Folders that hold nothing, and what a merge prepared."""
    return [
        root
        for root, inner, files in os.walk(desk.folder)
        if (root != str(desk.folder) and not inner and not files) or plain.STAGING in root
    ]
