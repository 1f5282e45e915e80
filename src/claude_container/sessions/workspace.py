"""Throw-away containers in which git works on a session's workspace (recipes/workspace.sh)."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from claude_container import host, images
from claude_container.engines.base import (
    ContainerSpec,
    Engine,
    EngineError,
    ImageMissing,
    Streams,
    VolumeMount,
)
from claude_container.errors import ClaudeContainerError
from claude_container.process import NOTHING, Attached
from claude_container.sessions import leftovers, model
from claude_container.terminal import visible
from claude_container.wire.bounds import Bounds, Limits, Tail

# To become the owner of the workspace; nothing of it is left when git starts.
_CAPABILITIES = ("CHOWN", "SETUID", "SETGID", "SETPCAP")
_PIDS = 256
_TRAVELS = "travels-"  # what folders in host.cache_dir() begin with
# What is asked for is small, and may take long: filters and merge drivers run for it.
_LIMITS = Limits(64 << 20, 600.0)


class WorkspaceError(ClaudeContainerError):
    """Something could not be done in a session's workspace."""


def spec(
    session: str,
    *words: str,
    name: str = "",
    kind: str = model.TRANSPORT_KIND,
    read_only: bool = False,
    labels: Mapping[str, str] | None = None,
    volume_labels: Mapping[str, str] | None = None,
    keep: bool = False,
    env: Mapping[str, str] | None = None,
) -> ContainerSpec:
    """A container that runs workspace.sh with `words` as the workspace's owner, offline."""
    script = images.script("workspace.sh")
    as_owner = images.script("ids.sh", "as_owner.sh")
    ids = ":".join(map(str, host.user_ids()))
    return ContainerSpec(
        image=images.default_name(),
        name=name or model.throwaway_name(kind),
        command=("/bin/sh", "-c", as_owner, "as_owner", script, ids, *words),
        labels={**model.at_work(kind, session), **(labels or {})},
        env=env or {},
        mounts=(
            VolumeMount(
                model.session_volume(session),
                model.WORKSPACE,
                volume_labels or {model.KIND: model.STRAY_KIND, model.SESSION: session},
                read_only=read_only,
            ),
        ),
        capabilities=_CAPABILITIES,
        network="none",
        pids=_PIDS,
        keep=keep,
        # A pack in the engine's log: 2.5 s for 100 MB (docker 20.10).
        logged=False,
    )


def create(
    engine: Engine,
    wanted: ContainerSpec,
    progress: images.Progress,
    image: images.Choice | None = None,
) -> str:
    """Create such a container, getting the default image first where it is missing."""
    try:
        return engine.create(wanted)
    except ImageMissing:
        images.fetch(engine, image or images.slim(), progress)
        return engine.create(wanted)


def run(
    engine: Engine,
    session: str,
    *words: str,
    progress: images.Progress,
    what: str,
    sink: Callable[[bytes], None] | None = None,
    limits: Limits = _LIMITS,
) -> bytes:
    """Run workspace.sh with `words`; return what it wrote, if `sink` did not take it.

    Raises WorkspaceError(`what`), and what `sink` raises.
    """
    container = create(engine, spec(session, *words), progress)
    written, said = bytearray(), Tail()
    kept = Bounds(limits.bytes, limits.silence)
    failed: list[Exception] = []

    def write(chunk: bytes) -> None:
        if failed or not kept.came(len(chunk)):
            return
        try:
            (sink or written.extend)(chunk)
        except Exception as error:
            failed.append(error)
            kept.broken = "it could not be taken in"

    code = None
    try:
        with kept.kept(lambda: discard(engine, container)):
            streams = Streams(stdin=NOTHING, stdout=write, stderr=said.add)
            code = attach(engine, container, streams).code
    except EngineError:
        if not kept.broken:
            raise
    finally:
        if code != 0:
            discard(engine, container)
    if failed:
        raise failed[0]
    if kept.broken or code != 0:
        raise WorkspaceError(what, evidence=kept.broken or shown(bytes(said)))
    return bytes(written)


def attach(engine: Engine, container: str, streams: Streams) -> Attached:
    """Engine.attach, but in what an error shows nothing can hide: part of it is an agent's."""
    try:
        return engine.attach(container, streams)
    except EngineError as error:
        error.evidence = shown(error.evidence.encode())
        raise


def discard(engine: Engine, container: str) -> None:
    """Remove a container after something went wrong, which is what is told."""
    try:
        engine.remove(container)
        leftovers.remove_strays(engine)
    except EngineError:
        return  # the next command's sweep finds it


def shown(said: bytes, lines: int = 12) -> str:
    """The last lines of what a program in a workspace said, in which nothing can hide."""
    text = said.decode(errors="replace").splitlines()
    return "\n".join(visible(line) for line in text[-lines:])


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    """A folder for what travels. Those of launchers that are gone go: they may be large."""
    above = host.cache_dir()
    for old in above.glob(f"{_TRAVELS}*") if above else ():
        if host.word_is_left(old.name.removeprefix(_TRAVELS)):
            shutil.rmtree(old, ignore_errors=True)
    mine = f"{_TRAVELS}{host.launcher_word()}-"
    with tempfile.TemporaryDirectory(prefix=mine, dir=above) as folder:
        yield Path(folder)
