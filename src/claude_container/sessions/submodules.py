"""Submodules that are checked out: they come along, each with its commit's history."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from claude_container import git
from claude_container.git import Repository


@dataclass(frozen=True)
class Submodule:
    """`path` from the root of the outermost repository; `folder` its git folder, below .git."""

    path: str
    folder: str
    repository: Repository
    dirty: bool

    @property
    def worktree(self) -> str:
        """core.worktree of the git folder: the way from there to the working tree."""
        return "../" * (self.folder.count("/") + 2) + self.path

    @property
    def link(self) -> str:
        """What the .git file in the working tree says."""
        return f"gitdir: {'../' * (self.path.count('/') + 1)}.git/{self.folder}\n"


def checked_out(repository: Repository, prefix: str = "", folder: str = "") -> Iterator[Submodule]:
    """The submodules that a working tree has checked out, those inside of them too."""
    if not (repository.top / ".gitmodules").is_file():
        return
    rows = repository.git("ls-files", "--stage", "-z").stdout.split(b"\0")
    links = [os.fsdecode(row.split(b"\t", 1)[1]) for row in rows if row.startswith(b"160000 ")]
    for link in links:
        if not (repository.top / link / ".git").exists():
            continue
        inner = git.find(repository.top / link)
        if inner is None or inner.head is None:
            continue
        path = f"{prefix}{link}"
        own = f"{folder}modules/{link}"
        status = inner.git(
            "--no-optional-locks", "status", "--porcelain", "--ignore-submodules=all"
        )
        yield Submodule(path, own, inner, bool(status.text))
        yield from checked_out(inner, f"{path}/", f"{own}/")
