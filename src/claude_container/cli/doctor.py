"""`doctor`: would a launch work here, and if not, what to do."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

import click

from claude_container import credentials, engines, host
from claude_container.cli import launch, settings
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.config import Settings
from claude_container.images import Choice
from claude_container.sessions import checkup

_SIGNS = {checkup.OK: ("✓", "green"), checkup.WARN: ("⚠", "yellow"), checkup.FAIL: ("✗", "red")}


@click.command("doctor")
@click.option("--engine", metavar="NAME", help="docker (the default)")
@click.option("--image", metavar="IMAGE", help="look at this image")
@click.option("--json", "as_json", is_flag=True, help="the rows as JSON")
@click.pass_obj
def command(call: Call, /, as_json: bool, **flags: Any) -> int:
    """Check what a launch needs in this directory: exit code 1 if it would fail."""
    directory = settings.working_directory()
    resolved = settings.resolve(call.console, directory, Settings(**flags), ask=False)

    def choose() -> Choice:
        return launch.choose_image(resolved, settings.certificate(resolved.settings.ca_file))

    engine = engines.get(resolved.settings.engine)
    waiting = call.console.task("looking at engine, image and token", quiet=True)
    with waiting, sweeping(call.console, engine):
        checks = checkup.look(engine, choose, token_source)
    if as_json:
        call.console.answer(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            sign, color = _SIGNS[check.status]
            call.console.answer(f"{click.style(sign, fg=color)} {check.name:<9} {check.seen}")
            if check.hint:
                call.console.answer(f"  hint: {check.hint}")
    return int(any(check.status == checkup.FAIL for check in checks))


def token_source() -> str:
    """Where the token would come from. Raises TokenError where there is none to use."""
    folder = host.config_dir(os.environ)
    token = credentials.find(os.environ, folder)
    if token is None:
        ci = host.in_ci(os.environ)
        raise credentials.missing(ci=ci, folder=folder, environ=os.environ)
    return token.source
