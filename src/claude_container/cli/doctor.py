"""`doctor`: would a launch work here, and if not, what to do."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from claude_container import engines, git, images
from claude_container.cli import planning, settings
from claude_container.cli.main import Call
from claude_container.cli.options import engine_option
from claude_container.cli.sweep import sweeping
from claude_container.config import Settings
from claude_container.images import Choice
from claude_container.process import ProcessError
from claude_container.sessions import checkup

_SIGNS = {checkup.OK: ("✓", "green"), checkup.WARN: ("⚠", "yellow"), checkup.FAIL: ("✗", "red")}


@click.command("doctor")
@engine_option
@click.option("--image", metavar="IMAGE", help="look at this image")
@click.option("--json", "as_json", is_flag=True, help="the rows as JSON")
@click.pass_obj
def command(call: Call, /, as_json: bool, **flags: Any) -> int:
    """Check what a launch needs in this directory: exit code 1 if it would fail."""
    directory = settings.working_directory()
    resolved = settings.resolve(call.console, directory, Settings(**flags), ask=False)

    env = settings.environment(resolved.settings.env)

    def choose() -> Choice:
        ca = images.certificate(resolved.settings.ca_file)
        return planning.choose_image(directory, resolved, ca)

    def see_directory() -> str:
        settings.check_workspace(directory)
        return str(directory)

    def see_token() -> str:
        token = planning.find_token(env, resolved.settings)
        return f"from {token.source}" if token else "none: --env chose another way to log in"

    engine = engines.get(resolved.settings.engine)
    waiting = call.console.task("looking at engine, image and token", quiet=True)
    with waiting, sweeping(call.console, engine):
        checks = checkup.look(engine, choose, {"directory": see_directory, "token": see_token})
    checks.append(_git())
    if resolved.untrusted:
        seen = f"not trusted, so not used: {', '.join(resolved.untrusted)}"
        hint = "a launch asks; without a terminal it fails: claude-container trust"
        checks.append(checkup.Check("trust", checkup.WARN, seen, hint))
    checks += [checkup.Check("container", checkup.WARN, note) for note in resolved.notes]
    if as_json:
        call.console.answer(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            sign, color = _SIGNS[check.status]
            call.console.answer(f"{click.style(sign, fg=color)} {check.name:<9} {check.seen}")
            if check.hint:
                call.console.answer(f"  hint: {check.hint}")
    return int(any(check.status == checkup.FAIL for check in checks))


def _git() -> checkup.Check:
    """The host's git, and whether it finds the remote helper in any shell of the user's."""
    try:
        version = git.git("version", cwd=Path("/")).text
    except ProcessError as error:
        hint = "install it: git sessions need one here"
        return checkup.Check("git", checkup.FAIL, error.what, hint)
    if shutil.which(git.HELPER):
        return checkup.Check("git", checkup.OK, f"{version}, with claude-container:: addresses")
    seen = f"{version}; {git.HELPER} is not on PATH"
    hint = f"for git fetch claude-container::NAME add {git.scripts() or 'its folder'} to PATH"
    return checkup.Check("git", checkup.WARN, seen, hint)
