"""A launch that is still running, held by a command that waits for a file."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import PROGRAM, TOKEN


def bash(command: str) -> dict[str, object]:
    """A turn in which the model has claude run a command."""
    return {"tool": {"name": "Bash", "input": {"command": command, "description": "a step"}}}


HOLD = [bash("touch ready; until [ -e go ]; do sleep 0.1; done"), {"text": "went on"}]


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: int = 60) -> None:
    """Wait until something is true; an error if the process ends first or it takes too long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, "it ended before it was ready"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


@contextmanager
def held(*args: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A launch whose script is HOLD, from when claude runs its command until `go` is there."""
    with subprocess.Popen(
        [PROGRAM, *args, "--", "-p", "wait"],
        cwd=cwd,
        env={**os.environ, "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until((cwd / "ready").exists, process)
            yield process
        finally:
            (cwd / "go").touch()
            if process.poll() is None:
                process.communicate(timeout=60)
