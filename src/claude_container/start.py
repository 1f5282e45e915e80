"""The entry point: from the first moment on, ^C ends it without a traceback."""

from __future__ import annotations

import gc


def main() -> int:
    """Run the command line (cli/main.py); return the exit code."""
    # What is imported stays: to look for garbage in it costs a launch 5 ms.
    gc.disable()
    try:
        from claude_container.cli.main import main
    except KeyboardInterrupt:
        return 130
    gc.freeze()
    gc.enable()
    return main()
