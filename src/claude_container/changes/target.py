"""The branch of the user's that commits are brought into."""

from __future__ import annotations

import os

from claude_container.changes import ready
from claude_container.changes.taken import Refused
from claude_container.errors import UsageError
from claude_container.git import Repository
from claude_container.terminal import visible


def find(repository: Repository, into: str | None) -> tuple[str, str | None]:
    """The branch to bring commits into, and its tip, or None if it is to be made.

    Raises Refused for one that a merge must not move, UsageError for no name of a branch.
    """
    if into is None:
        if repository.branch is None:
            ready.check_operation(repository)
            raise Refused(
                "no branch is checked out here",
                hint="name one: --into BRANCH, or check one out first: git switch BRANCH",
            )
        branch = repository.branch
    else:
        branch = into
        ref = f"refs/heads/{branch}"
        named = repository.git("check-ref-format", ref, check=False)
        # git takes these for something else where a branch is meant.
        if named.code != 0 or branch.startswith("-") or branch == "HEAD":
            raise UsageError(f"{visible(branch)!r} cannot be the name of a branch")
    ref = f"refs/heads/{branch}"
    there = repository.refs(ref)
    tip = there.get(ref)
    if tip is None and branch == repository.branch:
        raise Refused(f"branch {branch} has no commit yet", hint="make its first one: git commit")
    if tip is None and there:
        raise Refused(f"there can be no branch {branch} beside {next(iter(there))}")
    if branch != repository.branch and tip and (other := checked_out(repository, ref)):
        raise Refused(
            f"branch {branch} is checked out in another working tree",
            evidence=other,
            hint=f"merge there: cd {other}",
        )
    return ref, tip


def checked_out(repository: Repository, ref: str) -> str | None:
    """The working tree that a branch is checked out in."""
    shown = os.fsdecode(repository.git("worktree", "list", "--porcelain").stdout)
    for entry in shown.split("\n\n"):
        rows = entry.splitlines()
        if f"branch {ref}" in rows:
            return rows[0].removeprefix("worktree ")
    return None
