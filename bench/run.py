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
from claude_container import config, images

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


PACKAGES = "echo $((1024 * ($(dpkg-query -W -f '${Installed-Size}+')0)))"
# What did not come of Debian: packages of PyPI, whose files the recipe takes over.
WHEELS = "cd /usr/local; du -cB1 bin/uv bin/uvx bin/node lib/node_modules 2>/dev/null | tail -n 1"


def inside(image: str, command: str) -> int:
    """The number that a command in an image prints first."""
    argv = ["docker", "run", "--rm", "--network", "none", image, "sh", "-c", command]
    return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[0])


def bytes_of(image: str) -> int:
    argv = ["docker", "image", "inspect", image, "--format", "{{.Size}}"]
    return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def slim(folder: str) -> list[float]:
    """The default image against its base, the packages added to it, and the binary."""
    recipe = (images.RECIPES / "Dockerfile.base").read_text()
    base = next(line for line in recipe.splitlines() if line.startswith("ARG BASE=")).split("=")[1]
    image = images.default_name()
    added = inside(image, PACKAGES) - inside(base, PACKAGES)
    binary = inside(image, "stat -c %s /usr/local/bin/claude")
    return [bytes_of(image) / (bytes_of(base) + added + binary)]


def variant(name: str) -> Callable[[str], list[float]]:
    """A variant against the default image and the packages added to that; built if need be."""

    def size(folder: str) -> list[float]:
        image = images.default_name(name)
        if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode:
            subprocess.run([OURS, "image", "build", "--variant", name], check=True)
        base = images.default_name()
        added = sum(inside(image, each) - inside(base, each) for each in (PACKAGES, WHEELS))
        return [bytes_of(image) / (bytes_of(base) + added)]

    return size


ROWS: dict[str, tuple[Callable[[str], list[float]], str]] = {
    "a whole launch ÷ `docker run` of the same": (launch, "≤ 1.5"),
    "`--version` ÷ `python -c pass`": (version, "≤ 6"),
    "default image ÷ Debian + packages + claude": (slim, "≤ 1.05"),
    **{
        f"variant {name} ÷ default image + packages": (variant(name), "≤ 1.05")
        for name in config.VARIANTS[1:]
    },
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
