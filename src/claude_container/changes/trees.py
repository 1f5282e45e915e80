"""What trees hold, and in what two of them differ: read with git, and never checked out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from claude_container.git import Repository
from claude_container.process import ProcessError

_RAW = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev")
NOTHING = "000000"  # the mode of what is not there


class Change(NamedTuple):
    """One path of a difference; a rename is two. Where nothing is, mode and id are zeros."""

    path: str
    old_mode: str
    new_mode: str
    old: str
    new: str

    @property
    def added(self) -> bool:
        return self.old_mode == NOTHING

    @property
    def gone(self) -> bool:
        return self.new_mode == NOTHING


def changes(repository: Repository, old: str, new: str) -> Iterator[Change]:
    """What changes from one commit or tree to another. Raises ProcessError."""
    return _changes(repository.git(*_RAW, old, new, "--", timeout=None).stdout)


def changes_of_each(repository: Repository, ids: Iterable[str]) -> Iterator[Change]:
    """What each of these commits changes, one after the other. Raises ProcessError."""
    asked = "".join(f"{id}\n" for id in ids).encode()
    return _changes(repository.git(*_RAW, "--root", "--stdin", input=asked, timeout=None).stdout)


def _changes(raw: bytes) -> Iterator[Change]:
    fields = iter(os.fsdecode(raw).split("\0"))
    for field in fields:
        if field.startswith(":"):  # else it is the id of a commit
            old_mode, new_mode, old, new, _ = field[1:].split(" ")
            yield Change(next(fields), old_mode, new_mode, old, new)


def paths(repository: Repository, tree: str) -> list[str]:
    """The paths of all files in a commit or tree. Raises ProcessError."""
    listed = repository.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", tree)
    return [path for path in os.fsdecode(listed.stdout).split("\0") if path]


def most_paths(repository: Repository, commits: bytes) -> int:
    """How many paths the largest of these commits (ids, one a line) has. Raises ProcessError.

    Ten trees can stand for ten billion.
    """
    listing = ("--objects", "--no-walk", "--filter=blob:none", "--no-object-names", "--stdin")
    listed = repository.git("rev-list", *listing, input=commits).stdout
    trees: dict[bytes, tuple[int, Sequence[bytes]]] = {}
    for header, content in objects(repository, listed):
        id, kind, _ = header.split()
        if kind == b"tree":
            raw = bytes.fromhex(id.decode())
            entry = rb"(\d+) [^\0]*\0(.{%d})" % len(raw)
            entries = re.findall(entry, content, re.DOTALL)
            trees[raw] = len(entries), [child for mode, child in entries if int(mode, 8) == 0o40000]
    return max(_totals(trees).values(), default=0)


def objects(repository: Repository, names: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(id, type and size; content) of each object (one a line). Raises ProcessError."""
    shown = repository.git("cat-file", "--batch", input=names)
    at = 0
    while at < len(shown.stdout):
        end = shown.stdout.index(b"\n", at)
        header = shown.stdout[at:end]
        if len(header.split()) != 3 or not header.split()[2].isdigit():
            name = header.decode(errors="replace")
            raise ProcessError(f"git has no object {name}", command=shown.argv)
        at = end + 1 + int(header.split()[2])
        yield header, shown.stdout[end + 1 : at]
        at += 1


def _totals(trees: Mapping[bytes, tuple[int, Sequence[bytes]]]) -> dict[bytes, int]:
    """The paths in each tree, however deep: no recursion, the depth is an agent's choice."""
    total: dict[bytes, int] = {}
    for root in trees:
        waiting = [root]
        while waiting:
            tree = waiting[-1]
            own, children = trees.get(tree, (0, ()))
            unknown = [child for child in children if child not in total]
            if tree not in total and unknown:
                waiting += unknown
                continue
            total.setdefault(tree, own + sum(total[child] for child in children))
            waiting.pop()
    return total
