"""Write docs/commands.md from the help texts; with --check only say whether it is current."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from claude_container.cli.main import cli

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"


# The same on every terminal.
WIDTH = {**cli.context_settings, "terminal_width": 88}


def helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """(what to type, its help) of a command and all in it."""
    yield context.command_path, command.get_help(context)
    for name in sorted(command.list_commands(context)) if isinstance(command, click.Group) else ():
        inner = command.get_command(context, name)
        assert inner is not None
        yield from helps(inner, click.Context(inner, context, name, **WIDTH))


def page() -> str:
    parts = ["# Commands\n\nWritten from the help texts by `make docs`; a test holds it current.\n"]
    for typed, help in helps(cli, click.Context(cli, info_name="claude-container", **WIDTH)):
        text = "\n".join(line.rstrip() for line in help.splitlines())
        parts.append(f"## `{typed}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page() and "docs/commands.md is out of date: make docs")
    PAGE.write_text(page())
