"""The images of ours that an engine has: listing them, renewing them, removing them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from claude_container import config, images
from claude_container.engines.base import Builder, Engine, EngineError, Image, ImageInUse
from claude_container.errors import ClaudeContainerError
from claude_container.images import CLAUDE_LABEL, VARIANT_LABEL, Choice, Progress

DEFAULT, PROJECT, UNNAMED = "default", "project", "unnamed"
_PROJECT_PREFIX = "claude-dev-"
# Has a name while it is built, since a build without one leaves an image.
_QUESTION = "claude-container-newest:1"
# What the recipe's stage `newest` prints.
_NEWEST = re.compile(r"\bnewest-claude=(\d+\.\d+\.\d+[0-9A-Za-z.-]*)\s*$")


class Stocked(Engine, Builder, Protocol):
    """An engine that can make images."""


IN_USE = "a container or another image uses it"


@dataclass(frozen=True)
class Entry:
    """One image of ours. Of the kinds, an unnamed one lost its name to a newer image."""

    name: str
    kind: str
    image: Image

    @property
    def claude(self) -> str:
        """The version of claude in it, or "" where it does not say."""
        return self.image.labels.get(CLAUDE_LABEL, "")

    @property
    def variant(self) -> str:
        """The variant that it is, or that it was made of."""
        return self.image.labels.get(VARIANT_LABEL, "")


@dataclass(frozen=True)
class Renewed:
    """What became of a name: the image that had it, and the one that has it now.

    `stays` says why the old one is still on the engine, if it is.
    """

    name: str
    before: Image | None
    after: Image
    stays: str = ""


def listed(engine: Builder) -> list[Entry]:
    """All images of ours: the default ones of any version, projects' own, and unnamed ones."""
    repositories = {images.repository(), images.DEFAULT_REPOSITORY}
    entries = []
    for image in engine.images({}):
        if not image.names and CLAUDE_LABEL in image.labels:
            entries.append(Entry(image.id.removeprefix("sha256:")[:12], UNNAMED, image))
        for name in image.names:
            if name.rpartition(":")[0] in repositories:
                entries.append(Entry(name, DEFAULT, image))
            elif name.startswith(_PROJECT_PREFIX) and images.DOCKERFILE_LABEL in image.labels:
                entries.append(Entry(name, PROJECT, image))
    kinds = (DEFAULT, PROJECT, UNNAMED)
    return sorted(entries, key=lambda e: (kinds.index(e.kind), e.name))


def present(engine: Stocked) -> list[str]:
    """The variants of this version that the engine has."""
    return [name for name in config.VARIANTS if engine.image(images.default_name(name))]


def newest(
    engine: Builder, environ_proxies: Mapping[str, str], ca: bytes, progress: Progress
) -> str:
    """The newest version of claude, as npm's `latest` says, asked in a build.

    Raises EngineError.
    """
    plan = images.recipe(_QUESTION, "newest", environ_proxies, ca)
    # By the time, since to a builder's cache the same question has the same answer.
    plan = replace(plan, arguments={**plan.arguments, "ASKED": str(int(time.time()))})
    found = []
    engine.remove_image(_QUESTION)  # of one that was killed
    try:
        with progress.task("asking which claude is the newest") as line:

            def read(printed: str) -> None:
                if match := _NEWEST.search(printed):
                    found.append(match[1])
                line(printed)

            engine.build(plan, read)
    except EngineError as error:
        raise type(error)(
            "cannot ask which claude is the newest", evidence=error.evidence, hint=error.hint
        ) from error
    finally:
        engine.remove_image(_QUESTION)
    if not found:
        raise EngineError("nothing told which claude is the newest")
    return found[-1]


def with_claude(choice: Choice, version: str) -> Choice:
    """A default image as the recipe makes it, but with this version of claude."""
    assert choice.build
    arguments = {**choice.build.arguments, "CLAUDE_VERSION": version}
    return replace(choice, build=replace(choice.build, arguments=arguments))


def is_newer(version: str, than: str) -> bool:
    """Whether a version comes after another one, as version_key has it."""
    return version_key(version) > version_key(than)


def version_key(version: str) -> list[int]:
    """What versions are compared by: their first three numbers, so 2.1.3-beta.2 is as 2.1.3."""
    return [int(number) for number in re.findall(r"\d{1,9}", version)[:3]]


def renew(engine: Stocked, choice: Choice, progress: Progress, *, pull: bool = False) -> Renewed:
    """Pull or build an image anew; the one that had its name goes, unless something uses it.

    Containers that run go on with the old one. Raises EngineError.
    """
    before = engine.image(choice.name)
    if pull:
        images.pull(engine, choice.name, progress)
    else:
        assert choice.build
        images.build(engine, choice.build, "the recipe", progress)
    after = engine.image(choice.name)
    if after is None:
        raise EngineError(f"{choice.name} is gone again", hint="did something else remove it?")
    stays = _discard(engine, before.id) if before and before.id != after.id else ""
    return Renewed(choice.name, before, after, stays)


def _discard(engine: Stocked, id: str) -> str:
    """Remove an image that lost its name; where it stays, tell why."""
    old = engine.image(id)
    if old is None:
        return ""
    if old.names:
        return f"it is {old.names[0]}, too"
    try:
        engine.remove_image(id)
    except ImageInUse:
        return IN_USE
    return ""


def outdated(engine: Builder, version: str) -> list[str]:
    """Projects' own images with an older claude, which they have from a default image."""
    return [
        e.name
        for e in listed(engine)
        if e.kind == PROJECT and e.claude and is_newer(version, e.claude)
    ]


def remove(engine: Stocked, name: str) -> Entry:
    """Remove an image of ours: by its name, a variant's, or an unnamed one by its id.

    Raises ImageInUse, and ClaudeContainerError for one that is not there or not ours.
    """
    wanted = images.default_name(name) if name in config.VARIANTS else name
    entry = next((e for e in listed(engine) if wanted in (e.name, e.image.id)), None)
    if entry is None:
        if there := engine.image(wanted):
            raise ClaudeContainerError(
                f"{wanted} is not one of claude-container's images",
                hint=f"`{engine.name} image rm` removes any image"
                if there.names
                else "name it as `claude-container image list` does",
            )
        raise ClaudeContainerError(
            f"there is no image {wanted}", hint="claude-container image list shows those there are"
        )
    try:
        engine.remove_image(entry.image.id if entry.kind == UNNAMED else entry.name)
    except ImageInUse as error:
        raise ImageInUse(
            f"{entry.name} is in use, and stays",
            evidence=error.evidence,
            hint="by a session that runs, or an image that was built on it:"
            " claude-container list shows the first",
        ) from error
    return entry
