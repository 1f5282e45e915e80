"""What launches that were cut short left on the engine, and how it goes away.

Every container of ours names the process that made it. Where that process is
gone nobody can want the container any more: it may even hold a token that was
never handed over. The next command of any kind removes it, and a volume that
its launch made and never used.
"""

from __future__ import annotations

import contextlib
import time

from claude_container import host
from claude_container.engines.base import Container, Engine, EngineError
from claude_container.sessions import model

STOP_SECONDS = 5  # that claude has to end by itself
_START_SECONDS = 600  # from create to start: less than a second, as a rule
_LABELS = (model.KIND, model.SESSION, model.LAUNCHER, model.LAUNCH, model.CREATED)


def sweep(engine: Engine) -> list[str]:
    """Remove what dead launchers left; return the sessions it belonged to."""
    return [_clear(engine, container) for container in _containers(engine) if _is_dead(container)]


def holder_is_alive(engine: Engine, session: str) -> bool:
    """Whether a live launch holds the session's container name; a dead one is removed."""
    name = model.container_name(session)
    for container in _containers(engine):
        if container.name == name:
            if not _is_dead(container):
                return True
            _clear(engine, container)
    return False


def remove_launch(engine: Engine, launch: str, *, started: bool) -> None:
    """Remove all that one launch made: its container, and its volumes if claude never ran.

    A container that is still there tells whether it did; where none is, `started` does.
    """
    for container in engine.containers({model.LAUNCH: launch}, _LABELS):
        started = _remove(engine, container)
    if not started:
        _remove_volumes(engine, launch)


def _containers(engine: Engine) -> list[Container]:
    return engine.containers({model.LAUNCHER: None}, _LABELS)


def _is_dead(container: Container) -> bool:
    """Whether its launcher is gone, or so slow to start it that it must be.

    The second is for launchers that cannot be looked at from here: in another
    container or on another machine, or before a restart of this one.
    """
    if container.state == "created":
        created = container.labels.get(model.CREATED, "")
        if created.isdigit() and time.time() - int(created) > _START_SECONDS:
            return True
    return host.launcher_is_gone(container.labels.get(model.LAUNCHER, ""))


def _clear(engine: Engine, container: Container) -> str:
    started = _remove(engine, container)
    # What fills a new session's volume is removed last, so this one is half-made.
    if container.labels.get(model.KIND) == model.CREATE_KIND:
        started = False
    if not started and (launch := container.labels.get(model.LAUNCH)):
        _remove_volumes(engine, launch)
    return container.labels.get(model.SESSION, container.name)


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
