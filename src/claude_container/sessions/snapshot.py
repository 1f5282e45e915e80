"""Uncommitted work of the user's, as one commit: index, tree, stash and reflog stay as they are."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from claude_container.process import ProcessError
from claude_container.terminal import visible


@dataclass(frozen=True)
class Uncommitted:
    """What a working tree holds beside its HEAD, by count; ignored: files and whole folders."""

    changed: int
    new: int
    ignored: int


def uncommitted(repository: Repository) -> Uncommitted:
    """Count without touching the index (git-status(1), porcelain v1)."""
    shown = repository.git(
        "--no-optional-locks",
        "status",
        "--porcelain",
        "-z",
        "--no-renames",
        "--untracked-files=normal",
        "--ignored",
        "--ignore-submodules=dirty",
    )
    kinds = [row[:2] for row in shown.stdout.split(b"\0") if row]
    new, ignored = kinds.count(b"??"), kinds.count(b"!!")
    return Uncommitted(len(kinds) - new - ignored, new, ignored)


def take(repository: Repository, session: str, who: tuple[str, str]) -> str:
    """A commit of the working tree as it is, on top of HEAD; nothing refers to it yet."""
    assert repository.head is not None
    name, email = who
    env = {
        **{f"GIT_{role}_NAME": name for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": email for role in ("AUTHOR", "COMMITTER")},
    }
    message = f"Uncommitted work, as it came into session {session}"
    made = repository.git(
        "commit-tree", tree(repository), "-p", repository.head, "-m", message, env=env
    )
    return made.text


def tree(repository: Repository) -> str:
    """The id of the tree that the working tree would be, untracked files among it.

    As `git add --all` would have it, with the user's own filters, in an index of its
    own. Left out: repositories inside that are no submodules. Raises
    ClaudeContainerError for what git cannot read.
    """
    with _index(repository) as env:
        sparse = repository.git("config", "--bool", "core.sparseCheckout", check=False).text
        flags = ["--sparse"] if sparse == "true" else []
        before = _gitlinks(repository, env)
        try:
            repository.git("add", "--all", *flags, env=env)
        except ProcessError as error:
            raise ClaudeContainerError(
                "git cannot read all of the uncommitted work",
                evidence="\n".join(visible(line) for line in error.stderr.splitlines()[:12]),
                hint="mend or ignore these, or leave such work here: --clean",
            ) from error
        if nested := _gitlinks(repository, env) - before:
            rows = b"".join(os.fsencode(path) + b"\0" for path in nested)
            repository.git("update-index", "--force-remove", "-z", "--stdin", input=rows, env=env)
        _keep_bytes(repository, env)
        return repository.git("write-tree", env=env).text


@contextmanager
def _index(repository: Repository) -> Iterator[dict[str, str | None]]:
    """The environment in which git has a copy of the user's index, stat data and all."""
    with tempfile.TemporaryDirectory(prefix="claude-container-") as folder:
        copy = Path(folder, "index")
        index = repository.git_dir / "index"
        if index.exists():
            shutil.copy2(index, copy)
        yield {"GIT_INDEX_FILE": str(copy)}


def _gitlinks(repository: Repository, env: dict[str, str | None]) -> set[str]:
    rows = repository.git("ls-files", "--stage", "-z", env=env).stdout.split(b"\0")
    return {os.fsdecode(row.split(b"\t", 1)[1]) for row in rows if row.startswith(b"160000 ")}


def _keep_bytes(repository: Repository, env: dict[str, str | None]) -> None:
    """Put files whose line endings git would not give back into the index as they are.

    With core.autocrlf=input, for example, a new file with CRLF would arrive with LF.
    A file that goes through a filter program is stored as that says.
    """
    settings = repository.git("config", "--get-regexp", r"^core\.(autocrlf|eol)$", check=False)
    attributes = (repository.git_dir / "info" / "attributes").exists() or repository.git(
        "ls-files", "--", ".gitattributes", "**/.gitattributes", env=env
    ).text
    if not settings.text and not attributes:
        return
    raw = repository.git(
        "diff-index", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "HEAD", env=env
    ).stdout.split(b"\0")
    lines = []
    for what, path in zip(raw[0::2], raw[1::2], strict=False):
        _, mode, _, _, status = what.decode().split()
        file = repository.top / os.fsdecode(path)
        if status == "D" or not mode.startswith("100"):
            continue
        name = os.fsdecode(path)
        given = repository.git("cat-file", "--filters", f":{name}", env=env, check=False)
        if given.code == 0 and given.stdout != file.read_bytes():
            if _filter(repository, name, env):
                continue
            kept = repository.git("hash-object", "-w", "--no-filters", "--", name).text
            lines.append(f"{mode} {kept}\t".encode() + path + b"\0")
    if lines:
        repository.git("update-index", "-z", "--index-info", input=b"".join(lines), env=env)


def _filter(repository: Repository, path: str, env: dict[str, str | None]) -> bool:
    asked = repository.git("check-attr", "-z", "--cached", "filter", "--", path, env=env)
    return asked.stdout.split(b"\0")[2] not in (b"unspecified", b"unset")
