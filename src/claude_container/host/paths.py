"""Paths of the host: as `--mount` takes them, and which is inside of which."""

from __future__ import annotations

import os
import re
from pathlib import Path

from claude_container.errors import UsageError

# The target is a path in the container, which has no colon in it, so that a drive's, or
# any other in the source, cannot be meant.
_MOUNT = r"(?P<source>{source}):(?P<target>/[^:]*)(?::(?P<mode>ro|rw))?"
_POSIX = re.compile(_MOUNT.format(source=".+?"))
# A drive is none of the colons in between, else C:/src:ro would be a folder C at /src.
_DRIVE = r"[A-Za-z]:[\\/]"
_WINDOWS = re.compile(_MOUNT.format(source=rf"{_DRIVE}.*?|(?!{_DRIVE}).+?"))


def split_mount(word: str, system: str) -> tuple[str, str, bool] | None:
    """(source, target, read-only) of SRC:DST[:ro] as typed on a platform, or None."""
    match = (_WINDOWS if system == "windows" else _POSIX).fullmatch(word)
    return (match["source"], match["target"], match["mode"] == "ro") if match else None


def expanded(path: str) -> Path:
    """A path with ~ for the home directory. Raises UsageError."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"cannot tell where {path} is", evidence=str(error)) from error


def holds(folder: Path, path: Path) -> bool:
    """Whether a path is a folder, or lies in it, however either of them is spelled.

    Asked of the file system, since names do not tell where case or form does not count
    (macOS, Windows, /mnt/c in WSL). What is not there yet lies where its folder does.
    """
    for part in (path, *path.parents):
        try:
            if part == folder or os.path.samefile(folder, part):
                return True
        except OSError:
            continue
    return False
