"""git's wire protocol, in and out of a session: what the remote helper joins its pipes to."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable

from claude_container import config, images
from claude_container.config import Settings
from claude_container.engines.base import ContainerSpec, Engine, EngineError, Streams
from claude_container.errors import ClaudeContainerError
from claude_container.process import ProcessError
from claude_container.sessions import workspace
from claude_container.terminal import visible
from claude_container.wire import bounds
from claude_container.wire.bounds import Bounds, Limits, Tail
from claude_container.wire.pack import Meter, Nonsense
from claude_container.wire.packets import Wire

SERVICES = ("git-upload-pack", "git-receive-pack")
# Tells our remote helper that it is our own look that asks, and within what limits.
LOOK = "CLAUDE_CONTAINER_LOOK"
# A host that sends may first have to pack for long, and a session to unpack.
_SILENCE_OF_A_PUSH = 900.0

_HINTS = {
    bounds.MUCH: 'fetch_limit = "20g" in your config file allows more',
    bounds.LONG: "fetch_timeout = 300 in your config file waits longer",
}


def limits_of(chosen: Settings) -> Limits:
    """What one fetch from a session may bring, and how long it may be silent.

    Raises UsageError.
    """
    return Limits(
        config.size(chosen.fetch_limit, bounds.DEFAULT.bytes),
        config.seconds(chosen.fetch_timeout, bounds.DEFAULT.silence),
    )


def bounds_of(service: str, limits: Limits) -> Bounds:
    """The bounds of a service. A host that sends may first pack for long, a session unpack."""
    longest = None if service == SERVICES[0] else max(limits.silence, _SILENCE_OF_A_PUSH)
    return Bounds(limits.bytes, limits.silence, longest)


class TransportError(ClaudeContainerError):
    """The other side stopped short, fell silent, or sent more than it may."""


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
    kept: Bounds | None = None,
    spec: ContainerSpec | None = None,
) -> None:
    """Run one of SERVICES in a container, joined to two file descriptors.

    Within the bounds `kept`; `protocol` is git's GIT_PROTOCOL. With `look`
    upload-pack also shows the ref that look.py reads. `spec` is another container that
    does the same for what is no git session. Raises TransportError, EngineError.
    """
    reads = service == "git-upload-pack"
    words = [service, *(["look"] if look else [])]
    env = {"GIT_PROTOCOL": protocol}
    spec = spec or workspace.spec(session, *words, read_only=reads, env=env)
    container = workspace.create(engine, spec, progress)
    kept = kept or Bounds()
    feed = _Feed(stdin, kept)
    wire = Wire(Meter(kept.limit) if reads else None)
    # Git hangs up after a pack, but with git-remote-fd it is heard only when it has ended.
    out = _Out(kept, wire, stdout, on_pack=feed.end if look else None)
    said = Tail()
    code = None
    try:
        with (
            kept.kept(lambda: workspace.discard(engine, container), reader=stdout),
            feed,
        ):
            streams = Streams(stdin=feed.fd, stdout=out.write, stderr=said.add)
            code = workspace.attach(engine, container, streams).code
    except EngineError:
        if not kept.broken:
            raise
    finally:
        if code != 0:
            workspace.discard(engine, container)
    if kept.broken == bounds.NOBODY:
        return
    if kept.broken or code != 0:
        raise TransportError(
            f"session {session} gave no answer that git can use",
            evidence=kept.broken or workspace.shown(bytes(said)),
            hint=_HINTS.get(kept.why, f"claude-container shell {session}, and look at git status"),
        )


class Serving:
    """A session's upload-pack for a `git fetch` that we start: a context to start it in.

    git gets `address`, the file descriptors `fds` and the variables `env`. It is our own
    remote helper in a thread (git-remote-fd(1)): without a second Python, and the container
    is under way before git asks. Windows passes no descriptors on, so there it is the
    helper. Afterwards `failed` tells what went wrong on this side.
    """

    def __init__(
        self,
        engine: Engine,
        session: str,
        progress: images.Progress,
        limits: Limits,
        spec: ContainerSpec | None = None,
    ) -> None:
        self.failed: ClaudeContainerError | None = None
        self.fds: tuple[int, ...] = ()
        self.env = {LOOK: f"{limits.bytes} {limits.silence:.0f}"}
        self.address = f"claude-container::{engine.name}:{session}"
        self._thread: threading.Thread | None = None
        self._kept = Bounds(limits.bytes, limits.silence)
        self._serve = functools.partial(
            serve, engine, session, SERVICES[0], progress, look=True, kept=self._kept, spec=spec
        )

    def __enter__(self) -> Serving:
        if sys.platform != "win32":
            (from_us, to_git), (from_git, to_us) = os.pipe(), os.pipe()
            self.fds = (from_us, to_us)
            self.address = f"fd::{from_us},{to_us}"
            self._thread = threading.Thread(target=self._run, args=(from_git, to_git))
            self._thread.start()
        return self

    def _run(self, from_git: int, to_git: int) -> None:
        try:
            self._serve(stdin=from_git, stdout=to_git)
        except ClaudeContainerError as error:
            self.failed = error
        finally:
            os.close(to_git)

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        for fd in self.fds:
            os.close(fd)
        if kind is not None and not issubclass(kind, ProcessError):
            # ^C: git's helper still holds the other ends, so nobody is heard to leave.
            self._kept.broken = self._kept.broken or bounds.NOBODY
        if self._thread:
            self._thread.join()


class _Out:
    """What comes out of a session, on its way to git here."""

    def __init__(
        self, kept: Bounds, wire: Wire, fd: int, on_pack: Callable[[], None] | None
    ) -> None:
        self._kept = kept
        self._wire = wire
        self._fd = fd
        self._on_pack = on_pack

    def write(self, chunk: bytes) -> None:
        if not self._kept.came(len(chunk)):
            return
        with self._kept.busy():
            try:
                passed = self._wire.passed(chunk)
                bounds.write_all(self._fd, passed)
            except Nonsense as error:
                self._kept.stop(error.what, bounds.MUCH if error.much else "")
                return
            except OSError:
                self._kept.stop(bounds.NOBODY)
                return
        self._kept.moved(len(passed))
        if self._on_pack and self._wire.packed:
            self._on_pack()


def explained(said: str, what: str) -> TransportError:
    """The error behind a git that failed: our remote helper's own words, or else git's."""
    lines = said.splitlines()
    ours = [n for n, line in enumerate(lines) if line.startswith("✗ ")]
    if not ours:
        return TransportError(what, evidence="\n".join(visible(line[:1000]) for line in lines[-6:]))
    first = lines[ours[0]].removeprefix("✗ ")
    rest = lines[ours[0] + 1 :]
    evidence = [line.strip() for line in rest if line.startswith("  ")]
    hint = next((line.removeprefix("hint: ") for line in rest if line.startswith("hint: ")), "")
    return TransportError(first, evidence="\n".join(evidence), hint=hint)


class _Feed:
    """What a container reads: what `source` gives, noted as movement, until `end`.

    As a context; the container gets `fd`.
    """

    def __init__(self, source: int, kept: Bounds) -> None:
        self._source = source
        self._kept = kept
        self.fd, self._writing = os.pipe()
        self._lock = threading.Lock()

    def __enter__(self) -> _Feed:
        threading.Thread(target=self._pump, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.fd)

    def end(self) -> None:
        with self._lock:
            if self._writing >= 0:
                os.close(self._writing)
            self._writing = -1

    def _pump(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(self._source, 65536):
                self._kept.moved(len(chunk))
                bounds.write_all(self._writing, chunk)
        self.end()
