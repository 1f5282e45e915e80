"""An engine in memory, for tests: the contract without a container, in microseconds.

It passes tests/test_engine_contract.py like any other engine. Programs are Python
functions; every call is recorded; a Fault makes one of them fail or be interrupted. Left
out: networks, limits, users, directories, symlinks, options of volumes.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Concatenate, ParamSpec, TypeVar

from claude_container.engines.base import (
    Bind,
    Build,
    Builder,
    Container,
    ContainerSpec,
    Engine,
    EngineError,
    EngineInfo,
    Image,
    ImageInUse,
    ImageMissing,
    NameTaken,
    NoShell,
    Streams,
    Volume,
    VolumeInUse,
)
from claude_container.process import Attached, Completed
from tests import memory_build
from tests.memory_container import (
    KILL,
    TERM,
    File,
    Inside,
    MemoryContainer,
    MemoryImage,
    MemoryVolume,
    attached,
    drain,
    has,
    shown,
)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Fault:
    """`error` comes of the call of verb `at`, or of the `at`-th call, and of no later one."""

    at: str | int
    error: BaseException
    after: bool = False  # the call has had its effect

    def hits(self, calls: Sequence[str]) -> bool:
        return self.at in (len(calls), calls[-1])


def _verb(method: Callable[Concatenate[Memory, P], R]) -> Callable[Concatenate[Memory, P], R]:
    """A verb of the contract: recorded, and where the fault strikes."""

    def call(self: Memory, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.calls.append(method.__name__)
        fault = self.fault if self.fault and self.fault.hits(self.calls) else None
        if fault:
            self.fault = None
            if not fault.after:
                raise fault.error
        result = method(self, *args, **kwargs)
        if fault:
            raise fault.error
        return result

    return call


class Memory(Engine, Builder):
    """`calls` are the verbs so far; what is in `registry` can be pulled; set `fault` at will."""

    name = "memory"

    def __init__(self, images: Mapping[str, MemoryImage] | None = None) -> None:
        self.calls: list[str] = []
        self.fault: Fault | None = None
        self.registry: dict[str, MemoryImage] = {}
        self._images = dict(images or {})
        self._unnamed: list[MemoryImage] = []  # each had a name that a newer one has
        self._volumes: dict[str, MemoryVolume] = {}
        self._containers: dict[str, MemoryContainer] = {}

    @_verb
    def info(self) -> EngineInfo:
        return EngineInfo(self.name, "1", "1", "memory", "/", rootless=False)

    # Containers

    @_verb
    def create(self, spec: ContainerSpec) -> str:
        image = self._need(spec.image)
        if self._find(spec.name):
            raise NameTaken(f"the name {spec.name} is taken")
        for mount in spec.mounts:
            if isinstance(mount, Bind):
                if not os.path.exists(mount.source):
                    raise EngineError(f"there is no {mount.source} to mount")
            elif mount.name not in self._volumes:
                self._volumes[mount.name] = MemoryVolume(dict(mount.labels))
        id = uuid.uuid4().hex
        self._containers[id] = MemoryContainer(id, spec, image, self._volumes, dict(image.files))
        return id

    @_verb
    def copy_in(self, container: str, archive: bytes) -> None:
        there = self._there(container)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if content := tar.extractfile(member):
                    file = File(content.read(), member.mode, member.uid, member.gid)
                    try:
                        there.write(f"/{member.name}", file)
                    except OSError as error:
                        raise EngineError(f"cannot copy {member.name}: {error}") from error

    @_verb
    def start(self, container: str) -> None:
        there = self._begin(container)
        threading.Thread(target=self._run_to_end, args=(there, b""), daemon=True).start()

    @_verb
    def attach(self, container: str, streams: Streams) -> Attached:
        there = self._begin(container)
        code, inside = self._run_to_end(there, drain(streams.stdin))
        return attached(streams, code, inside)

    @_verb
    def exec(self, container: str, argv: Sequence[str], *, user: str | None = None) -> Completed:
        there = self._there(container)
        if there.state != "running":
            raise EngineError(f"{container} is not running")
        code, inside = there.run(argv, user)
        return Completed(tuple(argv), code, bytes(inside.stdout), bytes(inside.stderr))

    @_verb
    def exec_attached(self, container: str, argv: Sequence[str], streams: Streams) -> Attached:
        there = self._there(container)
        if there.state != "running":
            raise EngineError(f"{container} is not running")
        code, inside = there.run(argv, stdin=drain(streams.stdin))
        return attached(streams, code, inside)

    @_verb
    def remove(self, container: str, *, grace: int = 0, force: bool = True) -> bool:
        there = self._find(container)
        if there is None:
            return False
        if there.state == "running":
            if not (force or grace):
                raise EngineError(f"{there.spec.name} is running")
            there.signals.put(TERM if grace else KILL)
            there.ended.wait()
        self._containers.pop(there.id, None)
        return True

    @_verb
    def containers(
        self, having: Mapping[str, str | None], labels: Sequence[str]
    ) -> list[Container]:
        return [
            Container(c.id, c.spec.name, c.state, shown(c.spec.labels, labels))
            for c in list(self._containers.values())
            if has(c.spec.labels, having)
        ]

    # Volumes

    @_verb
    def volumes(self, having: Mapping[str, str | None], labels: Sequence[str]) -> list[Volume]:
        return [
            Volume(name, shown(volume.labels, labels))
            for name, volume in self._volumes.items()
            if has(volume.labels, having)
        ]

    @_verb
    def create_volume(
        self, name: str, labels: Mapping[str, str], options: Mapping[str, str]
    ) -> None:
        self._volumes.setdefault(name, MemoryVolume(dict(labels)))

    @_verb
    def volume_path(self, name: str) -> str | None:
        return f"/volumes/{name}" if name in self._volumes else None

    @_verb
    def remove_volume(self, name: str) -> bool:
        for container in self._containers.values():
            if any(not isinstance(m, Bind) and m.name == name for m in container.spec.mounts):
                raise VolumeInUse(f"volume {name} is in use")
        return self._volumes.pop(name, None) is not None

    # Images

    @_verb
    def image(self, name: str) -> Image | None:
        return next((image for image in self._all() if name in (image.id, *image.names)), None)

    @_verb
    def pull(self, name: str, on_line: Callable[[str], None]) -> None:
        if name not in self.registry:
            raise ImageMissing(f"there is no {name} to pull")
        on_line(f"pulled {name}")
        self._name(name, self.registry[name])

    @_verb
    def build(self, plan: Build, on_line: Callable[[str], None]) -> None:
        self._name(plan.tag, memory_build.build(plan, self._need, on_line))

    @_verb
    def images(self, having: Mapping[str, str]) -> list[Image]:
        return [image for image in self._all() if has(image.labels, having)]

    @_verb
    def remove_image(self, name: str) -> None:
        for image in self._all():
            if name not in (image.id, *image.names):
                continue
            if name == image.id and len(image.names) > 1:
                raise ImageInUse(f"{name} has several names")
            if len(image.names) < 2:
                if any(_id(c.image) == image.id for c in self._containers.values()):
                    raise ImageInUse(f"a container uses {name}")
                self._unnamed = [there for there in self._unnamed if _id(there) != image.id]
            self._images = {n: i for n, i in self._images.items() if n != name != _id(i)}

    # What the verbs are made of

    def _all(self) -> list[Image]:
        there = {_id(image): image for image in [*self._images.values(), *self._unnamed]}
        named = [(name, _id(image)) for name, image in self._images.items()]
        return [
            Image(id, image.size, image.labels, tuple(n for n, of in named if of == id))
            for id, image in there.items()
        ]

    def _name(self, name: str, image: MemoryImage) -> None:
        if old := self._images.get(name):
            self._unnamed.append(old)
        self._images[name] = image

    def _need(self, image: str) -> MemoryImage:
        if image not in self._images:
            raise ImageMissing(f"there is no image {image}")
        return self._images[image]

    def _find(self, container: str) -> MemoryContainer | None:
        for there in self._containers.values():
            if container in (there.id, there.spec.name):
                return there
        return None

    def _there(self, container: str) -> MemoryContainer:
        if there := self._find(container):
            return there
        raise EngineError(f"there is no container {container}")

    def _begin(self, container: str) -> MemoryContainer:
        there = self._there(container)
        program = PurePosixPath(there.spec.command[0]).name
        if program not in there.image.programs and not there.spec.tty:
            del self._containers[there.id]
            kind = NoShell if program == "sh" else EngineError
            raise kind(f"the image has no {program}")
        there.state = "running"
        return there

    def _run_to_end(self, there: MemoryContainer, stdin: bytes) -> tuple[int, Inside]:
        """Run a container's own program, and remove the container, whatever happens in it."""
        try:
            return there.run(there.spec.command, stdin=stdin)
        finally:
            there.state = "exited"
            if not there.spec.keep:
                self._containers.pop(there.id, None)
            there.ended.set()


def _id(image: MemoryImage) -> str:
    return f"sha256:{id(image):064x}"
