"""What a new session takes along of a repository and its submodules, decided before it is made."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from claude_container.archive import Entry
from claude_container.clone import endings, luggage, snapshot
from claude_container.clone.luggage import GitFolder
from claude_container.clone.snapshot import Uncommitted
from claude_container.clone.submodules import Submodule, checked_out
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.git import CLAUDE, Repository


class CannotCreate(ClaudeContainerError):
    """A session cannot be made of this repository as it is."""


@dataclass(frozen=True)
class Wanted:
    """What a new session shall be. `depth` in commits; `branch` another than the current."""

    clean: bool = False
    branch: str | None = None
    depth: int | None = None
    include: tuple[str, ...] = ()
    as_stored: bool = False
    identity: tuple[str, str] = CLAUDE


@dataclass(frozen=True)
class Created:
    """What came along and what did not, for one line to the user.

    `origin` is the commit it began from. `left` are ignored files and folders of which
    nothing came, `large` git-lfs objects.
    """

    branch: str
    origin: str
    uncommitted: Uncommitted = field(default_factory=Uncommitted)
    snapshot: bool = False
    included: int = 0
    left: int = 0
    large: int = 0
    large_missing: int = 0
    submodules: tuple[Submodule, ...] = ()


@dataclass(frozen=True)
class _Part:
    """A repository that goes into the volume: the user's own, or one of its submodules."""

    git: GitFolder
    folder: str  # of git, in the workspace
    large: Sequence[Path] = ()
    unlike: Sequence[str] = ()

    def entries(self, temporary: Path) -> Iterator[Entry]:
        """What belongs into the tar; the pack is made in `temporary`, an empty folder."""
        yield from self.git.entries(self.folder, temporary)
        for file in self.large:
            yield f"{self.folder}/lfs/objects/{'/'.join(file.parts[-3:])}", 0o444, file
        # To be put over what git will have checked out (workspace.sh).
        prefix = f"{self.folder}/as-they-are/"
        yield from luggage.files(self.git.repository, self.unlike, prefix)


@dataclass(frozen=True)
class Plan:
    """What goes into the volume, found out before there is one."""

    parts: Sequence[_Part]
    beside: Sequence[str]
    created: Created
    excluded: bytes = b""  # for info/exclude

    @property
    def git(self) -> GitFolder:
        """That of the repository itself."""
        return self.parts[0].git

    def entries(self, temporary: Path) -> Iterator[Entry]:
        """All of the tar; packs are made in folders in `temporary`.

        Raises ClaudeContainerError for what cannot be packed or read.
        """
        for part in self.parts:
            yield from part.entries(Path(tempfile.mkdtemp(dir=temporary)))
        if self.excluded:
            yield ".git/info/exclude", 0o644, self.excluded
        for module in self.created.submodules:
            yield f"{module.path}/.git", 0o644, module.link.encode()
        yield from luggage.files(self.git.repository, self.beside)


def plan(repository: Repository, name: str, wanted: Wanted) -> Plan:
    """Find out what session `name` takes along; of the repository nothing changes.

    Raises CannotCreate, UsageError for no such branch, luggage.FilterMissing, and
    ClaudeContainerError for what git cannot read.
    """
    origin, branch = _start(repository, wanted)
    work = snapshot.uncommitted(repository)
    own = wanted.branch in (None, repository.branch)
    base, unlike, modules = origin, list[str](), list[Submodule]()
    if own and not wanted.clean:
        if work.changed or work.new:
            tree = snapshot.take(repository, work.nested)
            unlike = list(tree.unlike)
            if tree.id != repository.git("rev-parse", f"{origin}^{{tree}}").text:
                base = snapshot.commit(repository, name, tree.id, wanted.identity)
        else:
            unlike = endings.unlike(repository)
    if own:
        modules = list(checked_out(repository, base))
    depth = None if wanted.depth is None else wanted.depth + (base != origin)
    ends = luggage.boundary(repository, base, depth)
    git = GitFolder(
        repository, base, branch, wanted.identity, shallow=ends, submodules=_inside(modules, "")
    )
    parts, missing = [], 0
    for part in [_Part(git, ".git", unlike=unlike), *(_of(m, modules, wanted) for m in modules)]:
        filtered = luggage.filters(part.git.repository, part.git.commit)
        if not wanted.as_stored:
            luggage.check_filters(part.git.repository, filtered)
        large, absent = luggage.large_files(
            part.git.repository, part.git.commit, filtered.get("lfs", ())
        )
        parts.append(replace(part, large=large))
        missing += absent
    beside = luggage.included(repository, wanted.include)
    left = [path for path in work.ignored if not _covers(path, beside)]
    created = Created(
        branch=branch,
        origin=origin,
        uncommitted=work,
        snapshot=base != origin,
        included=len(beside),
        left=len(left),
        large=sum(len(part.large) for part in parts),
        large_missing=missing,
        submodules=tuple(modules),
    )
    return Plan(parts, beside, created)


def of_folder(repository: Repository, commit: str, identity: tuple[str, str]) -> Plan:
    """The same for a folder without git, whose content is a commit in a repository of ours.

    Its attributes come along, so that git in there keeps every byte, too.
    """
    part = _Part(GitFolder(repository, commit, "main", identity), ".git")
    excluded = (repository.common / "info" / "exclude").read_bytes()
    return Plan([part], [], Created(branch="main", origin=commit), excluded)


def _covers(path: str, names: Sequence[str]) -> bool:
    return any(name == path or (path.endswith("/") and name.startswith(path)) for name in names)


def _of(module: Submodule, modules: Sequence[Submodule], wanted: Wanted) -> _Part:
    inner = module.repository
    git = GitFolder(
        inner,
        module.commit,
        module.branch,
        wanted.identity,
        shallow=luggage.boundary(inner, module.commit, None),
        worktree=module.worktree,
        submodules=_inside(modules, f"{module.folder}/"),
    )
    unlike = [] if module.dirty or wanted.clean else endings.unlike(inner)
    return _Part(git, f".git/{module.folder}", unlike=unlike)


def _inside(modules: Sequence[Submodule], outer: str) -> tuple[str, ...]:
    return tuple(module.name for module in modules if module.outer == outer and module.name)


def _start(repository: Repository, wanted: Wanted) -> tuple[str, str]:
    """The commit to begin with, and the branch that the session will be on."""
    if wanted.branch is not None:
        name = f"refs/heads/{wanted.branch}"
        # Not as a revision, which `main~2` is too.
        commit = repository.refs(name).get(name)
        if commit is None:
            other = repository.commit(wanted.branch)
            raise UsageError(
                f"this repository has no branch {wanted.branch!r}",
                hint=f"it is a commit; to begin with it: git branch NAME {other[:7]}"
                if other
                else "",
            )
        return commit, wanted.branch
    if repository.head is None:
        raise CannotCreate(
            "this repository has no commit yet",
            hint="a session begins with one: git commit --allow-empty -m Begin",
        )
    return repository.head, repository.branch or ""
