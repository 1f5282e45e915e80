"""What is done inside of a session for its user: commit what is pending, bring in the host's."""

from __future__ import annotations

import os
from dataclasses import dataclass

from claude_container import images
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from claude_container.process import ProcessError
from claude_container.refs import our_ref
from claude_container.sessions import transport, workspace
from claude_container.sessions.known import Session

# Where a session finds what the host pushed.
HOST_REF = "refs/claude-container/host"


class NotPushed(ClaudeContainerError):
    """The host's commits did not reach the session."""


@dataclass(frozen=True)
class Pushed:
    """How a push went: current, fast-forward, merged, or a conflict (in `paths`)."""

    how: str
    commit: str
    paths: tuple[str, ...] = ()


def commit_pending(
    engine: Engine, session: Session, message: str, progress: images.Progress
) -> None:
    """Commit all uncommitted work in a session, as its user. Raises WorkspaceError."""
    what = f"cannot commit in session {session.name}"
    workspace.run(engine, session.name, "commit", message, progress=progress, what=what)


def push(
    engine: Engine,
    repository: Repository,
    session: Session,
    branch: str,
    progress: images.Progress,
) -> Pushed:
    """Bring a branch of the host into a session and merge it there, as the session's user.

    A conflict is left in the session. Raises NotPushed, WorkspaceError, EngineError.
    """
    commit = repository.commit(f"refs/heads/{branch}")
    if commit is None:
        raise NotPushed(f"this repository has no branch {branch!r}")
    try:
        repository.git(
            *("-c", "protocol.claude-container.allow=always", "push", "--quiet", "--no-verify"),
            "--recurse-submodules=no",
            "--no-signed",
            f"claude-container::{engine.name}:{session.name}",
            f"+{commit}:{HOST_REF}",
            timeout=None,
        )
    except ProcessError as error:
        raise transport.explained(
            error.stderr, f"cannot push into session {session.name}"
        ) from error
    what = f"cannot merge in session {session.name}"
    written = workspace.run(engine, session.name, "merge", branch, progress=progress, what=what)
    how, _, rest = written.partition(b"\n")
    if how == b"refused":
        raise NotPushed(
            f"git in session {session.name} refuses to merge {branch}",
            evidence=workspace.shown(rest),
            hint="uncommitted work there may be in the way:"
            f" claude-container merge {session.name} --commit-pending, or tell Claude to commit",
        )
    if how not in (b"current", b"fast-forward", b"merged", b"conflict"):
        raise workspace.WorkspaceError(what, evidence=workspace.shown(written))
    repository.update_refs({our_ref(session.name, "pushed"): commit})
    paths = tuple(os.fsdecode(path) for path in rest.split(b"\0") if path)
    return Pushed(how.decode(), commit, paths)
