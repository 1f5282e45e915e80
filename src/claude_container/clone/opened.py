"""A folder, read and written without ever leaving it: no link in it is followed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from claude_container.errors import ClaudeContainerError

FILE, PROGRAM, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
# What git knows a folder by as a repository (gitrepository-layout(5)).
BARE = frozenset({"HEAD", "objects", "refs"})
_CHUNK = 1 << 20


class Entry(NamedTuple):
    """What lies at a path, as in a tree of git's."""

    mode: str
    id: str


class Blocked(ClaudeContainerError):
    """What lies at a path, or on the way to it, is nothing that git could keep."""


class Opened:
    """A folder, held open: no path is followed out of it, and no link on the way."""

    def __init__(self, folder: Path) -> None:
        if os.open not in os.supports_dir_fd:
            raise ClaudeContainerError(
                "folders without git cannot be read safely on this system",
                hint="git init there, or use WSL 2 (docs/platforms.md)",
            )
        self.path = folder
        self.fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.fd)

    @contextlib.contextmanager
    def parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """(the folder that a path is in, opened; the name in it). Raises OSError."""
        *above, name = parts(path)
        fd = os.dup(self.fd)
        try:
            for part in above:
                if make:
                    with contextlib.suppress(FileExistsError):
                        _make_folder(fd, part)
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd, name
        finally:
            os.close(fd)

    def lstat(self, path: str) -> os.stat_result | None:
        """None where there is nothing, or no folder that it could be in."""
        try:
            with self.parent(path) as (fd, name):
                return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link on the way; Linux says ENOTDIR
                return None
            raise Blocked(f"cannot be read: {error.strerror}") from error

    def entry(self, path: str) -> Entry | None:
        """What lies there, None for nothing or a folder. Raises Blocked for what git cannot keep.

        The id is what git would give it (git-hash-object(1), SHA-1); nothing is stored.
        """
        told = self.lstat(path)
        if told is None or stat.S_ISDIR(told.st_mode):
            return None
        if not stat.S_ISREG(told.st_mode) and not stat.S_ISLNK(told.st_mode):
            raise Blocked(f"is a {kind(told.st_mode)}")
        try:
            with self.parent(path) as (fd, name):
                if stat.S_ISLNK(told.st_mode):
                    target = os.fsencode(os.readlink(name, dir_fd=fd))
                    return Entry(LINK, _id([target], len(target)))
                with open(_opened(fd, name), "rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    id = _id(iter(lambda: file.read(_CHUNK), b""), size)
                    return Entry(PROGRAM if told.st_mode & 0o100 else FILE, id)
        except OSError as error:
            raise Blocked(f"cannot be read: {error.strerror}") from error

    def content(self, path: str) -> bytes:
        """The bytes of a file, or of a link's target. Raises OSError."""
        with self.parent(path) as (fd, name):
            if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                return os.fsencode(os.readlink(name, dir_fd=fd))
            with open(_opened(fd, name), "rb") as file:
                return file.read()

    def is_repository(self, path: str) -> bool:
        """Whether a folder is a git repository, or what git takes for one without a work tree."""
        return self.lstat(f"{path}/.git") is not None or all(
            self.lstat(f"{path}/{name}") is not None for name in BARE
        )

    def inside(self, path: str) -> Iterator[str]:
        """The paths of all that lies in a folder, folders themselves left out."""
        with self.parent(f"{path}/.") as (fd, _):
            names = [(e.name, e.is_dir(follow_symlinks=False)) for e in os.scandir(fd)]
        for name, is_folder in names:
            if is_folder:
                yield from self.inside(f"{path}/{name}")
            else:
                yield f"{path}/{name}"


def parts(path: str) -> list[str]:
    """The names in a path. Raises Blocked for one that could lead out of a folder."""
    names = path.split("/")
    if any(name in ("", "..") or "\0" in name for name in names) or "." in names[:-1]:
        raise Blocked("is no path in a folder")
    return names


def kind(mode: int) -> str:
    """What a file is, in a word, that is neither file, folder nor link."""
    tests = {"socket": stat.S_ISSOCK, "pipe": stat.S_ISFIFO, "device": stat.S_ISBLK}
    return next((name for name, test in tests.items() if test(mode)), "device")


def _opened(fd: int, name: str) -> int:
    # A pipe that takes the file's place meanwhile would never end.
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)


def _make_folder(fd: int, name: str) -> None:
    os.mkdir(name, dir_fd=fd)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        above = os.fstat(fd)
        os.chown(name, above.st_uid, above.st_gid, dir_fd=fd, follow_symlinks=False)


def _id(chunks: Iterable[bytes], size: int) -> str:
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
