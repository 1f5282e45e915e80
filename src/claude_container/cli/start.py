"""`start`: Claude on a copy of the repository, in a session that can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from claude_container import git, host, images
from claude_container.cli import (
    included,
    names,
    options,
    own,
    planning,
    session,
    settings,
    start_folder,
    table,
)
from claude_container.cli.main import Call
from claude_container.cli.settings import Resolved
from claude_container.cli.sweep import sweeping
from claude_container.clone.packing import Created, Wanted
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.git import Repository
from claude_container.sessions import create, enter, home, known, leftovers, model
from claude_container.sessions.known import Session
from claude_container.sessions.payload import Continue


@click.command("start")
@click.argument("name", metavar="NAME [-- CLAUDE ARGS]", shell_complete=names.complete)
@click.option("--no-enter", is_flag=True, help="only create it")
@click.option("--clean", is_flag=True, help="leave uncommitted and untracked work here")
@click.option("--branch", metavar="BRANCH", help="begin with this branch, not the current one")
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="with the last N commits")
@click.option("--as-stored", is_flag=True, help="files of git filters as git stores them")
@click.option(
    "--continue", "-c", "continue_", is_flag=True, help="fail if there is no conversation"
)
@click.option("--build", "-b", is_flag=True, help="build the image again first")
@options.launching
@click.option("--trust", is_flag=True, help="use this directory's own files, this once")
@click.pass_obj
def command(call: Call, /, name: str, **flags: Any) -> int:
    """Put Claude to work on a copy of this repository, in a session called NAME.

    The copy has the current branch with its history, and uncommitted and untracked work
    as one snapshot commit; ignored files stay, but for those that your `include` names,
    or the repository names and you let come along. A second `start NAME` goes on with the
    session and its conversation. What follows -- goes to claude:
    claude-container start fix -- -p "fix the tests".

    A folder that is in no git repository gets a session, too: a copy of its files, but
    for what a .gitignore names. Nothing is written into it before a merge.
    """
    model.check_name(name)
    engine = own.engine(flags["engine"])
    here = git.find(settings.working_directory())
    with sweeping(call.console, engine) as swept:
        existing = _existing(engine, name, here, swept)
        directory = _directory(name, existing, here)
        if existing is None and here is None:
            start_folder.check(directory, flags)
        resolved = planning.resolve(call, directory, flags, ask=not flags["no_enter"])
        planned = None
        if not flags["no_enter"]:
            planned = _planned(call, name, directory, flags, resolved)
        if existing:
            _tell_existing(call, existing, here, no_enter=flags["no_enter"])
        elif here:
            _create(call, engine, here, name, flags, resolved)
        else:
            start_folder.create(call, engine, directory, name, resolved.settings)
        if planned is None:
            return 0
        code = enter.enter(engine, planned, call.console)
    _summary(call, engine, name, here)
    return code


def _existing(
    engine: Engine, name: str, here: Repository | None, swept: Callable[[], bool]
) -> Session | None:
    """The session to resume. Raises UsageError where its name is taken otherwise."""
    volumes = session.volumes(engine, name, swept)
    found = next((s for s in known.sessions(volumes) if s.name == name), None)
    if found and create.is_half_made(found, here):
        if leftovers.holder_is_alive(engine, name):
            raise leftovers.SessionBusy(
                f"session {name} is being made by another command", hint="try again"
            )
        leftovers.remove_launch(engine, found.id, started=False)
        return None
    if found:
        if found.of_folder and here is not None:
            known.check_stands(found, settings.working_directory())
        elif here is not None:
            known.check_belongs(found, here)
        return found
    session.check_free(volumes, name)
    return None


def _directory(name: str, existing: Session | None, here: Repository | None) -> Path:
    """The working tree whose settings and Dockerfile count, wherever we stand."""
    if existing and existing.directory.is_dir():
        return existing.directory
    if here is not None:
        return here.top
    if existing is None:
        return settings.working_directory()
    raise UsageError(
        f"session {name} belongs to {existing.directory}, which is gone",
        hint="move it back" if existing.of_folder else "go to where that repository is now",
    )


def _tell_existing(
    call: Call, existing: Session, here: Repository | None, *, no_enter: bool
) -> None:
    if here is None and not host.holds(existing.directory, settings.working_directory()):
        call.console.doing(f"session {existing.name} is of {existing.directory}")
    if no_enter:
        call.console.done(f"session {existing.name} is there already")


def _planned(
    call: Call, name: str, directory: Path, flags: dict[str, Any], resolved: Resolved
) -> enter.Launch:
    planned, _ = planning.plan(call, directory, name, flags, resolved)
    # A session is one conversation; a task of its own (-p) begins anew unless told.
    asked: Continue = "yes" if flags["continue_"] else "no" if call.claude_args else "auto"
    return replace(planned, volume=model.session_volume(name), continue_=asked)


def _create(
    call: Call,
    engine: Engine,
    here: Repository,
    name: str,
    flags: dict[str, Any],
    resolved: Resolved,
) -> None:
    chosen = resolved.settings
    include = included.patterns(call.console, here, resolved, trust=flags["trust"])
    if include or not flags["clean"]:
        # More comes along than is committed.
        settings.check_workspace(here.top)
    wanted = Wanted(
        clean=flags["clean"],
        branch=flags["branch"],
        depth=flags["depth"],
        include=include,
        as_stored=flags["as_stored"],
        identity=settings.identity(chosen.identity) or git.CLAUDE,
    )
    image = images.slim(images.certificate(chosen.ca_file))
    with call.console.task(f"making session {name}", quiet=True):
        created = create.create(engine, here, name, wanted, call.console, image)
    call.console.done(f"session {name}: {_came(created)}")
    for module in created.submodules:
        if module.dirty:
            call.console.warn(f"uncommitted work in the submodule {module.path} stayed here")
    if count := created.large_missing:
        files = "git-lfs file is not here, and stays a pointer"
        if count > 1:
            files = "git-lfs files are not here, and stay pointers"
        call.console.warn(f"{count} {files}")


def _came(created: Created) -> str:
    """What came along and what did not, in one line."""
    work = created.uncommitted
    changes = [
        f"{work.changed} changed" if work.changed else "",
        f"{work.new} new" if work.new else "",
    ]
    uncommitted = " and ".join(filter(None, changes))
    where = created.branch or "a detached HEAD"
    parts = [f"{where} at {created.origin[:7]}"]
    if created.snapshot:
        parts.append(f"with {uncommitted} as a snapshot")
    elif uncommitted:
        parts.append(f"without {uncommitted}")
    if count := len(created.submodules):
        parts.append(table.many(count, "submodule"))
    if created.large:
        parts.append(table.many(created.large, "git-lfs object"))
    if created.included:
        parts.append(f"{table.many(created.included, 'ignored file')} by name")
    parts.append(table.stayed(created.left, len(work.nested)))
    return ", ".join(filter(None, parts))


def _summary(call: Call, engine: Engine, name: str, here: Repository | None) -> None:
    """After leaving: what the session holds, and what to type next."""
    found = known.find(engine, name)
    if found is None:
        return
    repository = home.find(found, here)
    if repository is None:
        return
    try:
        seen = session.look_now(call, engine, repository, found)
    except ClaudeContainerError as error:
        call.console.warn(f"cannot look at session {name}: {error.what}")
        return
    commits = table.many(seen.ahead or 0, "commit")
    holds = ", ".join(filter(None, (commits, session.pending(seen))))
    call.console.done(f"left session {name}: {holds}")
    call.console.hint(f"claude-container diff {name} shows it, merge {name} brings it")
    call.console.hint(f"claude-container start {name} goes on with it")
