"""Logging in as a conversation with the user: what `login` and a launch without a token share."""

from __future__ import annotations

import os
from collections.abc import Mapping

from claude_container import credentials, engines, host, images
from claude_container.cli import browser
from claude_container.cli.console import Console
from claude_container.config import Settings
from claude_container.credentials import Store, TokenError
from claude_container.login import check as checks
from claude_container.login.container import Place
from claude_container.login.setup import CodeRefused, LoginError, Setup, Unreadable, setup

_SECONDS = 15 * 60  # to sign in and come back with the code
_PASTE = "Paste the token (it does not show)"


def kept(chosen: Settings) -> Store:
    """Where the user's token is kept."""
    return credentials.store(chosen.token_store, host.config_dir(os.environ))


def place(chosen: Settings, env: Mapping[str, str] | None = None) -> Place:
    """Where a login runs with these settings: the default image, on a network that leads out.

    Raises UsageError.
    """
    ca = images.certificate(chosen.ca_file)
    return Place(
        engine=engines.get(chosen.engine),
        image=images.slim(ca),
        env={**host.proxies(os.environ), **(env or {})},
        network=None if chosen.network == "none" else chosen.network,
        ca=ca,
    )


def sign_in(console: Console, where: Place, store: Store, *, open_browser: bool) -> str:
    """Have the user sign in; return the new token, which was tried, and not kept yet.

    Only for a terminal. Raises TokenError, also where `store` could not keep one, LoginError
    and EngineError.
    """
    store.prepare()
    try:
        token = _converse(console, where, open_browser=open_browser)
    except Unreadable as error:
        console.warn(f"{error.what}; paste it here")
        network = ["--network", where.network] if where.network else []
        # The engine would keep what it prints.
        run = [where.engine.name, "run", "--rm", "-it", "--log-driver", "none", *network]
        console.hint(f"this prints one: {' '.join([*run, where.image.name, 'claude setup-token'])}")
        token = paste(console)
    _check(console, where, token)
    return token


def keep(console: Console, token: str, store: Store, *, replace: bool = False) -> None:
    """Keep a token, and say so. Raises AnotherToken, TokenError."""
    credentials.save(token, store, replace=replace)
    console.done(f"token saved to {store.place}")


def paste(console: Console) -> str:
    """A token that the user has from elsewhere. Raises TokenError."""
    pasted = console.ask_hidden(_PASTE, _SECONDS)
    if pasted is None:
        raise _too_late("token")
    # A terminal of 80 columns shows it in two lines.
    return credentials.checked("".join(pasted.split()), "what was pasted")


def _converse(console: Console, where: Place, *, open_browser: bool) -> str:
    with setup(where, console) as running:
        shown = ""
        ask = running.url
        while True:
            with console.task("asking claude where to sign in", passing=True):
                url = ask()
            if url != shown:
                _show(console, url, open_browser=open_browser and not shown)
                shown = url
            code = _ask_code(console, running)
            try:
                with console.task("getting the token", passing=True):
                    return running.enter(code)
            except CodeRefused as error:
                console.error(error)
                ask = running.again


def _show(console: Console, url: str, *, open_browser: bool) -> None:
    opened = open_browser and browser.open_page(url)
    console.doing(
        "sign in, in the browser that opens; if none does, here:"
        if opened
        else "open this in a browser, and sign in:"
    )
    console.link(url)


def _ask_code(console: Console, running: Setup) -> str:
    code = ""
    while not code:
        typed = console.ask_hidden(
            "Paste the code you get there (it does not show)",
            _SECONDS,
            given_up=lambda: running.ended,
        )
        if typed is None:
            running.url()  # raises why it ended, if that is why
            raise _too_late("code")
        code = typed
    return code


def _check(console: Console, where: Place, token: str) -> None:
    with console.task("trying the token", passing=True):
        verdict = checks.check(where, token, console)
    if verdict.status == checks.REFUSED:
        raise TokenError("the token does not work, and is not saved", evidence=verdict.said)
    if verdict.status == checks.UNKNOWN:
        console.warn(f"the token could not be checked: {verdict.said}")


def _too_late(what: str) -> LoginError:
    return LoginError(f"no {what} came within {_SECONDS // 60} minutes; nothing was saved")
