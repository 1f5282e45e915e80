"""A folder that is no git repository, as git's objects: they lie in a repository of our own.

git never runs by what lies in the folder: no configuration, attribute, filter or hook of it
counts, and every file is kept byte for byte. Nothing is written into it from here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from claude_container.clone import index
from claude_container.clone.opened import BARE, kind
from claude_container.errors import ClaudeContainerError
from claude_container.git import NAMED, Repository, git

# What is made anew where it is needed, and what other systems keep of themselves: it neither
# goes in nor, unless it was committed there all the same, comes out. A .gitignore counts more.
LEFT_OUT = (
    *(".DS_Store", "Thumbs.db", "__pycache__/", "node_modules/", ".venv/"),
    *(".hg/", ".svn/", ".bzr/", ".jj/"),
)
STAGING = ".claude-container-"  # of folders in which a merge prepares files (changes/folder)
# Above all that a tree says of itself (gitattributes(5)).
_AS_IT_IS = "* -text -eol -ident -filter -working-tree-encoding !merge !diff\n"
_OTHERS = ("ls-files", "-z", "--others", "--exclude-standard")
# Every file goes into one pack at once, as git does it with large ones: a file each takes
# ten times as long.
_ADDING = (
    *("-c", "core.bigFileThreshold=1", "-c", "pack.compression=1", "-c", "core.fsync=none"),
    *("-c", "core.safecrlf=false", "-c", "core.splitIndex=false", "-c", "add.ignoreErrors=false"),
)


def scratch(git_dir: Path, folder: Path) -> Repository:
    """The bare repository for what is read of a folder, made unless it is there."""
    if not (git_dir / "info" / "attributes").is_file():
        git_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = ("--quiet", "--bare", "--template=", "--object-format=sha1")
        git("init", *words, str(git_dir), cwd=git_dir)
        folded = str(_folds(folder)).lower()
        # By which changes/ready.py knows what the folder's file system takes for one name.
        git(*NAMED, "config", "core.ignorecase", folded, cwd=git_dir)
        (git_dir / "info").mkdir(exist_ok=True)
        names = "".join(f"{name}\n" for name in LEFT_OUT)
        (git_dir / "info" / "exclude").write_text(f"{names}/{STAGING}*/\n")
        (git_dir / "info" / "attributes").write_text(_AS_IT_IS)
    return Repository(top=git_dir, git_dir=git_dir, common=git_dir, branch=None, head=None)


def _folds(folder: Path) -> bool:
    """Whether case does not count there; asked without writing anything."""
    for path in (folder, *folder.parents):
        if (other := path.name.swapcase()) != path.name:
            try:
                return path.samefile(path.with_name(other))
            except OSError:
                return False
    return False


class TooLarge(ClaudeContainerError):
    """A folder has more in it than a session may hold."""


@dataclass(frozen=True)
class Taken:
    """A folder's content as a tree, and what did not come along, by path.

    `nested` are git repositories inside; `odd` what git cannot keep or we cannot read, with
    why; `ignored` files and folders (they end in /) that are not to come.
    """

    tree: str
    files: int
    bytes: int
    ignored: tuple[str, ...]
    nested: tuple[str, ...]
    odd: tuple[str, ...]


def take(repository: Repository, folder: Path, most: int | None = None) -> Taken:
    """All of a folder but what a .gitignore in it, the user's own and LEFT_OUT name.

    Raises TooLarge for more than so many bytes, before anything of it is stored.
    """
    ignored = _git(repository, folder, *_OTHERS, "--ignored", "--directory")
    odd, nested, size = _odd(folder, {path.rstrip("/") for path in ignored})
    if most is not None and size > most:
        raise TooLarge(
            f"{folder} holds {size / 1e9:.1f} GB, and {most / 1e9:.1f} GB are allowed",
            hint="name what is to stay here in a .gitignore, or allow more in your config file:"
            ' fetch_limit = "20g"',
        )
    without = "".join(f":(top,exclude,literal){path}\0" for path in (*odd, *nested))
    with index.temporary(repository) as env:
        words = ("add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul")
        _git(repository, folder, *_ADDING, *words, input=f":/\0{without}", env=env)
        files = _git(repository, folder, "ls-files", "-z", env=env)
        id = repository.git("write-tree", env=env).text
    rows = tuple(f"{path} {why}" for path, why in sorted(odd.items()))
    return Taken(id, len(files), size, tuple(ignored), tuple(nested), rows)


def _git(
    repository: Repository,
    folder: Path,
    *words: str,
    input: str | None = None,
    env: Mapping[str, str | None] | None = None,
) -> list[str]:
    """git in a folder whose own settings do not count: the paths that it prints."""
    done = git(
        *(f"--git-dir={repository.git_dir}", f"--work-tree={folder}"),
        *("-c", "core.symlinks=true", "-c", "core.fileMode=true"),
        *words,
        cwd=folder,
        input=None if input is None else os.fsencode(input),
        env=env,
        timeout=None,
    )
    return [os.fsdecode(path) for path in done.stdout.split(b"\0") if path]


def _odd(folder: Path, without: set[str]) -> tuple[dict[str, str], list[str], int]:
    """What cannot come along, with why; git repositories, bare and broken ones, too; and size."""
    odd: dict[str, str] = {}
    nested: list[str] = []
    size = 0
    waiting = [""]
    while waiting:
        at = waiting.pop()
        try:
            with os.scandir(folder / at) as found:
                entries = list(found)
        except OSError as error:
            odd[at or "."] = f"cannot be read: {error.strerror}"
            continue
        names = {entry.name for entry in entries}
        if at and (".git" in names or names >= BARE):
            nested.append(at)
            continue
        for entry in entries:
            path = f"{at}/{entry.name}".lstrip("/")
            if path in without or path == ".git":
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.is_file(follow_symlinks=False):
                if os.access(entry.path, os.R_OK):
                    size += entry.stat(follow_symlinks=False).st_size
                else:
                    odd[path] = "cannot be read"
            elif not entry.is_symlink():
                odd[path] = f"is a {kind(entry.stat(follow_symlinks=False).st_mode)}"
    return odd, nested, size
