"""Throw-away containers in which git works on a session's workspace (recipes/workspace.sh)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

from claude_container import __version__, host, images
from claude_container.engines.base import (
    ContainerSpec,
    Engine,
    EngineError,
    ImageMissing,
    Streams,
    VolumeMount,
)
from claude_container.errors import ClaudeContainerError
from claude_container.process import NOTHING
from claude_container.sessions import leftovers, model
from claude_container.terminal import visible

# To become the owner of the workspace; nothing of it is left when git starts.
_CAPABILITIES = ("CHOWN", "SETUID", "SETGID", "SETPCAP")
_PIDS = 256


class WorkspaceError(ClaudeContainerError):
    """Something could not be done in a session's workspace."""


def spec(
    session: str,
    *words: str,
    name: str = "",
    kind: str = "transport",
    read_only: bool = False,
    labels: Mapping[str, str] | None = None,
    volume_labels: Mapping[str, str] | None = None,
    keep: bool = False,
    env: Mapping[str, str] | None = None,
) -> ContainerSpec:
    """A container that runs workspace.sh with `words` as the workspace's owner, offline."""
    script = (images.RECIPES / "workspace.sh").read_text(encoding="utf-8")
    as_owner = (images.RECIPES / "as_owner.sh").read_text(encoding="utf-8")
    ids = ":".join(map(str, host.user_ids()))
    return ContainerSpec(
        image=images.DEFAULT,
        name=name or f"claude-container-{kind}-{uuid.uuid4().hex[:12]}",
        command=("/bin/sh", "-c", as_owner, "as_owner", script, ids, *words),
        labels={
            model.KIND: kind,
            model.SESSION: session,
            model.CREATED: str(int(time.time())),
            model.VERSION: __version__,
            model.LAUNCHER: host.launcher_id(),
            **(labels or {}),
        },
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
        images.fetch(engine, image or images.standard(), progress)
        return engine.create(wanted)


def run(
    engine: Engine,
    session: str,
    *words: str,
    progress: images.Progress,
    what: str,
) -> bytes:
    """Run workspace.sh with `words`; return what it wrote. Raises WorkspaceError(`what`)."""
    container = create(engine, spec(session, *words), progress)
    written = bytearray()
    said = bytearray()
    try:
        streams = Streams(stdin=NOTHING, stdout=written.extend, stderr=said.extend)
        ended = engine.attach(container, streams)
    except BaseException:
        discard(engine, container)
        raise
    if ended.code != 0:
        discard(engine, container)
        raise WorkspaceError(what, evidence=shown(bytes(said)))
    return bytes(written)


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
