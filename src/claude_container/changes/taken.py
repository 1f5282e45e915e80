"""What was taken from a session into the user's branches: the record that `merged` refers to.

A record is a commit, so that git keeps what it names; its message holds it as JSON. It is
written before a merge touches anything and again after it, so that whatever cuts a merge
short, the next command knows what became of it.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from claude_container.changes import patches
from claude_container.changes.commits import Commit, log
from claude_container.errors import ClaudeContainerError
from claude_container.git import OURS, Repository
from claude_container.process import ProcessError
from claude_container.refs import our_ref

STARTED, DONE, UNDOING = "started", "done", "undoing"


class Refused(ClaudeContainerError):
    """What was asked for would lose or mix up work, so nothing was begun."""


def lines(items: Iterable[str], limit: int = 20) -> str:
    """The evidence of an error: one item a line, the first of them."""
    rows = list(items)
    more = [f"… and {len(rows) - limit} more"] if len(rows) > limit else []
    return "\n".join(rows[:limit] + more)


@dataclass(frozen=True)
class Pick:
    """A commit that is applied, and the session's commits that it stands for."""

    id: str
    stands_for: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """One merge into a branch (a full ref), and by `earlier` all that was taken before it."""

    state: str
    kind: str
    branch: str
    before: str  # the branch's tip, or where it was made
    head: str  # the session's, then
    picks: tuple[Pick, ...]
    earlier: tuple[str, ...] = ()
    brought: tuple[str, ...] = ()  # only once it is done
    after: str | None = None  # the branch's tip, then
    created: bool = False  # the branch is the merge's own
    place: str | None = None  # the git folder of the working tree it went on in
    snapshot: str | None = None  # the user's uncommitted work, committed by this merge
    index: str | None = None  # the tree of the index before that
    previous: str | None = None  # the record before this one
    time: int = 0
    id: str = ""  # of the commit that holds it

    @property
    def taken(self) -> frozenset[str]:
        """The ids of the session's commits that this merge or one before it brought."""
        return frozenset(self.earlier + self.brought)


def read(repository: Repository, session: str) -> Record | None:
    """The newest record, as it stands. Raises ClaudeContainerError for one it cannot read."""
    id = repository.commit(our_ref(session, "merged"))
    return _at(repository, id) if id else None


def _at(repository: Repository, id: str) -> Record:
    shown = repository.git("cat-file", "commit", id).stdout.decode(errors="replace")
    try:
        data = json.loads(shown.split("\n\n", 2)[2])
        data["picks"] = tuple(Pick(id, tuple(of)) for id, of in data["picks"])
        for name in ("earlier", "brought"):
            data[name] = tuple(data[name])
        return Record(**data, id=id)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ClaudeContainerError(
            "the record of what was taken from this session cannot be read",
            evidence=f"commit {id}",
            hint="a newer claude-container may have written it",
        ) from error


def write(repository: Repository, session: str, record: Record, *, old: str | None) -> Record:
    """Make this the newest record, in place of `old`. Raises Refused if another came first."""
    written = make(repository, session, record)
    move(repository, [(our_ref(session, "merged"), written.id, old)], record.kind)
    return written


def make(repository: Repository, session: str, record: Record) -> Record:
    """Store a record, to which nothing refers yet; return it with its id."""
    record = dataclasses.replace(record, time=int(time.time()))
    data = dataclasses.asdict(record)
    del data["id"]
    data["picks"] = [(pick.id, pick.stands_for) for pick in record.picks]
    title = f"Merge of session {session} into {record.branch}: {record.state}"
    pinned = [record.previous, record.before, record.head, record.snapshot]
    # A squash is no commit of the session's.
    pinned += [pick.id for pick in record.picks if pick.id not in pick.stands_for]
    parents = [id for id in dict.fromkeys(pinned) if id]
    tree = record.index or f"{record.head}^{{tree}}"
    id = repository.commit_tree(tree, f"{title}\n\n{json.dumps(data)}", OURS, *parents)
    return dataclasses.replace(record, id=id)


def move(
    repository: Repository, refs: Sequence[tuple[str, str | None, str | None]], why: str
) -> None:
    """Move refs (name, new, old; None: none), all or none. Raises Refused if one is not at old."""
    new, old = {name: id for name, id, _ in refs}, {name: id for name, _, id in refs}
    try:
        repository.update_refs(new, old=old, message=f"claude-container: {why}")
    except ProcessError as error:
        raise Refused(
            "git could not move the branch, so nothing was done",
            evidence=error.stderr,
            hint="something else may be at work in this repository: try again",
        ) from error


def forget(repository: Repository, session: str, record: Record) -> Record | None:
    """Go back to the record before this one, and return that."""
    move(repository, [(our_ref(session, "merged"), record.previous, record.id)], "undo")
    return _at(repository, record.previous) if record.previous else None


def settle(repository: Repository, session: str) -> Record | None:
    """The newest record, after finding out what became of a merge that was cut short.

    Its commits are known on the branch by author, date and subject, each as often as it
    is there. One that is not found was not taken, so nothing is lost by a wrong guess.
    """
    record = read(repository, session)
    if record is None or record.state == DONE:
        return record
    tip = repository.commit(record.branch)
    if record.state == UNDOING:
        if tip != record.after:
            return forget(repository, session, record)
        done = dataclasses.replace(record, state=DONE)
        return write(repository, session, done, old=record.id)
    brought, after = _found(repository, record, tip) if tip else ((), None)
    if after is None:
        return forget(repository, session, record)
    done = dataclasses.replace(record, state=DONE, brought=brought, after=after)
    return write(repository, session, done, old=record.id)


def _found(repository: Repository, record: Record, tip: str) -> tuple[tuple[str, ...], str | None]:
    """What of a record's picks is on the branch, and the last commit on it that is ours."""
    on_branch = log(repository, tip, f"^{record.before}")
    ids = {commit.id for commit in on_branch}
    same = {pick.id for pick in record.picks if pick.id in ids}
    replayed = _replayed(
        repository,
        [pick.id for pick in record.picks if pick.id not in same],
        [commit for commit in on_branch if commit.id not in same],
    )
    got = same | set(replayed)
    brought = tuple(id for pick in record.picks if pick.id in got for id in pick.stands_for)
    ours = same | set(replayed.values()) | {record.snapshot}
    ours |= {commit.id for commit in on_branch if record.head in commit.parents[1:]}
    return brought, next((c.id for c in reversed(on_branch) if c.id in ours), None)


def _replayed(
    repository: Repository, picks: Sequence[str], on_branch: Sequence[Commit]
) -> dict[str, str]:
    """Which picks are on the branch under a new id, and which id that is."""
    if not picks or not on_branch:
        return {}
    by_id = {c.id: c for at in range(0, len(picks), 1000) for c in _named(repository, picks, at)}
    planned = [by_id[id] for id in picks]
    wanted = Counter(map(_face, planned))
    there = Counter(map(_face, on_branch))
    # Of twins of which one is missing, only the change itself says which.
    unsure = {face for face, count in wanted.items() if 0 < there[face] < count}
    twins = [c.id for c in (*planned, *on_branch) if _face(c) in unsure]
    change = patches.keys(repository, twins) if twins else {}
    waiting: dict[tuple[object, ...], list[str]] = {}
    for commit in on_branch:
        waiting.setdefault((*_face(commit), change.get(commit.id)), []).append(commit.id)
    found = {}
    for commit in planned:
        if ids := waiting.get((*_face(commit), change.get(commit.id))):
            found[commit.id] = ids.pop(0)
    return found


def _named(repository: Repository, ids: Sequence[str], at: int) -> list[Commit]:
    return log(repository, "--no-walk", *ids[at : at + 1000])


def _face(commit: Commit) -> tuple[object, ...]:
    return (commit.author, commit.email, commit.time, commit.subject)
