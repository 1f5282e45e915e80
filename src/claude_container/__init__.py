"""Run Claude Code in a container, on a real repository."""

__version__ = "0.1.0"
