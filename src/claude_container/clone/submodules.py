"""Submodules that are checked out: they come along, each with its commit's history."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from claude_container import git
from claude_container.git import Repository


@dataclass(frozen=True)
class Submodule:
    """`path` from the root of the outermost repository; `folder` its git folder, below .git.

    `name` is what .gitmodules calls it, "" if nothing; `outer` the git folder of the
    repository that it is in, below .git and with a / at its end, or "". `commit` is
    the one that this repository names, where it is here.
    """

    path: str
    name: str
    outer: str
    folder: str
    repository: Repository
    commit: str
    dirty: bool

    @property
    def branch(self) -> str:
        """The branch that it is on here, if that is at this commit."""
        inner = self.repository
        return inner.branch or "" if inner.head == self.commit else ""

    @property
    def worktree(self) -> str:
        """core.worktree of the git folder: the way from there to the working tree."""
        return "../" * (self.folder.count("/") + 2) + self.path

    @property
    def link(self) -> str:
        """What the .git file in the working tree says."""
        return f"gitdir: {'../' * (self.path.count('/') + 1)}.git/{self.folder}\n"


def gitlinks(repository: Repository, commit: str) -> Iterator[tuple[str, str]]:
    """The submodules of a commit: where each is, and at which commit of its own."""
    listed = repository.git("ls-tree", "-r", "-z", "--full-tree", commit, timeout=None).stdout
    for row in os.fsdecode(listed).split("\0"):
        if row.startswith("160000 "):
            told, _, path = row.partition("\t")
            yield path, told.split()[2]


def in_submodule(folder: Path, commit: str) -> bool:
    """Whether the user's own repository of a submodule, in that folder, has a commit."""
    here = (folder / ".git").exists() and not folder.is_symlink()
    asked = ("cat-file", "-e", f"{commit}^{{commit}}")
    return here and not git.git(*asked, cwd=folder, check=False).code


def checked_out(
    repository: Repository, commit: str, prefix: str = "", folder: str = ""
) -> Iterator[Submodule]:
    """The submodules of a commit that a working tree has checked out, those inside of them too."""
    links = list(gitlinks(repository, commit))
    names = _names(repository, commit) if links else {}
    for link, named in links:
        if not (repository.top / link / ".git").exists():
            continue
        inner = git.find(repository.top / link)
        if inner is None or inner.head is None:
            continue
        status = inner.git(
            "--no-optional-locks", "status", "--porcelain", "--ignore-submodules=all"
        )
        own = f"{folder}modules/{link}"
        here = inner.commit(named) or inner.head
        name = names.get(link, "")
        yield Submodule(f"{prefix}{link}", name, folder, own, inner, here, bool(status.text))
        yield from checked_out(inner, here, f"{prefix}{link}/", f"{own}/")


def _names(repository: Repository, commit: str) -> dict[str, str]:
    """What a commit's .gitmodules calls each path."""
    shown = repository.git(
        *("config", "-z", f"--blob={commit}:.gitmodules", "--get-regexp", r"^submodule\..*\.path$"),
        check=False,
    )
    rows = [row.split("\n", 1) for row in os.fsdecode(shown.stdout).split("\0") if "\n" in row]
    return {path: key[len("submodule.") : -len(".path")] for key, path in rows}
