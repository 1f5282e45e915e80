"""Engines, by the name that --engine takes."""

from __future__ import annotations

from collections.abc import Callable

from claude_container.engines.base import Engine
from claude_container.engines.docker import Docker
from claude_container.engines.podman import Podman
from claude_container.errors import UsageError

ENGINES: dict[str, Callable[[], Engine]] = {"docker": Docker, "podman": Podman}


def get(name: str | None) -> Engine:
    """The engine of that name, docker by default. Raises UsageError for any other."""
    try:
        return ENGINES[name or "docker"]()
    except KeyError:
        raise UsageError(
            f"there is no engine {name!r}", hint=f"choose one of: {', '.join(ENGINES)}"
        ) from None
