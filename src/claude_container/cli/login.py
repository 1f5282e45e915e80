"""`login`: get a token, with nothing on this machine but the engine."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from claude_container import credentials, host
from claude_container.cli import dialogue, options, own
from claude_container.cli.console import Console
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.config import Settings
from claude_container.credentials import AnotherToken
from claude_container.errors import UsageError

_LIMIT = 1 << 16  # bytes of standard input; a token has a hundred


@click.command("login")
@click.option("--with-token", is_flag=True, help="read one from standard input")
@click.option("--replace", is_flag=True, help="in place of another that is saved")
@click.option("--no-browser", is_flag=True, help="only show where to sign in")
@options.reaching
@click.pass_obj
def command(call: Call, /, with_token: bool, replace: bool, no_browser: bool, **flags: Any) -> int:
    """Sign in to Claude, and keep the token for every launch.

    Runs `claude setup-token` in a container: you sign in in a browser, and paste the code that
    you get. The token lasts a year; it is checked with one small request, and kept in a
    file of mode 600 or, with token_store = "keyring", in the system's keyring.
    """
    console = call.console
    chosen = own.settings(Settings(**flags))
    store = dialogue.kept(chosen)
    if os.environ.get(credentials.VARIABLE):
        console.warn(f"{credentials.VARIABLE} is set here, and comes before the one that is saved")
    if with_token:
        token = _given(console)
        dialogue.keep(console, token, store, replace=replace)
        if not credentials.SETUP_TOKEN.fullmatch(token):
            console.warn(f"its shape is {credentials.shape(token)}")
        console.hint("claude-container auth status --check tries it")
        return 0
    if not console.terminal:
        if host.in_ci(os.environ):
            raise credentials.missing(ci=True, place=store.place, environ=os.environ)
        raise UsageError(
            "login needs a terminal",
            hint="with a token at hand: claude-container login --with-token <FILE",
        )
    if not replace and store.read() is not None:
        console.done(f"token found: {store.place}")
        replace = console.confirm("Sign in again, and replace it?")
        if not replace:
            return 0
    where = dialogue.place(chosen)
    with sweeping(console, where.engine):
        token = dialogue.sign_in(console, where, store, open_browser=not no_browser)
    try:
        dialogue.keep(console, token, store, replace=replace)
    except AnotherToken as error:  # of another login, meanwhile
        console.warn(error.what)
        if not console.confirm("Replace it by this one?"):
            raise
        dialogue.keep(console, token, store, replace=True)
    return 0


def _given(console: Console) -> str:
    """The token on standard input; asked for where that is a terminal. Raises TokenError."""
    if sys.stdin is not None and sys.stdin.isatty():
        if not console.terminal:
            raise UsageError("to type a token takes a terminal for the question, too")
        return dialogue.paste(console)
    text = sys.stdin.buffer.read(_LIMIT).decode(errors="replace") if sys.stdin else ""
    return credentials.checked(text.strip(), "standard input")
