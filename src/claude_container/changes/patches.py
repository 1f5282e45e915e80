"""Commits that make the same change, whatever their ids."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence

from claude_container.changes.commits import Commit
from claude_container.git import Repository

_ID = re.compile(rb"[0-9a-f]{40,64}")


def keys(repository: Repository, ids: Sequence[str]) -> dict[str, str]:
    """What each commit changes, as a key: the same wherever in its files that is.

    Like git-patch-id(1), which takes all binary files for the same before git 2.39.
    A merge and a commit that changes nothing have no key.
    """
    shown = repository.git(
        "diff-tree",
        "--stdin",
        "--root",
        "-r",
        "-p",
        "--full-index",
        "--no-renames",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--ignore-submodules=none",
        input="".join(f"{id}\n" for id in ids).encode(),
    )
    found = {}
    index = b""
    for line in shown.stdout.split(b"\n"):
        if _ID.fullmatch(line):
            digest = hashlib.sha256()
            id = line.decode()
            continue
        if line.startswith(b"index "):
            index = line
            continue
        if line.startswith(b"Binary files "):
            line = index.split(b" ")[1]  # not the mode, which its own lines show
        elif line.startswith(b"@@ "):
            line = b"@@"
        if line:
            digest.update(line + b"\n")
            found[id] = digest
    return {id: digest.hexdigest() for id, digest in found.items()}


def equal(
    repository: Repository,
    ours: Sequence[Commit],
    theirs: Sequence[Commit],
    used: Collection[str] = (),
) -> set[str]:
    """The ids of our commits whose change is among theirs, each of theirs counting once.

    So a change that was made, reverted and made again is not taken for there when it
    is there once. Those of ours in `used` count first, and are not in the answer.
    An empty commit is equal to one of the same author, time and subject.
    """
    if not ours or not theirs:
        return set()
    known = keys(repository, [commit.id for commit in (*ours, *theirs)])

    def key(commit: Commit) -> object:
        return known.get(commit.id) or (commit.author, commit.time, commit.subject)

    there = Counter(map(key, theirs))
    found = set()
    for commit in sorted(ours, key=lambda commit: commit.id not in used):
        if there[key(commit)] > 0:
            there[key(commit)] -= 1
            found.add(commit.id)
    return found - set(used)
