"""Submodules that are checked out: they come along, each with its commit's history."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

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


def checked_out(
    repository: Repository, commit: str, prefix: str = "", folder: str = ""
) -> Iterator[Submodule]:
    """The submodules of a commit that a working tree has checked out, those inside of them too."""
    rows = repository.git("ls-tree", "-r", "-z", commit).stdout.split(b"\0")
    links = [row.split(b"\t", 1) for row in rows if row.startswith(b"160000 ")]
    names = _names(repository, commit) if links else {}
    for what, path in links:
        link, named = os.fsdecode(path), what.split()[2].decode()
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
        name = names.get(path, "")
        yield Submodule(f"{prefix}{link}", name, folder, own, inner, here, bool(status.text))
        yield from checked_out(inner, here, f"{prefix}{link}/", f"{own}/")


def _names(repository: Repository, commit: str) -> dict[bytes, str]:
    """What a commit's .gitmodules calls each path."""
    shown = repository.git(
        *("config", "-z", f"--blob={commit}:.gitmodules", "--get-regexp", r"^submodule\..*\.path$"),
        check=False,
    )
    rows = [row.split(b"\n", 1) for row in shown.stdout.split(b"\0") if b"\n" in row]
    return {path: os.fsdecode(key)[len("submodule.") : -len(".path")] for key, path in rows}
