"""Paths of a tree: the folders they are in, and what other systems may take them for."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator


def fold(path: str) -> str:
    """The path as a file system may see it that ignores case, composition or what does not show."""
    if path.isascii():
        return path.lower()
    shown = (character for character in path if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFC", "".join(shown).casefold())


def folders(path: str) -> Iterator[str]:
    """The folders that a path is in, the innermost first."""
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        yield path


def is_of_git(path: str) -> bool:
    """Whether some system takes the path for git's own folder, or for something in it."""
    return any(name.rstrip(" .") in (".git", "git~1") for name in fold(path).split("/"))
