"""`logout`: keep no token any more."""

from __future__ import annotations

import os

import click

from claude_container import credentials, host
from claude_container.cli import dialogue, settings
from claude_container.cli.main import Call
from claude_container.config import Settings

_REVOKE = "claude.ai/settings/claude-code revokes it everywhere"  # as setup-token says (2.1.330)


@click.command("logout")
@click.pass_obj
def command(call: Call, /) -> None:
    """Remove the saved token from this machine; it stays valid until it is revoked."""
    console = call.console
    directory = settings.working_directory()
    chosen = settings.resolve(console, directory, Settings(), ask=False).settings
    # One from before token_store was set is no less there.
    stores = [dialogue.kept(chosen)]
    if chosen.token_store == credentials.KEYRING:
        stores.append(credentials.store(credentials.FILE, host.config_dir(os.environ)))
    removed = [store.place for store in stores if store.remove()]
    for place in removed:
        console.done(f"token removed: {place}")
    if removed:
        console.hint(_REVOKE)
    else:
        console.doing("there is no saved token")
    if os.environ.get(credentials.VARIABLE):
        console.warn(f"{credentials.VARIABLE} is set here, and launches still use it")
