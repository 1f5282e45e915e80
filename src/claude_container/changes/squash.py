"""All that is new in a session as one commit: the difference of two trees."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from claude_container.changes.automerge import automatic
from claude_container.changes.commits import Commit, log
from claude_container.changes.own import Refs, Sorted
from claude_container.changes.taken import Pick, Record, Refused, lines
from claude_container.git import Repository
from claude_container.terminal import visible


def of(
    repository: Repository,
    session: str,
    where: Refs,
    found: Sorted,
    chosen: Sequence[Commit],
    record: Record | None,
    message: str | None,
) -> Pick:
    """A commit of what these commits make together, to be replayed. Raises Refused."""
    last = chosen[-1]
    # The author is the session's; who commits is of no matter, for it will be replayed.
    who, date = (last.author or "unknown", last.email), f"@{last.time} +0000"
    old = _before(repository, where, found.own, chosen, record)
    pushed = where.pushed
    has = repository.is_ancestor
    if pushed and has(pushed, last.id) and not has(pushed, old):
        # What the host gave it meanwhile is none of its work.
        tree = automatic(repository, old, pushed)
        if tree is None:
            raise Refused(
                "the session mixed its commits with yours in a way that only --merge can bring",
                evidence=f"{old[:10]} and {pushed[:10]} conflict, or git is older than 2.38",
            )
        old = repository.commit_tree(tree, "Before", who, old, date=date)
    text = message or _message(session, chosen)
    made = repository.commit_tree(f"{last.id}^{{tree}}", text, who, old, date=date)
    return Pick(made, tuple(commit.id for commit in chosen))


def _before(
    repository: Repository,
    where: Refs,
    own: Sequence[Commit],
    chosen: Sequence[Commit],
    record: Record | None,
) -> str:
    """The commit that these ones begin after: what is before them and not chosen is all in it."""
    ids = {commit.id for commit in chosen}
    if record and record.taken - {commit.id for commit in own}:
        # Taken, and then written anew in the session.
        if {commit.id for commit in log(repository, record.head, *where.theirs)} <= record.taken:
            return record.head
        raise _apart(chosen)
    parents = {commit.id: commit.parents for commit in own}
    reached = _ancestors(parents, chosen[-1].id)
    rest = [commit.id for commit in own if commit.id in reached - ids]
    if not ids <= reached or (rest and _ancestors(parents, rest[-1]) != set(rest)):
        raise _apart(chosen)
    return rest[-1] if rest else where.base


def _apart(chosen: Sequence[Commit]) -> Refused:
    return Refused(
        "these commits are not in one piece, so their difference would bring others too",
        evidence=lines(f"{commit.id[:10]} {visible(commit.subject)}" for commit in chosen),
        hint="leave --squash out, or squash one piece at a time: --commits A..B",
    )


def _ancestors(parents: dict[str, tuple[str, ...]], tip: str) -> set[str]:
    found: set[str] = set()
    waiting = [tip]
    while waiting:
        id = waiting.pop()
        if id in parents and id not in found:
            found.add(id)
            waiting.extend(parents[id])
    return found


def _message(session: str, chosen: Collection[Commit]) -> str:
    count = f"{len(chosen)} commits" if len(chosen) > 1 else "1 commit"
    subjects = "".join(f"- {commit.subject}\n" for commit in chosen)
    return f"Bring {count} of session {session}\n\n{subjects}"
