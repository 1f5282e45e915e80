"""git's wire protocol, in and out of a session: what the remote helper joins its pipes to."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

from claude_container import images
from claude_container.engines.base import Engine, EngineError, Streams
from claude_container.errors import ClaudeContainerError
from claude_container.sessions import workspace
from claude_container.terminal import visible

SERVICES = ("git-upload-pack", "git-receive-pack")
SILENCE = 60.0  # seconds without a byte in either direction
# A host that sends may first have to pack for long.
_SILENCE_OF_A_PUSH = 900.0
LIMIT = 2 << 30  # bytes out of a session in one fetch


class TransportError(ClaudeContainerError):
    """The other side stopped short, fell silent, or sent more than it may."""


class Bounds:
    """How much may come out of a session, in bytes, and for how long nothing, in seconds."""

    def __init__(self, limit: int = LIMIT, silence: float = SILENCE) -> None:
        self.broken = ""
        self._limit = limit
        self._silence = silence
        self._sent = 0
        self._writing = False
        self._last = time.monotonic()

    def moved(self) -> None:
        self._last = time.monotonic()

    def pass_on(self, chunk: bytes, fd: int) -> None:
        """Write what came out, unless it is too much. Our own reader may take its time."""
        self._sent += len(chunk)
        if self._sent > self._limit:
            self.broken = f"it sent more than {self._limit} bytes"
            return
        self._writing = True
        _write_all(fd, chunk)
        self._writing = False
        self.moved()

    def watch(self, ended: threading.Event, stop: Callable[[], None]) -> None:
        """Call `stop` once a bound is broken; return then, or when `ended` is set."""
        while not ended.wait(0.2):
            if not self._writing and time.monotonic() - self._last > self._silence:
                self.broken = f"nothing came for {self._silence:.0f} s"
            if self.broken:
                stop()
                return


def serve(
    engine: Engine,
    session: str,
    service: str,
    progress: images.Progress,
    *,
    stdin: int,
    stdout: int,
    look: bool = False,
    protocol: str = "version=2",
    bounds: Bounds | None = None,
) -> None:
    """Run one of SERVICES in a container, joined to two file descriptors.

    `protocol` is git's GIT_PROTOCOL. With `look` upload-pack also shows the refs
    that look.py reads. Raises TransportError, EngineError.
    """
    reads = service == "git-upload-pack"
    bounds = bounds or (Bounds() if reads else Bounds(silence=_SILENCE_OF_A_PUSH))
    words = [service, *(["look"] if look else [])]
    spec = workspace.spec(session, *words, read_only=reads, env={"GIT_PROTOCOL": protocol})
    container = workspace.create(engine, spec, progress)
    said = bytearray()

    ended = threading.Event()
    watching = threading.Thread(
        target=bounds.watch, args=(ended, lambda: workspace.discard(engine, container))
    )
    watching.start()
    code = None
    try:
        with _pumped(stdin, bounds) as fed:
            streams = Streams(
                stdin=fed,
                stdout=lambda chunk: bounds.pass_on(chunk, stdout),
                stderr=said.extend,
            )
            code = engine.attach(container, streams).code
    except EngineError:
        if not bounds.broken:
            raise
    finally:
        ended.set()
        watching.join()
        if code != 0:
            workspace.discard(engine, container)
    if bounds.broken or code != 0:
        raise TransportError(
            f"session {session} gave no answer that git can use",
            evidence=bounds.broken or workspace.shown(bytes(said)),
        )


def explained(said: str, what: str) -> TransportError:
    """The error behind a git that failed: our remote helper's own words, or else git's."""
    lines = said.splitlines()
    ours = [n for n, line in enumerate(lines) if line.startswith("✗ ")]
    if not ours:
        return TransportError(what, evidence="\n".join(visible(line) for line in lines[-6:]))
    first = lines[ours[0]].removeprefix("✗ ")
    rest = lines[ours[0] + 1 :]
    evidence = [line.strip() for line in rest if line.startswith("  ")]
    hint = next((line.removeprefix("hint: ") for line in rest if line.startswith("hint: ")), "")
    return TransportError(first, evidence="\n".join(evidence), hint=hint)


@contextlib.contextmanager
def _pumped(source: int, bounds: Bounds) -> Iterator[int]:
    """A file descriptor that gives what `source` gives, while that is noted as movement."""
    reading, writing = os.pipe()

    def pump() -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(source, 65536):
                bounds.moved()
                _write_all(writing, chunk)
        os.close(writing)

    threading.Thread(target=pump, daemon=True).start()
    try:
        yield reading
    finally:
        os.close(reading)


def _write_all(fd: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]
