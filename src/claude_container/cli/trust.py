"""`trust`: this directory's own Dockerfile and settings may be used."""

from __future__ import annotations

import os
from pathlib import Path

import click

from claude_container import config, host
from claude_container.cli import included, settings
from claude_container.cli.main import Call
from claude_container.terminal import visible


@click.command("trust")
@click.argument("directory", type=click.Path(exists=True, file_okay=False), default=".")
@click.pass_obj
def command(call: Call, /, directory: str) -> None:
    """Trust a directory (this one by default): its Dockerfile may be built, its settings count.

    What counts of them: image, dockerfile, devcontainer, publish and include in
    .claude-container.toml, .worktreeinclude, and what docs/devcontainer.md says of
    devcontainer.json. It is these files as they are now: of one that changed you are
    asked again. Mounts, networks and the like only ever come from your own config file or
    flags. It is this very directory that is trusted, not those in it.
    """
    root = Path(directory).resolve()
    there, include = settings.brings(call.console, root)
    wanted = included.asked(root, include)
    store = config.TrustStore(host.config_dir(os.environ))
    store.remember(root, there.things)
    call.console.done(f"trusted: {root}")
    for thing in there.in_words:
        call.console.hint(f"it brings {thing}")
    if wanted.patterns:
        store.remember(included.trusted_as(root), wanted.things)
        named = ", ".join(map(visible, wanted.patterns))
        call.console.hint(f"ignored files may come along into sessions: {named}")
