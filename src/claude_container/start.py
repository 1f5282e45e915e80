"""The entry point: from the first moment on, ^C ends it without a traceback."""

from __future__ import annotations


def main() -> int:
    """Run the command line (cli/main.py); return the exit code."""
    try:
        from claude_container.cli.main import main
    except KeyboardInterrupt:
        return 130
    return main()
