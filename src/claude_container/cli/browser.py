"""The user's browser, where there is one that does not take the terminal."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping

from claude_container import host
from claude_container.process import SECRET_VARIABLES

# In WSL, whose own xdg-open is missing or finds nothing: wslu's, else Windows itself.
_WSL = ("wslview", "explorer.exe")


def command(
    environ: Mapping[str, str],
    platform: str,
    which: Callable[[str], str | None] = shutil.which,
) -> str | None:
    """What to open a page with: "" for what the system has, a program, or None for nothing.

    Over ssh a browser would open on another desk; without a display those that are left
    are for the terminal.
    """
    if environ.get("BROWSER"):
        return ""
    if environ.get("SSH_CONNECTION"):
        return None
    if platform in ("macos", "windows"):
        return ""
    if platform.startswith("wsl ") and (found := next(filter(which, _WSL), None)):
        return found
    return "" if environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") else None


def open_page(url: str) -> bool:
    """Show a page in the user's browser; whether one was asked to."""
    program = command(os.environ, host.platform())
    if program is None:
        return False
    import webbrowser

    with contextlib.suppress(webbrowser.Error, OSError), _without_secrets():
        browser = webbrowser.BackgroundBrowser(program) if program else webbrowser.get()
        background = isinstance(browser, webbrowser.BackgroundBrowser)
        if background or not isinstance(browser, webbrowser.GenericBrowser):
            browser.open(url)  # what it returns is False, too, for an opener that is quick
            return True
    return False


@contextlib.contextmanager
def _without_secrets() -> Iterator[None]:
    """The library spawns by itself, and what it spawns stays for long."""
    held = {name: os.environ.pop(name) for name in SECRET_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(held)
