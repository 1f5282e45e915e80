"""The token in the macOS Keychain, the Windows Credential Locker or a Secret Service.

All through the library `keyring`, which is an extra: claude-container[keyring].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from claude_container.credentials import TokenError
from claude_container.process import redact

SERVICE, NAME = "claude-container", "token"
T = TypeVar("T")


class KeyringStore:
    """One entry of the user's keyring: service claude-container, name token."""

    def __init__(self) -> None:
        try:
            import keyring
        except ImportError:
            raise TokenError(
                'token_store = "keyring", and the library keyring is not installed',
                hint="pipx inject claude-container keyring"
                " (or, in its environment: pip install keyring)",
            ) from None
        self._keyring: Any = keyring

    @property
    def place(self) -> str:
        return f"the keyring ({_name(self._keyring.get_keyring())})"

    def read(self) -> str | None:
        found = self._asked("read", lambda: self._keyring.get_password(SERVICE, NAME))
        return str(found or "").strip() or None

    def write(self, token: str) -> None:
        self._asked("keep the token in", lambda: self._keyring.set_password(SERVICE, NAME, token))
        # Some backends (null) take everything and keep nothing.
        if self.read() != token:
            raise TokenError(f"{self.place} did not keep the token")

    def remove(self) -> bool:
        if self.read() is None:
            return False
        self._asked("remove the token from", lambda: self._keyring.delete_password(SERVICE, NAME))
        return True

    def saved(self) -> float | None:
        return None  # no keyring tells

    def prepare(self) -> None:
        self.read()

    def _asked(self, what: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except Exception as error:  # each backend has errors of its own
            raise TokenError(
                f"cannot {what} {self.place}",
                evidence=redact(f"{type(error).__name__}: {error}".splitlines()[0]),
                hint='is there one, and is it unlocked? token_store = "file" uses a file instead',
            ) from None


def _name(backend: Any) -> str:
    """What a backend calls itself, less the priority that it adds ("… (priority: 5)")."""
    return str(getattr(backend, "name", type(backend).__name__)).partition(" (")[0]
