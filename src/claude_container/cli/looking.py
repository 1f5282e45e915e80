"""Looking at many sessions, side by side: each in a container of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from claude_container import git
from claude_container.cli import session, settings
from claude_container.cli.main import Call
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError
from claude_container.sessions import home, listing, look, remove, workspace
from claude_container.sessions.listing import Entry
from claude_container.sessions.remove import Losses


def refreshed(call: Call, engine: Engine, entries: list[Entry]) -> list[Entry]:
    """The entries with what looks at the sessions find now; a failure is told in its row."""
    limits = session.limits()
    here = git.find(settings.working_directory())

    def see(entry: Entry) -> Entry:
        if entry.session is None:
            return entry
        repository = home.find(entry.session, here)
        if repository is None:
            return replace(entry, gone=True, failed=f"{entry.session.repository} is gone")
        try:
            seen = look.look(engine, repository, entry.session, call.console, limits=limits)
        except ClaudeContainerError as error:
            return replace(entry, failed=error.what)
        gone = entry.session.of_folder and not entry.session.directory.is_dir()
        return replace(entry, figures=seen, gone=gone)

    with call.console.task(_title("looking at", entries), quiet=True):
        return listing.side_by_side(see, entries)


def measured(call: Call, engine: Engine, entries: list[Entry]) -> list[Entry]:
    """The entries with the sizes of the sessions' workspaces."""

    def measure(entry: Entry) -> Entry:
        if entry.session is None:
            return entry
        try:
            told = workspace.run(
                engine, entry.name, "size", progress=call.console, what="cannot measure it"
            )
            return replace(entry, size=int(told) * 1024)
        except (ClaudeContainerError, ValueError) as error:
            return replace(entry, failed=entry.failed or str(error))

    with call.console.task(_title("measuring", entries), quiet=True):
        return listing.side_by_side(measure, entries)


def losses(
    call: Call,
    engine: Engine,
    entries: Sequence[Entry],
    elsewhere: git.Repository | None,
) -> list[Losses]:
    """What would be lost with each session; of other entries that is not asked: nothing."""
    limits = session.limits()

    def see(entry: Entry) -> Losses:
        if entry.overlay:
            return remove.overlay_losses(engine, entry.overlay, call.console, limits=limits)
        if entry.session is None:
            return Losses()
        repository = home.find(entry.session, elsewhere)
        return remove.losses(engine, repository, entry.session, call.console, limits=limits)

    with call.console.task(_title("looking at", entries), quiet=True):
        return listing.side_by_side(see, entries)


def _title(verb: str, entries: Sequence[Entry]) -> str:
    names = [entry.name for entry in entries if entry.work]
    return f"{verb} session {names[0]}" if len(names) == 1 else f"{verb} {len(names)} sessions"
