"""The demo, as a newcomer sees it: on a terminal, without one, and that nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_container.demo import play
from tests.conftest import PROGRAM, Cli, sh
from tests.test_terminal import Terminal

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("image")]


def left() -> str:
    """What the engine has of the demo's."""
    containers = sh("docker", "ps", "-a", "--format", "{{.Names}}", "--filter", "name=demo-")
    return containers + sh("docker", "volume", "ls", "-q", "--filter", f"name={play.SESSION}")


def test_it_prints_plain_lines_and_leaves_nothing(cli: Cli, home: Path) -> None:
    ran = cli("demo")
    assert ran.code == 0, ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "FAILED (failures=2)" in ran.stdout
    assert "Claude: Read every digit of a nap" in ran.stdout
    assert '+    parts = re.findall(r"(\\d+)([hms])", text)' in ran.stdout
    assert ran.stdout.rstrip().endswith("cd your/project && claude-container start fix")
    assert left() == ""
    assert list((home / ".cache" / "claude-container").iterdir()) == []


def test_the_users_own_settings_and_hooks_do_not_disturb_it(cli: Cli, home: Path) -> None:
    hooks = home / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {hooks}\n[commit]\n\tgpgSign = true\n"
        '[user]\n\tname = Ada \\"quoted\\" ü\n\temail = ada@example.com\n'
    )
    settings = home / ".config" / "claude-container"
    settings.mkdir(parents=True)
    (settings / "config.toml").write_text('image = "no-such-image"\n')
    ran = cli("demo")
    assert ran.code == 0, ran.stderr
    assert "Read every digit of a nap" in ran.stdout


@pytest.mark.parametrize("columns", [80, 40])
def test_it_fits_the_terminal(columns: int, project: Path) -> None:
    argv = [PROGRAM, "demo"]
    terminal = Terminal(argv, project, rows=60, columns=columns)
    assert terminal.wait() == 0
    screen = terminal.read()
    assert "● Bash python3 -m unittest" in screen
    assert "cd your/project && claude-container" in screen
    assert b"\x1b[32m" in terminal.raw


def test_interrupted_it_leaves_nothing_either(project: Path) -> None:
    argv = [PROGRAM, "demo"]
    terminal = Terminal(argv, project)
    terminal.until_text("● Read nap.py")
    terminal.type("\x03")
    assert terminal.wait() == 130
    assert left() == ""
