"""Take back a merge after which nothing came, finished or not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from claude_container.changes import figures, own, ready, taken
from claude_container.changes.taken import DONE, UNDOING, Record, Refused
from claude_container.changes.target import checked_out
from claude_container.git import Repository
from claude_container.process import ProcessError
from claude_container.refs import our_ref


@dataclass(frozen=True)
class Undone:
    """What was taken back: a branch (a full ref) is at `tip` again, or gone (None)."""

    branch: str
    was: str
    tip: str | None
    brought: tuple[str, ...]  # ids of the session's commits, which are new again


def undo(repository: Repository, session: str) -> Undone:
    """Put the branch of the last merge back to where it was. Raises Refused if it moved since.

    The user's own work stays, staged or not; where that lies in the way, it is refused.
    """
    record = taken.read(repository, session)
    if record and ready.ours(record):
        return abort(repository, session, record)
    record = taken.settle(repository, session)
    if record is None:
        raise Refused(f"nothing was merged from session {session}, so nothing is to be undone")
    return _back(repository, session, record)


def abort(repository: Repository, session: str, record: Record) -> Undone:
    """End a merge that is under way, and put everything back.

    Raises Refused if it is under way in another working tree, or the branch moved since.
    """
    under_way = ready.ours(record)
    if under_way:
        if str(repository.git_dir) != record.place:
            raise Refused(
                "this merge is under way in another working tree", evidence=record.place or ""
            )
        repository.git(under_way, "--abort", check=False)
    settled = taken.settle(repository, session)
    if settled is None or settled.id == record.previous:  # nothing of it is on the branch
        tip = repository.commit(record.branch) or record.before
        return Undone(record.branch, tip, record.before, ())
    return _back(repository, session, settled)


def _back(repository: Repository, session: str, record: Record) -> Undone:
    name = record.branch.removeprefix("refs/heads/")
    tip = repository.refs(record.branch).get(record.branch)
    after = record.after
    assert after is not None
    if tip != after:
        raise Refused(
            f"{name} moved after the merge, so undoing it would lose what came since",
            evidence=f"it was at {after[:10]} and is at {tip[:10] if tip else 'nothing'}",
            hint="git revert takes single commits back",
        )
    here = repository.branch == name
    place = None if here else checked_out(repository, record.branch)
    if place:
        raise Refused(
            f"branch {name} is checked out in another working tree",
            evidence=place,
            hint=f"undo it there: cd {place}",
        )
    to = None if record.created and not here else record.before
    if here:
        record = _tree_back(repository, session, record)
    merged = our_ref(session, "merged")
    refs = [(record.branch, to, after), (merged, record.previous, record.id)]
    taken.move(repository, refs, f"undo the merge of session {session}")
    if here and record.index:
        # The index as it was: what was staged, and no more.
        repository.git("read-tree", "-m", record.index)
        repository.git("update-index", "-q", "--refresh", check=False)
    return Undone(record.branch, after, to, record.brought)


def count_again(repository: Repository, session: str, branch: str) -> None:
    """Have the figures of the last look tell what a merge would bring now."""
    if seen := figures.read(repository, session):
        ahead = len(own.remaining(repository, session, branches=("HEAD", branch)))
        blob = figures.write(repository, dataclasses.replace(seen, ahead=ahead))
        repository.update_refs({our_ref(session, "look"): blob})


def _tree_back(repository: Repository, session: str, record: Record) -> Record:
    """Index and working tree as before the merge; the user's own changes are carried over."""
    ready.check_operation(repository)
    assert record.after is not None
    undoing = dataclasses.replace(record, state=UNDOING)
    undoing = taken.write(repository, session, undoing, old=record.id)
    repository.git("update-index", "-q", "--refresh", check=False)
    # As a checkout would: refused by git, as a whole, where work of the user's is in the way.
    words = ("read-tree", "-m", "-u", "--no-recurse-submodules")
    try:
        repository.git(*words, record.after, record.snapshot or record.before)
    except ProcessError as error:
        again = dataclasses.replace(record, state=DONE)
        taken.write(repository, session, again, old=undoing.id)
        raise Refused(
            "work of yours is in files that undoing would change",
            evidence=error.stderr,
            hint="commit or stash it first: git stash",
        ) from error
    return undoing
