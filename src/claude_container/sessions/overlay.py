"""A session of --dir: a layer of changes over a folder that is only read (deprecated).

Its changes lie in a volume, below `upper`. Another volume is what claude sees: an overlay
of the engine's own local driver, which needs no privilege. Where the engine refuses that,
because the folder is not on its machine by that path, say, this volume stays empty, and
the container lays the overlay over it while it is still root.

The second volume is made last: where it is missing, the session is half-made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from claude_container.engines.base import Bind, Engine, Volume, VolumeMount
from claude_container.errors import ClaudeContainerError
from claude_container.sessions import model

MOUNTING = "SYS_ADMIN"  # to lay an overlay


class CannotUse(ClaudeContainerError):
    """A session of --dir can be neither entered nor looked at as it is."""


@dataclass(frozen=True)
class Overlay:
    """A session of --dir. `laid_by` is ENGINE or CONTAINER, and "" for one that is half-made."""

    name: str
    id: str
    directory: Path
    created: int
    laid_by: str

    @property
    def volumes(self) -> tuple[str, str]:
        """In the order in which they are to be removed: the first is refused while it is used."""
        return model.merged_volume(self.name), model.changes_volume(self.name)


def overlays(volumes: Iterable[Volume]) -> list[Overlay]:
    """The sessions of --dir among volumes that were listed with model.VOLUME_LABELS."""
    held = {volume.name: volume.labels for volume in volumes}
    found = []
    for said in held.values():
        if said.get(model.KIND) != model.OVERLAY_KIND:
            continue
        name = said.get(model.SESSION, "")
        merged = held.get(model.merged_volume(name), {})
        found.append(
            Overlay(
                name=name,
                id=said.get(model.LAUNCH, ""),
                directory=Path(said.get(model.DIRECTORY, "/nonexistent")),
                created=model.created(said),
                laid_by=merged.get(model.LAID_BY, ""),
            )
        )
    return sorted(found, key=lambda overlay: overlay.name.lower())


def find(engine: Engine, name: str) -> Overlay | None:
    """The session of --dir of that name, half-made or not. Raises EngineError."""
    volumes = engine.volumes({model.SESSION: name}, model.VOLUME_LABELS)
    return next(iter(overlays(volumes)), None)


def check(found: Overlay) -> None:
    """Raise CannotUse for a session of --dir that is half-made, or whose folder is gone."""
    if not found.laid_by:
        raise CannotUse(
            f"session {found.name} is half-made",
            hint=f"claude-container --dir {found.directory} -s {found.name} finishes it",
        )
    if not found.directory.is_dir():
        raise CannotUse(f"session {found.name} lies over {found.directory}, which is gone")


def lower(directory: Path) -> Bind:
    """The user's folder, which is only read."""
    return Bind(str(directory), model.LOWER, read_only=True)


def changes(name: str, *, read_only: bool = False) -> VolumeMount:
    """The layer of changes. Made by this mount, it is none of a session's: that is gone."""
    stray = {model.KIND: model.STRAY_KIND, model.SESSION: name}
    return VolumeMount(model.changes_volume(name), model.CHANGES, stray, read_only)


def merged(name: str, *, read_only: bool = False) -> VolumeMount:
    """What is seen. Bare: what an image has at its place would become a change."""
    stray = {model.KIND: model.STRAY_KIND, model.SESSION: name}
    return VolumeMount(model.merged_volume(name), model.WORKSPACE, stray, read_only, bare=True)
