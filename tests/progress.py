"""A progress that remembers what it was told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager


class Progress:
    def __init__(self) -> None:
        self.said: list[str] = []

    def task(self, text: str) -> AbstractContextManager[Callable[[str], None]]:
        self.said.append(text)
        return contextlib.nullcontext(self.said.append)

    def warn(self, text: str) -> None:
        self.said.append(text)
