"""`completion`: the script that makes a shell complete verbs, options and names."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from claude_container.cli.main import Call, cli

PROGRAM = "claude-container"
VARIABLE = "_CLAUDE_CONTAINER_COMPLETE"  # click's own name for it


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def command(call: Call, /, shell: str) -> None:
    """Print what makes your shell complete verbs, options and names of sessions.

    \b
    bash   eval "$(claude-container completion bash)"    in ~/.bashrc
    zsh    eval "$(claude-container completion zsh)"     in ~/.zshrc, after compinit
    fish   claude-container completion fish | source     in ~/.config/fish/config.fish
    """
    chosen = get_completion_class(shell)
    assert chosen is not None
    # Not BashComplete's own: that one runs bash to see how old it is.
    call.console.answer(ShellComplete.source(chosen(cli, {}, PROGRAM, VARIABLE)))
