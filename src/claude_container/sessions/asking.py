"""What an engine has of ours: two calls, which go on by themselves meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from claude_container.engines.base import Container, Engine, Volume
from claude_container.sessions import leftovers, model

T = TypeVar("T")


@dataclass(frozen=True)
class Listed:
    """All volumes, with the labels of ours, and the containers of ours."""

    volumes: Sequence[Volume]
    containers: Sequence[Container]


def begin(engine: Engine) -> Callable[[], Listed]:
    """Begin to ask; what is returned waits for the answer. That raises EngineError.

    Until then there is time to import what the answer is for.
    """
    # Without a filter: the original's have no labels. It is no slower.
    volumes = _later(lambda: engine.volumes({}, model.VOLUME_LABELS))
    containers = _later(lambda: leftovers.containers(engine))
    return lambda: Listed(volumes(), containers())


def _later(call: Callable[[], T]) -> Callable[[], T]:
    """Begin a call in a thread; what is returned waits for its result, or raises its error.

    A thread that nobody waits for when Python ends, unlike a ThreadPoolExecutor's.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait() -> T:
        thread.join()
        if failed:
            raise failed[0]
        return done[0]

    return wait


def listed(engine: Engine) -> Listed:
    """Ask, and wait for it. Raises EngineError."""
    return begin(engine)()
