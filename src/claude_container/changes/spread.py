"""How many paths a commit stands for: ten trees can stand for ten billion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from claude_container.git import Repository
from claude_container.process import ProcessError


def most_paths(repository: Repository, commits: bytes) -> int:
    """The paths in the largest of these commits (ids, one a line). Raises ProcessError."""
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
