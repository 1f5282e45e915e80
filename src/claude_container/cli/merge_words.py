"""What `merge` says: plans, commits and outcomes as lines. An agent's text is made visible here."""

from __future__ import annotations

from collections.abc import Iterator

from claude_container.changes.commits import Commit
from claude_container.changes.merge import Outcome
from claude_container.changes.plan import FAST_FORWARD, MERGE, NOTHING, SQUASH, Plan
from claude_container.changes.risks import Risk
from claude_container.cli import table
from claude_container.terminal import visible

_SHOWN = 50  # commits


def commit(shown: Commit) -> str:
    """A commit: short id, subject, author."""
    return f"{shown.id[:10]} {visible(shown.subject)} ({visible(shown.author)})"


def risk(row: Risk) -> str:
    """A risk: kind, path, why."""
    return f"{row.kind}: {visible(row.path)} {visible(row.why)}"


def plan(planned: Plan) -> Iterator[str]:
    """What would be brought, how, and what not."""
    if planned.kind == NOTHING:
        yield f"nothing new for {planned.branch_name}"
    else:
        made = " (a new branch)" if planned.created else ""
        count = table.many(len(planned.commits), "commit")
        yield f"{count} for {planned.branch_name}{made}, {_how(planned)}:"
        for each in planned.commits[:_SHOWN]:
            yield f"  {commit(each)}"
        if len(planned.commits) > _SHOWN:
            yield f"  … and {len(planned.commits) - _SHOWN} more"
    if planned.taken:
        named = "" if planned.kind != NOTHING else "; --commits A..B brings them once more"
        yield f"brought before: {table.many(len(planned.taken), 'commit')}{named}"
    if planned.equal:
        yield f"already there as changes: {table.many(len(planned.equal), 'commit')}"


def _how(planned: Plan) -> str:
    if planned.snapshot:
        return "on top of your own uncommitted work, as a commit"
    return {
        FAST_FORWARD: "as they are",
        SQUASH: "as one commit",
        MERGE: "with a merge commit",
    }.get(planned.kind, "replayed, under new ids")


def question(planned: Plan) -> str:
    """What is asked before a merge."""
    return f"Bring this into {planned.branch_name}?"


def outcome(done: Outcome) -> str:
    """What a merge that came to its end did to the branch."""
    branch = done.branch.removeprefix("refs/heads/")
    if done.kind == NOTHING:
        return f"{branch} was not made" if done.created else f"{branch} stays as it is"
    said = f"{branch} has {table.many(len(done.commits), 'commit')} more"
    if done.kind == SQUASH:
        said = f"{branch} has one commit more, made of {len(done.commits)}"
    elif done.new_ids:
        said += ", replayed under new ids"
    if done.dropped:
        said += f"; {done.dropped} of them changed nothing any more and were left out"
    return f"{said}, and is at {done.after[:10]}"
