"""Commits of a session, read in the user's repository with the user's git."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from claude_container.git import Repository, git

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


def gitlinks(repository: Repository, commit: str) -> Iterator[tuple[str, str]]:
    """The submodules of a commit: where each is, and at which commit of its own."""
    listed = repository.git("ls-tree", "-r", "-z", "--full-tree", commit, timeout=None).stdout
    for row in listed.split(b"\0"):
        if row.startswith(b"160000 "):
            told, _, path = row.partition(b"\t")
            yield os.fsdecode(path), told.split()[2].decode()


def in_submodule(folder: Path, commit: str) -> bool:
    """Whether the user's own repository of a submodule, in that folder, has a commit."""
    here = (folder / ".git").exists() and not folder.is_symlink()
    asked = ("cat-file", "-e", f"{commit}^{{commit}}")
    return here and not git(*asked, cwd=folder, check=False).code
