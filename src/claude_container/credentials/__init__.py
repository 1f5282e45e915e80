"""The token: where it comes from, and what may pass for one. Never printed, never in a repr."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from claude_container.errors import ClaudeContainerError

VARIABLE = "CLAUDE_CODE_OAUTH_TOKEN"
FILE, KEYRING = "file", "keyring"
_USABLE = re.compile(r"[\x21-\x7e]{8,4096}")
# What `claude setup-token` prints (2.1.330).
SETUP_TOKEN = re.compile(r"sk-ant-oat\d\d-[A-Za-z0-9_-]{30,300}")
API_KEY = "ANTHROPIC_API_KEY is never passed by itself (--env ANTHROPIC_API_KEY does it)"
_LOG_IN = "claude-container login gets one"
REPLACE = "claude-container login --replace puts a new one there"


class TokenError(ClaudeContainerError):
    """There is no token, or not one that can be used, or it cannot be kept."""


class NoToken(TokenError):
    """There is none: somebody has to log in."""


class NoTokenInCI(NoToken):
    exit_code = 2


class AnotherToken(TokenError):
    """A different token is kept already, and nobody said that it may go."""


@dataclass(frozen=True)
class Token:
    """A token, and where it came from in words for the user."""

    value: str = field(repr=False)
    source: str


class Store(Protocol):
    """Where a token is kept between launches. `place` names it for the user."""

    @property
    def place(self) -> str: ...

    def read(self) -> str | None:
        """What is kept, blanks at its ends taken off; None for nothing. Raises TokenError."""

    def write(self, token: str) -> None:
        """Keep this one from now on: whole, or not at all. Raises TokenError."""

    def remove(self) -> bool:
        """Keep none. False: there was none. Raises TokenError."""

    def saved(self) -> float | None:
        """When the one that is kept was saved (seconds since 1970), if that is known."""

    def prepare(self) -> None:
        """Raise now what would keep `write` from working, as far as can be told."""


def store(kind: str | None, folder: Path | None) -> Store:
    """The store that the setting `token_store` names: a file in `folder`, unless it says keyring.

    Its module is imported here: a launch has no use for the other one.
    """
    if kind == KEYRING:
        from claude_container.credentials.keyring_store import KeyringStore

        return KeyringStore()
    from claude_container.credentials.file_store import FileStore

    return FileStore(folder)


def find(environ: Mapping[str, str], kept: Store) -> Token | None:
    """The token: CLAUDE_CODE_OAUTH_TOKEN, else the one that is kept, else None.

    Raises TokenError for one that is there but cannot be used.
    """
    if value := environ.get(VARIABLE, "").strip():
        return Token(checked(value, f"${VARIABLE}"), f"${VARIABLE}")
    text = kept.read()
    return None if text is None else Token(checked(text, kept.place), kept.place)


def save(token: str, kept: Store, *, replace: bool = False) -> None:
    """Keep a token; another one that is there goes only with `replace`.

    Raises AnotherToken, and TokenError where it cannot be kept.
    """
    try:
        there = kept.read()
    except TokenError:
        # What cannot be read cannot be compared either.
        if not replace:
            raise
        there = None
    if there == token:
        return
    if there is not None and not replace:
        raise AnotherToken(
            f"there is another token already: {kept.place}",
            hint="with --replace this one takes its place",
        )
    kept.write(token)


def missing(*, ci: bool, place: str, environ: Mapping[str, str]) -> NoToken:
    """The error for a launch without a token, with what to do.

    In CI that is to set the variable, since nobody can be asked; elsewhere to log in. `place`
    is where a token would be kept.
    """
    also = f"; {API_KEY}" if environ.get("ANTHROPIC_API_KEY") else ""
    if ci:
        return NoTokenInCI(f"no token: set {VARIABLE} in this job's secrets{also}")
    return NoToken(
        f"no token: {VARIABLE} is not set, and none is kept in {place}{also}",
        hint=f"{_LOG_IN}, on a terminal; or export {VARIABLE}=…",
    )


def shape(token: str) -> str:
    """What a token looks like, in words that hold no part of it."""
    if SETUP_TOKEN.fullmatch(token):
        return f"a setup-token's, {len(token)} characters"
    if token.startswith("sk-ant-api"):
        return "an API key's, which is no login: --env ANTHROPIC_API_KEY passes one"
    return f"not a setup-token's, {len(token)} characters"


def checked(value: str, source: str) -> str:
    """The value, if it can be a token at all. Raises TokenError, which shows no part of it."""
    if not value:
        raise TokenError(f"{source} is empty")
    if len(value.split()) > 1:
        raise TokenError(
            f"{source} holds more than one word or line",
            hint=f"it must hold the token alone; {REPLACE}",
        )
    if not _USABLE.fullmatch(value):
        raise TokenError(f"{source} does not hold a token", hint=f"was it copied whole? {REPLACE}")
    return value
