"""What an engine has of ours: two calls, which go on by themselves meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from claude_container.engines.base import Container, Engine, Volume
from claude_container.sessions import leftovers, model


@dataclass(frozen=True)
class Listed:
    """All volumes, with the labels of ours, and the containers of ours."""

    volumes: Sequence[Volume]
    containers: Sequence[Container]


def begin(engine: Engine) -> Callable[[], Listed]:
    """Begin to ask; what is returned waits for the answer. That raises EngineError.

    Until then there is time to import what the answer is for.
    """
    volumes: list[Volume] = []
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            # Without a filter: the original's have no labels. It is no slower.
            volumes.extend(engine.volumes({}, model.VOLUME_LABELS))
        except BaseException as error:
            failed.append(error)

    containers: list[Container] = []

    def ask_too() -> None:
        try:
            containers.extend(leftovers.containers(engine))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=call, daemon=True) for call in (ask, ask_too)]
    for thread in threads:
        thread.start()

    def wait() -> Listed:
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return Listed(volumes, containers)

    return wait


def listed(engine: Engine) -> Listed:
    """Ask, and wait for it. Raises EngineError."""
    return begin(engine)()
