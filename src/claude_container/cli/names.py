"""Names of sessions, completed in the user's shell: `shell_complete=names.complete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

from claude_container.cli import own
from claude_container.errors import ClaudeContainerError
from claude_container.sessions import known, listing, model, overlay
from claude_container.sessions.asking import Listed


def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names of git sessions; nothing where there is no engine to ask."""
    try:
        engine = own.engine(context.params.get("engine"))
        volumes = engine.volumes({model.KIND: model.WORKSPACE_KIND}, known.LABELS)
    except (ClaudeContainerError, ValueError):
        return []
    return _fitting(context, [session.name for session in known.sessions(volumes)], begun)


def complete_work(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names of git sessions, and of those of --dir."""
    try:
        volumes = own.engine(context.params.get("engine")).volumes({}, known.LABELS)
    except (ClaudeContainerError, ValueError):
        return []
    found = [session.name for session in known.sessions(volumes)]
    found += [layered.name for layered in overlay.overlays(volumes)]
    return _fitting(context, sorted(found), begun)


def complete_any(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names of all that can be deleted: conversations and the original's too."""
    try:
        volumes = own.engine(context.params.get("engine")).volumes({}, known.LABELS)
    except (ClaudeContainerError, ValueError):
        return []
    entries = listing.entries(Listed(volumes, ()))
    return _fitting(context, list(dict.fromkeys(entry.name for entry in entries)), begun)


def complete_folder(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Folders, which the shell itself knows."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="dir")]


def _fitting(context: click.Context, names: list[str], begun: str) -> list[str]:
    given = context.params.get("names") or ()
    return [name for name in names if name.startswith(begun) and name not in given]
