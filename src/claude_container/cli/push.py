"""`push`: the host's new commits, into a session."""

from __future__ import annotations

import click

from claude_container import git
from claude_container.changes.folder import record
from claude_container.cli import names, own, session, settings
from claude_container.cli.main import Call
from claude_container.cli.options import engine_option
from claude_container.cli.sweep import sweeping
from claude_container.engines.base import Engine
from claude_container.errors import UsageError
from claude_container.git import Repository
from claude_container.sessions import upkeep
from claude_container.sessions.known import Session
from claude_container.terminal import visible

_DONE = {
    "current": "has all of {branch} already",
    "fast-forward": "is now at {branch}, {commit}",
    "merged": "has {branch}, {commit}, merged into its work",
}


@click.command("push")
@click.argument("name", shell_complete=names.complete)
@click.option("--from", "branch", metavar="BRANCH", help="push this branch, not the current one")
@engine_option
@click.pass_obj
def command(call: Call, /, name: str, branch: str | None, engine: str | None) -> int:
    """Bring this repository's new commits into session NAME, running or at rest.

    They are merged in the session, as its user: a fast-forward where it can be. A conflict
    is left there for Claude to resolve. Uncommitted work here stays here; of a folder
    without git all files come, as they are now.
    """
    console = call.console
    runs_on = own.engine(engine)
    repository, opened = session.opened(runs_on, name)
    if opened.of_folder:
        if branch is not None:
            raise UsageError(f"--from names a branch, and {opened.directory} is no git repository")
        branch = _folder(call, runs_on, repository, opened)
        if branch is None:
            console.done(f"session {name} has all of {opened.directory.name} already")
            return 0
    branch = branch or repository.branch
    if branch is None:
        raise UsageError("HEAD is detached here", hint="name a branch to push: --from BRANCH")
    with sweeping(console, runs_on), console.task(f"pushing {branch} into {name}", quiet=True):
        pushed = upkeep.push(runs_on, repository, opened, branch, console)
    if pushed.how == "conflict":
        for path in pushed.paths:
            console.warn(f"conflict in {visible(path)}")
        console.hint(
            f"tell Claude (claude-container start {name}): “A merge of {branch} is in conflict."
            " Resolve it, keeping what both sides meant, run the tests, and commit the merge.”"
        )
        return 1
    said = _DONE[pushed.how].format(branch=branch, commit=pushed.commit[:7])
    console.done(f"session {name} {said}")
    return 0


def _folder(call: Call, engine: Engine, repository: Repository, opened: Session) -> str | None:
    """A branch, in the repository of ours, of a folder as it is; None if nothing is new in it."""
    # What the session began with may have to be fetched first.
    session.look_now(call, engine, repository, opened)
    who = settings.identity(own.settings().identity) or git.identity() or git.CLAUDE
    commit = record.current(repository, opened.name, opened.directory, who)
    if commit is None:
        return None
    repository.update_refs({"refs/heads/folder": commit})
    return "folder"
