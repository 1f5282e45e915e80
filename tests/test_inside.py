"""`shell` and `exec`: as the session's user, in the running container or one of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_container.sessions import model
from tests.conftest import PROGRAM, TOKEN, Cli, StartModel, sh
from tests.gitsession import GitSession, git_session, make_repository
from tests.running import bash, wait_until
from tests.test_terminal import Terminal

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("image")]
WAIT = "touch ready; until [ -e go ]; do sleep 0.1; done; rm ready go"


@pytest.fixture
def session(cli: Cli, tmp_path: Path) -> Iterator[GitSession]:
    with git_session(cli, make_repository(tmp_path / "repo")) as made:
        yield made


def test_a_command_runs_as_the_user_without_privilege_or_token(
    cli: Cli, session: GitSession
) -> None:
    script = "id -u; pwd; grep CapEff /proc/self/status; env; ls /run/claude-container"
    done = cli(
        "exec",
        session.name,
        "--",
        "sh",
        "-c",
        script,
        cwd=session.repository,
        CLAUDE_CODE_OAUTH_TOKEN=TOKEN,
    )
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == [str(os.getuid()), model.WORKSPACE, "CapEff:\t0000000000000000"]
    assert TOKEN not in done.stdout and "token" not in lines


def test_needs_no_token_and_passes_streams_and_code_on(cli: Cli, session: GitSession) -> None:
    done = cli("exec", session.name, "--", "sh", "-c", "cat; exit 7", input="typed\n")
    assert (done.code, done.stdout) == (7, "typed\n")
    assert cli("exec", session.name, "--", "no-such-program").code == 127
    usage = cli("exec", session.name)
    assert usage.code == 2 and "no command" in usage.stderr
    assert cli("exec", "cctest-nowhere", "--", "true").code == 1


def test_in_a_running_session_it_is_that_very_container(
    cli: Cli, session: GitSession, start_model: StartModel
) -> None:
    model_ = start_model([bash(WAIT), {"text": "done"}])
    argv = [PROGRAM, "start", session.name, *model_.flags, "--", "-p", "wait"]
    with subprocess.Popen(
        argv,
        cwd=session.repository,
        env={**os.environ, "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        container = model.container_name(session.name)

        def ready() -> bool:
            shown = ["docker", "exec", container, "test", "-e", "/workspace/ready"]
            return subprocess.run(shown, capture_output=True).returncode == 0

        wait_until(ready, running)
        seen = cli("exec", session.name, "--", "sh", "-c", "id -u; grep CapEff /proc/self/status")
        shown = cli("exec", session.name, "--", "ps", "-e", "-o", "comm")
        found = cli(
            "exec", session.name, "--", "sh", "-c", "env; cat /proc/*/environ | tr '\\0' '\\n'"
        )
        second = cli("start", session.name, cwd=session.repository, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        cli("exec", session.name, "--", "touch", "go")
        _, said = running.communicate(timeout=60)
    assert seen.stdout.splitlines() == [str(os.getuid()), "CapEff:\t0000000000000000"]
    assert "claude" in shown.stdout.split()
    assert TOKEN not in found.stdout
    assert second.code == 1 and "is in use by another command" in second.stderr
    assert running.returncode == 0
    assert f"left session {session.name}: 0 commits" in said


def test_a_shell_on_a_terminal(session: GitSession) -> None:
    terminal = Terminal([PROGRAM, "shell", session.name], session.repository)
    terminal.until_text("/workspace")
    terminal.type("echo from-the-shell >made; stty size; exit 3\r")
    assert terminal.wait() == 3
    assert session.inside("cat made") == "from-the-shell\n"
    assert sh("docker", "ps", "-aq", "--filter", f"name={session.name}") == ""


def test_a_session_without_its_repository_is_not_entered_but_can_be_looked_at(
    cli: Cli, session: GitSession
) -> None:
    session.inside("rm -rf .git")
    done = cli(
        "start",
        session.name,
        "--",
        "-p",
        "hi",
        cwd=session.repository,
        CLAUDE_CODE_OAUTH_TOKEN=TOKEN,
    )
    assert done.code == 1
    assert f"there is no repository in session {session.name} any more" in done.stderr
    assert cli("exec", session.name, "--", "cat", "a.txt").stdout == "a\n"
