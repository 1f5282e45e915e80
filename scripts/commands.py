"""Write docs/commands.md from the help texts; with --check only say whether it is current."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from claude_container.cli.main import VERBS, cli

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"


# The same on every terminal.
WIDTH = {**cli.context_settings, "terminal_width": 88}


def help_of(words: list[str]) -> str:
    context = click.Context(cli, info_name="claude-container", **WIDTH)
    if not words:
        return cli.get_help(context)
    command = cli.get_command(context, words[0])
    assert command is not None
    return command.get_help(click.Context(command, context, words[0], **WIDTH))


def page() -> str:
    parts = ["# Commands\n\nWritten from the help texts by `make docs`; a test holds it current.\n"]
    for words in ([], *([verb] for verb in sorted(VERBS))):
        name = " ".join(["claude-container", *words])
        text = "\n".join(line.rstrip() for line in help_of(words).splitlines())
        parts.append(f"## `{name}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page() and "docs/commands.md is out of date: make docs")
    PAGE.write_text(page())
