"""Rows in columns that fit the terminal, and the short forms of what stands in them."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Sequence

from claude_container.errors import UsageError
from claude_container.terminal import visible

_GAP = 2
_LEAST = 8  # cells that a column keeps
_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def rows(
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    *,
    shrink: Sequence[int],
    right: Sequence[int],
) -> list[str]:
    """Lines of a table. On a terminal the columns `shrink` give way, in that order.

    Where output is no terminal's, COLUMNS counts, else nothing is shortened.
    """
    cells = [[c if c.isprintable() else visible(c) for c in row] for row in (head, *body)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    excess = sum(widths) + _GAP * (len(widths) - 1) - _columns()
    for column in shrink:
        less = max(0, min(excess, widths[column] - max(_LEAST, _width(head[column]))))
        widths[column] -= less
        excess -= less
    return [
        (" " * _GAP)
        .join(
            _fit(cell, width, path=at in shrink[:1], right=at in right)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        .rstrip()
        for row in cells
    ]


def _columns() -> int:
    if "COLUMNS" in os.environ or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return sys.maxsize


def _fit(cell: str, width: int, *, path: bool, right: bool) -> str:
    """A cell of that width; of what is too long for it, a path keeps its end."""
    while _width(cell) > width:
        cell = f"…{cell[2:]}" if path else f"{cell[:-2]}…"
    padding = " " * (width - _width(cell))
    return padding + cell if right else cell + padding


def _width(text: str) -> int:
    """Cells on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def short_path(path: str) -> str:
    """A path with ~ for the home directory, and no .git at its end."""
    path = path.removesuffix("/.git")
    home = os.path.expanduser("~").rstrip("/")
    if home and (path == home or path.startswith(f"{home}/")):
        return f"~{path[len(home) :]}"
    return path


def age(seconds: float) -> str:
    """How long ago, in the largest unit of which it is at least one."""
    for unit in ("w", "d", "h", "m"):
        # Two weeks are still 14d: one can count in days for a while.
        if seconds >= _UNITS[unit] * (4 if unit == "w" else 1):
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{max(0, int(seconds))}s"


def since(created: int) -> str:
    return age(time.time() - created) if created else "?"


def duration(word: str) -> int:
    """Seconds of "7d", "12h" or "2w". Raises UsageError."""
    match = re.fullmatch(r"(\d+)([mhdw])", word)
    if not match:
        raise UsageError(f"{word!r} is no length of time", hint="such as 12h, 7d or 2w")
    return int(match[1]) * _UNITS[match[2]]


def many(count: int, what: str, plural: str = "") -> str:
    """How many of something: "1 file", "2 files"."""
    return f"{count} {what if count == 1 else plural or f'{what}s'}"


def stayed(ignored: int, nested: int) -> str:
    """What did not come along into a new session, by count: "" for nothing."""
    left = [f"{ignored} ignored"] * bool(ignored)
    left += [many(nested, "repository inside", "repositories inside")] * bool(nested)
    return f"{' and '.join(left)} stayed here" if left else ""


def size(count: int) -> str:
    """Bytes in the unit that leaves at most three digits before the point."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
