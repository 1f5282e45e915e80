"""A working tree of our own, with hardly a file in it, to replay commits in."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from claude_container.git import Repository

# Only the files that a conflict is in are written (git 2.39, which merges in memory).
SPARSE = ("-c", "core.sparseCheckout=true", "-c", "core.sparseCheckoutCone=false")


@contextlib.contextmanager
def empty(repository: Repository, session: str, commit: str) -> Iterator[Repository]:
    """A linked worktree at a commit, detached and empty, that goes with whatever happens.

    It lies in the repository's own git folder, where nothing looks for files and what
    a kill left of it is found again; sessions are unique whatever the case.
    """
    folder = repository.common / "claude-container" / session.lower()
    _remove(repository, folder)
    folder.parent.mkdir(exist_ok=True)
    try:
        repository.git("worktree", "add", "--no-checkout", "--detach", str(folder), commit)
        here = replace(repository, top=folder, branch=None, head=commit)
        git_dir = Path(here.git("rev-parse", "--path-format=absolute", "--git-dir").text)
        (git_dir / "info").mkdir(exist_ok=True)
        (git_dir / "info" / "sparse-checkout").write_text("")
        here.git(*SPARSE, "read-tree", "-mu", "HEAD")
        yield replace(here, git_dir=git_dir)
    finally:
        _remove(repository, folder)


def _remove(repository: Repository, folder: Path) -> None:
    if folder.exists():
        # Twice --force: also one that a kill left locked.
        repository.git("worktree", "remove", "--force", "--force", str(folder), check=False)
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
