"""What the in-memory engine (memory.py) runs: images of Python functions, containers of files."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from claude_container.engines.base import Bind, ContainerSpec, Streams
from claude_container.process import Attached

TERM, KILL = 15, 9


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass
class Inside:
    """What a program sees: its container's files and volumes, its streams, its signals."""

    argv: Sequence[str]
    env: Mapping[str, str]
    user: str
    stdin: bytes
    container: MemoryContainer
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)

    def read(self, path: str) -> File:
        """Raises OSError, as `write` does."""
        return self.container.read(path)

    def write(self, path: str, content: bytes) -> None:
        self.container.write(path, File(content))

    def wait(self) -> int:
        """Sleep until a signal comes, and return its number: TERM or KILL."""
        return self.container.signals.get()


Program = Callable[[Inside], int]


@dataclass(frozen=True)
class MemoryImage:
    """Programs by the last part of their path, and files by their whole path."""

    programs: Mapping[str, Program] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(len(file.content) for file in self.files.values()) + len(self.programs)


@dataclass
class MemoryVolume:
    labels: Mapping[str, str]
    files: dict[str, File] = field(default_factory=dict)


@dataclass
class MemoryContainer:
    id: str
    spec: ContainerSpec
    image: MemoryImage
    volumes: Mapping[str, MemoryVolume]
    files: dict[str, File]
    state: str = "created"
    signals: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)
    ended: threading.Event = field(default_factory=threading.Event)

    def read(self, path: str) -> File:
        place = self._place(path, write=False)
        if isinstance(place, Path):
            return File(place.read_bytes())
        files, key = place
        if key not in files:
            raise FileNotFoundError(path)
        return files[key]

    def write(self, path: str, file: File) -> None:
        place = self._place(path, write=True)
        if isinstance(place, Path):
            place.write_bytes(file.content)
        else:
            files, key = place
            files[key] = file

    def _place(self, path: str, *, write: bool) -> Path | tuple[dict[str, File], str]:
        """Where a path leads: into the host, a volume, or the container's own files."""
        for mount in self.spec.mounts:
            if PurePosixPath(path).is_relative_to(mount.target):
                if write and mount.read_only:
                    raise PermissionError(f"{path}: read-only")
                inner = str(PurePosixPath(path).relative_to(mount.target))
                if isinstance(mount, Bind):
                    return Path(mount.source) / inner
                return self.volumes[mount.name].files, inner
        return self.files, str(PurePosixPath(path))

    def run(
        self, argv: Sequence[str], user: str | None = None, stdin: bytes = b""
    ) -> tuple[int, Inside]:
        """Run a program to its end; 127 where the image has none of that name."""
        inside = Inside(argv, self.spec.env, user or "0", stdin, self)
        program = self.image.programs.get(PurePosixPath(argv[0]).name)
        return (127 if program is None else program(inside)), inside


def attached(streams: Streams, code: int, inside: Inside) -> Attached:
    """Hand what a program wrote to whom it is for."""
    (streams.stdout or sys.stdout.buffer.write)(bytes(inside.stdout))
    (streams.stderr or sys.stderr.buffer.write)(bytes(inside.stderr))
    return Attached(code, inside.stderr.decode(errors="replace").strip())


def drain(fd: int | None) -> bytes:
    """All of a stream that a test gave; nothing of our own stdin."""
    if fd is None or fd < 0:
        return b""
    with open(fd, "rb", closefd=False) as stream:
        return stream.read()


def has(labels: Mapping[str, str], having: Mapping[str, str | None]) -> bool:
    """Whether these labels are among them; None stands for any value."""
    return all(key in labels and value in (None, labels[key]) for key, value in having.items())


def shown(labels: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    """The labels that are wanted, those that are set."""
    return {name: labels[name] for name in wanted if labels.get(name)}
