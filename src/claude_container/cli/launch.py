"""The launch itself, the call without a verb."""

from __future__ import annotations

from typing import Any

import click

from claude_container import host
from claude_container.cli import names, options, planning, settings
from claude_container.cli.console import Console
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.engines.base import Engine
from claude_container.errors import UsageError
from claude_container.sessions import enter, model
from claude_container.sessions.enter import Launch


@click.command("launch", hidden=True)
@click.argument("dockerfile", required=False)
@click.option("--session", "-s", metavar="NAME", help="a conversation of this name")
@click.option("--continue", "-c", "continue_", is_flag=True, help="go on where it was left")
@click.option("--build", "-b", is_flag=True, help="build the image again first")
@click.option(
    "--dir",
    "-d",
    "dir_",
    metavar="PATH",
    help="work on a layer over PATH (deprecated)",
    shell_complete=names.complete_folder,
)
@click.option("--accept-privileged", is_flag=True, help="let --dir mount where it has to")
@options.launching
@click.option("--trust", is_flag=True, help="use this directory's own files, this once")
@click.pass_obj
def command(call: Call, /, dockerfile: str | None, **flags: Any) -> int:
    """Run Claude Code in a container, in the current directory."""
    if flags["dir_"] is not None:
        from claude_container.cli import overlay

        return overlay.run(call, flags, dockerfile)
    if flags["accept_privileged"]:
        raise UsageError("--accept-privileged goes with --dir")
    directory = settings.working_directory()
    settings.check_workspace(directory)
    name = flags["session"]
    session = model.default_name(directory) if name is None else model.check_name(name)
    resolved = planning.resolve(call, directory, flags, dockerfile)
    launch, engine = planning.plan(call, directory, session, flags, resolved, in_place=True)
    return run(call.console, engine, launch)


def run(console: Console, engine: Engine, launch: Launch) -> int:
    """Launch, and meanwhile clear what launches that were cut short left behind."""
    if not host.can_write(launch.directory):
        console.warn(f"Claude can read, but not write, in {launch.directory}")

    talking = launch.streams.tty and not {"-p", "--print"} & set(launch.claude_args)

    def before_start() -> None:
        if talking:
            console.doing(f"Claude works in {launch.directory} itself, not on a copy of it")
            console.hint("claude-container start NAME gives it a copy")

    with sweeping(console, engine):
        code = enter.enter(engine, launch, console, before_start)
    if launch.streams.tty and code == 130:
        console.warn("interrupted")
    if talking and code == 0:
        named = launch.session != model.default_name(launch.directory)
        again = f"claude-container{f' -s {launch.session}' if named else ''} --continue"
        console.done(f"left the conversation; to go on with it: {again}")
    return code
