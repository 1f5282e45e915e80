"""Removing a session: what would be lost with it, and then all that there is of it."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from claude_container import images
from claude_container.changes import own
from claude_container.changes.commits import log
from claude_container.changes.folder import record
from claude_container.changes.taken import Refused
from claude_container.clone.submodules import gitlinks, in_submodule
from claude_container.engines.base import (
    ContainerSpec,
    Engine,
    EngineError,
    ImageMissing,
    NameTaken,
    VolumeInUse,
)
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from claude_container.refs import our_ref
from claude_container.sessions import known, layered, leftovers, look, model, workspace
from claude_container.sessions.known import Session
from claude_container.sessions.leftovers import SessionBusy
from claude_container.sessions.overlay import Overlay
from claude_container.terminal import visible
from claude_container.wire.bounds import Limits

_OTHERS = 5.0  # seconds for which another command's look is waited for
SHOWN = 10  # commits that are named; of the others only how many


@dataclass(frozen=True)
class Losses:
    """What would go with a session, for ever. All text is fit to be shown."""

    commits: int = 0
    named: tuple[str, ...] = ()  # "1a2b3c4 subject", the newest of them
    uncommitted: int = 0  # files; -1 where git in the session could not tell
    changed: int = 0  # files of an overlay that its folder has otherwise, or not
    elsewhere: tuple[str, ...] = ()  # "where: what", of linked worktrees and submodules
    nested: tuple[str, ...] = ()  # repositories in it, at commits that are nowhere else
    unseen: int = 0  # branches, too many to look at
    gone: str = ""  # the repository that it came from, which is not there
    unknown: str = ""  # why it could not be looked at

    def __bool__(self) -> bool:
        counts = self.commits or self.uncommitted or self.changed or self.unseen
        return bool(counts or self.elsewhere or self.nested or self.gone or self.unknown)


def losses(
    engine: Engine,
    repository: Repository | None,
    session: Session,
    progress: images.Progress,
    *,
    limits: Limits,
) -> Losses:
    """Look at a session, and tell what of it is nowhere else.

    A commit is kept by a head, remote or tag of the user's, or by having been taken
    (own.remaining). `repository` None: it is gone (home.find), so nothing is kept
    anywhere else. Raises EngineError.
    """
    if repository is None:
        return _uncounted(engine, session, progress)
    try:
        seen = look.look(engine, repository, session, progress, limits=limits)
    except EngineError:
        raise
    except ClaudeContainerError as error:
        return _unknown(error)
    tips = [seen.head, *(other.commit for other in seen.others)]
    count, named = _remaining(repository, session, tips)
    return Losses(
        commits=count,
        named=named,
        uncommitted=seen.committable,
        elsewhere=tuple(map(visible, seen.elsewhere)),
        nested=_nested(repository, session, tips),
        unseen=seen.unseen,
    )


def _nested(repository: Repository, session: Session, tips: Sequence[str]) -> tuple[str, ...]:
    """Repositories inside, whose own commits did not come with the session's."""
    base = repository.commit(session.base)
    known = set(gitlinks(repository, base)) if base else set()
    found = {link for tip in dict.fromkeys(tips) for link in gitlinks(repository, tip)} - known
    return tuple(
        sorted(
            visible(path)
            for path, commit in found
            if session.of_folder or not in_submodule(session.directory / path, commit)
        )
    )


def overlay_losses(
    engine: Engine, found: Overlay, progress: images.Progress, *, limits: Limits
) -> Losses:
    """Look at a session of --dir, and tell what its folder has not. Raises EngineError."""
    try:
        with layered.look(engine, found, progress, limits=limits) as seen:
            paths = [*seen.changed, *(path for left in seen.left.values() for path in left.paths)]
            more = sum(left.count for left in seen.left.values())
            named = tuple(visible(path) for path in paths[:SHOWN])
            return Losses(named=named, changed=len(seen.changed) + more)
    except EngineError:
        raise
    except ClaudeContainerError as error:
        return _unknown(error)


def _unknown(error: ClaudeContainerError) -> Losses:
    """What would be lost where a look failed."""
    why = ": ".join(filter(None, [error.what, " ".join(error.evidence.split())]))
    return Losses(unknown=visible(why))


def left_behind(repository: Repository, name: str) -> Losses | None:
    """What our refs alone still hold of a session that is gone; None: there are no refs."""
    found = repository.refs(our_ref(name, ""))
    if not found:
        return None
    heads = [id for ref, id in found.items() if ref.startswith(our_ref(name, "other/"))]
    heads += [id for ref, id in found.items() if ref == our_ref(name, "head")]
    if not heads:
        return Losses()
    count, named = _remaining(repository, name, heads)
    return Losses(count, named)


def _remaining(
    repository: Repository, session: Session | str, tips: Sequence[str]
) -> tuple[int, tuple[str, ...]]:
    name = session if isinstance(session, str) else session.name
    try:
        if isinstance(session, Session) and session.of_folder:
            lost = record.remaining(repository, name, session.directory, tips)
        else:
            lost = own.remaining(repository, name, tips)
    except Refused:
        # Our refs are gone: what it began with is known by its label alone.
        base = None if isinstance(session, str) else repository.commit(session.base)
        reached = ["--not", "--branches", "--remotes", "--tags", *([base] if base else [])]
        lost = log(repository, *tips, *reached)
    newest = lost[: -SHOWN - 1 : -1]
    return len(lost), tuple(f"{commit.id[:7]} {visible(commit.subject)}" for commit in newest)


def _uncounted(engine: Engine, session: Session, progress: images.Progress) -> Losses:
    """What a session holds beyond its beginning, as git in there tells."""
    gone = str(session.repository)
    try:
        told = workspace.run(
            engine, session.name, "count", session.base, progress=progress, what="cannot count"
        )
        count, pending, *rows = told.decode(errors="replace").split("\0")
        named = tuple(visible(row.strip()) for row in rows if row)
        return Losses(int(count), named[:SHOWN], uncommitted=int(pending), gone=gone)
    except (workspace.WorkspaceError, ValueError):
        return Losses(gone=gone, unknown="git in the session could not tell what it holds")


@contextlib.contextmanager
def hold(engine: Engine, name: str, removes: str = "") -> Iterator[None]:
    """Keep every launch out of a session, by taking its container's name meanwhile.

    `removes` is the workspace's volume where it may be removed inside: cut short after
    that, the next command removes the rest (leftovers.py). Raises SessionBusy.
    """
    container = _take(engine, name, removes)
    try:
        yield
    except BaseException:
        with contextlib.suppress(EngineError):
            leftovers.finish_removal(engine, removes, name)
        raise
    finally:
        if container is not None:
            with contextlib.suppress(EngineError):
                engine.remove(container)


def _take(engine: Engine, name: str, removes: str) -> str | None:
    spec = ContainerSpec(
        image=images.default_name(),
        name=model.container_name(name),
        command=("/bin/true",),
        labels={
            **model.at_work(model.DELETE_KIND, name),
            **({model.REMOVES: removes} if removes else {}),
        },
        network="none",
        keep=True,
    )
    for _ in range(2):
        try:
            return engine.create(spec)
        except ImageMissing:
            return None  # there is nothing to hold it with; a look gets the image
        except NameTaken:
            if leftovers.holder_is_alive(engine, name):
                break
    raise leftovers.in_use(engine, name, "leave it first")


def stop(engine: Engine, name: str) -> bool:
    """End the container that a session runs in. Raises SessionBusy for one that makes it."""
    for container in leftovers.containers(engine):
        if container.name != model.container_name(name):
            continue
        if container.labels.get(model.KIND) in (model.CREATE_KIND, model.DELETE_KIND):
            raise SessionBusy(
                f"session {name} is being made or deleted by another command", hint="try again"
            )
        return engine.remove(container.id, grace=leftovers.STOP_SECONDS)
    return False


def remove(engine: Engine, repository: Repository | None, session: Session) -> None:
    """Remove a session, whatever it holds. Raises SessionBusy, EngineError."""
    volume = model.session_volume(session.name)
    with hold(engine, session.name, volume):
        discard(engine, repository, session.name, [volume, model.state_volume(session.name)])


def remove_overlay(engine: Engine, found: Overlay) -> None:
    """Remove a session of --dir, whatever it holds. Raises SessionBusy, EngineError."""
    with hold(engine, found.name, model.changes_volume(found.name)):
        discard(engine, None, found.name, [*found.volumes, model.state_volume(found.name)])


def discard(
    engine: Engine, repository: Repository | None, name: str, volumes: Sequence[str]
) -> None:
    """Remove these volumes, in this order, and our refs; inside of hold().

    The workspace goes first, which is where another command may still be at work, and
    is refused then. The refs go last: without them what is left could not be told from
    work. Cut short anywhere, a second one finishes.
    """
    for volume in volumes:
        _remove_volume(engine, name, volume)
    if repository is not None:
        forget(repository, name)


def _remove_volume(engine: Engine, name: str, volume: str) -> None:
    """Remove a volume, once another command's look at it has come to its end."""
    until = time.monotonic() + _OTHERS
    while True:
        try:
            engine.remove_volume(volume)
            return
        except VolumeInUse:
            if time.monotonic() > until:
                raise SessionBusy(
                    f"session {name} is in use by another command",
                    hint="wait for it to end, then try again",
                ) from None
        time.sleep(0.2)


def forget(repository: Repository, name: str) -> None:
    """Remove all of our refs for a session; what is left of a folder's is a repository of ours."""
    if known.is_scratch(repository.git_dir):
        shutil.rmtree(repository.git_dir, ignore_errors=True)
    elif refs := repository.refs(our_ref(name, "")):
        repository.update_refs(dict.fromkeys(refs))
