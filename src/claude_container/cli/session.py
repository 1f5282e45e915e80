"""What the verbs about a git session share: opening it, and looking at it."""

from __future__ import annotations

from claude_container import config, engines, git
from claude_container.changes.figures import Figures
from claude_container.cli import settings, table
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.config import Settings
from claude_container.engines.base import Engine
from claude_container.git import Repository
from claude_container.sessions import home, known, look, overlay
from claude_container.sessions.known import Session
from claude_container.sessions.overlay import Overlay
from claude_container.wire import bounds
from claude_container.wire.bounds import Limits


def chosen(call: Call, engine: str | None) -> tuple[Engine, Settings]:
    """The engine, and the settings that count here, for a verb that starts no claude."""
    directory = settings.working_directory()
    resolved = settings.resolve(call.console, directory, Settings(engine=engine), ask=False)
    return engines.get(resolved.settings.engine), resolved.settings


def opened(call: Call, name: str, engine_name: str | None) -> tuple[Engine, Repository, Session]:
    """A session of the repository or folder that we stand in. Raises known.NoSession."""
    engine, _ = chosen(call, engine_name)
    session = known.need(engine, name)
    directory = settings.working_directory()
    if session.of_folder:
        known.check_stands(session, directory)
        return engine, home.of_folder(session), session
    return engine, known.check_belongs(session, git.find(directory)), session


def layer(call: Call, name: str, engine_name: str | None) -> tuple[Engine, Overlay] | None:
    """The session of --dir of that name, if it is one."""
    engine, _ = chosen(call, engine_name)
    found = overlay.find(engine, name)
    return (engine, found) if found else None


def look_at(call: Call, name: str, engine_name: str | None) -> tuple[Repository, Session, Figures]:
    """Open a session and look at it, telling what takes long; no commits are counted yet."""
    engine, settings_here = chosen(call, engine_name)
    with sweeping(call.console, engine):
        engine, repository, session = opened(call, name, engine_name)
        seen = look_now(call, engine, repository, session, settings_here, counted=False)
        return repository, session, seen


def look_now(
    call: Call,
    engine: Engine,
    repository: Repository,
    session: Session,
    chosen: Settings,
    *,
    counted: bool = True,
) -> Figures:
    with call.console.task(f"looking at session {session.name}", quiet=True):
        return look.look(
            engine, repository, session, call.console, limits=limits(chosen), counted=counted
        )


def limits(chosen: Settings) -> Limits:
    """What one fetch from a session may bring, and how long it may be silent."""
    default = bounds.DEFAULT
    return Limits(
        config.size(chosen.fetch_limit, default.bytes),
        config.seconds(chosen.fetch_timeout, default.silence),
    )


def uncommitted(count: int) -> str:
    """Uncommitted work in a session, by count: "" for none, and below 0 nobody knows."""
    if count < 0:
        return "uncommitted work that git there could not list"
    return table.many(count, "uncommitted file") if count else ""
