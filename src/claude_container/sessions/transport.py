"""git's wire protocol, in and out of a session: what the remote helper joins its pipes to."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from claude_container import images
from claude_container.engines.base import Engine, EngineError, Streams
from claude_container.errors import ClaudeContainerError
from claude_container.sessions import bounds, workspace
from claude_container.sessions.bounds import Bounds, Tail
from claude_container.sessions.pack import Meter, Nonsense
from claude_container.sessions.wire import Wire
from claude_container.terminal import visible

SERVICES = ("git-upload-pack", "git-receive-pack")
LIMIT = bounds.LIMIT
# A host that sends may first have to pack for long, and a session to unpack.
_SILENCE_OF_A_PUSH = 900.0

_HINTS = {
    bounds.MUCH: 'fetch_limit = "20g" in your config file allows more',
    bounds.LONG: "fetch_timeout = 300 in your config file waits longer",
}


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
    limit: int = LIMIT,
    silence: float = bounds.SILENCE,
) -> None:
    """Run one of SERVICES in a container, joined to two file descriptors.

    `protocol` is git's GIT_PROTOCOL. With `look` upload-pack also shows the ref
    that look.py reads. Raises TransportError, EngineError.
    """
    reads = service == "git-upload-pack"
    words = [service, *(["look"] if look else [])]
    spec = workspace.spec(session, *words, read_only=reads, env={"GIT_PROTOCOL": protocol})
    container = workspace.create(engine, spec, progress)
    kept = Bounds(limit, silence, None if reads else max(silence, _SILENCE_OF_A_PUSH))
    out = _Out(kept, Wire(Meter(limit) if reads else None), stdout)
    said = Tail()
    code = None
    try:
        with (
            kept.kept(lambda: workspace.discard(engine, container), reader=stdout),
            _pumped(stdin, kept) as fed,
        ):
            streams = Streams(stdin=fed, stdout=out.write, stderr=said.add)
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


class _Out:
    """What comes out of a session, on its way to git here."""

    def __init__(self, kept: Bounds, wire: Wire, fd: int) -> None:
        self._kept = kept
        self._wire = wire
        self._fd = fd

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


@contextlib.contextmanager
def _pumped(source: int, kept: Bounds) -> Iterator[int]:
    """A file descriptor that gives what `source` gives, while that is noted as movement."""
    reading, writing = os.pipe()

    def pump() -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(source, 65536):
                kept.moved(len(chunk))
                bounds.write_all(writing, chunk)
        os.close(writing)

    threading.Thread(target=pump, daemon=True).start()
    try:
        yield reading
    finally:
        os.close(reading)
