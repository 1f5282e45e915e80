"""Is the user's working tree ready for a merge: nothing under way, nothing in its way."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from claude_container.changes import trees
from claude_container.changes.paths import folders
from claude_container.changes.taken import STARTED, Record, Refused, lines
from claude_container.changes.trees import Change
from claude_container.clone.opened import SUBMODULE
from claude_container.git import Repository
from claude_container.terminal import visible

# What git leaves in its folder while it is at something (git 2.39, wt-status.c).
_SIGNS = (
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("sequencer", "cherry-pick"),
)

_HINT = "commit or stash it first: git commit, or git stash"


def commands(operation: str) -> tuple[str, ...]:
    """What ends an operation of git's: finish it, leave out a commit, or go back."""
    verbs = (
        ("--continue", "--abort") if operation == "merge" else ("--continue", "--skip", "--abort")
    )
    return tuple(f"git {operation} {verb}" for verb in verbs)


def operation(git_dir: Path) -> str | None:
    """What git is in the middle of in a working tree: merge, cherry-pick, revert, rebase."""
    return next((name for sign, name in _SIGNS if (git_dir / sign).exists()), None)


def ours(record: Record | None) -> str | None:
    """The operation that a merge of this record began, and that is still under way."""
    if record is None or record.state != STARTED or record.place is None:
        return None
    place = Path(record.place)
    under_way = operation(place)
    if under_way == "merge":
        return under_way if record.head in _words(place / "MERGE_HEAD") else None
    if under_way != "cherry-pick":
        return None
    words = _words(place / "CHERRY_PICK_HEAD") + _words(place / "sequencer" / "todo")
    # The list of what is to be done has ids cut short.
    ids = {word for word in words if len(word) >= 4}
    mine = any(pick.id.startswith(word) for word in ids for pick in record.picks)
    return under_way if mine else None


def _words(file: Path) -> list[str]:
    try:
        rows = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [word for row in rows for word in row.split()[:2]]


@dataclass(frozen=True)
class Work:
    """The user's own uncommitted work, by path."""

    staged: tuple[str, ...]
    unstaged: tuple[str, ...]  # untracked files among it


def work(repository: Repository) -> Work:
    """Look at the working tree without touching the index. Raises ProcessError."""
    shown = repository.git(
        "--no-optional-locks",
        "status",
        "--porcelain=v1",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        "--ignore-submodules=dirty",
    )
    rows = [os.fsdecode(row) for row in shown.stdout.split(b"\0") if row]
    return Work(
        staged=tuple(row[3:] for row in rows if row[0] not in " ?"),
        unstaged=tuple(row[3:].rstrip("/") for row in rows if row[1] != " "),
    )


def check_operation(repository: Repository) -> None:
    """Raises Refused while git is in the middle of something."""
    under_way = operation(repository.git_dir)
    if under_way:
        raise Refused(
            f"a {under_way} is under way in {repository.top}",
            evidence=lines(commands(under_way)),
            hint="end it with one of these first",
        )


def check_staged(found: Work) -> None:
    """Raises Refused if anything is staged: `cherry-pick --abort` would delete it (git 2.39)."""
    if found.staged:
        raise Refused(
            "staged changes would get mixed up with this merge",
            evidence=lines(map(visible, found.staged)),
            hint=_HINT,
        )


@dataclass(frozen=True)
class Touched:
    """What commits change, by path; a rename is a deletion and an addition."""

    paths: frozenset[str]
    added: frozenset[str]
    there: frozenset[str]  # those of the paths that are files in the end
    gitlinks: dict[str, str]  # the commit that a submodule is to be at


def touched(repository: Repository, ids: Iterable[str]) -> Touched:
    """What each of these commits changes."""
    return _summed(trees.changes_of_each(repository, ids))


def between(repository: Repository, old: str, new: str) -> Touched:
    """What changes from one tree to another."""
    return _summed(trees.changes(repository, old, new))


def _summed(changes: Iterable[Change]) -> Touched:
    paths: set[str] = set()
    added: set[str] = set()
    there: set[str] = set()
    gitlinks: dict[str, str] = {}
    for change in changes:
        path = change.path
        paths.add(path)
        if change.added:
            added.add(path)
        (there.discard if change.gone else there.add)(path)
        gitlinks.pop(path, None)
        if change.new_mode == SUBMODULE:
            gitlinks[path] = change.new
    return Touched(frozenset(paths), frozenset(added), frozenset(there), gitlinks)


def check_overlap(repository: Repository, found: Work, change: Touched) -> None:
    """Raises Refused if the user's own work lies where a change would be written.

    Ignored files too: git would overwrite them without a word (seen with 2.39).
    """
    inside = _Paths(change.paths, folding(repository) or str)
    overlap = [path for path in found.unstaged if inside.meets(path)]
    known = set(found.unstaged)
    overlap += [path for path in _ignored(repository, change.added) if path not in known]
    if overlap:
        raise Refused(
            "uncommitted work of yours is in files that this merge changes",
            evidence=lines(map(visible, sorted(set(overlap)))),
            hint=_HINT,
        )


def check_twins(repository: Repository, commit: str, change: Touched) -> None:
    """Raises Refused if the files of a commit, changed like that, cannot all be checked out.

    On a file system that does not tell `Readme` from `README` git writes one over the
    other, and calls it changed from then on (clone warns of it, "paths have collided").
    """
    folded = folding(repository)
    if folded is None:
        return
    before = set(trees.paths(repository, commit))
    names: dict[str, set[str]] = {}
    for path in (before - change.paths) | change.there:
        names.setdefault(folded(path), set()).add(path)
    # A file stands in the way of a folder of its name, too.
    for name in list(names):
        for folder in folders(name):
            if folder in names:
                names[folder] |= names[name]
    brought = [same for same in names.values() if len(same) > 1 and same & change.there]
    if brought:
        raise Refused(
            "the file system here takes names of these files for the same one",
            evidence=lines(sorted(visible(", ".join(sorted(same))) for same in brought)),
            hint="have one of each renamed in the session, or bring it to a branch that is not"
            " checked out: --into BRANCH",
        )


def folding(repository: Repository) -> Callable[[str], str] | None:
    """How names are made alike that the file system takes for one; None where it takes none.

    git found that out when it made the repository: core.ignorecase on macOS, Windows and
    /mnt/c in WSL, core.precomposeunicode on macOS (git-config(1)).
    """
    wanted = ("config", "--type=bool", "--get-regexp", r"^core\.(ignorecase|precomposeunicode)$")
    said = dict(row.split() for row in repository.git(*wanted, check=False).text.splitlines())
    case, form = (said.get(f"core.{key}") == "true" for key in ("ignorecase", "precomposeunicode"))
    if not case and not form:
        return None

    def folded(path: str) -> str:
        path = path.casefold() if case else path
        return unicodedata.normalize("NFC", path) if form else path

    return folded


class _Paths:
    """Paths, and the folders they are in."""

    def __init__(self, paths: Collection[str], folded: Callable[[str], str]) -> None:
        self._folded = folded
        self._paths = {self._folded(path) for path in paths}
        self._folders = {folder for path in self._paths for folder in folders(path)}

    def meets(self, path: str) -> bool:
        """Whether it is one of them, or one is a file where the other needs a folder."""
        path = self._folded(path)
        return (
            path in self._paths
            or path in self._folders
            or any(folder in self._paths for folder in folders(path))
        )


def _ignored(repository: Repository, added: Collection[str]) -> list[str]:
    """Files in the working tree, where a file is to be added, that git knows nothing of."""
    there = set()
    seen: dict[str, bool] = {}
    for path in added:
        for folder in folders(path):
            file = repository.top / folder
            if folder not in seen:
                seen[folder] = file.is_symlink() or file.is_file()
            if seen[folder]:
                there.add(folder)
        file = repository.top / path
        if file.is_dir() and not file.is_symlink():
            there |= {
                os.path.relpath(os.path.join(parent, name), repository.top)
                for parent, _, names in os.walk(file)
                for name in names
            }
        elif os.path.lexists(file):
            there.add(path)
    if not there:
        return []
    tracked = repository.git("ls-files", "-z").stdout.split(b"\0")
    return sorted(there - set(map(os.fsdecode, tracked)))
