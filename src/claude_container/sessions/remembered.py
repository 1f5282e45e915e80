"""What was found out once and can be found out again: a file in the user's cache.

It may be lost, or be overwritten by another command: then something is looked at anew.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from claude_container import host

_FILE = "images.json"
_MOST = 500
Facts = dict[str, str]


def recall(key: str) -> Facts | None:
    """What is known by this key, or None."""
    return _all().get(key)


def remember(key: str, facts: Facts) -> None:
    """Keep this, and forget the oldest of too many."""
    folder = host.cache_dir()
    if folder is None:
        return
    import tempfile  # slow, and seldom needed

    known = {**_all(), key: facts}
    kept = dict(list(known.items())[-_MOST:])
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=folder, prefix=f"{_FILE}-", delete=False, encoding="utf-8"
        ) as file:
            temporary = file.name
            json.dump(kept, file)
        os.replace(temporary, folder / _FILE)
    except OSError:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _all() -> dict[str, Facts]:
    folder = host.cache_dir()
    if folder is None:
        return {}
    try:
        found = json.loads(host.read_regular(Path(folder) / _FILE))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: facts for key, facts in found.items() if _are_facts(facts)}


def _are_facts(facts: object) -> bool:
    return isinstance(facts, dict) and all(isinstance(value, str) for value in facts.values())
