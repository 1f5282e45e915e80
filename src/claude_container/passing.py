"""What an attached child writes, on its way through us."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import IO


class Errors:
    """stderr on its way through: its end is kept, and shown at once what is not held back.

    With nobody to read it, it is still drained, or the writer would stop.
    """

    def __init__(self, hold_back: bytes, sink: Callable[[bytes], None]) -> None:
        self.tail = bytearray()
        self._sink = sink
        self._hold_back = hold_back
        self._line = b""
        self._shown = 0  # bytes of the line

    def feed(self, chunk: bytes) -> None:
        self.tail.extend(chunk)
        del self.tail[:-4096]
        for piece in chunk.splitlines(keepends=True):
            self._line += piece
            start = self._line[: len(self._hold_back)]
            if not self._hold_back or not self._hold_back.startswith(start):
                self._show()
            # Its beginning is enough to know it by, and a line may never end.
            self._line = self._line[: len(self._hold_back)]
            self._shown = min(self._shown, len(self._line))
            if piece.endswith(b"\n"):
                self._line, self._shown = b"", 0

    def finish(self) -> None:
        """Show a last line that only began like one to hold back."""
        if len(self._line) < len(self._hold_back):
            self._show()

    def _show(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._sink(self._line[self._shown :])
        self._shown = len(self._line)


def own_stderr(written: bytes) -> None:
    """Write it to our own stderr, at once."""
    sys.stderr.buffer.write(written)
    sys.stderr.buffer.flush()


def pump(source: IO[bytes] | None, sink: Callable[[bytes], None]) -> threading.Thread:
    """Hand on what comes, as it comes, until it ends; a thread does it."""

    def run() -> None:
        assert source is not None
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(source.fileno(), 65536):
                sink(chunk)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
