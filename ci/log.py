"""The log: what claude does, as it does it, and nothing that commands the runner.

Whoever prints a line with `::error::` at its beginning or `##[set-output …]` anywhere in it
commands it (actions/runner, ActionCommand.cs).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from claude_container.process import redact
from claude_container.terminal import visible

_ARGUMENT = 200  # characters of what a tool was called with, in the log
# What says most about a call of one of claude's tools, in this order (2.1.330).
_TELLING = ("command", "file_path", "pattern", "url", "query", "description", "prompt")


@contextmanager
def no_commands() -> Iterator[None]:
    """Meanwhile the runner takes no commands, until the word that nobody can guess."""
    word = secrets.token_hex(32)
    say(f"::stop-commands::{word}")
    try:
        yield
    finally:
        say(f"::{word}::")


def event(line: str, plain: list[str]) -> str:
    """Say what a line of claude's stream says; "" but for the one with its last words.

    What is no such line is kept in `plain`: an image's own claude may speak otherwise.
    """
    try:
        data = json.loads(line)
        texts = list(_texts(data)) if data["type"] == "assistant" else []
        words = str(data["result"]) if data["type"] == "result" else ""
    except (ValueError, TypeError, KeyError, AttributeError):
        plain.append(line)
        texts, words = [line], ""
    for text in texts:
        say_theirs(text)
    return words


def _texts(data: dict[str, Any]) -> Iterator[str]:
    """What claude says and does in one message."""
    for block in data["message"]["content"]:
        if block["type"] == "text":
            yield block["text"]
        elif block["type"] == "tool_use":
            given = block["input"]
            telling = next((str(given[key]) for key in _TELLING if given.get(key)), "")
            yield f"→ {block['name']}: {' '.join(telling.split())[:_ARGUMENT]}"


def say(text: str) -> None:
    print(text, flush=True)


def say_theirs(text: str) -> None:
    """An agent's text, line by line, without a token and with no power over a terminal."""
    for line in redact(text).expandtabs(4).splitlines():
        say(visible(line))
