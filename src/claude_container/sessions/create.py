"""A new session: its volume, with a clone of the user's branch and uncommitted work in it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from claude_container import __version__, archive, host, images
from claude_container.archive import Entry
from claude_container.engines.base import Engine, EngineError, NameTaken, Streams
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.git import Repository
from claude_container.sessions import leftovers, luggage, model, snapshot, workspace
from claude_container.sessions.enter import SessionBusy
from claude_container.sessions.luggage import GitFolder
from claude_container.sessions.snapshot import Uncommitted
from claude_container.sessions.submodules import Submodule, checked_out

IDENTITY = ("Claude", "claude@container")


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
    identity: tuple[str, str] = IDENTITY


@dataclass(frozen=True)
class Created:
    """What came along, for one line to the user. `origin` is the commit it began from."""

    branch: str
    origin: str
    uncommitted: Uncommitted
    snapshot: bool
    included: int
    large: int
    large_missing: int
    submodules: tuple[Submodule, ...]


def create(
    engine: Engine,
    repository: Repository,
    name: str,
    wanted: Wanted,
    progress: images.Progress,
    image: images.Choice | None = None,
) -> Created:
    """Make the session, and pin its base in the repository. Nothing half-made stays.

    The container that fills the volume is kept until all is done: where it is found
    with its launcher gone, the volume of its launch is half-made, and goes with it.
    Raises CannotCreate, SessionBusy, EngineError, luggage.FilterMissing.
    """
    plan = _plan(repository, name, wanted)
    id = os.urandom(16).hex()
    labels = {
        model.SESSION: name,
        model.REPOSITORY: str(repository.common),
        model.DIRECTORY: str(repository.top),
        model.BRANCH: plan.git.branch,
        model.BASE: plan.git.commit,
        model.CREATED: str(int(time.time())),
        model.LAUNCH: id,
    }
    spec = workspace.spec(
        name,
        "create",
        *(module.path for module in plan.created.submodules),
        name=model.container_name(name),
        kind=model.CREATE_KIND,
        labels={model.LAUNCH: id},
        volume_labels={**labels, model.VERSION: __version__, model.KIND: model.WORKSPACE_KIND},
        keep=True,
    )
    refs = {ref: None for ref in repository.refs(f"refs/claude-container/{name}/")}
    pins = {
        model.ref(name, "base"): plan.git.commit,
        model.ref(name, "origin"): plan.created.origin,
    }
    try:
        container = workspace.create(engine, spec, progress, image)
    except NameTaken as error:
        raise SessionBusy(
            f"session {name} is in use by another command",
            hint=f"wait for that one, or end it: {engine.name} rm --force {spec.name}",
        ) from error
    try:
        if not engine.volumes({model.LAUNCH: id}, ()):
            # Made by somebody else since it was looked for: their work lies in it.
            engine.remove(container)
            raise SessionBusy(f"session {name} was just made by another command", hint="try again")
        # Before anything is sent: no gc of the user's can take the snapshot away.
        repository.update_refs({**refs, **pins})
        _fill(engine, container, plan)
        engine.remove(container)
    except SessionBusy:
        raise
    except BaseException:
        with contextlib.suppress(EngineError):
            leftovers.remove_launch(engine, id, started=False)
        repository.update_refs(dict.fromkeys(pins))
        raise
    return plan.created


@dataclass(frozen=True)
class _Plan:
    """What goes into the volume, found out before there is one."""

    git: GitFolder
    large: Sequence[Path]
    beside: Sequence[str]
    created: Created

    def entries(self, temporary: Path) -> Iterator[Entry]:
        yield from self.git.entries(".git", _new(temporary))
        for module in self.created.submodules:
            yield from _submodule(module, self.git.identity, _new(temporary))
        for path in self.large:
            yield f".git/lfs/objects/{'/'.join(path.parts[-3:])}", 0o444, path
        yield from luggage.files(self.git.repository, self.beside)


def _plan(repository: Repository, name: str, wanted: Wanted) -> _Plan:
    origin, branch = _start(repository, wanted)
    names = luggage.filters(repository, origin)
    if not wanted.as_stored:
        luggage.check_filters(repository, names)
    work, base, inside = Uncommitted(0, 0, 0), origin, []
    if wanted.branch in (None, repository.branch):
        work = snapshot.uncommitted(repository)
        if not wanted.clean and (work.changed or work.new):
            base = snapshot.take(repository, name, wanted.identity)
        inside = list(checked_out(repository))
    large, missing = luggage.large_files(repository, base) if "lfs" in names else ([], 0)
    beside = luggage.included(repository, wanted.include)
    ends = luggage.boundary(repository, base, wanted.depth)
    folder = GitFolder(repository, base, branch, wanted.identity, ends)
    created = Created(
        branch, origin, work, base != origin, len(beside), len(large), missing, tuple(inside)
    )
    return _Plan(folder, large, beside, created)


def _fill(engine: Engine, container: str, plan: _Plan) -> None:
    """Let the container unpack and check out what is streamed to it."""
    said = bytearray()
    with (
        tempfile.TemporaryDirectory(prefix="claude-container-", dir=host.cache_dir()) as folder,
        archive.streamed(plan.entries(Path(folder))) as stdin,
    ):
        streams = Streams(stdin=stdin, stdout=said.extend, stderr=said.extend)
        ended = engine.attach(container, streams)
    if ended.code != 0:
        raise CannotCreate(
            "the clone could not be made in the container", evidence=workspace.shown(bytes(said))
        )


def _start(repository: Repository, wanted: Wanted) -> tuple[str, str]:
    """The commit to begin with, and the branch that the session will be on."""
    if wanted.branch is not None:
        commit = repository.commit(f"refs/heads/{wanted.branch}")
        if commit is None:
            raise UsageError(f"this repository has no branch {wanted.branch!r}")
        return commit, wanted.branch
    if repository.head is None:
        raise CannotCreate(
            "this repository has no commit yet",
            hint="a session begins with one: git commit --allow-empty -m Begin",
        )
    return repository.head, repository.branch or ""


def _new(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def _submodule(module: Submodule, identity: tuple[str, str], temporary: Path) -> Iterator[Entry]:
    inner = module.repository
    assert inner.head is not None
    ends = luggage.boundary(inner, inner.head, None)
    folder = GitFolder(inner, inner.head, inner.branch or "", identity, ends, module.worktree)
    yield from folder.entries(f".git/{module.folder}", temporary)
    yield f"{module.path}/.git", 0o644, module.link.encode()
