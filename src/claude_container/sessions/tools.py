"""The tool volume: claude and what goes with it, for images that lack it.

Made once for each version of claude and each libc, from the default image, and mounted
read-only. Its last file says that it is whole, so that one that was cut short is noticed
and made anew, whoever made it; by then its id is remembered, and nobody has to look.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass

from claude_container import __version__, images, stock
from claude_container.engines.base import (
    Builder,
    ContainerSpec,
    Engine,
    EngineError,
    ImageMissing,
    NameTaken,
    Streams,
    Volume,
    VolumeInUse,
    VolumeMount,
)
from claude_container.errors import ClaudeContainerError
from claude_container.interrupts import held_back
from claude_container.process import NOTHING, Attached
from claude_container.sessions import leftovers, model, probe, remembered
from claude_container.sessions.probe import Found
from claude_container.sessions.remembered import Facts

_PATIENCE = 900.0  # seconds for which another command that makes the volume is waited for
_PAUSE = 0.3
_PIDS = 256


class CannotMakeTools(ClaudeContainerError):
    """The tool volume could not be made."""


@dataclass(frozen=True)
class Tools:
    """A tool volume to mount. It `lends_libc` to an image that has none.

    On a rootless engine it is not read-only: docker 20.10 then fails to `cp` if its data
    lies in a nosuid mount. That nobody in a session can write is held by the files, too:
    they belong to a uid that no session has, and a session's root has no capability.
    """

    volume: str
    lends_libc: bool
    read_only: bool = True

    def mount(self) -> VolumeMount:
        """The volume, at model.TOOLS."""
        # Made by this mount, it is empty: it was removed just now (see entrypoint.sh).
        stray = {model.KIND: model.STRAY_KIND, model.SESSION: self.volume}
        return VolumeMount(self.volume, model.TOOLS, stray, read_only=self.read_only)


def needed(engine: Engine, found: Found, progress: images.Progress, *, ca: bytes) -> Tools | None:
    """What a session needs to have mounted in an image, made where it is missing.

    None: the image has all of it. Raises CannotMakeTools, EngineError, and what images.fetch
    raises.
    """
    if found.complete:
        return None
    standard = images.slim(ca)
    seen = probe.need(engine, standard, progress).version
    version = match[0] if (match := re.match(r"\d[\w.-]*", seen)) else "unknown"
    # All but claude itself runs anywhere.
    libc = "musl" if found.libc == "musl" and not found.claude else "glibc"
    facts = _ensure(engine, version, libc, standard, progress)
    return Tools(
        model.tools_volume(version, libc),
        lends_libc=not found.libc,
        read_only=not facts.get("rootless"),
    )


def volumes(engine: Engine) -> list[Volume]:
    """All tool volumes."""
    wanted = (model.KIND, model.VERSION, model.CREATED, model.LAUNCH)
    return engine.volumes({model.KIND: model.TOOLS_KIND}, wanted)


def _ensure(
    engine: Engine, version: str, libc: str, standard: images.Choice, progress: images.Progress
) -> Facts:
    """See to it that there is a whole tool volume: make it, or wait while another command does.

    Returns what is remembered of it.
    """
    name = model.tools_volume(version, libc)
    until = time.monotonic() + _PATIENCE
    told = False
    while True:
        there = next((found for found in volumes(engine) if found.name == name), None)
        if there and (facts := _whole(engine, there, standard.name)) is not None:
            return facts
        try:
            if there:
                engine.remove_volume(name)
            id = _make(engine, name, version, libc, standard, progress)
            _remove_older(engine, version, libc)
            return _remember(engine, id)
        except (NameTaken, VolumeInUse, ImageMissing) as error:
            if time.monotonic() > until:
                raise CannotMakeTools(
                    f"another command has been making {name} for too long",
                    evidence=error.evidence,
                    hint=f"end it: {engine.name} rm --force {_container(name)}",
                ) from error
        # If its launcher is gone, what it left is in the way.
        if not leftovers.sweep(engine) and not told:
            progress.warn(f"another command makes {name}: waiting for it")
            told = True
        time.sleep(_PAUSE)


def _container(volume: str) -> str:
    return f"claude-container-{volume.removeprefix('claude-')}"


def _whole(engine: Engine, volume: Volume, image: str) -> Facts | None:
    """What is remembered of a volume, once all that was to come into it is there."""
    id = volume.labels.get(model.LAUNCH, "")
    if (known := remembered.recall(f"whole {id}")) is not None:
        return known
    name = model.throwaway_name(model.PROBE_KIND)
    mount = VolumeMount(volume.name, model.TOOLS, read_only=True)
    test = ("/bin/sh", "-c", '[ -e "$0/whole" ]', model.TOOLS)
    container = engine.create(_spec(image, name, model.PROBE_KIND, mount, test))
    return _remember(engine, id) if _run(engine, container).code == 0 else None


def _remember(engine: Engine, id: str) -> Facts:
    facts = {"rootless": "yes" if engine.info().rootless else ""}
    remembered.remember(f"whole {id}", facts)
    return facts


def _make(
    engine: Engine,
    name: str,
    version: str,
    libc: str,
    standard: images.Choice,
    progress: images.Progress,
) -> str:
    """Make and fill a volume that is not there; return its id. NameTaken while another does."""
    id = os.urandom(16).hex()
    labels = {
        model.KIND: model.TOOLS_KIND,
        model.CREATED: str(int(time.time())),
        model.VERSION: __version__,
        model.LAUNCH: id,
    }
    leftovers.remove_strays(engine)
    image = images.with_musl(standard, version) if libc == "musl" else standard
    if engine.image(image.name) is None:
        images.fetch(engine, image, progress)
    script = images.script("tools.sh")
    mount = VolumeMount(name, model.TOOLS, labels)
    command = ("/bin/sh", "-c", script, "tools")
    with progress.task(f"putting claude {version} for {libc} into the volume {name}"):
        container = engine.create(
            _spec(image.name, _container(name), model.TOOLS_KIND, mount, command)
        )
        try:
            _check_own(engine, name, id)
            ended = _run(engine, container)
            if ended.code != 0:
                full = "No space left" in ended.error_text
                raise CannotMakeTools(
                    f"the volume {name} could not be filled",
                    evidence=ended.error_text,
                    hint=f"the engine's disk is full: {engine.name} system df" if full else "",
                )
        except BaseException:
            with held_back(), contextlib.suppress(EngineError):
                engine.remove(container)
                if engine.volumes({model.LAUNCH: id}, ()):
                    engine.remove_volume(name)
            raise
    if image is not standard and isinstance(engine, Builder):
        engine.remove_image(image.name)
    return id


def _check_own(engine: Engine, name: str, id: str) -> None:
    """Raise NameTaken where another command made the volume first, else CannotMakeTools."""
    if engine.volumes({model.LAUNCH: id}, ()):
        return
    if any(volume.name == name for volume in volumes(engine)):
        raise NameTaken(f"{name} was just made by another command")
    raise CannotMakeTools(
        f"there is a volume {name} that is not ours",
        hint=f"remove it, unless something of yours is in it: {engine.name} volume rm {name}",
    )


def _remove_older(engine: Engine, version: str, libc: str) -> None:
    """Remove the volumes of older claudes, but for those that a session still runs with."""
    for volume in volumes(engine):
        other = re.fullmatch(rf"claude-tools-(.+)-{libc}", volume.name)
        if other and stock.is_newer(version, than=other[1]):
            with contextlib.suppress(EngineError):
                engine.remove_volume(volume.name)


def _spec(
    image: str, name: str, kind: str, mount: VolumeMount, command: tuple[str, ...]
) -> ContainerSpec:
    return ContainerSpec(
        image=image,
        name=name,
        command=command,
        labels=model.at_work(kind, mount.name),
        mounts=(mount,),
        capabilities=("CHOWN", "DAC_OVERRIDE"),
        network="none",
        pids=_PIDS,
        logged=False,
    )


def _run(engine: Engine, container: str) -> Attached:
    return engine.attach(
        container, Streams(stdin=NOTHING, stdout=lambda _: None, stderr=lambda _: None)
    )
