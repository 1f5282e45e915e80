"""Which files would conflict, without touching any."""

from __future__ import annotations

import os

from claude_container.changes.plan import FAST_FORWARD, MERGE, NOTHING, Plan
from claude_container.git import OURS, Repository


def conflicts(repository: Repository, planned: Plan) -> tuple[str, ...] | None:
    """The paths that would conflict; None where that cannot be told without doing it.

    For commits in one row, by their difference as a whole: a replay may stop at one
    that a later one takes back. Needs git 2.38 (merge-tree --write-tree).
    """
    if planned.kind in (NOTHING, FAST_FORWARD):
        return ()
    if planned.kind == MERGE:
        return _merged(repository, planned.before, planned.head)
    first, last = planned.picks[0].id, planned.picks[-1].id
    row = repository.git("rev-list", "--first-parent", last, f"^{first}").text.split()
    begun = repository.commit(f"{first}~1")
    if begun is None or set(row) != {pick.id for pick in planned.picks[1:]}:
        return None
    # git 2.39 finds the common ancestor by itself only, so it gets one to find.
    root = repository.commit_tree(f"{begun}^{{tree}}", "-", OURS)
    ours, theirs = (
        repository.commit_tree(f"{id}^{{tree}}", "-", OURS, root) for id in (planned.before, last)
    )
    return _merged(repository, ours, theirs)


def _merged(repository: Repository, ours: str, theirs: str) -> tuple[str, ...] | None:
    words = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages")
    merged = repository.git(*words, ours, theirs, check=False)
    if merged.code not in (0, 1):
        return None
    return tuple(os.fsdecode(path) for path in merged.stdout.split(b"\0")[1:] if path)
