"""What a session held when it was last looked at: kept in the user's repository, as a blob."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from claude_container.git import Repository
from claude_container.refs import our_ref


@dataclass(frozen=True)
class Other:
    """A branch, a stash or a detached worktree with commits which the session's HEAD has not."""

    name: str  # as the session calls it; an agent chose it
    commit: str


@dataclass(frozen=True)
class Figures:
    """One look at a session. Names and paths are an agent's: show them through visible()."""

    time: int  # seconds since the epoch
    session: str  # the id (model.LAUNCH) of the session: a name can be used again
    head: str
    branch: str | None  # None: a detached HEAD
    # Uncommitted work, "XY PATH" as in git-status(1), the first of it; before that "-- WHERE: what"
    # of what is in linked worktrees and submodules, which no commit of the session takes.
    pending: tuple[str, ...]
    pending_count: int  # of all of it; -1 where git in the session could not tell
    others: tuple[Other, ...] = ()
    unseen: int = 0  # further refs, too many to bring
    ahead: int | None = None  # commits that a merge would bring, if they were counted

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """What of `pending` is in linked worktrees and submodules."""
        return tuple(row[3:] for row in self.pending if row.startswith("-- "))

    @property
    def committable(self) -> int:
        """How many paths of `pending_count` a commit in the session would take; -1: unknown."""
        return max(-1, self.pending_count - len(self.elsewhere))


def write(repository: Repository, figures: Figures) -> str:
    """The id of a blob that holds these figures, for refs/claude-container/NAME/look."""
    return repository.write_blob(json.dumps(dataclasses.asdict(figures)).encode())


def read(repository: Repository, session: str) -> Figures | None:
    """The figures of the last look, or None if there was none."""
    shown = repository.git("cat-file", "blob", our_ref(session, "look"), check=False)
    return parse(shown.stdout) if shown.code == 0 else None


def parse(blob: bytes) -> Figures | None:
    """Figures from a blob, or None if it is of another version of this program."""
    try:
        data = json.loads(blob)
        data["pending"] = tuple(data["pending"])
        data["others"] = tuple(Other(**other) for other in data["others"])
        return Figures(**data)
    except (ValueError, TypeError, KeyError):
        return None
