"""`make bench [ROWS=words]`: what the launcher costs, as ratios within one run, never as times.

Each row is measured in pairs, ours and the bare thing in turn, so that a machine
whose speed drifts slows both; the figure is the median of the pairs' ratios.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from bench import sessions
from claude_container import images

IMAGE = images.DEFAULT
TOKEN = "sk-ant-oat01-made-up-for-the-bench-000000000000"
OURS = str(Path(sys.executable).with_name("claude-container"))


def run(argv: list[str], folder: str) -> float:
    """Seconds that a command takes; its output is thrown away, its failure is an error."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC_", "CLAUDE_"))}
    begun = time.perf_counter()
    subprocess.run(
        argv,
        check=True,
        cwd=f"{folder}/project",
        env={**environ, "HOME": f"{folder}/home", "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - begun


def pairs(ours: list[str], bare: list[str], folder: str, rounds: int) -> list[float]:
    """The ratio of the two in each round, after one round that does not count."""
    ratios = [run(ours, folder) / run(bare, folder) for _ in range(rounds + 1)]
    return ratios[1:]


def launch(folder: str) -> list[float]:
    """A whole launch against `docker run` of the same image and command."""
    command = ["--dangerously-skip-permissions", "--version"]
    session = f"bench-{uuid.uuid4().hex[:8]}"
    bare = [
        "docker",
        "run",
        "--rm",
        "-e",
        "IS_SANDBOX=1",
        "-v",
        f"{folder}/project:/workspace",
        IMAGE,
    ]
    try:
        return pairs(
            [OURS, "--session", session, "--", "--version"], [*bare, "claude", *command], folder, 15
        )
    finally:
        subprocess.run(["docker", "volume", "rm", f"claude-state-{session}"], capture_output=True)


def version(folder: str) -> list[float]:
    """`--version` against an interpreter that does nothing."""
    return pairs([OURS, "--version"], [sys.executable, "-c", "pass"], folder, 25)


def size(folder: str) -> list[float]:
    """The default image against its base, the packages added to it, and the binary."""
    recipe = (images.RECIPES / "Dockerfile.base").read_text()
    base = next(line for line in recipe.splitlines() if line.startswith("ARG BASE=")).split("=")[1]

    def inside(image: str, command: str) -> int:
        argv = ["docker", "run", "--rm", "--network", "none", image, "sh", "-c", command]
        return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)

    def bytes_of(image: str) -> int:
        argv = ["docker", "image", "inspect", image, "--format", "{{.Size}}"]
        return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)

    packages = "echo $((1024 * ($(dpkg-query -W -f '${Installed-Size}+')0)))"
    added = inside(IMAGE, packages) - inside(base, packages)
    binary = inside(IMAGE, "stat -c %s /usr/local/bin/claude")
    return [bytes_of(IMAGE) / (bytes_of(base) + added + binary)]


ROWS: dict[str, tuple[Callable[[str], list[float]], str]] = {
    "a whole launch ÷ `docker run` of the same": (launch, "≤ 1.5"),
    "`--version` ÷ `python -c pass`": (version, "≤ 6"),
    "default image ÷ Debian + packages + claude": (size, "≤ 1.05"),
    **sessions.ROWS,
}


def main() -> None:
    # As an installed program has them; some machines switch them off for their shells.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    engine = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True
    ).stdout.strip()
    wanted = sys.argv[1:]
    print(f"docker {engine}, Python {sys.version.split()[0]}, {os.cpu_count()} cores\n")
    print("| what | median | min – max | aim |\n|---|---|---|---|")
    for what, (measure, aim) in ROWS.items():
        if wanted and not any(word in what for word in wanted):
            continue
        with tempfile.TemporaryDirectory(prefix="claude-container-bench-") as folder:
            for name in ("home", "project"):
                Path(folder, name).mkdir()
            ratios = measure(folder)
        spread = f"{min(ratios):.2f} – {max(ratios):.2f}" if len(ratios) > 1 else ""
        print(f"| {what} | {statistics.median(ratios):.2f} | {spread} | {aim} |", flush=True)


if __name__ == "__main__":
    main()
