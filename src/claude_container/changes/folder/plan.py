"""What changes from one commit to another would do to a folder, as it is now.

Path by path where the folder has what the first commit has; where it has something else,
by git's own three-way merge. Only files that change between the two are looked at.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from claude_container.changes import ready, trees
from claude_container.changes.paths import folders, is_of_git
from claude_container.changes.taken import Refused, lines
from claude_container.changes.trees import NOTHING, Change
from claude_container.clone import index
from claude_container.clone.opened import SUBMODULE, Blocked, Entry, Opened, parts
from claude_container.git import OURS, Repository
from claude_container.terminal import visible

# git's own, whatever the user has set for merges: nobody is there to be asked.
_MERGING = ("-c", "merge.directoryRenames=false", "-c", "merge.renames=true")

Changes = dict[str, tuple[Entry | None, Entry | None]]


@dataclass(frozen=True)
class Row:
    """One path that is written: from what the folder has there now (None: nothing) to what."""

    path: str
    old: Entry | None
    new: Entry | None
    merged: bool = False  # of the folder's own changes and the session's

    @property
    def how(self) -> str:
        """added, deleted, changed, or mode: only that changes."""
        if self.old is None or self.new is None:
            return "deleted" if self.old else "added"
        return "mode" if self.old.id == self.new.id else "changed"


@dataclass(frozen=True)
class Conflict:
    """A path of which nobody can say what it shall be."""

    path: str
    why: str


@dataclass(frozen=True)
class Plan:
    """What carry_out() does, by path; nothing, where there is a conflict.

    Paths are an agent's: show them through visible(). `already` counts the changes that the
    folder has; `left` are git repositories made in the session, which cannot come.
    """

    folder: Path
    repository: Repository
    base: str
    head: str
    rows: tuple[Row, ...]
    conflicts: tuple[Conflict, ...] = ()
    already: int = 0
    left: tuple[str, ...] = ()


def plan(folder: Path, repository: Repository, base: str, head: str) -> Plan:
    """What it takes to bring what changed from base to head (commits or trees) into a folder.

    `repository` has both, and was made by clone.plain.scratch(); what the folder has of its
    own is stored in it. Raises Refused for paths that no folder may be given.
    """
    changes, left, conflicts = _changes(repository, base, head)
    _check_names(repository, base, head, changes)
    with Opened(folder) as place:
        here: dict[str, Entry | None] = {}
        for path in changes:
            try:
                here[path] = place.entry(path)
            except Blocked as error:
                conflicts.append(Conflict(path, f"{error.what} here"))
        done = {path for path in here if here[path] == changes[path][1]}
        own = [path for path in here if path not in done and here[path] != changes[path][0]]
        if own:
            for path in own:
                if here[path]:
                    repository.write_blob(place.content(path))
            rows, unmerged = _three_way(repository, base, changes, here, done)
            conflicts += unmerged
        else:
            rows = [Row(path, *changes[path]) for path in here if path not in done]
        conflicts += _in_the_way(place, rows)
    bad = {conflict.path for conflict in conflicts}
    rows = sorted((row for row in rows if row.path not in bad), key=lambda row: row.path)
    return Plan(
        folder=folder,
        repository=repository,
        base=base,
        head=head,
        rows=tuple(rows),
        conflicts=tuple(sorted(dict.fromkeys(conflicts), key=lambda conflict: conflict.path)),
        already=len(done),
        left=left,
    )


def _changes(
    repository: Repository, base: str, head: str
) -> tuple[Changes, tuple[str, ...], list[Conflict]]:
    """The paths that change, the repositories among them, and files that one took the place of."""
    changes, left = {}, []
    for change in trees.changes(repository, base, head):
        if change.new_mode == SUBMODULE:
            left.append(change.path)
        changes[change.path] = _both(change)
    lost = [p for p in left if changes[p][0] or any(up == p for q in changes for up in folders(q))]
    for path in left:
        if changes[path] == (None, None):
            del changes[path]
    why = "became a git repository of its own there, and its files would be lost here"
    return changes, tuple(left), [Conflict(path, why) for path in lost]


def _both(change: Change) -> tuple[Entry | None, Entry | None]:
    """What was there and what is to be; a submodule is nothing."""
    sides = ((change.old_mode, change.old), (change.new_mode, change.new))
    old, new = (None if mode in (NOTHING, SUBMODULE) else Entry(mode, id) for mode, id in sides)
    return old, new


def _check_names(repository: Repository, base: str, head: str, changes: Changes) -> None:
    """Raises Refused for names that lead elsewhere, or that the file system takes for one."""
    bad = [path for path, (_, new) in changes.items() if new and not _is_safe(path)]
    if bad:
        raise Refused(
            "the session holds files that may lie in no folder",
            evidence=lines(map(visible, bad)),
            hint="have them renamed or removed in the session",
        )
    ready.check_twins(repository, base, ready.between(repository, base, head))
    if folded := ready.folding(repository):
        gone = {folded(path): path for path, (_, new) in changes.items() if new is None}
        same = [path for path, (_, new) in changes.items() if new and folded(path) in gone]
        if same:
            raise Refused(
                "the file system here takes the old and the new name of these files for the same",
                evidence=lines(visible(f"{gone[folded(path)]} → {path}") for path in same),
                hint="rename them here yourself, or have it taken back in the session",
            )


def _is_safe(path: str) -> bool:
    try:
        names = parts(path)
    except Blocked:
        return False
    if os.sep != "/" and any(os.sep in name or ":" in name for name in names):
        return False
    return names[-1] != "." and not is_of_git(path)


def _three_way(
    repository: Repository,
    base: str,
    changes: Changes,
    here: Mapping[str, Entry | None],
    done: Iterable[str],
) -> tuple[list[Row], list[Conflict]]:
    """git's merge of both sides, as rows, and the paths where it finds a conflict."""
    # What is there already is no question any more, on any side.
    settled = {path: changes[path][1] for path in done}
    theirs = {path: new for path, (_, new) in changes.items()}
    root = repository.commit_tree(index.tree(repository, settled, base), "-", OURS)
    mine = index.tree(repository, here, base)
    ours = repository.commit_tree(mine, "-", OURS, root)
    others = repository.commit_tree(index.tree(repository, theirs, base), "-", OURS, root)
    words = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages")
    merged = repository.git(*_MERGING, *words, ours, others, check=False, timeout=None)
    if merged.code not in (0, 1):
        raise Refused(
            "git cannot merge what changed in the folder meanwhile",
            evidence=merged.error_text,
            hint="git 2.38 or newer is needed for that: git --version",
        )
    tree, *paths = os.fsdecode(merged.stdout).rstrip("\0").split("\0")
    bad = {path for path in paths if path}
    rows = []
    for change in trees.changes(repository, mine, tree):
        path = change.path
        if path in changes and path not in bad:
            old, new = _both(change)
            rows.append(Row(path, old, new, merged=new not in changes[path]))
    return rows, [Conflict(path, _why(path, changes, here)) for path in sorted(bad)]


def _why(path: str, changes: Changes, here: Mapping[str, Entry | None]) -> str:
    old, new = changes.get(path, (None, None))
    if path not in changes:
        return "is in the way"
    if new is None:
        return "changed here, deleted in the session"
    if here.get(path) is None:
        return "deleted here, changed in the session"
    return "changed here and in the session" if old else "new here and in the session"


def _in_the_way(place: Opened, rows: Iterable[Row]) -> Iterator[Conflict]:
    """What of the folder's own lies where a file or a folder is to be."""
    going = {row.path for row in rows if row.new is None}
    is_repository = functools.cache(place.is_repository)

    @functools.cache
    def is_other(path: str) -> bool:
        told = place.lstat(path)
        return told is not None and not stat.S_ISDIR(told.st_mode)

    for row in rows:
        above = list(folders(row.path))[::-1]  # what stands outermost is told
        try:
            if row.new is None:
                if up := next(filter(is_repository, above), None):
                    yield Conflict(row.path, f"{up} is a git repository of its own here")
                continue
            if up := next(filter(is_other, above), None):
                if up not in going:
                    yield Conflict(row.path, f"{up} is no folder here")
                continue
            if up := next(filter(is_repository, above), None):
                yield Conflict(row.path, f"{up} is a git repository of its own here")
                continue
            told = place.lstat(row.path)
            if told is not None and stat.S_ISDIR(told.st_mode):
                rest = next((path for path in place.inside(row.path) if path not in going), None)
                if rest is not None:
                    yield Conflict(row.path, f"is a folder here, which holds {rest}")
        except (Blocked, OSError) as error:
            yield Conflict(row.path, f"cannot be looked at here: {error}")
