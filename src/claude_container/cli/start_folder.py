"""`start` in a folder that is in no git repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from claude_container import git, host, images
from claude_container.cli import session, settings, table
from claude_container.cli.main import Call
from claude_container.clone.plain import Taken
from claude_container.config import Settings
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.sessions import create as making
from claude_container.terminal import visible

_NAMED = 10
_SENSELESS = {
    "clean": "--clean is about uncommitted work",
    "branch": "--branch names a branch",
    "depth": "--depth is about history",
    "as_stored": "--as-stored is about git's filters",
}


def check(directory: Path, flags: dict[str, Any]) -> None:
    """Raise UsageError where no session can be made of a folder, or not like that."""
    settings.check_workspace(directory)
    if os.path.lexists(directory / ".git"):
        raise ClaudeContainerError(
            f"there is a .git in {directory}, but git finds no repository there",
            hint="git status says why; to go without, move .git away",
        )
    cache = host.cache_dir()
    if cache and host.holds(directory, cache.resolve()):
        raise UsageError(f"{directory} holds claude-container's own files")
    for flag, why in _SENSELESS.items():
        if flags[flag]:
            raise UsageError(f"{why}, and {directory} is in no git repository")


def create(call: Call, engine: Engine, directory: Path, name: str, chosen: Settings) -> None:
    """Make a session of a folder, and say what came along and what did not."""
    identity = settings.identity(chosen.identity) or git.CLAUDE
    image = images.slim(images.certificate(chosen.ca_file))
    call.console.doing(f"{directory} is in no git repository: Claude gets a copy of its files")
    with call.console.task(f"making session {name}", quiet=True):
        # What is thrown away here is fetched again, so it is to fit into one fetch.
        most = session.limits().bytes
        taken = making.create_of_folder(
            engine, directory, name, identity, call.console, image, most
        )
    call.console.done(f"session {name}: {_came(taken)}")
    for row in taken.odd[:_NAMED]:
        call.console.warn(f"not in the session: {visible(row)}")
    if (more := len(taken.odd) - _NAMED) > 0:
        call.console.warn(f"… and {more} more that cannot be read or copied")
    if taken.nested:
        named = ", ".join(map(visible, taken.nested[:_NAMED]))
        call.console.hint(f"git repositories get sessions of their own: start in {named}")


def _came(taken: Taken) -> str:
    parts = [f"{table.many(taken.files, 'file')}, {table.size(taken.bytes)}"]
    parts.append(table.stayed(len(taken.ignored), len(taken.nested)))
    return ", ".join(filter(None, parts))
