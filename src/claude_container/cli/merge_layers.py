"""`merge` for a session of --dir: its files, into the folder that it lies over."""

from __future__ import annotations

from typing import Any

from claude_container.changes import folder
from claude_container.changes.folder import Plan
from claude_container.cli import diff_layers, merge_folder, merging, session
from claude_container.cli.main import Call
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.sessions import lay, layered, remove
from claude_container.sessions.overlay import Overlay


def merge(call: Call, engine: Engine, found: Overlay, flags: dict[str, Any]) -> int:
    """Show what would be written into the folder, and once it is agreed to, write it."""
    merge_folder.check(flags, found.directory)
    if flags["undo_"]:
        raise UsageError(f"{found.name} is a session of --dir, of which no merge can be undone")
    limits = session.limits()
    with layered.look(engine, found, call.console, limits=limits) as seen:
        planned = folder.plan(found.directory, seen.repository, seen.base, seen.head)
        hint = f"have one side be as the other: claude-container shell {found.name}"
        can = merge_folder.shown(call.console, planned, flags, hint)
        diff_layers.tell_left(call, seen.left)
        agreed = can and merge_folder.agreed(call.console, planned, flags)
        written = agreed and not flags["dry_run"]
        if written:
            folder.carry_out(planned)
            call.console.done(merge_folder.outcome(planned))
            _record(call, engine, found, planned)
    if flags["as_json"]:
        merge_folder.write_json(call.console, planned, written=written)
    if planned.conflicts and not flags["dry_run"]:
        return 1
    if written and flags["delete"]:
        lost = remove.overlay_losses(engine, found, call.console, limits=limits)
        merging.delete(call.console, found.name, lost, lambda: remove.remove_overlay(engine, found))
    return 0


def _record(call: Call, engine: Engine, found: Overlay, planned: Plan) -> None:
    """Note what the folder got, so that the next merge knows it for no change of the user's."""
    rows = {row.path: row.new.id for row in planned.rows if row.new and not row.merged}
    if not rows:
        return
    try:
        lay.record(engine, found.name, rows)
    except ClaudeContainerError as error:
        call.console.warn(f"the next merge may take these files for changed here: {error.what}")
