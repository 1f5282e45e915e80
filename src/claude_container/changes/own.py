"""The session's own commits, as the user's repository holds them, and which of them are new."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

from claude_container.changes import automerge, patches
from claude_container.changes.commits import Commit, log
from claude_container.changes.taken import Refused, lines, read
from claude_container.git import Repository
from claude_container.refs import our_ref
from claude_container.terminal import visible

_SHORT = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Refs:
    """Where a session stands; origin is base where it began clean."""

    base: str
    origin: str
    head: str
    pushed: str | None

    @property
    def snapshot(self) -> str | None:
        """The user's uncommitted work that the session began with: never to be brought."""
        return self.base if self.base != self.origin else None

    @property
    def theirs(self) -> tuple[str, ...]:
        """Revisions that leave out what the session did not make."""
        return tuple(f"^{id}" for id in (self.base, self.origin, self.pushed) if id)


def refs(repository: Repository, session: str) -> Refs:
    """Raises Refused if there is no such session here, or it was never looked at."""
    here = our_ref(session, "")
    found = {name.removeprefix(here): id for name, id in repository.refs(here.rstrip("/")).items()}
    if "base" not in found or "head" not in found:
        raise Refused(
            f"this repository knows nothing of a session {session}",
            evidence=str(repository.top),
            hint="claude-container list shows which repository each session belongs to",
        )
    base = found["base"]
    return Refs(base, found.get("origin", base), found["head"], found.get("pushed"))


def left(repository: Repository, where: Refs) -> str | None:
    """What of the session's head is the host's: a commit, a tree, or None for a conflict."""
    pushed = where.pushed
    if pushed is None or not repository.is_ancestor(pushed, where.head):
        return where.base
    if repository.is_ancestor(where.base, pushed):
        return pushed
    return automerge.automatic(repository, where.base, pushed)


@dataclass(frozen=True)
class Sorted:
    """The session's commits, parents first, by what is known of them."""

    own: tuple[Commit, ...]
    there: frozenset[str]  # on the branch itself
    taken: frozenset[str]  # recorded, or of the same change as one that was and is gone
    equal: frozenset[str]  # their change is on the branch

    @property
    def new(self) -> tuple[Commit, ...]:
        """Those of which nothing is known."""
        known = self.there | self.taken | self.equal
        return tuple(commit for commit in self.own if commit.id not in known)


def sort(
    repository: Repository,
    where: Refs,
    branches: Sequence[str],
    taken: Collection[str],
    tips: Sequence[str] = (),
) -> Sorted:
    """What the session's head (or these tips) holds, seen from these branches."""
    tips = tips or [where.head]
    own = log(repository, *tips, *where.theirs)
    ids = {commit.id for commit in own}
    here = [f"^{branch}" for branch in branches]
    away = set(repository.git("rev-list", *tips, *where.theirs, *here).text.split())
    there, taken = frozenset(ids - away), frozenset(taken)
    gone = _commits(repository, taken - ids) if away else []
    again = patches.equal(repository, [c for c in own if c.id in away - taken], gone)
    taken |= again
    equal: set[str] = set()
    for branch, tip in product(branches, tips if away - taken else ()):
        marks = repository.git(
            "rev-list", "--left-right", "--cherry-mark", f"{branch}...{tip}", *where.theirs
        )
        same = {row[1:] for row in marks.text.splitlines() if row.startswith("=")}
        ours = [commit for commit in own if commit.id in same]
        equal |= patches.equal(repository, ours, _commits(repository, same - ids), used=taken)
    return Sorted(tuple(own), there, taken, frozenset(equal))


def _commits(repository: Repository, ids: Collection[str]) -> list[Commit]:
    """Commits by id, a thousand at a time: what a command line holds is limited."""
    known = sorted(ids)
    blocks = (known[at : at + 1000] for at in range(0, len(known), 1000))
    return [commit for block in blocks for commit in log(repository, "--no-walk", *block)]


def remaining(
    repository: Repository,
    session: str,
    tips: Sequence[str] = (),
    branches: Sequence[str] = ("HEAD",),
) -> list[Commit]:
    """Commits of the session's head (or tips) that would be lost with it, parents first.

    Those that no head, remote or tag of the user's reaches, that were not taken, and
    whose change is on none of the branches. Our own refs hold nothing. Changes nothing.
    Raises Refused if there is no such session here.
    """
    where = refs(repository, session)
    record = read(repository, session)
    known = [branch for branch in branches if repository.commit(branch)]
    found = sort(repository, where, known, record.taken if record else (), tips)
    if not found.new:
        return []
    hosts = [*known, *([where.pushed] if where.pushed else [])]
    new, _ = automerge.split(repository, found.new, hosts)
    reached = ("--not", "--branches", "--remotes", "--tags")
    lost = set(repository.git("rev-list", *(tips or [where.head]), *reached).text.split())
    return [commit for commit in new if commit.id in lost]


def named(
    repository: Repository, where: Refs, own: Sequence[Commit], words: Sequence[str]
) -> set[str]:
    """The session's own commits that words mean: A..B, an id, a short one. Raises Refused.

    Names mean what they mean in the user's repository.
    """
    ids = {commit.id for commit in own}
    chosen: set[str] = set()
    for word in words:
        if ".." in word:
            old, new = word.split("..", 1)
            ends = [_one(repository, old, ids) if old else where.base]
            ends.append(_one(repository, new, ids) if new else where.head)
            rows = repository.git("rev-list", ends[1], f"^{ends[0]}").text.split()
        else:
            rows = [_one(repository, word, ids)]
        if not ids.intersection(rows):
            raise Refused(
                f"{visible(word)} names no commit of this session",
                evidence=lines(f"{commit.id[:10]} {visible(commit.subject)}" for commit in own),
            )
        chosen |= ids.intersection(rows)
    return chosen


def _one(repository: Repository, word: str, ids: Collection[str]) -> str:
    # An id that we showed, however short: other objects may begin like it.
    short = [id for id in ids if _SHORT.fullmatch(word) and id.startswith(word)]
    found = short[0] if len(short) == 1 else repository.commit(word)
    if found is None:
        raise Refused(
            f"{visible(word)} names no commit",
            hint="an id that merge shows, or a range of them: 1a2b3c4..5d6e7f8",
        )
    return found
