"""Clearing what launches that were cut short left behind, while a command does its own work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from claude_container.cli.console import Console
from claude_container.engines.base import Engine, EngineError
from claude_container.sessions import leftovers


@contextlib.contextmanager
def sweeping(console: Console, engine: Engine) -> Iterator[None]:
    """Sweep beside what happens inside, and tell afterwards what was removed.

    Every command that talks to an engine runs inside this.
    """
    swept: list[str] = []

    def sweep() -> None:
        # The command itself meets the same engine, and tells of it.
        with contextlib.suppress(EngineError):
            swept.extend(leftovers.sweep(engine))

    thread = threading.Thread(target=sweep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        for session in swept:
            console.doing(f"removed what a launch of {session} that was cut short had left")
