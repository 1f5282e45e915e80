"""What a new session takes along: a git folder with one pack in it, and files beside git."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from claude_container.archive import Entry
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository, quoted
from claude_container.terminal import visible

INCLUDE_FILE = ".worktreeinclude"
# What the container's git has to know as the host's does, or bytes would differ.
_CARRIED = ("core.autocrlf", "core.eol")
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:(\w{64})\n"
)


class FilterMissing(ClaudeContainerError):
    """Files go through a git filter of the host's that a container does not have."""


@dataclass(frozen=True)
class GitFolder:
    """A git folder to be: one commit with its history, on a branch ("": detached)."""

    repository: Repository
    commit: str
    branch: str
    identity: tuple[str, str]
    shallow: tuple[str, ...] = ()
    worktree: str = ""  # of a submodule, relative to the git folder

    def entries(self, prefix: str, folder: Path) -> Iterator[Entry]:
        """Make the pack in `folder`, an empty one; then what belongs into the tar."""
        wanted = "".join(f"--shallow {id}\n" for id in self.shallow) + f"{self.commit}\n"
        # A new search for deltas would take longer than what it saves on one machine.
        # core.fsync: a file that is gone in a moment need not reach the disk.
        flags = ("--revs", "--delta-base-offset", "--window=0", "--quiet")
        base = str(folder / "pack")
        self.repository.git(
            *("-c", "core.fsync=none", "-c", "core.bigFileThreshold=16m"),
            *("pack-objects", *flags, base),
            input=wanted.encode(),
        )
        for name in ("", "/refs", "/objects", "/objects/pack", "/info"):
            yield f"{prefix}{name}", 0o755, None
        head = f"ref: refs/heads/{self.branch}" if self.branch else self.commit
        yield f"{prefix}/HEAD", 0o644, f"{head}\n".encode()
        yield f"{prefix}/config", 0o644, self._config().encode()
        if self.branch:
            packed = f"{self.commit} refs/heads/{self.branch}\n"
            yield f"{prefix}/packed-refs", 0o644, packed.encode()
        if self.shallow:
            yield f"{prefix}/shallow", 0o644, "".join(f"{id}\n" for id in self.shallow).encode()
        for file in sorted(folder.iterdir()):
            yield f"{prefix}/objects/pack/{file.name}", 0o444, file

    def _config(self) -> str:
        """The git folder's configuration: no remote, nothing of the host's but line endings."""
        form = self.repository.git("rev-parse", "--show-object-format").text
        name, email = map(quoted, self.identity)
        core = ["filemode = true", "bare = false", "logallrefupdates = true"]
        if self.worktree:
            core.append(f"worktree = {quoted(self.worktree)}")
        for key in _CARRIED:
            if value := self.repository.git("config", key, check=False).text:
                core.append(f"{key.removeprefix('core.')} = {quoted(value)}")
        sections = {
            "core": [f"repositoryformatversion = {int(form != 'sha1')}", *core],
            "user": [f"name = {name}", f"email = {email}"],
            # The host may be shallow: CI checkouts are.
            "receive": ["shallowUpdate = true"],
        }
        if form != "sha1":
            sections["extensions"] = [f"objectFormat = {form}"]
        return "".join(
            f"[{s}]\n" + "".join(f"\t{line}\n" for line in sections[s]) for s in sections
        )


def boundary(repository: Repository, commit: str, depth: int | None) -> tuple[str, ...]:
    """The commits whose parents stay here: those the repository lacks, and those below `depth`."""
    if depth is None and not repository.shallow:
        return ()
    shown = repository.git("rev-list", "--topo-order", "--parents", commit)
    parents = {row[0]: row[1:] for row in map(str.split, shown.text.splitlines())}
    ends = set()
    if repository.shallow:
        known = (repository.common / "shallow").read_text().split()
        ends = {id for id in known if id in parents}
    if depth is not None:
        level, seen = [commit], {commit}
        for _ in range(depth - 1):
            level = [p for id in level for p in parents[id] if p not in seen]
            seen.update(level)
        ends = {id for id in ends if id in seen} | {id for id in level if parents[id]}
    return tuple(sorted(ends))


def included(repository: Repository, patterns: Sequence[str]) -> list[str]:
    """Ignored files that .worktreeinclude or `patterns` (as in gitignore(5)) name."""
    own = repository.top / INCLUDE_FILE
    if own.is_file():
        patterns = [*own.read_text(errors="surrogateescape").splitlines(), *patterns]
    if not patterns:
        return []
    with tempfile.NamedTemporaryFile(prefix="claude-container-") as file:
        file.write("".join(f"{line}\n" for line in patterns).encode(errors="surrogateescape"))
        file.flush()
        named = repository.git(
            "ls-files", "-z", "--others", "--ignored", f"--exclude-from={file.name}"
        )
    if not named.stdout:
        return []
    ignored = repository.git("check-ignore", "-z", "--stdin", input=named.stdout, check=False)
    return [os.fsdecode(path) for path in ignored.stdout.split(b"\0") if path]


def files(repository: Repository, names: Sequence[str], prefix: str = "") -> Iterator[Entry]:
    """Files and links beside git, as they are."""
    for name in names:
        yield f"{prefix}{name}", 0o644, repository.top / name


def filters(repository: Repository, commit: str) -> set[str]:
    """The names of the filters that .gitattributes files of a commit speak of."""
    found = repository.git(
        *(
            "grep",
            "-h",
            "-I",
            "--no-color",
            "-e",
            "filter=",
            commit,
            "--",
            ":(glob)**/.gitattributes",
        ),
        check=False,
    )
    words = found.stdout.decode(errors="replace").split()
    return {word.removeprefix("filter=") for word in words if word.startswith("filter=")}


def check_filters(repository: Repository, names: set[str]) -> None:
    """Raise FilterMissing for files that only a filter of the host's makes what they are."""
    rows = []
    for name in sorted(names - {"lfs"}):
        own = rf"^filter\.{re.escape(name)}\.(smudge|process)$"
        if repository.git("config", "--get-regexp", own, check=False).text:
            shown = repository.git("ls-files", "-z", f":(attr:filter={name})").stdout
            if paths := [os.fsdecode(path) for path in shown.split(b"\0") if path]:
                some = ", ".join(visible(path) for path in paths[:3])
                more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
                rows.append(f"{visible(name)}: {some}{more}")
    if rows:
        raise FilterMissing(
            "files here go through git filters that the container does not have",
            evidence="\n".join(rows),
            hint="--as-stored takes these files as git stores them",
        )


def large_files(repository: Repository, commit: str) -> tuple[list[Path], int]:
    """git-lfs objects of a commit: the files that are here, and how many are not."""
    rows = repository.git("ls-tree", "-r", "-z", "--long", commit).stdout.split(b"\0")
    small = []
    for row in filter(None, rows):
        _, kind, id, size = row.split(b"\t", 1)[0].split()
        if kind == b"blob" and int(size) < 1024:
            small.append(id)
    shown = repository.git("cat-file", "--batch", input=b"".join(id + b"\n" for id in small))
    ids = sorted({found.decode() for found in _POINTER.findall(shown.stdout)})
    paths = [_storage(repository) / id[:2] / id[2:4] / id for id in ids]
    here = [path for path in paths if path.is_file()]
    return here, len(paths) - len(here)


def _storage(repository: Repository) -> Path:
    """Where git-lfs keeps objects (git-lfs-config(5), lfs.storage)."""
    own = repository.git("config", "lfs.storage", check=False).text
    return repository.common / (own or "lfs") / "objects"
