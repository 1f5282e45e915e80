"""Files and risks of a difference as rows that fit the terminal, or as paths for a program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from claude_container.changes.review import File
from claude_container.changes.risks import Risk
from claude_container.terminal import visible

LISTED = 30  # of everything that can be long
_MODES = {"100644": "a file", "100755": "a program", "120000": "a link", "160000": "a submodule"}
_QUOTED = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def pathspecs(top: Path, words: Sequence[str]) -> tuple[str, ...]:
    """Paths as typed where the user stands, seen from the root of the tree, where git runs."""
    here = os.path.relpath(os.path.realpath(os.curdir), os.path.realpath(top))
    if here.split(os.sep)[0] in (os.curdir, os.pardir):
        return tuple(words)
    return tuple(word if word.startswith(":") else os.path.join(here, word) for word in words)


def files(found: Sequence[File], limit: int | None) -> Iterator[str]:
    """A line for each file, and one for those beyond the limit."""
    names = [_name(file) for file in found[:limit]]
    lines = [_lines(file) for file in found[:limit]]
    room = max(20, width() - 5 - max((len(click.unstyle(line)) for line in lines), default=0))
    room = min(room, max(map(len, names), default=0))
    for file, name, line in zip(found, names, lines, strict=False):
        # The end of a path tells more than its beginning.
        name = name if len(name) <= room else "…" + name[1 - room :]
        sign = click.style(file.status, fg="cyan")
        yield f"{sign}  {name:<{room}}  {line}".rstrip()
    if limit is not None and len(found) > limit:
        yield f"… and {len(found) - limit} more: --stat shows them"


def _name(file: File) -> str:
    return visible(file.path if file.old is None else f"{file.old} → {file.path}")


def _lines(file: File) -> str:
    if file.added is None:
        told = "binary"
    else:
        added = click.style(f"+{file.added}", fg="green") if file.added else ""
        removed = click.style(f"-{file.removed}", fg="red") if file.removed else ""
        told = " ".join(filter(None, (added, removed)))
    if file.old_mode != file.new_mode and file.status not in "AD":
        told += f"  now {_MODES.get(file.new_mode, file.new_mode)}"
    elif file.status == "A" and file.new_mode != "100644":
        told += f"  {_MODES.get(file.new_mode, file.new_mode)}"
    return told.strip()


def risks(found: Sequence[Risk]) -> Iterator[str]:
    """A line or two for each risk."""
    for risk in found:
        sign = careful() if risk.confirm else "·"
        row = f"{risk.kind:<10}  {visible(risk.path)}".rstrip()
        why = visible(risk.why)
        if len(row) + len(why) + 6 <= width():
            yield f"{sign} {row}  {why}"
        else:
            yield from (f"{sign} {row}", f"{'':<14}{why}")


def write_paths(found: Sequence[File], null: bool) -> None:
    """Write the paths, one a line, or with `null` as they are with a NUL after each.

    On a terminal nothing can hide in them; elsewhere those that could be misread are quoted.
    """
    if null:
        rows = [os.fsencode(file.path) + b"\0" for file in found]
    elif sys.stdout.isatty():
        rows = [visible(file.path).encode() + b"\n" for file in found]
    else:
        rows = [os.fsencode(_quoted(file.path)) + b"\n" for file in found]
    click.echo(b"".join(rows), nl=False)


def _quoted(path: str) -> str:
    """A path that could be taken for two, or for a quoted one, in quotes as git makes them."""
    if not any(letter < " " or letter in '\x7f"\\' for letter in path):
        return path
    escaped = (
        _QUOTED.get(letter)
        or (f"\\{ord(letter):03o}" if letter < " " or letter == "\x7f" else letter)
        for letter in path
    )
    return f'"{"".join(escaped)}"'


def some(rows: Sequence[str], count: int) -> Iterator[str]:
    """The first rows, and how many of `count` are not among them."""
    yield from rows[:LISTED]
    if count > (shown := len(rows[:LISTED])):
        yield f"  … and {count - shown} more: --json shows what is known of them"


def careful() -> str:
    """The sign of what needs care."""
    return click.style("⚠", fg="yellow", bold=True)


def width() -> int:
    """Columns of the terminal."""
    return max(60, shutil.get_terminal_size((80, 24)).columns)


def cut(text: str, taken: int = 0) -> str:
    """Text that fits into a line of which so many columns are taken."""
    room = width() - taken
    return text if len(text) <= room else text[: room - 1] + "…"
