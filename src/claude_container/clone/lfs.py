"""git-lfs: the pointers that commits hold, and where their content lies on the host."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from claude_container.git import Repository

# git-lfs/docs/spec.md; a pointer has less than 1024 bytes.
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n"
)


def pointers(repository: Repository, objects: Iterable[str]) -> list[str]:
    """The git-lfs ids that these objects (as cat-file names them), if pointers, point to."""
    named = "".join(f"{name}\n" for name in objects)
    sized = repository.git(
        "cat-file", "--batch-check=%(objectname) %(objectsize)", input=os.fsencode(named)
    )
    rows = [row.split() for row in sized.text.splitlines()]
    small = [row[0] for row in rows if row[-1].isdigit() and int(row[-1]) < 1024]
    shown = repository.git("cat-file", "--batch", input="".join(f"{id}\n" for id in small).encode())
    return sorted({found.decode() for found in _POINTER.findall(shown.stdout)})


def place(repository: Repository, id: str) -> Path:
    """Where the content of an id is, or would be."""
    return storage(repository) / id[:2] / id[2:4] / id


def storage(repository: Repository) -> Path:
    """Where git-lfs keeps objects (git-lfs-config(5), lfs.storage)."""
    own = repository.setting("lfs.storage")
    return repository.common / (own or "lfs") / "objects"
