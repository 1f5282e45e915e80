"""`untrust`: forget the answer to the question of trust; it will be asked again."""

from __future__ import annotations

import os
from pathlib import Path

import click

from claude_container import config, host
from claude_container.cli import included
from claude_container.cli.main import Call


@click.command("untrust")
@click.argument("directory", type=click.Path(), default=".")
@click.pass_obj
def command(call: Call, /, directory: str) -> None:
    """Forget what was said about trusting a directory (this one by default)."""
    root = Path(directory).resolve()
    store = config.TrustStore(host.config_dir(os.environ))
    said = [path for path in (root, included.trusted_as(root)) if store.said(path) is not None]
    if not said:
        call.console.done(f"nothing was said about {root}")
        return
    for path in said:
        store.remember(path, None)
    call.console.done(f"forgotten: {root}")
