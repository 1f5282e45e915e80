"""`exec`: a command in a session, in its container where it runs."""

from __future__ import annotations

from typing import Any

import click

from claude_container.cli import inside, names, options
from claude_container.cli.main import Call
from claude_container.errors import UsageError


@click.command("exec")
@click.argument("name", metavar="NAME -- CMD", shell_complete=names.complete_work)
@options.launching
@click.option("--trust", is_flag=True, help="use the session's directory's own files, this once")
@click.pass_obj
def command(call: Call, /, name: str, **flags: Any) -> int:
    """Run a command in session NAME: claude-container exec NAME -- CMD.

    As the session's user, in /workspace; in its container where it is running, else in one
    made for it, without the token. The exit code is the command's own.
    """
    if not call.claude_args:
        raise UsageError("no command to run", hint=f"claude-container exec {name} -- git log")
    return inside.run(call, name, call.claude_args, flags)
