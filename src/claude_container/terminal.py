"""The terminal: its modes, put back as they were, and text that cannot drive it."""

from __future__ import annotations

import contextlib
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator

_LOOK = 0.2  # seconds between looks at whether waiting still makes sense
_QUIET = 0.7  # seconds without a key after which an Enter was the last: packets come late
_MOST = 8192  # characters that can be an answer
# What a terminal may put around a paste, and what is nobody's answer: ^D.
_NO_KEYS = re.compile(r"\x1b\[20[01]~|\x04")


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
    """What is typed or pasted at the terminal on stdin, which does not show it, up to Enter.

    A paste of several lines is one: Enter counts once nothing follows it. None when `seconds`
    are over or `given_up` says so. Raises EOFError at the input's end, KeyboardInterrupt at ^C;
    the terminal's modes are put back whatever happens.
    """
    until = time.monotonic() + seconds
    typed, last = "", time.monotonic()
    with terminal_restored(), _keys() as pressed:
        while time.monotonic() < until and not given_up():
            keys = pressed(_LOOK)
            if not keys and typed.endswith("\n") and time.monotonic() > last + _QUIET:
                return _NO_KEYS.sub("", typed).strip()
            for key in keys:
                typed, last = _edited(typed, key), time.monotonic()
    return None


def _edited(typed: str, key: str) -> str:
    """The line after one more key. The terminal itself would do this, but a line at a time."""
    if key in "\b\x7f":
        return typed[:-1]
    if key in "\x15\x17":  # ^U, ^W
        return ""
    if key == "\x04" and not typed:
        raise EOFError
    return typed + ("\n" if key == "\r" else key) if len(typed) < _MOST else typed


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Keys as they come, unseen: what is yielded waits so many seconds for some ("": none)."""
    try:
        import termios
    except ImportError:
        yield _console_keys
        return
    import select

    def pressed(seconds: float) -> str:
        try:
            # Each time: after ^Z and fg it is the shell that had set them.
            modes = termios.tcgetattr(0)
            if modes[3] & (termios.ECHO | termios.ICANON):
                modes[3] &= ~(termios.ECHO | termios.ICANON)
                modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
                termios.tcsetattr(0, termios.TCSADRAIN, modes)
            if not select.select([0], [], [], seconds)[0]:
                return ""
            keys = os.read(0, 4096)
        except (OSError, termios.error):  # the terminal is gone
            raise EOFError from None
        if not keys:
            raise EOFError
        return keys.decode(errors="replace")

    try:
        yield pressed
    finally:
        # What comes late is nothing for the shell to run.
        with contextlib.suppress(termios.error):
            termios.tcflush(0, termios.TCIFLUSH)


def _console_keys(seconds: float) -> str:
    """The same on a Windows console. Not run here."""
    import msvcrt

    until = time.monotonic() + seconds
    while not msvcrt.kbhit():  # type: ignore[attr-defined]
        if time.monotonic() > until:
            return ""
        time.sleep(0.01)
    key: str = msvcrt.getwch()  # type: ignore[attr-defined]
    if key == "\x03":
        raise KeyboardInterrupt
    if key == "\x1a":  # ^Z ends input there
        raise EOFError
    return key


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
