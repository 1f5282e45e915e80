"""What merge commits would be if git made them by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from claude_container.changes.commits import Commit
from claude_container.git import Repository


def automatic(repository: Repository, one: str, other: str) -> str | None:
    """The tree of a merge without conflicts, or None if it has some (or git is before 2.38)."""
    merged = repository.git("merge-tree", "--write-tree", one, other, check=False)
    return merged.text if merged.code == 0 else None


def split(
    repository: Repository, commits: Iterable[Commit], hosts: Sequence[str]
) -> tuple[tuple[Commit, ...], tuple[Commit, ...]]:
    """(commits to look at, merges that only bring in what these tips of the host's hold).

    Such a merge has nothing of its own: git alone comes to the same tree.
    """
    kept: list[Commit] = []
    dropped: list[Commit] = []
    for commit in commits:
        (dropped if _only_brings(repository, commit, hosts) else kept).append(commit)
    return tuple(kept), tuple(dropped)


def _only_brings(repository: Repository, commit: Commit, hosts: Sequence[str]) -> bool:
    return (
        len(commit.parents) == 2
        and any(repository.is_ancestor(parent, tip) for parent in commit.parents for tip in hosts)
        and automatic(repository, *commit.parents) == commit.tree
    )
