"""What an engine does for us: the contract, small enough to read at one go.

"Not there" is a value (None, False, an empty list); "failed" is an exception.
Names and ids of containers are interchangeable. tests/test_engine_contract.py
runs the same suite over every engine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from claude_container.errors import ClaudeContainerError
from claude_container.process import NOTHING, Attached, Completed


class EngineError(ClaudeContainerError):
    """The engine could not do what it was asked."""


class EngineNotInstalled(EngineError):
    """Its program is not on PATH."""


class EngineNotRunning(EngineError):
    """The program is there, nothing answers it."""


class EngineNotAllowed(EngineError):
    """It answers, but not to this user."""


class EngineUsage(EngineError):
    """It does not accept a value that the user gave, such as a size."""

    exit_code = 2


class StoppedShort(EngineError):
    """The container was stopped while it was being started: ^C, as a rule."""


class ImageMissing(EngineError):
    """The image is not on the engine (nothing was pulled)."""


class VolumeInUse(EngineError):
    """A container has the volume that was to be removed."""


class ImageInUse(EngineError):
    """A container, or another image, needs the image that was to be removed."""


class NameTaken(EngineError):
    """Another container has this name."""


class NoShell(EngineError):
    """The image of a container that was to run /bin/sh has none."""


@dataclass(frozen=True)
class Bind:
    """A folder or file of the host. `source` is an absolute path, and must exist."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class VolumeMount:
    """A named volume; made with `labels` if it is not there, else left as it is.

    With `bare` an empty one does not get what the image has at that place (docker).
    """

    name: str
    target: str
    labels: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    bare: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """A container to create. The engine removes it when its process ends, unless `keep`.

    `env` is passed without showing a value in any argv. `capabilities` is the
    whole set (the engine's default set is dropped), `memory` and `cpus` are in
    the engine's own notation ("2g", "1.5"), `publish` too ("8080:80"). Unless
    `logged` the engine keeps no copy of what it writes, which takes time and room.
    `mounting` takes away what keeps one with SYS_ADMIN from mounting anything.
    """

    image: str
    name: str
    command: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Bind | VolumeMount, ...] = ()
    publish: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    network: str | None = None
    memory: str | None = None
    cpus: str | None = None
    pids: int | None = None
    workdir: str | None = None
    tty: bool = False
    keep: bool = False
    logged: bool = True
    mounting: bool = False


@dataclass(frozen=True)
class Container:
    """A container as listed. `state` is created, running, exited, …"""

    id: str
    name: str
    state: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Volume:
    """A volume as listed."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Image:
    """An image that is on the engine. `size` in bytes, `labels` as it carries them.

    `names` are REPOSITORY:TAG; one that lost its name to a newer image has none.
    `created` is when it was built, in seconds since 1970, or 0 where it does not say.
    """

    id: str
    size: int
    labels: Mapping[str, str]
    names: tuple[str, ...] = ()
    created: int = 0


@dataclass(frozen=True)
class EngineInfo:
    """Who answers. `root` is where it keeps its data (a path of the engine's machine)."""

    name: str
    version: str
    client_version: str
    system: str
    root: str
    rootless: bool


@dataclass(frozen=True)
class Streams:
    """What an attached container is joined to; our own stdin, stdout and stderr by default."""

    tty: bool = False
    stdin: int | None = None
    stdout: Callable[[bytes], None] | None = None
    stderr: Callable[[bytes], None] | None = None

    @staticmethod
    def own(*, interactive: bool = True) -> Streams:
        """Our own: a terminal only with terminals on both sides, and never /dev/null typed at.

        A terminal on stdin with stdout piped is not passed on: without a
        terminal of its own the program there would wait for input that ends.
        """
        stdin, stdout = _is_terminal(0), _is_terminal(1)
        tty = interactive and stdin and stdout
        return Streams(tty=tty, stdin=NOTHING if stdin and not tty else None)


def _is_terminal(fd: int) -> bool:
    stream = (sys.stdin, sys.stdout)[fd]
    return stream is not None and stream.isatty()


class Engine(Protocol):
    """An engine: docker first; podman, a remote one, a cluster behind the same verbs."""

    name: str

    def info(self) -> EngineInfo:
        """Who answers. Raises EngineNotInstalled, EngineNotRunning, EngineNotAllowed."""

    def create(self, spec: ContainerSpec) -> str:
        """Make a container, start nothing, pull nothing; return its id.

        Raises ImageMissing, NameTaken.
        """

    def copy_in(self, container: str, archive: bytes) -> None:
        """Unpack a tar stream at / of a container, started or not, owners and modes as in it.

        A volume that holds something already may be out of reach until it runs (podman).
        """

    def start(self, container: str) -> None:
        """Start a created container and leave it running."""

    def attach(self, container: str, streams: Streams) -> Attached:
        """Start a created container joined to `streams`; return when it ended.

        The code is the container's own. Raises EngineNotRunning where the engine
        was lost meanwhile, and any other EngineError where it never ran; only a
        program that is missing is a code on a terminal, where its words went: 127,
        or 1 of podman's init.
        """

    def exec(self, container: str, argv: Sequence[str], *, user: str | None = None) -> Completed:
        """Run a command in a running container and capture it; its exit code is a value."""

    def exec_attached(self, container: str, argv: Sequence[str], streams: Streams) -> Attached:
        """Run a command in a running container as its root, joined to `streams`."""

    def remove(self, container: str, *, grace: int = 0, force: bool = True) -> bool:
        """Stop a container (SIGTERM, then `grace` seconds) and remove it. False: not there.

        Without `force` one that runs stays, and EngineError is raised.
        """

    def containers(
        self, having: Mapping[str, str | None], labels: Sequence[str]
    ) -> list[Container]:
        """Containers in any state with all labels of `having` (None: any value).

        They carry the values of `labels` and no others.
        """

    def volumes(self, having: Mapping[str, str | None], labels: Sequence[str]) -> list[Volume]:
        """Volumes, chosen and shown as for `containers`."""

    def create_volume(
        self, name: str, labels: Mapping[str, str], options: Mapping[str, str]
    ) -> None:
        """Make a volume of the engine's local driver, with options of its own (type, device, o).

        One of that name that is there stays as it is. What the options mean is only found
        out by a container that mounts it.
        """

    def volume_path(self, name: str) -> str | None:
        """Where what a volume holds lies on the engine's machine. None: there is no such volume."""

    def remove_volume(self, name: str) -> bool:
        """Remove a volume and what it holds. False: not there. Raises VolumeInUse."""

    def image(self, name: str) -> Image | None:
        """What the engine knows of an image, or None."""


@runtime_checkable
class Builder(Protocol):
    """Making images: a second contract, because a cluster cannot."""

    def pull(self, name: str, on_line: Callable[[str], None]) -> None:
        """Fetch an image from its registry, telling of each line of progress."""

    def build(self, plan: Build, on_line: Callable[[str], None]) -> None:
        """Build and tag an image, telling of each line of progress and of what commands print."""

    def images(self, having: Mapping[str, str]) -> list[Image]:
        """The images with these labels."""

    def remove_image(self, name: str) -> None:
        """Take a name off an image; the image goes with its last name, or by its id.

        Raises ImageInUse where it would go and cannot. One that is not there is no error.
        """


@dataclass(frozen=True)
class Build:
    """An image to build.

    `context` is a folder of the host, or the bytes of a tar that holds all of
    it. `dockerfile` is a path of the host, or inside the tar. An argument that
    is None takes its value from our environment and shows in no argv. `target` is
    the stage of the Dockerfile to build, by default its last.
    """

    tag: str
    context: str | bytes
    dockerfile: str
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
