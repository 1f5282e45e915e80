"""Making a session that ends before its time: nothing half-made stays, the next one begins anew."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from claude_container.sessions import model
from tests.conftest import PROGRAM, Cli, sh
from tests.gitsession import GitSession, git, make_repository, remove, unique
from tests.trees import held, untouched, workspace, write

pytestmark = pytest.mark.engine

# A docker client that counts its calls in a folder, and does $WHAT at the one that is $AT.
_WRAPPER = """#!/bin/sh
docker={docker}
n=0
while ! mkdir "$CALLS/$n" 2>/dev/null; do n=$((n + 1)); done
[ "$n" = "$AT" ] || [ "$1" = "$AT" ] || exec $docker "$@"
case $WHAT in
before) kill -KILL $PPID; exit 1 ;;
after) $docker "$@"; kill -KILL $PPID; exit 1 ;;
fails) echo "Error response from daemon: no space left on device" >&2; exit 1 ;;
short) head -c 20000 | $docker "$@" ;;
waits) touch "$CALLS/waits"; while [ ! -e "$CALLS/go" ]; do sleep 0.05; done; exec $docker "$@" ;;
tiny)
    for word do
        shift
        case $word in
        type=volume,*) word="$word,volume-opt=type=tmpfs,volume-opt=device=tmpfs$SMALL" ;;
        esac
        set -- "$@" "$word"
    done
    exec $docker "$@"
    ;;
esac
"""
_SMALL = {"SMALL": ",volume-opt=o=size=1m"}
CALLS = 6  # of a start that only makes a session: ps, volume ls, create, volume ls, start, rm


@pytest.fixture
def repo(tmp_path: Path, image: str) -> Path:
    repo = make_repository(tmp_path / "r")
    (repo / "some").write_bytes(os.urandom(3_000_000))
    return repo


@pytest.fixture
def name() -> Iterator[str]:
    """A session's name; what there is of it goes when the test ends."""
    chosen = unique()
    yield chosen
    remove(chosen)


Docker = Callable[[str, object], dict[str, str]]


@pytest.fixture
def docker_that(tmp_path: Path) -> Docker:
    """The environment in which docker does something else at one of its calls."""
    program = tmp_path / "wrapped" / "docker"
    program.parent.mkdir()
    program.write_text(_WRAPPER.format(docker=shutil.which("docker")))
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    def environment(what: str, at: object) -> dict[str, str]:
        calls = tmp_path / "calls"
        shutil.rmtree(calls, ignore_errors=True)
        calls.mkdir()
        return {"PATH": path, "CALLS": str(calls), "WHAT": what, "AT": str(at), **_SMALL}

    return environment


def containers(name: str) -> list[str]:
    """Those that make or run the session; whoever lists all sessions may be looking at it."""
    return sh("docker", "ps", "-aq", "--filter", f"name=^/{model.container_name(name)}$").split()


def check_nothing_left(repo: Path, name: str) -> None:
    session = GitSession(name, repo)
    assert (containers(name), session.volumes(), session.refs()) == ([], [], {})
    assert packs(repo) == []


def check_made(cli: Cli, repo: Path, name: str) -> None:
    """A start that is left alone comes to a whole session."""
    made = cli("start", name, "--no-enter", cwd=repo)
    assert made.code == 0, made.stderr
    session = GitSession(name, repo)
    assert set(session.refs()) == {"base", "origin"}
    assert session.inside("git rev-parse HEAD").strip() == session.refs()["base"]
    assert session.inside("git status --porcelain") == ""
    assert workspace(name) == held(repo)
    assert containers(name) == []
    assert packs(repo) == [] or "is there already" in made.stderr


def packs(repo: Path) -> list[Path]:
    """What is left of packs in the home of this test."""
    return list((repo.parent / "home" / ".cache" / "claude-container").glob("*"))


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_kill_at_any_call_the_next_start_begins_anew(
    when: str, cli: Cli, repo: Path, docker_that: Docker
) -> None:
    write(repo, {"new": "uncommitted"})
    for at in range(CALLS):
        name = unique()
        try:
            killed = cli("start", name, "--no-enter", cwd=repo, **docker_that(when, at))
            assert killed.code == -signal.SIGKILL, at
            check_made(cli, repo, name)
        finally:
            remove(name)


def test_a_failure_at_any_call_leaves_nothing(cli: Cli, repo: Path, docker_that: Docker) -> None:
    failed = 0
    for at in range(CALLS):
        name = unique()
        try:
            ran = cli("start", name, "--no-enter", cwd=repo, **docker_that("fails", at))
            assert ran.code in (0, 1)
            # The sweep is allowed to fail: whoever needs the engine says so.
            if ran.code == 1:
                failed += 1
                assert "no space left on device" in ran.stderr
                assert "Traceback" not in ran.stderr
                if at < CALLS - 1:
                    check_nothing_left(repo, name)
            check_made(cli, repo, name)
        finally:
            remove(name)
    assert failed >= CALLS - 2  # which of ps and volume ls comes first is open


def test_a_volume_alone_is_known_as_half_made(
    cli: Cli, repo: Path, name: str, docker_that: Docker
) -> None:
    """What a sweep leaves that is cut short between container and volume."""
    killed = cli("start", name, "--no-enter", cwd=repo, **docker_that("before", "start"))
    assert killed.code == -signal.SIGKILL
    sh("docker", "rm", "--force", *containers(name))
    assert GitSession(name, repo).volumes() == [model.session_volume(name)]
    check_made(cli, repo, name)


def test_while_one_makes_it_another_is_told(
    cli: Cli, repo: Path, name: str, docker_that: Docker
) -> None:
    environment = {**os.environ, **docker_that("waits", "start")}
    calls = Path(environment["CALLS"])
    with start(repo, name, environment) as maker:
        while not (calls / "waits").exists():
            time.sleep(0.02)
        other = cli("start", name, "--no-enter", cwd=repo)
        (calls / "go").touch()
        said = maker.communicate(timeout=60)[1]
    assert (maker.returncode, other.code) == (0, 1), said
    assert f"session {name} is being made by another command" in other.stderr
    check_made(cli, repo, name)


def start(repo: Path, name: str, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, "start", name, "--no-enter"],
        cwd=repo,
        env=env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_of_two_at_once_one_makes_it_and_nothing_is_lost(cli: Cli, repo: Path, name: str) -> None:
    both = [start(repo, name, dict(os.environ)) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    codes = [process.returncode for process in both]
    assert any(f"✓ session {name}: main" in words for words in said), said
    for code, words in zip(codes, said, strict=True):
        told = "by another command" in words and code == 1
        assert told or (f"✓ session {name}" in words and code == 0), words
    check_made(cli, repo, name)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("call", ["create", "start", "rm"])
def test_a_signal_leaves_nothing_half_made(
    signum: int, call: str, cli: Cli, repo: Path, name: str, docker_that: Docker
) -> None:
    environment = {**os.environ, **docker_that("waits", call)}
    calls = Path(environment["CALLS"])
    with start(repo, name, environment) as maker:
        while not (calls / "waits").exists():
            time.sleep(0.02)
        # As a terminal does: to the whole foreground group.
        os.killpg(maker.pid, signum)
        (calls / "go").touch()
        began = time.monotonic()
        said = maker.communicate(timeout=60)[1]
    assert maker.returncode == 128 + signum, said
    assert time.monotonic() - began < 20
    assert containers(name) == []
    if call != "rm":
        check_nothing_left(repo, name)
    check_made(cli, repo, name)


def test_a_signal_while_git_packs_does_not_wait_for_it(
    cli: Cli, repo: Path, name: str, tmp_path: Path
) -> None:
    slow = tmp_path / "slow" / "git"
    slow.parent.mkdir()
    slow.write_text(
        f'#!/bin/sh\ncase " $* " in *" pack-objects "*) touch {tmp_path}/packs; exec sleep 60 ;;\n'
        f'esac\nexec {shutil.which("git")} "$@"\n'
    )
    slow.chmod(0o755)
    # Our own git calls put the folder of our programs first, where there is no git.
    path = f"{slow.parent}{os.pathsep}{os.environ['PATH']}"
    began = time.monotonic()
    with start(repo, name, {**os.environ, "PATH": path}) as maker:
        while not (tmp_path / "packs").exists():
            time.sleep(0.02)
        os.killpg(maker.pid, signal.SIGINT)
        assert maker.wait(60) == 130
    assert time.monotonic() - began < 30
    check_nothing_left(repo, name)


def test_a_stream_that_breaks_off_makes_no_session(
    cli: Cli, repo: Path, name: str, docker_that: Docker
) -> None:
    broken = cli("start", name, "--no-enter", cwd=repo, **docker_that("short", "start"))
    assert broken.code == 1
    assert "the clone could not be made in the container" in broken.stderr
    assert "EOF" in broken.stderr
    check_nothing_left(repo, name)


def test_a_full_disk_is_said_and_leaves_nothing(
    cli: Cli, repo: Path, name: str, docker_that: Docker
) -> None:
    full = cli("start", name, "--no-enter", cwd=repo, **docker_that("tiny", "create"))
    assert full.code == 1
    assert "hint: the engine's disk is full" in full.stderr
    check_nothing_left(repo, name)
    # Here, where git makes its pack: no file larger than 100 KB, as it were.
    limited = ["sh", "-c", f'ulimit -f 200; exec "{PROGRAM}" start {name} --no-enter']
    done = subprocess.run(limited, cwd=repo, capture_output=True, text=True)
    assert (done.returncode, "git cannot pack the history" in done.stderr) == (1, True)
    check_nothing_left(repo, name)


def test_history_that_is_damaged_is_said_before_anything_is_made(
    cli: Cli, repo: Path, name: str
) -> None:
    blob = git(repo, "rev-parse", "HEAD:a.txt")
    write(repo, {"a.txt": "changed\n"})
    git(repo, "commit", "-qam", "Second")
    (repo / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    damaged = cli("start", name, "--no-enter", cwd=repo)
    assert damaged.code == 1
    assert blob in damaged.stderr
    assert "git fsck" in damaged.stderr
    check_nothing_left(repo, name)


def test_refs_that_cannot_be_written_are_said(cli: Cli, repo: Path, name: str) -> None:
    git(repo, "update-ref", "refs/claude-container", "HEAD")
    with untouched(repo):
        failed = cli("start", name, "--no-enter", cwd=repo)
    assert failed.code == 1
    assert "✗ git update-ref failed" in failed.stderr
    assert "refs/claude-container' exists" in failed.stderr
    check_nothing_left(repo, name)
