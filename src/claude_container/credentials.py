"""The token: find it and check it. It is never printed, and never in a repr."""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from claude_container.errors import ClaudeContainerError

VARIABLE = "CLAUDE_CODE_OAUTH_TOKEN"
FILE_NAME = "token"
_SHAPE = re.compile(r"[\x21-\x7e]{8,4096}")


class TokenError(ClaudeContainerError):
    """There is no token, or not one that can be used."""


class NoTokenInCI(TokenError):
    exit_code = 2


@dataclass(frozen=True)
class Token:
    """A token, and where it came from in words for the user."""

    value: str = field(repr=False)
    source: str


def find(environ: Mapping[str, str], folder: Path | None) -> Token | None:
    """The token: CLAUDE_CODE_OAUTH_TOKEN, else the file `token` in `folder`, else None.

    Raises TokenError for one that is there but cannot be used.
    """
    if value := environ.get(VARIABLE, "").strip():
        return Token(_checked(value, f"${VARIABLE}"), f"${VARIABLE}")
    if folder is None:
        return None
    path = folder / FILE_NAME
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise TokenError(f"cannot read {path}", evidence=str(error)) from error
    if not stat.S_ISREG(mode):
        raise TokenError(
            f"{path} is no regular file", hint="put the token, and nothing else, into a file there"
        )
    # As ssh does with a private key; Windows keeps no such bits.
    if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
        raise TokenError(
            f"{path} can be read by others (mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {path}",
        )
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"cannot read {path}", evidence=_without_content(error)) from None
    return Token(_checked(text, str(path)), str(path))


def missing(*, ci: bool, folder: Path | None, environ: Mapping[str, str]) -> TokenError:
    """The error for a launch without a token: what to set where nobody can be asked, and else."""
    also = ""
    if environ.get("ANTHROPIC_API_KEY"):
        also = "; ANTHROPIC_API_KEY is never passed by itself (--env ANTHROPIC_API_KEY does it)"
    if ci:
        return NoTokenInCI(f"no token: set {VARIABLE} in this job's secrets{also}")
    place = folder / FILE_NAME if folder else None
    file = f", or put it into {place} (mode 600)" if place else ""
    return TokenError(
        f"no token: {VARIABLE} is not set{f' and {place} is not there' if place else ''}{also}",
        hint=f"`claude setup-token` prints one; export {VARIABLE}=…{file}",
    )


def _checked(value: str, source: str) -> str:
    if not value:
        raise TokenError(f"{source} is empty", hint="`claude setup-token` prints a token")
    if len(value.split()) > 1:
        raise TokenError(
            f"{source} holds more than one word or line", hint="it must hold the token alone"
        )
    if not _SHAPE.fullmatch(value):
        raise TokenError(f"{source} does not hold a token", hint="was it copied whole?")
    return value


def _without_content(error: Exception) -> str:
    # A UnicodeDecodeError shows the bytes it stumbled over.
    return "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
