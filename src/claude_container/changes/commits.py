"""Commits of a session, read in the user's repository with the user's git."""

from __future__ import annotations

from dataclasses import dataclass

from claude_container.git import Repository

# No commit holds a NUL, so nothing that an agent writes can look like another field.
_FIELDS = ("%H", "%T", "%P", "%an", "%ae", "%at", "%s")


@dataclass(frozen=True)
class Commit:
    """One commit; its text as it is, so it is shown through terminal.visible()."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: str
    email: str
    time: int  # of the author, seconds
    subject: str


def log(repository: Repository, *revisions: str) -> list[Commit]:
    """The commits that rev-list's revisions and options mean; parents before children."""
    words = ("log", "-z", "--no-show-signature", "--topo-order", "--reverse")
    done = repository.git(*words, f"--format={'%x00'.join(_FIELDS)}", *revisions)
    fields = done.stdout.decode(errors="replace").split("\0")
    size = len(_FIELDS)
    return [_commit(*fields[at : at + size]) for at in range(0, len(fields) - 1, size)]


def _commit(
    id: str, tree: str, parents: str, author: str, email: str, time: str, subject: str
) -> Commit:
    return Commit(id, tree, tuple(parents.split()), author, email, int(time or 0), subject)
