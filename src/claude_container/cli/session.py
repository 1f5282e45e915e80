"""What the verbs about a git session share: opening it, and looking at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from claude_container import git
from claude_container.changes.figures import Figures
from claude_container.cli import own, settings, table
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.engines.base import Engine, Volume
from claude_container.errors import UsageError
from claude_container.git import Repository
from claude_container.sessions import home, known, look, model, overlay, transport
from claude_container.sessions.known import Session
from claude_container.terminal import visible
from claude_container.wire.bounds import Limits


def opened(engine: Engine, name: str) -> tuple[Repository, Session]:
    """A session of the repository or folder that we stand in. Raises known.NoSession."""
    session = known.need(engine, name)
    directory = settings.working_directory()
    if session.of_folder:
        known.check_stands(session, directory)
        return home.of_folder(session), session
    return known.check_belongs(session, git.find(directory)), session


def look_at(call: Call, engine: Engine, name: str) -> tuple[Repository, Session, Figures]:
    """Open a session and look at it; no commits are counted yet. Raises as these two do."""
    with sweeping(call.console, engine):
        repository, session = opened(engine, name)
        return repository, session, look_now(call, engine, repository, session, counted=False)


def look_now(
    call: Call, engine: Engine, repository: Repository, session: Session, *, counted: bool = True
) -> Figures:
    """As look.look, within the user's limits, telling that it takes a while.

    Raises Unfit, TransportError, UsageError, EngineError.
    """
    with call.console.task(f"looking at session {session.name}", quiet=True):
        return look.look(
            engine, repository, session, call.console, limits=limits(), counted=counted
        )


def limits() -> Limits:
    """What the user lets one fetch from a session bring. Raises UsageError."""
    return transport.limits_of(own.settings())


def volumes(engine: Engine, name: str, swept: Callable[[], bool]) -> list[Volume]:
    """All volumes of ours, once a making that was cut short is cleared away (sweeping).

    Raises UsageError where a session's name differs from this one in case alone.
    """
    found = engine.volumes({model.KIND: None}, known.LABELS)
    if swept():
        found = engine.volumes({model.KIND: None}, known.LABELS)
    known.check_case(found, name)
    return found


def check_free(volumes: Iterable[Volume], name: str) -> None:
    """Raise UsageError where there is a session or a conversation of that name."""
    there = {volume.name: volume for volume in volumes}
    another = "take another name here"
    if any(session.name == name for session in known.sessions(there.values())):
        raise UsageError(
            f"{name} is a git session",
            hint=f"claude-container start {name} goes on with it; {another}",
        )
    for layered in overlay.overlays(there.values()):
        if layered.name == name:
            where = visible(str(layered.directory))
            raise UsageError(f"{name} is a session of --dir {where}", hint=another)
    if state := there.get(model.state_volume(name)):
        about = visible(state.labels.get(model.DIRECTORY, "a directory"))
        raise UsageError(
            f"{name} is a conversation about {about}",
            hint=f"claude-container --session {name} goes on with it; {another}",
        )


def pending(seen: Figures) -> str:
    """What no commit of a session has, by count: "" for nothing."""
    elsewhere = table.many(len(seen.elsewhere), "worktree or submodule", "worktrees or submodules")
    parts = (uncommitted(seen.committable), f"work in {elsewhere}" if seen.elsewhere else "")
    return ", ".join(filter(None, parts))


def uncommitted(count: int) -> str:
    """Uncommitted work in a session, by count: "" for none, and below 0 nobody knows."""
    if count < 0:
        return "uncommitted work that git there could not list"
    return table.many(count, "uncommitted file") if count else ""
