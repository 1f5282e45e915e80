"""What a session would bring: read in the user's repository, from the refs of the last look."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from claude_container.changes import automerge, own, risks, taken
from claude_container.changes.commits import log
from claude_container.changes.figures import Figures
from claude_container.changes.risks import Risk
from claude_container.changes.trees import NOTHING
from claude_container.git import Repository

# Nothing but git itself looks at the files. The limit is git's own: without one, whoever
# adds and deletes many files decides how long this takes.
_DIFF = ("-r", "-z", "--raw", "--numstat", "--no-ext-diff", "--no-textconv", "-l1000")
_COUNTED = 100  # other branches


@dataclass(frozen=True)
class Listed:
    """One of the session's own commits; its text is an agent's.

    `known` is how the user's branch has it already: "there" (itself), "taken" (by an
    earlier merge), "equal" (the same change), "host" (a merge of only the user's own
    commits); "" for a new one.
    """

    id: str
    parents: tuple[str, ...]
    author: str
    email: str
    time: int  # of the author, seconds
    subject: str
    known: str


@dataclass(frozen=True)
class File:
    """One file; a path that is not UTF-8 holds surrogate escapes.

    `status` as in git-diff(1); `old` is the path before a rename or copy. Lines are
    None for a binary file. A mode is 000000 where there is no file.
    """

    path: str
    old: str | None
    status: str
    added: int | None
    removed: int | None
    old_mode: str
    new_mode: str


@dataclass(frozen=True)
class Branch:
    """Another branch of the session's, or its stash, and how many commits only it has."""

    name: str
    commit: str
    ahead: int | None  # None: not counted


@dataclass(frozen=True)
class Review:
    """All of it. `left` is what to compare head with: what the session has from the host.

    It is None where no such tree could be made, since what the host pushed and what the
    session began with are in conflict: the files are then summed, commit by commit.
    """

    session: str
    branch: str | None
    base: str
    origin: str
    head: str
    pushed: str | None
    left: str | None
    time: int  # of the look, seconds since the epoch
    rewritten: bool  # head does not build on base
    commits: tuple[Listed, ...]  # the newest first
    files: tuple[File, ...]
    added: int
    removed: int
    pending: tuple[str, ...]
    pending_count: int  # -1: unknown
    others: tuple[Branch, ...]
    unseen: int
    risks: tuple[Risk, ...]

    @property
    def new(self) -> tuple[Listed, ...]:
        """The commits that a merge would bring."""
        return tuple(commit for commit in self.commits if not commit.known)


def review(
    repository: Repository,
    session: str,
    figures: Figures,
    paths: Sequence[str] = (),
    folder: Path | None = None,
) -> Review:
    """Read what the session would bring to the current branch. Changes nothing.

    `paths` are git's pathspecs, seen from the root of the tree: they choose commits and
    files, but never hide a risk. `folder` is the one that the session is of, if that is no
    repository. Raises taken.Refused if there is no such session here.
    """
    where = own.refs(repository, session)
    record = taken.read(repository, session)
    here = [repository.head] if repository.head else []
    found = own.sort(repository, where, here, record.taken if record else ())
    left = own.left(repository, where)
    if left:
        files = net(repository, left, where.head, paths)
    else:
        files = _summed(repository, [c.id for c in found.own if len(c.parents) < 2], paths)
    return Review(
        session=session,
        branch=figures.branch,
        base=where.base,
        origin=where.origin,
        head=where.head,
        pushed=where.pushed,
        left=left,
        time=figures.time,
        rewritten=not repository.is_ancestor(where.base, where.head),
        commits=tuple(_listed(repository, where, found, paths)),
        files=files,
        added=sum(file.added or 0 for file in files),
        removed=sum(file.removed or 0 for file in files),
        pending=figures.pending,
        pending_count=figures.pending_count,
        others=tuple(_others(repository, where, figures)),
        unseen=figures.unseen,
        risks=tuple(risks.find(repository, left or where.base, where.head, folder)),
    )


def patch(repository: Repository, reviewed: Review, paths: Sequence[str]) -> tuple[str, ...]:
    """git's words that show the same files, as a difference.

    Where there is no one difference: of each commit, under its id, since a message could
    drive the terminal.
    """
    if reviewed.left:
        return ("diff", reviewed.left, reviewed.head, "--", *paths)
    theirs = own.refs(repository, reviewed.session).theirs
    words = ("--patch", "--no-merges", "--reverse", "--format=commit %H", "--no-show-signature")
    return ("log", *words, "--no-notes", "--no-follow", reviewed.head, *theirs, "--", *paths)


def _listed(
    repository: Repository, where: own.Refs, found: own.Sorted, paths: Sequence[str]
) -> Iterator[Listed]:
    hosts = [id for id in (repository.head, where.pushed) if id]
    _, merges = automerge.split(repository, found.new, hosts)
    host = {commit.id for commit in merges}
    shown = found.own
    if paths:
        shown = tuple(log(repository, "--no-follow", where.head, *where.theirs, "--", *paths))
    known = (("there", found.there), ("taken", found.taken), ("equal", found.equal), ("host", host))
    for commit in reversed(shown):
        how = next((how for how, ids in known if commit.id in ids), "")
        yield Listed(
            id=commit.id,
            parents=commit.parents,
            author=commit.author,
            email=commit.email,
            time=commit.time,
            subject=commit.subject,
            known=how,
        )


def net(repository: Repository, old: str, new: str, paths: Sequence[str]) -> tuple[File, ...]:
    """What differs between two commits or trees, a file to a row."""
    shown = repository.git("diff-tree", *_DIFF, "-M", old, new, "--", *paths)
    return tuple(_files(shown.stdout))


def _summed(repository: Repository, ids: list[str], paths: Sequence[str]) -> tuple[File, ...]:
    """The changes of these commits one by one, a file to a row; renames as two files."""
    one = ("--stdin", "--root", "--no-commit-id", "--no-renames")
    stream = "".join(f"{id}\n" for id in ids).encode()
    shown = repository.git("diff-tree", *_DIFF, *one, "--", *paths, input=stream)
    files: dict[str, File] = {}
    for file in _files(shown.stdout):
        before = files.get(file.path)
        files[file.path] = _after(before, file) if before else file
    gone = {NOTHING}
    return tuple(file for file in files.values() if {file.old_mode, file.new_mode} != gone)


def _after(one: File, two: File) -> File:
    """Both changes of a file as one."""
    binary = one.added is None or two.added is None
    status = "A" if one.status == "A" else two.status
    if (one.status, two.status) == ("D", "A"):
        status = "M"
    elif two.status == "D":
        status = "D"
    return replace(
        two,
        status=status,
        old_mode=one.old_mode,
        added=None if binary else (one.added or 0) + (two.added or 0),
        removed=None if binary else (one.removed or 0) + (two.removed or 0),
    )


def _files(stream: bytes) -> Iterator[File]:
    """What --raw and --numstat tell with -z: all rows of the one, then those of the other.

    Every row says how many paths follow it, so that no path is taken for a row.
    """
    fields = iter(os.fsdecode(stream).split("\0"))
    raw: dict[str, File] = {}
    for head in fields:
        if head.startswith(":"):
            old_mode, new_mode, _, _, status = head[1:].split(" ")
            old = next(fields) if status[0] in "RC" else None
            path = next(fields)
            raw[path] = File(path, old, status[0], 0, 0, old_mode, new_mode)
        elif head:
            added, removed, path = head.split("\t", 2)
            if not path:  # a rename: its paths come by themselves
                _, path = next(fields), next(fields)
            lines = [None if count == "-" else int(count) for count in (added, removed)]
            yield replace(raw.pop(path), added=lines[0], removed=lines[1])
    yield from raw.values()


def _others(repository: Repository, where: own.Refs, figures: Figures) -> Iterator[Branch]:
    for at, other in enumerate(figures.others):
        ahead = None
        if at < _COUNTED:
            words = ("--count", other.commit, f"^{where.head}", *where.theirs)
            counted = repository.git("rev-list", *words, check=False)
            ahead = int(counted.text) if counted.code == 0 else None
        yield Branch(other.name, other.commit, ahead)
