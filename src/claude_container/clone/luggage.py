"""What a new session takes along: a git folder with one pack in it, and files beside git."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from claude_container import refs
from claude_container.archive import Entry
from claude_container.clone import endings, index, lfs
from claude_container.config import PROJECT_FILE
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository, quoted
from claude_container.process import ProcessError
from claude_container.terminal import visible

INCLUDE_FILE = ".worktreeinclude"
# What the container's git has to know as the host's does, or bytes would differ.
_CARRIED = ("core.autocrlf", "core.eol")
# The history as it is stored: replace refs and grafts do not come along.
_AS_STORED = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}
_NO_ADVICE = ("-c", "advice.graftFileDeprecated=false")


class FilterMissing(ClaudeContainerError):
    """Files go through a git filter of the host's that a container does not have."""


@dataclass(frozen=True)
class GitFolder:
    """A git folder to be: one commit with its history, on a branch ("": detached).

    `submodules` are the names of those that come along.
    """

    repository: Repository
    commit: str
    branch: str
    identity: tuple[str, str]
    shallow: tuple[str, ...] = ()
    worktree: str = ""  # of a submodule, relative to the git folder
    submodules: tuple[str, ...] = ()

    def entries(self, prefix: str, folder: Path) -> Iterator[Entry]:
        """Make the pack in `folder`, an empty one; then what belongs into the tar.

        Raises ClaudeContainerError for a history that git cannot pack.
        """
        wanted = "".join(f"--shallow {id}\n" for id in self.shallow) + f"{self.commit}\n"
        # A new search for deltas would take longer than what it saves on one machine.
        # core.fsync: a file that is gone in a moment need not reach the disk.
        flags = ("--revs", "--delta-base-offset", "--window=0", "--quiet")
        base = str(folder / "pack")
        try:
            self.repository.git(
                *(*_NO_ADVICE, "-c", "core.fsync=none", "-c", "core.bigFileThreshold=16m"),
                *("pack-objects", *flags, base),
                input=wanted.encode(),
                env=_AS_STORED,
                timeout=None,
            )
        except ProcessError as error:
            raise _unpacked(self.repository, error.stderr) from error
        for name in ("", "/refs", "/objects", "/objects/pack", "/info"):
            yield f"{prefix}{name}", 0o755, None
        head = f"ref: refs/heads/{self.branch}" if self.branch else self.commit
        yield f"{prefix}/HEAD", 0o644, f"{head}\n".encode()
        yield f"{prefix}/config", 0o644, self._config(prefix).encode()
        for name, file in self._attributes().items():
            yield f"{prefix}/info/{name}", 0o644, file.read_bytes()
        if self.branch:
            packed = f"{self.commit} refs/heads/{self.branch}\n"
            yield f"{prefix}/packed-refs", 0o644, packed.encode()
        if self.shallow:
            yield f"{prefix}/shallow", 0o644, "".join(f"{id}\n" for id in self.shallow).encode()
        for file in sorted(folder.iterdir()):
            yield f"{prefix}/objects/pack/{file.name}", 0o444, file

    def _attributes(self) -> dict[str, Path]:
        """Attributes that are no part of the tree, by the name that they get below info/."""
        own, here = endings.attributes(self.repository)
        named = {"attributes": here, "attributes-of-the-user": own}
        return {name: file for name, file in named.items() if file.is_file()}

    def _config(self, prefix: str) -> str:
        """The git folder's configuration: no remote, nothing of the host's but line endings."""
        form = self.repository.git("rev-parse", "--show-object-format").text
        author, email = map(quoted, self.identity)
        core = ["filemode = true", "bare = false", "logallrefupdates = true"]
        if self.worktree:
            core.append(f"worktree = {quoted(self.worktree)}")
        for key in _CARRIED:
            if value := self.repository.setting(key):
                core.append(f"{key.removeprefix('core.')} = {quoted(value)}")
        if (name := "attributes-of-the-user") in self._attributes():
            path = f"{refs.WORKSPACE}/{prefix}/info/{name}"
            core.append(f"attributesFile = {quoted(path)}")
        sections = {
            "core": [f"repositoryformatversion = {int(form != 'sha1')}", *core],
            "user": [f"name = {author}", f"email = {email}"],
            # The host may be shallow: CI checkouts are.
            "receive": ["shallowUpdate = true"],
        }
        if form != "sha1":
            sections["extensions"] = [f"objectFormat = {form}"]
        for name in self.submodules:
            sections[f"submodule {quoted(name)}"] = ["active = true"]
        return "".join(
            f"[{s}]\n" + "".join(f"\t{line}\n" for line in sections[s]) for s in sections
        )


def _unpacked(repository: Repository, said: str) -> ClaudeContainerError:
    evidence = "\n".join(visible(line) for line in said.splitlines()[-6:])
    if "promisor remote" in said:
        return ClaudeContainerError(
            "this is a partial clone, and its remote does not give what is missing in it",
            evidence=evidence,
            hint="try again when the remote can be reached, or take less history: --depth 1",
        )
    return ClaudeContainerError(
        f"git cannot pack the history of {repository.top}",
        evidence=evidence,
        hint="git fsck there tells what is wrong with it; --depth 1 takes the last commit alone",
    )


def boundary(repository: Repository, commit: str, depth: int | None) -> tuple[str, ...]:
    """The commits whose parents stay here: those the repository lacks, and those below `depth`."""
    if depth is None and not repository.shallow:
        return ()
    shown = repository.git(*_NO_ADVICE, "rev-list", "--parents", commit, env=_AS_STORED)
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
    """Ignored files that `patterns` (as in gitignore(5)) name."""
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
    """Files and links beside git, as they are, and folders (they end in /) with all in them.

    Raises ClaudeContainerError for one that cannot be read.
    """
    for name in names:
        path = repository.top / name
        if name.endswith("/"):
            inner = sorted(f"{name}{entry.name}{'/' * _is_folder(entry)}" for entry in _scan(path))
            yield from files(repository, inner, prefix)
        elif path.is_symlink() or path.is_file():
            if not path.is_symlink() and not os.access(path, os.R_OK):
                raise _unreadable(path)
            yield f"{prefix}{name}", 0o644, path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        raise _unreadable(folder) from error


def _unreadable(path: Path) -> ClaudeContainerError:
    return ClaudeContainerError(
        f"cannot read {visible(str(path))}, which is to come along",
        hint=f"mend it, or name it no longer: in {INCLUDE_FILE}, or by include in"
        f" {PROJECT_FILE} or your own file",
    )


def filters(repository: Repository, commit: str) -> dict[str, list[str]]:
    """The files of a commit that go through filters, by the filter's name."""
    found = repository.git(
        *("grep", "-q", "-e", "filter=", commit, "--", ":(top,glob)**/.gitattributes"),
        check=False,
    )
    beside = [file for file in endings.attributes(repository) if file.is_file()]
    if found.code != 0 and not any(b"filter=" in file.read_bytes() for file in beside):
        return {}
    with index.temporary(repository, commit) as env:
        names = repository.git("ls-files", "-z", env=env).stdout
        filtered = endings.filters(repository, names, env)
    rows: dict[str, list[str]] = {}
    for path, name in filtered:
        if name not in (*endings.NO_FILTER, b"set"):
            rows.setdefault(name.decode(errors="replace"), []).append(os.fsdecode(path))
    return rows


def check_filters(repository: Repository, filtered: Mapping[str, Sequence[str]]) -> None:
    """Raise FilterMissing for files that only a filter of the host's makes what they are."""
    rows = []
    for name, paths in sorted(filtered.items()):
        keys = [f"filter.{name}.{key}" for key in ("clean", "smudge", "process")]
        if name == "lfs" or not any(repository.git("config", k, check=False).text for k in keys):
            continue
        some = ", ".join(visible(path) for path in paths[:3])
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        rows.append(f"{visible(name)}: {some}{more}")
    if rows:
        raise FilterMissing(
            "files here go through git filters that the container does not have",
            evidence="\n".join(rows),
            hint="--as-stored takes these files as git stores them",
        )


def large_files(
    repository: Repository, commit: str, paths: Sequence[str]
) -> tuple[list[Path], int]:
    """git-lfs objects of these files: those that are here, and how many are not."""
    wanted = [f"{commit}:{path}" for path in paths if "\n" not in path]
    stored = [lfs.place(repository, id) for id in lfs.pointers(repository, wanted)]
    here = [path for path in stored if path.is_file()]
    return here, len(stored) - len(here)
