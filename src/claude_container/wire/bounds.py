"""How much may come out of a container, and how long it may say nothing."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LIMIT = 2 << 30  # bytes out of a session in one fetch, packed and unpacked alike
SILENCE = 60.0  # seconds without a byte in either direction
# Who sends less than this in ten times as long is stopped, too.
_LITTLE = 65536
# Why it was stopped, where a setting could allow it.
MUCH, LONG = "much", "long"
NOBODY = "git here went away"
_LEAVE = 2.0  # seconds that a container has to end by itself then


@dataclass(frozen=True)
class Limits:
    """What the user lets one fetch bring, in bytes, and how long it may be silent, in seconds."""

    bytes: int = LIMIT
    silence: float = SILENCE


DEFAULT = Limits()


class Bounds:
    """How many bytes may come, and how many seconds of silence may pass.

    `broken` says in words why it was stopped, and is empty as long as it was not. `later`
    is the silence that is borne once something came: a host that sends may first have to
    pack for long, and git in there to work on what it got.
    """

    def __init__(
        self, limit: int = LIMIT, silence: float = SILENCE, later: float | None = None
    ) -> None:
        self.limit = limit
        self.broken = ""
        self.why = ""
        self._silence = silence
        self._later = silence if later is None else later
        self._sent = 0
        self._busy = False
        self._start()

    def _start(self) -> None:
        self._last = self._since = time.monotonic()
        self._little = 0

    def moved(self, count: int) -> None:
        """So many bytes went either way."""
        self._last = time.monotonic()
        self._little += count
        if self._little >= _LITTLE:
            self._start()

    def came(self, count: int) -> bool:
        """Count bytes that came out; False if they, or others before, are too many."""
        self._sent += count
        self._silence = self._later
        if self._sent > self.limit:
            self.stop(f"it sent more than {self.limit} bytes", MUCH)
        return not self.broken

    def stop(self, broken: str, why: str = "") -> None:
        """Note what was broken first; the watch stops it."""
        if not self.broken:
            self.broken, self.why = broken, why

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Work of our own, and of who reads us: no silence of theirs."""
        begun = time.monotonic()
        self._busy = True
        try:
            yield
        finally:
            took = time.monotonic() - begun
            self._last += took
            self._since += took
            self._busy = False

    @contextlib.contextmanager
    def kept(self, stop: Callable[[], None], reader: int | None = None) -> Iterator[None]:
        """While this is open: call `stop` once a bound is broken, or nobody reads `reader`."""
        self._start()
        ended = threading.Event()
        watching = threading.Thread(target=self._watch, args=(ended, stop, reader))
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()

    def _watch(self, ended: threading.Event, stop: Callable[[], None], reader: int | None) -> None:
        left = 0.0
        while not ended.wait(0.1):
            now = time.monotonic()
            if reader is not None and _is_gone(reader):
                left = left or now
                if now - left > _LEAVE:
                    self.stop(NOBODY)
            elif self._busy:
                pass
            elif now - self._last > self._silence:
                self.stop(f"nothing came for {self._silence:.0f} s", LONG)
            elif now - self._since > 10 * self._silence:
                self.stop(f"next to nothing came for {now - self._since:.0f} s", LONG)
            if self.broken:
                stop()
                return


def _is_gone(fd: int) -> bool:
    """Whether whoever reads a pipe of ours has closed it."""
    if not hasattr(select, "poll"):  # Windows: writing to it fails, which is enough as a rule
        return False
    asked = select.poll()
    asked.register(fd, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


class Tail:
    """The end of what a program says, whose length nobody bounds."""

    def __init__(self, size: int = 16384) -> None:
        self._size = size
        self._kept = b""

    def add(self, chunk: bytes) -> None:
        """Keep what follows, and forget what is too far back."""
        self._kept = (self._kept + chunk)[-self._size :]

    def __bytes__(self) -> bytes:
        return self._kept


def write_all(fd: int, chunk: bytes) -> None:
    """Write all of it, however often that takes. Raises OSError."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]
