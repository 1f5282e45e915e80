"""Making a session of --dir: the layer for its changes, and the overlay, which is tried at once."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path, PurePath

from claude_container import __version__, images
from claude_container.engines.base import (
    Bind,
    ContainerSpec,
    Engine,
    EngineError,
    EngineNotAllowed,
    EngineNotInstalled,
    EngineNotRunning,
    ImageMissing,
    NameTaken,
    Streams,
    VolumeMount,
)
from claude_container.errors import ClaudeContainerError
from claude_container.interrupts import held_back
from claude_container.process import NOTHING
from claude_container.sessions import leftovers, model, overlay, workspace
from claude_container.sessions.overlay import Overlay

# What root's half of overlay.sh needs: to make the layers as the user's folder is, and to
# look into it.
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID")
# After these a second try, with the container laying the overlay, would fail alike.
_NO_ENGINE = (EngineNotInstalled, EngineNotRunning, EngineNotAllowed, ImageMissing)


class CannotLay(ClaudeContainerError):
    """No overlay can be made of this folder."""


def make(
    engine: Engine,
    name: str,
    directory: Path,
    progress: images.Progress,
    *,
    accept: bool = False,
    image: images.Choice | None = None,
) -> Overlay:
    """Make the session, or finish one that is half-made. Nothing new of it stays half-made.

    The container that makes the layers holds the session's name until all is done.
    Unless `accept`, an engine that cannot lay the overlay by itself is an error.
    Raises CannotLay, SessionBusy, EngineError.
    """
    id = os.urandom(16).hex()
    labels = {
        model.SESSION: name,
        model.DIRECTORY: str(directory),
        model.CREATED: str(int(time.time())),
        model.VERSION: __version__,
        model.LAUNCH: id,
    }
    spec = _making(name, directory, labels)
    try:
        container = workspace.create(engine, spec, progress, image)
        if not (made := overlay.find(engine, name)):
            raise CannotLay(
                f"there is a volume {model.changes_volume(name)} that is not of this tool",
                hint="the original made such volumes: docs/migrating.md; take another --session",
            )
        _run(engine, container)
        laid_by = made.laid_by or _lay(engine, name, directory, labels, progress, accept=accept)
    except NameTaken as error:
        raise leftovers.in_use(engine, name, "wait for that one") from error
    except BaseException:
        with held_back(), contextlib.suppress(EngineError):
            leftovers.remove_launch(engine, id, started=False)
        raise
    engine.remove(container)
    return Overlay(name, made.id, directory, made.created, laid_by)


def _making(name: str, directory: Path, labels: Mapping[str, str]) -> ContainerSpec:
    changes = VolumeMount(
        model.changes_volume(name), model.CHANGES, {**labels, model.KIND: model.OVERLAY_KIND}
    )
    return container(
        name,
        "make",
        mounts=(overlay.lower(directory), changes),
        kind=model.CREATE_KIND,
        container_name=model.container_name(name),
        labels={model.LAUNCH: labels[model.LAUNCH]},
        keep=True,
    )


def _lay(
    engine: Engine,
    name: str,
    directory: Path,
    labels: Mapping[str, str],
    progress: images.Progress,
    *,
    accept: bool,
) -> str:
    """Make the volume that is seen, and try it; return who lays the overlay."""
    volume, path = model.merged_volume(name), _place(engine, name, directory)
    said = {**labels, model.KIND: model.MERGED_KIND}
    try:
        options = _options(engine, directory, path)
        engine.create_volume(volume, {**said, model.LAID_BY: model.ENGINE}, options)
        _try(engine, name, directory, model.ENGINE, labels, progress)
        return model.ENGINE
    except _NO_ENGINE:
        raise
    except ClaudeContainerError as refused:
        engine.remove_volume(volume)
        if not accept:
            raise not_accepted(directory, refused.evidence or refused.what) from refused
    engine.create_volume(volume, {**said, model.LAID_BY: model.CONTAINER}, {})
    _try(engine, name, directory, model.CONTAINER, labels, progress)
    return model.CONTAINER


def checked(found: Overlay, *, accept: bool) -> str:
    """Who lays the overlay of a session that is to be entered. Raises CannotUse, CannotLay."""
    overlay.check(found)
    if found.laid_by == model.CONTAINER and not accept:
        raise not_accepted(found.directory)
    return found.laid_by


def not_accepted(directory: Path, why: str = "") -> CannotLay:
    """The error where only the container could lay the overlay, which was not agreed to."""
    return CannotLay(
        f"the engine cannot lay an overlay over {directory} without privileges",
        evidence=why,
        hint="claude-container start NAME needs none; with --accept-privileged the container"
        f" has {overlay.MOUNTING} until claude starts, and lays it itself",
    )


def _place(engine: Engine, name: str, directory: Path) -> str:
    """Where the layer of changes lies. Raises CannotLay for layers within each other."""
    path = engine.volume_path(model.changes_volume(name))
    if path is None:
        raise CannotLay(f"there is no volume {model.changes_volume(name)} any more")
    if PurePath(path).is_relative_to(directory) or directory.is_relative_to(path):
        raise CannotLay(f"{directory} holds the engine's volumes, or lies in one")
    return path


def _options(engine: Engine, directory: Path, path: str) -> dict[str, str]:
    """What the engine's local driver is told."""
    layers = [f"lowerdir={escaped(str(directory))}"]
    layers += [f"upperdir={escaped(path)}/upper", f"workdir={escaped(path)}/work"]
    # A user namespace may write no attribute of the name trusted.* (Linux 5.11).
    layers += ["userxattr"] if engine.info().rootless else []
    return {"type": "overlay", "device": "overlay", "o": ",".join(layers)}


def escaped(path: str) -> str:
    """A path as the kernel reads it among an overlay's options."""
    return "".join(f"\\{letter}" if letter in "\\,:" else letter for letter in path)


def _try(
    engine: Engine,
    name: str,
    directory: Path,
    laid_by: str,
    labels: Mapping[str, str],
    progress: images.Progress,
) -> None:
    """Lay the overlay once, and look at it. Raises CannotLay, EngineError."""
    mounts: tuple[Bind | VolumeMount, ...] = (overlay.lower(directory), overlay.merged(name))
    if laid_by == model.CONTAINER:
        mounts += (overlay.changes(name),)
    tried = container(
        name,
        "check",
        mounts=mounts,
        laid_by=laid_by,
        kind=model.CREATE_KIND,
        labels={model.LAUNCH: labels[model.LAUNCH]},
    )
    _run(engine, workspace.create(engine, tried, progress))


def container(
    session: str,
    verb: str,
    *words: str,
    mounts: tuple[Bind | VolumeMount, ...],
    kind: str = model.TRANSPORT_KIND,
    container_name: str = "",
    labels: Mapping[str, str] | None = None,
    laid_by: str = model.ENGINE,
    capabilities: tuple[str, ...] = _CAPABILITIES,
    env: Mapping[str, str] | None = None,
    keep: bool = False,
) -> ContainerSpec:
    """A throw-away container of the default image that does one thing of overlay.sh, offline."""
    script = images.script("ids.sh", "overlay.sh")
    lays = laid_by == model.CONTAINER
    return ContainerSpec(
        image=images.default_name(),
        name=container_name or model.throwaway_name(kind),
        command=("/bin/sh", "-c", script, "overlay", *layers(laid_by), verb, *words),
        labels={**model.at_work(kind, session), **(labels or {})},
        env=env or {},
        mounts=mounts,
        capabilities=(*capabilities, *((overlay.MOUNTING,) if lays else ())),
        network="none",
        keep=keep,
        logged=False,
        mounting=lays,
    )


def layers(laid_by: str) -> tuple[str, ...]:
    """What overlay.sh is told first."""
    return model.LOWER, model.CHANGES, model.WORKSPACE, laid_by


def record(engine: Engine, name: str, brought: Mapping[str, str]) -> None:
    """Note in the layer of changes which ids the folder got of which paths, by a merge."""
    rows = [os.fsencode(f"{id} {path}") + b"\0" for path, id in brought.items()]
    spec = container(name, "brought", mounts=(overlay.changes(name),))
    with tempfile.TemporaryFile() as file:
        file.writelines(rows)
        file.seek(0)
        _run(engine, engine.create(spec), file.fileno())


def _run(engine: Engine, container: str, stdin: int = NOTHING) -> None:
    said = bytearray()
    code = None
    try:
        streams = Streams(stdin=stdin, stdout=said.extend, stderr=said.extend)
        code = workspace.attach(engine, container, streams).code
    finally:
        if code != 0:
            workspace.discard(engine, container)
    if code != 0:
        raise CannotLay("the overlay cannot be made", evidence=workspace.shown(bytes(said)))
