"""Signals that end us, held back for a moment that must not be cut in two."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
_SECONDS = 3.0  # after which a signal acts at once: an engine that hangs must not hang us


@contextlib.contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Take note of ^C, TERM and HUP inside; what this yields lets them act, once outside.

    For starting a process: until `subprocess.Popen` has returned nobody knows of the child, so
    an exception then would leave it running. And for clearing up, which a terminal that closes
    interrupts more than once. Only the main thread meets signals.
    """
    until = time.monotonic() + _SECONDS
    over = False
    came: list[tuple[Any, int, FrameType | None]] = []
    saved: dict[int, Any] = {}

    def act() -> None:
        for handler, signum, frame in came:
            handler(signum, frame)

    def note(signum: int, frame: FrameType | None) -> None:
        if over or time.monotonic() > until:
            saved[signum](signum, frame)
        else:
            came.append((saved[signum], signum, frame))

    try:
        if threading.current_thread() is threading.main_thread():
            for name in _ENDING:
                signum = getattr(signal, name, None)
                # Those that are ignored stay so (nohup), and what is not Python's as it is.
                if signum is not None and callable(handler := signal.getsignal(signum)):
                    saved[signum] = handler
                    signal.signal(signum, note)
        yield act
    finally:
        over = True  # one that comes while they are put back acts
        for number, handler in saved.items():
            signal.signal(number, handler)
