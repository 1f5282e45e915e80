"""What all merges share, of commits or of files: the question about risks, and a session's end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from claude_container.changes.risks import Risk
from claude_container.cli import merge_words as words
from claude_container.cli.console import Console
from claude_container.errors import UsageError
from claude_container.sessions.remove import Losses

MESSAGE = "Work that was not committed yet"


def accepted(console: Console, rows: Sequence[Risk], flags: dict[str, Any]) -> bool:
    """Show the risks; those that need a yes get one, or --accept-risks. Raises UsageError."""
    for row in rows:
        console.warn(words.risk(row))
    if flags["accept_risks"] or not any(row.confirm for row in rows):
        return True
    if not console.terminal:
        raise UsageError(
            "some of this could run on your machine by itself, and there is nobody to ask",
            hint="look at it (diff), then: --accept-risks",
        )
    return console.confirm("some of this could run on your machine by itself: bring it?")


def delete(console: Console, name: str, lost: Losses, delete_it: Callable[[], None]) -> None:
    """Delete the session, unless more would be lost than was merged."""
    if lost:
        console.warn(f"session {name} is kept: it holds more than this merge brought")
        console.hint(f"claude-container delete {name} says what")
        return
    delete_it()
    console.done(f"session {name} is deleted")
