"""A repository of any size, written by a script: no two lines of its files are the same."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path


def write_history(repository: Path, files: int, commits: int) -> None:
    """Give an empty repository `commits` commits on main: all files, then five a commit."""
    with subprocess.Popen(
        ["git", "fast-import", "--quiet", "--done"], cwd=repository, stdin=subprocess.PIPE
    ) as importing:
        assert importing.stdin is not None
        for piece in _stream(files, commits):
            importing.stdin.write(piece.encode())
    if importing.returncode != 0:
        raise RuntimeError("git fast-import failed")


def _stream(files: int, commits: int) -> Iterator[str]:
    chance = random.Random(1)
    for commit in range(commits):
        message = f"commit {commit}"
        yield f"commit refs/heads/main\ncommitter A <a@example.com> {1700000000 + commit} +0000\n"
        yield f"data {len(message)}\n{message}\n"
        for file in range(files) if commit == 0 else chance.sample(range(files), 5):
            lines = "".join(f"{file} {commit} {chance.random()}\n" for _ in range(10))
            path = f"d{file % 100}/e{file // 100 % 20}/f{file}.txt"
            yield f"M 100644 inline {path}\ndata {len(lines)}\n{lines}\n"
    yield "done\n"
