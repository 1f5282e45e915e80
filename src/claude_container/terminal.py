"""The terminal: its modes, put back as they were, and text that cannot drive it."""

from __future__ import annotations

import contextlib
import os
import time
import unicodedata
from collections.abc import Callable, Iterator

_LOOK = 0.2  # seconds between looks at whether waiting still makes sense


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


def read_hidden(seconds: float, given_up: Callable[[], bool]) -> str | None:
    """A line typed at the terminal on stdin, which does not show it.

    None when `seconds` are over or `given_up` says so. Raises EOFError at the input's end
    and KeyboardInterrupt; the terminal's modes are put back whatever happens.
    """
    until = time.monotonic() + seconds

    def waiting() -> bool:
        return time.monotonic() < until and not given_up()

    try:
        import termios
    except ImportError:
        return _read_console(waiting)
    import select

    with terminal_restored():
        typed = b""
        while waiting():
            # Each time: after ^Z and fg it is the shell that had set them.
            modes = termios.tcgetattr(0)
            if modes[3] & termios.ECHO:
                modes[3] &= ~termios.ECHO
                termios.tcsetattr(0, termios.TCSADRAIN, modes)
            if select.select([0], [], [], _LOOK)[0]:
                if not (piece := os.read(0, 4096)):
                    raise EOFError
                typed += piece
                if typed.endswith(b"\n"):
                    return typed.decode(errors="replace").strip()
    return None


def _read_console(waiting: Callable[[], bool]) -> str | None:
    """The same on a Windows console, where a key is taken as it comes. Not run here."""
    import msvcrt

    typed = ""
    while waiting():
        if not msvcrt.kbhit():  # type: ignore[attr-defined]
            time.sleep(_LOOK / 10)
        elif (key := msvcrt.getwch()) in "\r\n":  # type: ignore[attr-defined]
            return typed.strip()
        elif key == "\x03":
            raise KeyboardInterrupt
        elif key == "\x1a":
            raise EOFError
        else:
            typed = typed[:-1] if key == "\b" else typed + key
    return None


def visible(text: str) -> str:
    """Text of an agent's on one line, in which nothing moves a cursor, hides or reorders.

    Controls, format characters (bidirectional ones, for example) and what is no
    character at all (half a surrogate, from a name that is not UTF-8) show as escapes.
    """
    return "".join(
        character.encode("unicode_escape", "surrogatepass").decode()
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else character
        for character in text
    )
