"""The terminal's modes, put back as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def terminal_restored() -> Iterator[None]:
    """Whatever a program inside does to the terminal on stdin, and however it ends."""
    try:
        import termios
    except ImportError:  # Windows: the console restores its own modes
        yield
        return
    try:
        saved = termios.tcgetattr(0)
    except termios.error:
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
