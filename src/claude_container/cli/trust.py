"""`trust`: this directory's own Dockerfile and settings may be used."""

from __future__ import annotations

import os
from pathlib import Path

import click

from claude_container import config, host
from claude_container.cli.main import Call


@click.command("trust")
@click.argument("directory", type=click.Path(exists=True, file_okay=False), default=".")
@click.pass_obj
def command(call: Call, /, directory: str) -> None:
    """Trust a directory (this one by default): its Dockerfile may be built, its settings count.

    What counts of them: image, dockerfile and publish in .claude-container.toml.
    Mounts, variables, networks and the like only ever come from your own config file or flags.
    It is this very directory that is trusted, not those in it.
    """
    root = Path(directory).resolve()
    config.TrustStore(host.config_dir(os.environ)).remember(root, True)
    call.console.done(f"trusted: {root}")
