"""The host's git: one builder for its environment, and what we ask of it."""

from __future__ import annotations

import os
from pathlib import Path

from claude_container import process
from claude_container.process import Completed, ProgramMissing


def git(*args: str, cwd: Path, check: bool = True) -> Completed:
    """Run git with hooks off, in English, and asking nothing. Raises ProcessError.

    GIT_ variables are not inherited: a hook that called us has some that point
    into its own repository. Never called in a tree that an agent could write,
    whose configuration would count here.
    """
    inherited = dict.fromkeys(name for name in os.environ if name.startswith("GIT_"))
    return process.run(
        ["git", "-c", "core.hooksPath=/dev/null", *args],
        cwd=cwd,
        env={**inherited, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        check=check,
    )


def identity() -> tuple[str, str] | None:
    """(name, email) of the user's own git configuration, if both are set there."""
    try:
        shown = git(
            "config",
            "--global",
            "--get-regexp",
            r"^user\.(name|email)$",
            cwd=Path("/"),
            check=False,
        )
    except ProgramMissing:
        return None
    said = dict(line.partition(" ")[::2] for line in shown.text.splitlines())
    name, email = said.get("user.name", ""), said.get("user.email", "")
    return (name, email) if name and email else None
