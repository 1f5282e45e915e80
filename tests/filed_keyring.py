"""A backend for the library keyring that keeps its entries in a file, and fails when told to."""

from __future__ import annotations

import json
from pathlib import Path

import keyring.backend
import keyring.errors


class FiledKeyring(keyring.backend.KeyringBackend):
    """`fails`: "" for never, "locked" for a user who says no, "forgets" for one like null."""

    priority = 1
    name = "filed"
    fails = ""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def get_password(self, service: str, username: str) -> str | None:
        return self._entries().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.fails == "locked":
            raise keyring.errors.KeyringLocked("Failed to unlock the collection!")
        if self.fails != "forgets":
            entries = {**self._entries(), f"{service}/{username}": password}
            self._file.write_text(json.dumps(entries))

    def delete_password(self, service: str, username: str) -> None:
        entries = self._entries()
        del entries[f"{service}/{username}"]
        self._file.write_text(json.dumps(entries))

    def _entries(self) -> dict[str, str]:
        try:
            entries: dict[str, str] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        return entries
