"""A folder that is no git repository, as git's objects: they lie in a repository of our own.

git never runs by what lies in the folder: no configuration, attribute, filter or hook of it
counts, and every file is kept byte for byte. Nothing is written into it from here.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from claude_container.clone.opened import BARE, FILE, LINK, PROGRAM, Entry, kind
from claude_container.git import Repository, git

# What is made anew where it is needed, and what other systems keep of themselves: it neither
# goes in nor, unless it was committed there all the same, comes out. A .gitignore counts more.
LEFT_OUT = (
    *(".DS_Store", "Thumbs.db", "__pycache__/", "node_modules/", ".venv/"),
    *(".hg/", ".svn/", ".bzr/", ".jj/"),
)
STAGING = ".claude-container-"  # of folders in which a merge prepares files (changes/folder)
# Above all that a tree says of itself (gitattributes(5)).
_AS_IT_IS = "* -text -eol -ident -filter -working-tree-encoding !merge !diff\n"
_QUICKLY = ("-c", "core.looseCompression=1", "-c", "core.fsync=none")


def scratch(git_dir: Path, folder: Path) -> Repository:
    """The bare repository for what is read of a folder, made unless it is there."""
    if not (git_dir / "info" / "attributes").is_file():
        git_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        git("init", "--quiet", "--bare", "--template=", str(git_dir), cwd=git_dir)
        folded = str(_folds(folder)).lower()
        # By which changes/ready.py knows what the folder's file system takes for one name.
        git("config", "core.ignorecase", folded, cwd=git_dir)
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


def take(repository: Repository, folder: Path) -> Taken:
    """All of a folder but what a .gitignore in it, the user's own and LEFT_OUT name."""
    listed = _listed(repository, folder)
    ignored = _listed(repository, folder, "--ignored", "--directory")
    nested = [path for path in listed if path.endswith("/")]
    odd, bare = _odd(folder, {path.rstrip("/") for path in (*ignored, *nested)})
    nested += bare
    files, links, total = {}, {}, 0
    for path in listed:
        if path.endswith("/") or path in odd or path.startswith(tuple(bare)):
            continue
        told = os.lstat(folder / path)
        total += told.st_size
        if stat.S_ISLNK(told.st_mode):
            links[path] = os.fsencode(os.readlink(folder / path))
        else:
            files[path] = PROGRAM if told.st_mode & 0o100 else FILE
    entries = dict(zip(files, _stored(repository, folder, list(files)), strict=True))
    entries = {path: Entry(files[path], entry.id) for path, entry in entries.items()}
    with tempfile.TemporaryDirectory(prefix="claude-container-") as temporary:
        names = [str(at) for at in range(len(links))]
        for name, target in zip(names, links.values(), strict=True):
            Path(temporary, name).write_bytes(target)
        kept = _stored(repository, Path(temporary), names)
        entries |= {p: Entry(LINK, e.id) for p, e in zip(links, kept, strict=True)}
    rows = tuple(f"{path} {why}" for path, why in sorted(odd.items()))
    return Taken(
        tree(repository, entries),
        len(entries),
        total,
        tuple(ignored),
        tuple(path.rstrip("/") for path in nested),
        rows,
    )


def _listed(repository: Repository, folder: Path, *words: str) -> list[str]:
    shown = git(
        *(f"--git-dir={repository.git_dir}", f"--work-tree={folder}"),
        *("-c", "core.ignorecase=false", "-c", "core.quotePath=false"),
        *("ls-files", "-z", "--others", "--exclude-standard", *words),
        cwd=folder,
        timeout=None,
    )
    return [os.fsdecode(path) for path in shown.stdout.split(b"\0") if path]


def _odd(folder: Path, without: set[str]) -> tuple[dict[str, str], list[str]]:
    """What cannot come along, with why; and bare repositories, which would run what they say."""
    odd: dict[str, str] = {}
    bare: list[str] = []
    waiting = [""]
    while waiting:
        at = waiting.pop()
        try:
            with os.scandir(folder / at) as found:
                entries = list(found)
        except OSError as error:
            odd[at or "."] = f"cannot be read: {error.strerror}"
            continue
        if at and {entry.name for entry in entries} >= BARE:
            bare.append(f"{at}/")
            continue
        for entry in entries:
            path = f"{at}/{entry.name}".lstrip("/")
            if path in without or entry.name == ".git":
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.is_file(follow_symlinks=False):
                if not os.access(entry.path, os.R_OK):
                    odd[path] = "cannot be read"
            elif not entry.is_symlink():
                odd[path] = f"is a {kind(entry.stat(follow_symlinks=False).st_mode)}"
    return odd, bare


def _stored(repository: Repository, folder: Path, paths: Sequence[str]) -> list[Entry]:
    """Store files, byte for byte."""
    rows: dict[str, str] = {}
    # git reads a path a line.
    plain = [path for path in paths if "\n" not in path]
    said = git(
        *(f"--git-dir={repository.git_dir}", *_QUICKLY),
        *("hash-object", "-w", "--no-filters", "--stdin-paths"),
        cwd=folder,
        # A quote at the beginning would be git's own.
        input=b"".join(b"./" + os.fsencode(path) + b"\n" for path in plain),
        timeout=None,
    )
    rows.update(zip(plain, said.text.split(), strict=True))
    for path in paths:
        if path not in rows:
            rows[path] = store(repository, (folder / path).read_bytes())
    return [Entry(FILE, rows[path]) for path in paths]


def store(repository: Repository, content: bytes) -> str:
    return repository.git("hash-object", "-w", "--no-filters", "--stdin", input=content).text


def commit(repository: Repository, tree: str, message: str, who: tuple[str, str], *on: str) -> str:
    """A commit of a tree on top of others; nothing refers to it yet."""
    env = {f"GIT_{role}_NAME": who[0] for role in ("AUTHOR", "COMMITTER")}
    env |= {f"GIT_{role}_EMAIL": who[1] for role in ("AUTHOR", "COMMITTER")}
    words = [word for parent in on for word in ("-p", parent)]
    return repository.git("commit-tree", tree, *words, "-m", message, env=env).text


@contextlib.contextmanager
def index(repository: Repository, start: str | None = None) -> Iterator[Mapping[str, str | None]]:
    """The environment in which git has an index of its own, empty or with a tree in it."""
    with tempfile.TemporaryDirectory(prefix="claude-container-") as temporary:
        env = {"GIT_INDEX_FILE": f"{temporary}/index"}
        if start is not None:
            repository.git("-c", "core.splitIndex=false", "read-tree", start, env=env)
        yield env


def tree(
    repository: Repository, entries: Mapping[str, Entry | None], start: str | None = None
) -> str:
    """A tree of these entries; with `start` that tree, changed by them (None: nothing there)."""
    gone = [f"0 {'0' * 40}\t{path}\0" for path, entry in entries.items() if entry is None]
    there = [f"{e.mode} {e.id}\t{path}\0" for path, e in entries.items() if e is not None]
    rows = os.fsencode("".join((*gone, *there)))
    with index(repository, start) as env:
        words = ("-c", "core.splitIndex=false", "update-index", "-z", "--index-info")
        repository.git(*words, input=rows, env=env, timeout=None)
        return repository.git("write-tree", env=env).text
