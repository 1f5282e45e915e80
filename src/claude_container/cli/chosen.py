"""The engine that is meant, at little cost: for the verbs that need no other setting."""

from __future__ import annotations

import os

from claude_container import config, engines, host
from claude_container.engines.base import Engine


def engine(flag: str | None) -> Engine:
    """The engine of the flag, else the environment's, else the user's own file's.

    As in settings.resolve; no directory's file may name one.
    """
    name = flag or config.from_environment(os.environ).engine
    if name is None and (folder := host.config_dir(os.environ)):
        name = config.from_file(folder / config.USER_FILE).engine
    return engines.get(name)
