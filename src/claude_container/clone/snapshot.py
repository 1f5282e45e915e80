"""Uncommitted work of the user's, as one commit: index, tree, stash and reflog stay as they are."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from claude_container.clone import endings
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from claude_container.process import ProcessError
from claude_container.terminal import visible

Environment = Mapping[str, str | None]
# What users set for themselves and would hinder here. A split index would leave a part of
# itself in their git folder; a large file goes into a pack at once, as it is.
_ADDING = (
    *("-c", "core.safecrlf=false", "-c", "core.splitIndex=false", "-c", "add.ignoreErrors=false"),
    *("-c", "core.bigFileThreshold=16m", "-c", "pack.compression=0"),
)


@dataclass(frozen=True)
class Uncommitted:
    """What a working tree holds beside its HEAD.

    `nested` are repositories inside that are no submodules, and stay. `ignored` are
    paths; one that ends in / is a folder with all in it.
    """

    changed: int = 0
    new: int = 0
    nested: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """A tree, and files whose bytes in the working tree a checkout of it would not give."""

    id: str
    unlike: tuple[str, ...]


def uncommitted(repository: Repository) -> Uncommitted:
    """Look without touching the index (git-status(1), porcelain v1)."""
    shown = repository.git(
        "--no-optional-locks",
        "status",
        "--porcelain",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        "--ignored=matching",
        "--ignore-submodules=dirty",
    )
    changed, new, nested, ignored = 0, 0, [], []
    for row in filter(None, shown.stdout.split(b"\0")):
        kind, path = row[:2], os.fsdecode(row[3:])
        if kind == b"!!":
            ignored.append(path)
        elif kind != b"??":
            changed += 1
        elif path.endswith("/"):
            nested.append(path)
        else:
            new += 1
    return Uncommitted(changed, new, tuple(nested), tuple(ignored))


def commit(repository: Repository, session: str, tree: str, who: tuple[str, str]) -> str:
    """A commit of that tree on top of HEAD; nothing refers to it yet."""
    assert repository.head is not None
    message = f"Uncommitted work, as it came into session {session}"
    return repository.commit_tree(tree, message, who, repository.head)


def take(repository: Repository, nested: Sequence[str] = ()) -> Tree:
    """The working tree as it is, untracked files among it, but for what is in `nested`.

    As `git add --all` would have it, with the user's own filters, in an index of its
    own. Raises ClaudeContainerError for what git cannot read.
    """
    with _index(repository) as env:
        # Untracked files outside of a sparse checkout are work, too.
        sparse = repository.git("config", "--bool", "core.sparseCheckout", check=False).text
        flags = ["--sparse"] if sparse == "true" else []
        without = "".join(f":(top,exclude,literal){path}\0" for path in nested)
        if nested:
            flags += ["--pathspec-from-file=-", "--pathspec-file-nul"]
        try:
            said = repository.git(
                *(*_ADDING, "add", "--all", *flags),
                input=os.fsencode(f":/\0{without}") if nested else None,
                env=env,
            ).error_text
        except ProcessError as error:
            raise _unreadable(error.stderr) from error
        if "could not open directory" in said:
            raise _unreadable(said)
        unlike = endings.unlike(repository, env)
        return Tree(repository.git(*_ADDING, "write-tree", env=env).text, tuple(unlike))


def tree(repository: Repository) -> str:
    """The id of the tree that take() would bring along now."""
    return take(repository, uncommitted(repository).nested).id


def _unreadable(said: str) -> ClaudeContainerError:
    return ClaudeContainerError(
        "git cannot read all of the uncommitted work",
        evidence="\n".join(visible(line) for line in said.splitlines()[:12]),
        hint="mend or ignore these, or leave such work here: --clean",
    )


@contextmanager
def _index(repository: Repository) -> Iterator[Environment]:
    """The environment in which git has a copy of the user's index, stat data and all."""
    with tempfile.TemporaryDirectory(prefix="claude-container-") as folder:
        copy = Path(folder, "index")
        index = repository.git_dir / "index"
        if index.exists():
            shutil.copy2(index, copy)
        yield {"GIT_INDEX_FILE": str(copy)}
