"""What a session of --dir changed: fetched as two commits into a repository of its own."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from claude_container import host, images
from claude_container.clone import plain
from claude_container.engines.base import Bind, Engine, EngineError, VolumeMount
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from claude_container.process import ProcessError
from claude_container.sessions import lay, overlay, transport, workspace
from claude_container.sessions.overlay import Overlay
from claude_container.wire.bounds import Limits

# To become the session's user.
_CAPABILITIES = ("SETUID", "SETGID", "SETPCAP")
_PROGRAM = "layers.py"
# Kinds of what no commit holds, as layers.py tells them.
LEFT = ("git", "unreadable", "special", "empty", "modes")


class CannotLook(ClaudeContainerError):
    """It cannot be told what a session changed."""


@dataclass(frozen=True)
class Left:
    """What of a session no commit holds: how much, and the first paths, which are an agent's."""

    count: int
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Layered:
    """What a session of --dir changed, as commits of a repository for that.

    `now` is as the folder is, `head` as the session is, and `base` is what to merge with:
    as the folder was, which is not known where it has changed since (recipes/layers.py).
    """

    repository: Repository
    now: str
    base: str
    head: str
    left: Mapping[str, Left]

    @property
    def changed(self) -> tuple[str, ...]:
        """The paths that differ, as bytes of the host's; they are an agent's."""
        return self._differ(self.now, self.head)

    @property
    def moved_on(self) -> tuple[str, ...]:
        """The paths that changed in the folder after they had in the session."""
        return self._differ(self.now, self.base)

    def _differ(self, old: str, new: str) -> tuple[str, ...]:
        words = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new)
        shown = self.repository.git(*words, timeout=None).stdout
        return tuple(os.fsdecode(path) for path in shown.split(b"\0") if path)


@contextlib.contextmanager
def look(
    engine: Engine, found: Overlay, progress: images.Progress, *, limits: Limits
) -> Iterator[Layered]:
    """Fetch what the session changed; it goes when the context ends.

    Only a container of the default image sees the layers, read-only, as the session's user.
    Raises CannotUse, CannotLook, TransportError, EngineError.
    """
    if sys.platform == "win32":
        raise CannotLook("sessions of --dir cannot be looked at on Windows", hint="use WSL 2")
    overlay.check(found)
    with workspace.temporary() as temporary:
        repository = plain.scratch(temporary / "git", found.directory)
        _fetch(engine, repository, found, progress, limits)
        sides = [repository.commit(f"refs/layers/{side}") for side in ("now", "base", "head")]
        now, base, head = sides
        if now is None or base is None or head is None:
            raise CannotLook(f"session {found.name} gave an answer that makes no sense")
        told = repository.git("cat-file", "commit", head).stdout.partition(b"\n\n")[2]
        yield Layered(repository, now, base, head, _left(told))


def _fetch(
    engine: Engine,
    repository: Repository,
    found: Overlay,
    progress: images.Progress,
    limits: Limits,
) -> None:
    ids = ":".join(map(str, host.user_ids()))
    program = images.script(_PROGRAM)
    mounts: Sequence[Bind | VolumeMount] = (
        overlay.lower(found.directory),
        overlay.changes(found.name, read_only=True),
        overlay.merged(found.name, read_only=True),
    )
    spec = lay.container(
        found.name,
        "look",
        ids,
        program,
        str((found.created + 1) * 10**9),
        mounts=tuple(mounts),
        laid_by=found.laid_by,
        capabilities=_CAPABILITIES,
        env={"GIT_PROTOCOL": "version=2"},
    )
    serving = transport.Serving(engine, found.name, progress, limits, spec)
    words = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance")
    settings = ("fetch.fsckObjects=true", "transfer.bundleURI=false", "protocol.fd.allow=always")
    try:
        with serving:
            repository.git(
                *(word for setting in settings for word in ("-c", setting)),
                "fetch",
                *words,
                "--no-write-fetch-head",
                serving.address,
                "+refs/heads/*:refs/layers/*",
                timeout=None,
                env=serving.env,
                pass_fds=serving.fds,
                finish=0.2,
            )
    except ProcessError as error:
        if isinstance(serving.failed, EngineError):
            raise serving.failed from error
        failed = serving.failed or transport.explained(error.stderr, "git refuses what it holds")
        raise CannotLook(
            f"it cannot be told what session {found.name} changed",
            evidence=failed.evidence or failed.what,
            hint=f"look around in it: claude-container shell {found.name}",
        ) from error


def _left(told: bytes) -> dict[str, Left]:
    """Read what layers.py told; all of it is an agent's."""
    try:
        data = json.loads(told)
        return {
            kind: Left(int(data[kind]["count"]), tuple(map(str, data[kind]["paths"])))
            for kind in LEFT
            if kind in data
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CannotLook("the session gave an answer that makes no sense") from error
