"""What launches that were cut short left on the engine, and how it goes away.

Every container of ours names the process that made it. Where that process is
gone nobody can want the container any more: it may even hold a token that was
never handed over. The next command of any kind removes it, and a volume that
its launch made and never used; a deletion that had begun it brings to its end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

from claude_container import host
from claude_container.engines.base import Container, Engine, EngineError
from claude_container.errors import ClaudeContainerError
from claude_container.sessions import model

STOP_SECONDS = 5  # that claude has to end by itself
_START_SECONDS = 600  # from create to start: less than a second, as a rule
LABELS = (
    model.KIND,
    model.SESSION,
    model.LAUNCHER,
    model.LAUNCH,
    model.CREATED,
    model.REMOVES,
)


class SessionBusy(ClaudeContainerError):
    """Another command is at work on the session."""


def in_use(engine: Engine, session: str, first: str) -> SessionBusy:
    """The error where another command's container holds the session's name.

    `first` is what the user may do before ending that container.
    """
    return SessionBusy(
        f"session {session} is in use by another command",
        hint=f"{first}, or end it: {engine.name} rm --force {model.container_name(session)}",
    )


@dataclass(frozen=True)
class Swept:
    """What was removed: the kind of container it was, and the session it belonged to."""

    kind: str
    session: str
    finished: bool = False  # a deletion, which was brought to its end


def sweep(engine: Engine, listed: Iterable[Container] | None = None) -> list[Swept]:
    """Remove what dead launchers left, of the containers of ours that were listed already."""
    if listed is None:
        listed = containers(engine)
    return [_clear(engine, container) for container in listed if _is_dead(container)]


def containers(engine: Engine) -> list[Container]:
    """All containers of ours, with LABELS."""
    return engine.containers({model.LAUNCHER: None}, LABELS)


def holder_is_alive(engine: Engine, session: str) -> bool:
    """Whether a live launch holds the session's container name; a dead one is removed."""
    name = model.container_name(session)
    for container in containers(engine):
        if container.name == name:
            if not _is_dead(container):
                return True
            _clear(engine, container)
    return False


def remove_launch(engine: Engine, launch: str, *, started: bool) -> None:
    """Remove all that one launch made: its container, and its volumes if claude never ran.

    A container that is still there tells whether it did; where none is, `started` does.
    One that fills a new session's volume never runs claude.
    """
    ran = [
        _remove(engine, container) and container.labels.get(model.KIND) != model.CREATE_KIND
        for container in engine.containers({model.LAUNCH: launch}, LABELS)
    ]
    if not (any(ran) if ran else started):
        _remove_volumes(engine, launch)


def _is_dead(container: Container) -> bool:
    """Whether its launcher is gone, or so slow to start it that it must be.

    The second is for launchers that cannot be looked at from here: in another
    container or on another machine, or before a restart of this one.
    """
    gone = host.launcher_is_gone(container.labels.get(model.LAUNCHER, ""))
    if gone is None and container.state == "created":
        created = model.created(container.labels)
        return bool(created and time.time() - created > _START_SECONDS)
    return bool(gone)


def _clear(engine: Engine, container: Container) -> Swept:
    kind = container.labels.get(model.KIND, "")
    session = container.labels.get(model.SESSION, container.name)
    # While it is there nobody else can make a session of that name.
    finished = finish_removal(engine, container.labels.get(model.REMOVES, ""), session)
    started = _remove(engine, container)
    # What fills a new session's volume is removed last, so this one is half-made.
    if kind == model.CREATE_KIND:
        started = False
    if kind not in (model.CREATE_KIND, model.DELETE_KIND):
        remove_strays(engine)
    if not started and (launch := container.labels.get(model.LAUNCH)):
        _remove_volumes(engine, launch)
    return Swept(kind, session, finished)


def finish_removal(engine: Engine, volume: str, session: str) -> bool:
    """Remove a session's conversation if its workspace, which was in `volume`, is gone already."""
    if not volume or any(there.name == volume for there in engine.volumes({}, ())):
        return False
    with contextlib.suppress(EngineError):
        engine.remove_volume(model.state_volume(session))
    return True


def remove_strays(engine: Engine) -> None:
    """Remove the empty volumes that came of looking at a session that was just deleted."""
    for volume in engine.volumes({model.KIND: model.STRAY_KIND}, ()):
        with contextlib.suppress(EngineError):
            engine.remove_volume(volume.name)


def _remove(engine: Engine, container: Container) -> bool:
    """Remove a container; tell whether it had ever started.

    One that was listed as created may have run since, and be gone: only one that
    lets itself be removed without force is known never to have started.
    """
    if container.state == "created":
        with contextlib.suppress(EngineError):
            return not engine.remove(container.id, force=False)
    engine.remove(container.id, grace=STOP_SECONDS)
    return True


def _remove_volumes(engine: Engine, launch: str) -> None:
    for volume in engine.volumes({model.LAUNCH: launch}, ()):
        try:
            engine.remove_volume(volume.name)
        except EngineError:
            # In use by a launch that came right after: then it is no leftover.
            continue
