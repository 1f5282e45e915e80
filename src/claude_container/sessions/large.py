"""git-lfs objects that a session made: their content, beside the commits that point to it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from claude_container import images
from claude_container.clone import lfs
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from claude_container.sessions import workspace
from claude_container.wire.bounds import Limits

_HEADER = 64 + 1 + 20 + 1  # at most: an id, a blank, a size, a line's end


class NotBrought(ClaudeContainerError):
    """The content of a git-lfs file did not come, or is not what its pointer says."""


def bring(
    engine: Engine,
    repository: Repository,
    session: str,
    since: str,
    head: str,
    progress: images.Progress,
    *,
    limits: Limits,
) -> int:
    """Bring the objects that commits since..head point to and that are not here; return how many.

    Where git-lfs keeps them, each whole or not at all, and of the content that its
    id says (SHA-256, git-lfs-spec). `limits` hold for each file, and for all of them
    together. Raises NotBrought, WorkspaceError, EngineError.
    """
    missing = _missing(repository, since, head)
    if not missing:
        return 0
    folder = lfs.storage(repository)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="claude-container-", dir=folder) as temporary:
            receiver = _Receiver(Path(temporary), folder, set(missing), limits.bytes)
            workspace.run(
                engine,
                session,
                "large",
                *missing,
                progress=progress,
                what=f"cannot bring the git-lfs files of session {session}",
                sink=receiver.feed,
                limits=limits,
            )
    except OSError as error:
        raise NotBrought("cannot write git-lfs files", evidence=str(error)) from error
    if receiver.wanted:
        raise NotBrought(
            f"{len(receiver.wanted)} git-lfs files are not in session {session}",
            evidence="\n".join(sorted(receiver.wanted)[:10]),
            hint="only their pointers would come; tell Claude to add these files again",
        )
    return len(missing)


def _missing(repository: Repository, since: str, head: str) -> list[str]:
    """The ids of objects that new commits point to and that are not here."""
    uses = repository.git(
        *("grep", "-q", "-e", "filter=lfs", head, "--", ":(top,glob)**/.gitattributes"),
        check=False,
    )
    if uses.code != 0:
        return []
    new = repository.git("rev-list", "--objects", "--no-object-names", head, f"^{since}")
    found = lfs.pointers(repository, new.text.split())
    return [id for id in found if not lfs.place(repository, id).is_file()]


class _Receiver:
    """Files out of a stream of `ID SIZE`, a line's end and as many bytes, over and over."""

    def __init__(self, temporary: Path, folder: Path, wanted: set[str], limit: int) -> None:
        self.wanted = wanted
        self._temporary = temporary
        self._folder = folder
        self._limit = limit
        self._header = b""
        self._file: IO[bytes] | None = None
        self._id = ""
        self._left = 0
        self._digest = hashlib.sha256()

    def feed(self, chunk: bytes) -> None:
        """Take in what came. Raises NotBrought, OSError."""
        while chunk:
            if self._file is None:
                chunk = self._begin(chunk)
            else:
                part, chunk = chunk[: self._left], chunk[self._left :]
                self._file.write(part)
                self._digest.update(part)
                self._left -= len(part)
            if self._file is not None and self._left == 0:
                self._end(self._file)

    def _begin(self, chunk: bytes) -> bytes:
        line, end, rest = (self._header + chunk).partition(b"\n")
        if not end and len(line) <= _HEADER:
            self._header = line
            return b""
        words: Sequence[bytes] = line.split(b" ")
        id, size = words[0].decode(errors="replace"), words[-1]
        if len(words) != 2 or id not in self.wanted or not size.isdigit():
            raise NotBrought("the session sent git-lfs files that were not asked for")
        if int(size) > self._limit:
            raise NotBrought(
                f"a git-lfs file of the session has {int(size) / 1e9:.1f} GB",
                evidence=id,
                hint='fetch_limit = "20g" in your config file allows more',
            )
        self._header, self._id, self._left = b"", id, int(size)
        self._digest = hashlib.sha256()
        self._file = open(self._temporary / id, "wb")  # noqa: SIM115
        return rest

    def _end(self, file: IO[bytes]) -> None:
        file.close()
        self._file = None
        if self._digest.hexdigest() != self._id:
            raise NotBrought(
                "a git-lfs file in the session is not what it claims", evidence=self._id
            )
        place = self._folder / self._id[:2] / self._id[2:4] / self._id
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._temporary / self._id, place)
        self.wanted.discard(self._id)
