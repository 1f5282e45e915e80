"""`--dir PATH`: claude on a layer of changes over a folder that is only read (deprecated)."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from claude_container import host, images
from claude_container.cli import planning, session, settings, table
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.sessions import enter, lay, layered, model, overlay
from claude_container.sessions.overlay import Overlay
from claude_container.sessions.payload import Continue


def run(call: Call, flags: dict[str, Any], dockerfile: str | None) -> int:
    """Begin or resume the session of a folder, and put claude into it; return its exit code."""
    call.console.warn("--dir is deprecated: claude-container start NAME works on a copy instead")
    directory = _folder(flags["dir_"])
    name = flags["session"]
    name = model.overlay_name(directory) if name is None else model.check_name(name)
    resolved = planning.resolve(call, directory, flags, dockerfile)
    planned, engine = planning.plan(call, directory, name, flags, resolved, in_place=True)
    _warn(call, directory)
    with sweeping(call.console, engine) as swept:
        found = _existing(engine, name, directory, swept)
        if found is None or not found.laid_by:
            with call.console.task(f"making session {name}", quiet=True):
                image = images.slim(planned.ca)
                found = lay.make(
                    engine,
                    name,
                    directory,
                    call.console,
                    accept=flags["accept_privileged"],
                    image=image,
                )
        else:
            lay.checked(found, accept=flags["accept_privileged"])
        if planned.streams.tty:
            call.console.doing(f"Claude works on a layer over {directory}, which stays as it is")
        code = enter.enter(engine, _with(call, planned, found, flags), call.console)
    _summary(call, engine, found)
    return code


def _folder(path: str) -> Path:
    """The folder that is meant, without symlinks. Raises UsageError for none to work on."""
    named = host.expanded(path)
    try:
        directory = settings.mountable(named.resolve(strict=True))
    except (OSError, RuntimeError) as error:
        raise UsageError(f"--dir: there is no folder {path}", evidence=str(error)) from error
    if not directory.is_dir():
        raise UsageError(f"--dir: {path} is no folder", hint="name the folder that it lies in")
    settings.check_workspace(directory)
    return directory


def _warn(call: Call, directory: Path) -> None:
    if not host.can_write(directory):
        call.console.warn(f"Claude can read, but not write, what {directory} has")
    if below := host.mounts_below(directory):
        more = f" and {len(below) - 3} more" if len(below) > 3 else ""
        call.console.warn(f"what is mounted below is not seen: {', '.join(below[:3])}{more}")


def _existing(
    engine: Engine, name: str, directory: Path, swept: Callable[[], bool]
) -> Overlay | None:
    """The session to resume. Raises UsageError where its name is taken otherwise."""
    volumes = session.volumes(engine, name, swept)
    found = next((one for one in overlay.overlays(volumes) if one.name == name), None)
    if found is None:
        session.check_free(volumes, name)
    elif found.directory != directory:
        raise UsageError(
            f"session {name} works on {found.directory}", hint="take another name with --session"
        )
    return found


def _with(call: Call, planned: enter.Launch, found: Overlay, flags: dict[str, Any]) -> enter.Launch:
    # As of a git session: it is one conversation, and a task of its own (-p) begins anew.
    asked: Continue = "yes" if flags["continue_"] else "no" if call.claude_args else "auto"
    return replace(planned, overlay=found.laid_by, continue_=asked)


def _summary(call: Call, engine: Engine, found: Overlay) -> None:
    """After leaving: what the session holds, and what to type next."""
    try:
        with (
            call.console.task(f"looking at session {found.name}", quiet=True),
            layered.look(engine, found, call.console, limits=session.limits()) as seen,
        ):
            count, stays = len(seen.changed), bool(seen.left)
    except ClaudeContainerError as error:
        call.console.warn(f"cannot look at session {found.name}: {error.what}")
        return
    name, folder = found.name, shlex.quote(str(found.directory))
    call.console.done(f"left session {name}: {table.many(count, 'changed file')}")
    if count or stays:
        call.console.hint(f"claude-container diff {name} shows it, merge {name} brings it")
    call.console.hint(f"claude-container --dir {folder} -s {name} goes on with it")
