"""Working trees in tests: what they hold, here and in a session, and that nothing changed."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from claude_container import images
from claude_container.sessions import model

Content = dict[str, tuple[str, bytes]]
FILE, PROGRAM, LINK = "100644", "100755", "120000"


def write(repo: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)


def held(folder: Path) -> Content:
    """What a working tree holds: mode and content by path, as git has them."""
    content = {}
    for root, folders, names in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in [*names, *(n for n in folders if Path(root, n).is_symlink())]:
            path = Path(root, name)
            mode = path.lstat().st_mode
            shown = str(path.relative_to(folder))
            if stat.S_ISLNK(mode):
                content[shown] = (LINK, os.fsencode(os.readlink(path)))
            elif stat.S_ISREG(mode) and name != ".git":
                content[shown] = (PROGRAM if mode & 0o100 else FILE, path.read_bytes())
    return content


def workspace(session: str) -> Content:
    """What the workspace of a session holds, as held() tells it."""
    volume = f"{model.session_volume(session)}:/w:ro"
    argv = ["docker", "run", "--rm", "--network", "none", "-v", volume, "--entrypoint", "tar"]
    packed = subprocess.check_output([*argv, images.DEFAULT, "-C", "/w", "-cf", "-", "."])
    content = {}
    with tarfile.open(fileobj=io.BytesIO(packed), errors="surrogateescape") as archive:
        for entry in archive:
            path = entry.name.removeprefix("./")
            if ".git" in path.split("/"):
                continue
            if entry.issym():
                content[path] = (LINK, os.fsencode(entry.linkname))
            elif entry.isreg():
                file = archive.extractfile(entry)
                assert file is not None
                content[path] = (PROGRAM if entry.mode & 0o100 else FILE, file.read())
    return content


def everything(repo: Path) -> dict[str, object]:
    """All that is the user's own in a repository, times too: objects and our refs are not."""
    seen: dict[str, object] = {}
    for root, folders, names in os.walk(repo):
        for name in [*folders, *names]:
            path = Path(root, name)
            if {"objects", "claude-container"} & set(path.relative_to(repo).parts):
                continue
            told = path.lstat()
            regular = stat.S_ISREG(told.st_mode) and os.access(path, os.R_OK)
            content = path.read_bytes() if regular else b""
            if not stat.S_ISDIR(told.st_mode):
                # Whoever reads a split index touches its larger part.
                when = 0 if name.startswith("sharedindex.") else told.st_mtime_ns
                seen[str(path)] = (told.st_mode, when, told.st_ino, content)
            else:
                seen[str(path)] = told.st_mode
    return seen


@contextmanager
def untouched(repo: Path) -> Iterator[None]:
    before = everything(repo)
    yield
    assert everything(repo) == before
