"""A new session: its volume, with a clone of the user's branch and uncommitted work in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from claude_container import __version__, archive, images
from claude_container.archive import Entry
from claude_container.clone import packing, plain
from claude_container.clone.packing import CannotCreate, Created, Plan, Wanted
from claude_container.clone.plain import Taken
from claude_container.engines.base import (
    ContainerSpec,
    Engine,
    EngineError,
    NameTaken,
    Streams,
)
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from claude_container.process import ProcessError
from claude_container.refs import our_ref
from claude_container.sessions import home, known, leftovers, model, remove, workspace
from claude_container.sessions.known import Session
from claude_container.sessions.leftovers import SessionBusy


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
    Until then there is a ref making/ID, too, for where the container goes first.
    Raises CannotCreate, SessionBusy, EngineError, luggage.FilterMissing.
    """
    _check_left_behind(repository, name)
    planned = packing.plan(repository, name, wanted)
    with workspace.temporary() as temporary:
        # Before there is anything on the engine: what fails here leaves nothing, and
        # ^C does not have to wait for it.
        entries = list(planned.entries(temporary))
        id = os.urandom(16).hex()
        _make(engine, repository, name, planned, entries, progress, image, id)
    return planned.created


def create_of_folder(
    engine: Engine,
    directory: Path,
    name: str,
    identity: tuple[str, str],
    progress: images.Progress,
    image: images.Choice | None = None,
    most: int | None = None,
) -> Taken:
    """Make a session of a folder that is no git repository; nothing is written into it.

    All of it that comes along is one commit, which is the session's base: first in a
    repository of ours. Raises as create() does, and TooLarge for more than `most` bytes.
    """
    id = os.urandom(16).hex()
    repository = plain.scratch(known.scratch(name, id), directory)
    try:
        with workspace.temporary() as temporary:
            taken = plain.take(repository, directory, most)
            commit = repository.commit_tree(taken.tree, f"{directory.name}, as it was", identity)
            planned = packing.of_folder(repository, commit, identity)
            entries = list(planned.entries(temporary))
            _make(engine, repository, name, planned, entries, progress, image, id, folder=directory)
    except BaseException:
        # Where the volume stays, the engine being gone, the refs tell what it is.
        if not repository.refs(our_ref(name, "").rstrip("/")):
            shutil.rmtree(repository.git_dir, ignore_errors=True)
        raise
    return taken


def _make(
    engine: Engine,
    repository: Repository,
    name: str,
    plan: Plan,
    entries: Sequence[Entry],
    progress: images.Progress,
    image: images.Choice | None,
    id: str,
    *,
    folder: Path | None = None,
) -> None:
    spec = _spec(repository, name, plan, id, folder)
    making = our_ref(name, f"making/{id}")
    pins = {
        our_ref(name, "base"): plan.git.commit,
        our_ref(name, "origin"): plan.created.origin,
    }
    old, mine = repository.refs(our_ref(name, "")), [making]
    # No gc of the user's can take the snapshot away now.
    repository.update_refs({making: plan.git.commit})
    try:
        container = workspace.create(engine, spec, progress, image)
        if not engine.volumes({model.LAUNCH: id}, ()):
            # Somebody else's work may lie in it.
            engine.remove(container)
            raise _taken(engine, name)
        _fill(engine, container, entries)
        mine += pins
        repository.update_refs({**dict.fromkeys(old), **pins, making: None})
    except NameTaken as error:
        repository.update_refs({making: None})
        raise leftovers.in_use(engine, name, "wait for that one") from error
    except BaseException:
        # Where the volume stays, the engine being gone, the refs tell what it is.
        with contextlib.suppress(EngineError, ProcessError):
            leftovers.remove_launch(engine, id, started=False)
            if not engine.volumes({model.LAUNCH: id}, ()):
                repository.update_refs(dict.fromkeys(mine))
        raise
    engine.remove(container)


def is_half_made(session: Session, here: Repository | None = None) -> bool:
    """Whether the making of a session did not come to its end; `here` is where it may be now."""
    making = our_ref(session.name, f"making/{session.id}")
    there = [home.at(session.repository), here]
    return any(repository.refs(making) for repository in there if repository)


def _spec(
    repository: Repository, name: str, plan: Plan, id: str, folder: Path | None
) -> ContainerSpec:
    labels = {
        model.SESSION: name,
        model.REPOSITORY: model.NO_REPOSITORY if folder else str(repository.common),
        model.DIRECTORY: str(folder or repository.top),
        model.BRANCH: plan.git.branch,
        model.BASE: plan.git.commit,
        model.CREATED: str(int(time.time())),
        model.LAUNCH: id,
    }
    return workspace.spec(
        name,
        "create",
        *(module.path for module in plan.created.submodules),
        name=model.container_name(name),
        kind=model.CREATE_KIND,
        labels={model.LAUNCH: id},
        volume_labels={**labels, model.VERSION: __version__, model.KIND: model.WORKSPACE_KIND},
        keep=True,
    )


def _check_left_behind(repository: Repository, name: str) -> None:
    """Raise CannotCreate where our refs alone hold commits of an earlier session."""
    lost = remove.left_behind(repository, name)
    if lost:
        raise CannotCreate(
            f"an earlier session {name} left commits that are nowhere else: {lost.commits}",
            evidence="\n".join(lost.named),
            hint=f"git branch {name} {our_ref(name, 'head')} keeps them,"
            f" claude-container delete {name} does not",
        )


def _taken(engine: Engine, name: str) -> ClaudeContainerError:
    if known.find(engine, name) is not None:
        return SessionBusy(f"session {name} was just made by another command", hint="try again")
    volume = model.session_volume(name)
    return CannotCreate(
        f"there is a volume {volume} that is no git session's",
        hint=f"take another name, or look at what is in it: {engine.name} run --rm -it"
        f" -v {volume}:/v {images.default_name()} ls -la /v",
    )


def _fill(engine: Engine, container: str, entries: Sequence[Entry]) -> None:
    """Let the container unpack and check out what is streamed to it."""
    said = bytearray()
    try:
        with archive.streamed(entries) as stdin:
            streams = Streams(stdin=stdin, stdout=said.extend, stderr=said.extend)
            ended = engine.attach(container, streams)
    except OSError as error:
        raise CannotCreate("a file changed while it was copied", evidence=str(error)) from error
    if ended.code != 0:
        full = b"No space left" in said or b"Wrote only" in said
        raise CannotCreate(
            "the clone could not be made in the container",
            evidence=workspace.shown(bytes(said)),
            hint=f"the engine's disk is full: {engine.name} system df" if full else "",
        )
