"""What counts of the user's own, whatever a directory brings: flags > environment > the file.

Enough for a verb that needs no image: no directory may choose the engine or what a fetch may bring.
"""

from __future__ import annotations

import os

from claude_container import config, engines, host
from claude_container.config import Settings
from claude_container.engines.base import Engine


def settings(flags: Settings | None = None) -> Settings:
    """The user's own settings. Raises UsageError for a file that cannot be read."""
    theirs = config.of_user(os.environ, host.config_dir(os.environ))
    return flags.over(theirs) if flags else theirs


def engine(flag: str | None) -> Engine:
    """The engine that `--engine` names, else the one of the user's own settings.

    Raises UsageError.
    """
    return engines.get(flag or settings().engine)
