"""The terminal: its modes, put back as they were, and text that cannot drive it."""

from __future__ import annotations

import contextlib
import unicodedata
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
