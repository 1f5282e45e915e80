"""`logout`: keep no token any more."""

from __future__ import annotations

import os

import click

from claude_container import credentials, host
from claude_container.cli import own
from claude_container.cli.main import Call
from claude_container.credentials import TokenError

_REVOKE = "claude.ai/settings/claude-code revokes it everywhere"  # as setup-token says (2.1.330)


@click.command("logout")
@click.pass_obj
def command(call: Call, /) -> None:
    """Remove the saved token from this machine; it stays valid until it is revoked."""
    console = call.console
    removed, failed = False, None
    # One from before token_store was set is no less there.
    for kind in dict.fromkeys([credentials.FILE, own.settings().token_store or credentials.FILE]):
        try:
            store = credentials.store(kind, host.config_dir(os.environ))
            if store.remove():
                console.done(f"token removed: {store.place}")
                removed = True
        except TokenError as error:
            failed = error
    if removed:
        console.hint(_REVOKE)
    elif failed is None:
        console.doing("there is no saved token")
    if failed is not None:
        raise failed
    if os.environ.get(credentials.VARIABLE):
        console.warn(f"{credentials.VARIABLE} is set here, and launches still use it")
