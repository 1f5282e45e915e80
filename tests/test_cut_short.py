"""Launches that end before their time leave nothing: by a signal, a closed pipe, a KILL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from claude_container.sessions import model as names
from tests.conftest import PROGRAM, TOKEN, Cli, StartModel, sh
from tests.running import HOLD, bash, held

pytestmark = pytest.mark.engine


def containers(session: str) -> list[str]:
    label = f"label={names.SESSION}={session}"
    return sh("docker", "ps", "--all", "--quiet", "--filter", label).split()


def volumes(session: str) -> list[str]:
    label = f"label={names.SESSION}={session}"
    return sh("docker", "volume", "ls", "--quiet", "--filter", label).split()


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_to_the_launcher_ends_claude_too(
    signum: int, code: int, session: str, start_model: StartModel, project: Path
) -> None:
    flags = start_model(HOLD).flags
    with held("-s", session, *flags, cwd=project) as launcher:
        launcher.send_signal(signum)
        launcher.communicate(timeout=60)
    assert launcher.returncode == code
    assert containers(session) == []
    assert volumes(session) == [names.state_volume(session)]  # claude ran: this is work


def test_a_reader_that_goes_away_ends_the_container(
    session: str, start_model: StartModel, project: Path
) -> None:
    words = " ".join(["many words"] * 2000)
    turns = [bash("true"), *([{"text": words, **bash("true")}] * 20), {"text": "the end"}]
    flags = start_model(turns, delay=0.001).flags
    with subprocess.Popen(
        [PROGRAM, "-s", session, *flags, "--", "-p", "talk"]
        + ["--output-format", "stream-json", "--verbose"],
        cwd=project,
        env={**os.environ, "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline()
        launcher.stdout.close()
        assert launcher.wait(60) != 0
    assert containers(session) == []


_KILLER = """#!/bin/sh
# The docker client, but the launcher is killed before or after one of its calls.
[ "$1 $WHEN" = "$CALL before" ] && kill -KILL $PPID && exit 1
{docker} "$@"
code=$?
[ "$1 $WHEN" = "$CALL after" ] && kill -KILL $PPID
exit $code
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["create", "cp", "start"])
def test_after_a_kill_the_next_command_clears_what_is_left(
    call: str, when: str, cli: Cli, session: str, start_model: StartModel, tmp_path: Path
) -> None:
    model = start_model({"turns": [], "echo": True})
    wrapper = tmp_path / "bin" / "docker"
    wrapper.parent.mkdir()
    wrapper.write_text(_KILLER.format(docker=shutil.which("docker")))
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    args = ["-s", session, *model.flags, "--", "-p", "hi"]
    killed = cli(*args, PATH=path, CALL=call, WHEN=when, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert killed.code == -signal.SIGKILL
    created = (call, when) not in {("create", "before"), ("start", "after")}
    assert len(containers(session)) == created

    said = cli("doctor").stderr
    assert (f"a launch of {session} that was cut short" in said) == created
    assert containers(session) == []
    ran = (call, when) == ("start", "after")
    assert len(volumes(session)) == ran
    assert cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN).code == 0


def test_after_a_kill_while_claude_runs_the_next_command_ends_it(
    cli: Cli, session: str, start_model: StartModel, project: Path
) -> None:
    model = start_model(HOLD)
    with held("-s", session, *model.flags, cwd=project) as launcher:
        launcher.kill()
        launcher.wait()
        assert len(containers(session)) == 1
        args = ["-s", session, *model.flags, "--", "-p", "wait"]
        (project / "go").touch()
        assert cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN).stdout == "went on\n"
    assert containers(session) == []


def test_an_engine_that_goes_away_meanwhile_is_told_from_claude(
    session: str, start_model: StartModel, project: Path, tmp_path: Path
) -> None:
    """The client's connection breaks: another engine in front of the real one, as it were."""
    relay = tmp_path / "docker.sock"
    command = [sys.executable, str(Path(__file__).parent / "relay.py")]
    with subprocess.Popen([*command, str(relay), "/var/run/docker.sock"]) as engine:
        while not relay.exists():
            assert engine.poll() is None
        flags = start_model(HOLD).flags
        os.environ["DOCKER_HOST"] = f"unix://{relay}"
        try:
            with held("-s", session, *flags, cwd=project) as launcher:
                engine.kill()
                relay.unlink()
                _, said = launcher.communicate(timeout=60)
        finally:
            del os.environ["DOCKER_HOST"]
    assert launcher.returncode == 1
    assert "no engine answers" in said
