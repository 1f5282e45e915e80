"""Clearing what launches that were cut short left behind, while a command does its own work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator

from claude_container.cli.console import Console
from claude_container.engines.base import Engine, EngineError
from claude_container.sessions import leftovers, model
from claude_container.sessions.leftovers import Swept

_WORDS = {
    model.CREATE_KIND: "removed session {session}, whose making was cut short",
    model.DELETE_KIND: "removed what a delete of {session} that was cut short had left",
    model.LOGIN_KIND: "removed what a login that was cut short had left",
    model.DOCTOR_KIND: "removed what a doctor that was cut short had left",
    model.DEMO_KIND: "removed what a demo that was cut short had left",
    model.TOOLS_KIND: "removed what a launch that was cut short had left of {session}",
    model.PROBE_KIND: "removed what a look at {session} that was cut short had left",
    model.TRANSPORT_KIND: "removed what a look at session {session} that was cut short had left",
}
_FINISHED = "removed the rest of {session}: its delete was cut short"
_OTHER = "removed what a launch of {session} that was cut short had left"


@contextlib.contextmanager
def sweeping(console: Console, engine: Engine) -> Iterator[Callable[[], bool]]:
    """Sweep beside what happens inside, and tell afterwards what was removed.

    Every command that talks to an engine runs inside this. What it gives waits for the
    sweep, and tells whether it removed anything: what was listed before may be gone.
    """
    swept: list[Swept] = []

    def sweep() -> None:
        # The command itself meets the same engine, and tells of it.
        with contextlib.suppress(EngineError):
            swept.extend(leftovers.sweep(engine))

    thread = threading.Thread(target=sweep, daemon=True)
    thread.start()

    def finished() -> bool:
        thread.join(30)
        return bool(swept)

    try:
        yield finished
    finally:
        thread.join(30)
        tell(console, swept)


def tell(console: Console, swept: Iterable[Swept]) -> None:
    """Say what was removed, a line for each session and kind."""
    for left in dict.fromkeys(swept):
        words = _FINISHED if left.finished else _WORDS.get(left.kind, _OTHER)
        console.doing(words.format(session=left.session))
