"""An index of git's own making, beside the user's: what it takes to read or make a tree."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping

from claude_container.clone.opened import Entry
from claude_container.git import Repository


@contextlib.contextmanager
def temporary(
    repository: Repository, start: str | None = None
) -> Iterator[Mapping[str, str | None]]:
    """The environment in which git has an index of its own, empty or with a tree in it."""
    with tempfile.TemporaryDirectory(prefix="claude-container-") as folder:
        env = {"GIT_INDEX_FILE": f"{folder}/index"}
        if start is not None:
            repository.git("-c", "core.splitIndex=false", "read-tree", start, env=env)
        yield env


def tree(
    repository: Repository, entries: Mapping[str, Entry | None], start: str | None = None
) -> str:
    """A tree of these entries; with `start` that tree, changed by them (None: nothing there)."""
    gone = [f"0 {'0' * 40}\t{path}\0" for path, entry in entries.items() if entry is None]
    there = [f"{e.mode} {e.id}\t{path}\0" for path, e in entries.items() if e is not None]
    rows = os.fsencode("".join((*gone, *there)))
    with temporary(repository, start) as env:
        words = ("-c", "core.splitIndex=false", "update-index", "-z", "--index-info")
        repository.git(*words, input=rows, env=env, timeout=None)
        return repository.git("write-tree", env=env).text
