"""`shell`: a shell in a session, in its container where it runs."""

from __future__ import annotations

from typing import Any

import click

from claude_container.cli import inside, names, options
from claude_container.cli.main import Call

_SHELL = ("/bin/sh", "-c", 'exec "${SHELL:-$(command -v bash || echo sh)}"')


@click.command("shell")
@click.argument("name", shell_complete=names.complete_work)
@options.launching
@click.option("--trust", is_flag=True, help="use the session's directory's own files, this once")
@click.pass_obj
def command(call: Call, /, name: str, **flags: Any) -> int:
    """Open a shell in session NAME.

    As the session's user, in /workspace; in its container where it is running, else in one
    made for it, without the token.
    """
    return inside.run(call, name, _SHELL, flags)
