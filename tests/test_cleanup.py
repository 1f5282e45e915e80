"""`cleanup`: only what was shown, and with --merged only what nobody loses.

Other sessions may be on the same engine, so a filter keeps to those of the test.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from claude_container.cli import cleanup
from claude_container.sessions import listing, model
from claude_container.sessions.asking import Listed
from claude_container.sessions.listing import Entry
from tests.conftest import PROGRAM, Cli, clean_environment, sh
from tests.gitsession import GitSession, git_session, make_repository

engine_test = pytest.mark.engine


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repo")


@pytest.fixture
def session(cli: Cli, repository: Path, image: str) -> Iterator[GitSession]:
    with git_session(cli, repository) as made:
        yield made


Only = Callable[[str], dict[str, str]]


@pytest.fixture
def only(fake_docker: Callable[[str], str]) -> Only:
    """An engine that shows only the volumes whose names hold a word: the PATH for it."""
    docker = shutil.which("docker")

    def narrow(word: str) -> dict[str, str]:
        script = (
            f'case "$1 $2" in "volume ls") {docker} "$@" | grep -e "{word}"; exit 0 ;; esac\n'
            f'exec {docker} "$@"'
        )
        path = fake_docker(script)
        # Or the test would delete what is other people's.
        shown = subprocess.run(
            ["docker", "volume", "ls"], env={"PATH": path}, capture_output=True, text=True
        )
        assert all(word in line for line in shown.stdout.splitlines())
        return {"PATH": path}

    return narrow


def make_state(name: str) -> str:
    labels = {"kind": "state", "session": name, "directory": "/some/where", "created": "1"}
    words = [f"--label=claude-container.{key}={value}" for key, value in labels.items()]
    return sh("docker", "volume", "create", *words, model.state_volume(name)).strip()


def test_without_a_terminal_it_has_to_be_told(cli: Cli) -> None:
    done = cli("cleanup")
    assert (done.code, "no terminal" in done.stderr) == (2, True)
    assert cli("cleanup", "--yes", "--older-than", "soon").code == 2


@engine_test
def test_merged_takes_only_what_loses_nothing(
    cli: Cli, repository: Path, session: GitSession, only: Only
) -> None:
    talk = f"{session.name}-talk"
    state = make_state(talk)
    try:
        with git_session(cli, repository, name=f"{session.name}-work") as other:
            other.commit("new.txt", "x", "New")
            engine = only(session.name)
            done = cli("cleanup", "--merged", "--yes", **engine)
            assert done.code == 0, done.stderr
            assert model.session_volume(session.name) not in session.volumes()
            assert (session.refs(), bool(other.refs())) == ({}, True)
            assert f"deleted session {session.name}\n" in done.stderr
            assert set(other.volumes()) == {model.session_volume(other.name)}
            assert state in session.volumes()
            assert cli("cleanup", "--merged", "--yes", **engine).stderr.endswith(
                "there is nothing to clean up\n"
            )
    finally:
        subprocess.run(["docker", "volume", "rm", state], capture_output=True)


@engine_test
@pytest.mark.parametrize("answer", ["y", "n"])
def test_all_is_shown_with_what_it_loses_and_asked_for_once(
    cli: Cli, session: GitSession, only: Only, home: Path, answer: str
) -> None:
    session.commit("new.txt", "x", "New")
    session.inside("echo x >more.txt")
    old = sh("docker", "volume", "create", f"claude-session-{session.name}-old").strip()
    state = make_state(f"{session.name}-talk")
    try:
        env = {**clean_environment(home), **only(session.name)}
        with pexpect.spawn(
            PROGRAM, ["cleanup"], env=env, encoding="utf-8", timeout=60, dimensions=(24, 120)
        ) as child:
            child.expect("Delete these 3, and lose what 3 of them hold?")
            shown = child.before or ""
            child.sendline(answer)
            child.expect(pexpect.EOF)
            child.wait()
        assert "1 commit, 1 uncommitted file" in shown
        assert "the conversation about /some/where" in shown
        assert f"all in {old}" in shown
        assert child.exitstatus == (0 if answer == "y" else 1)
        assert bool(session.volumes()) == (answer == "n")
    finally:
        subprocess.run(["docker", "volume", "rm", old, state], capture_output=True)


@engine_test
def test_what_changed_during_the_question_stays(
    cli: Cli, session: GitSession, only: Only, home: Path
) -> None:
    env = {**clean_environment(home), **only(session.name)}
    with pexpect.spawn(PROGRAM, ["cleanup"], env=env, encoding="utf-8", timeout=60) as child:
        child.expect("Delete this one?")
        session.commit("new.txt", "x", "New")
        child.sendline("y")
        child.expect("changed meanwhile")
        child.expect(pexpect.EOF)
        child.wait()
    assert (child.exitstatus, bool(session.volumes())) == (1, True)


@engine_test
def test_what_runs_stays(cli: Cli, session: GitSession, only: Only) -> None:
    session.run()
    done = cli("cleanup", "--yes", **only(session.name))
    assert (done.code, bool(session.volumes())) == (0, True)
    assert f"session {session.name} is running, and stays" in done.stderr


@engine_test
def test_older_than_leaves_the_young(cli: Cli, session: GitSession, only: Only) -> None:
    engine = only(session.name)
    done = cli("cleanup", "--yes", "--older-than", "1h", **engine)
    assert (done.code, session.volumes()) == (0, [model.session_volume(session.name)])
    assert cli("cleanup", "--yes", "--older-than", "0m", **engine).code == 0
    assert session.volumes() == []


@engine_test
def test_tool_volumes_are_no_work_and_go_unless_something_runs_with_them(
    cli: Cli, only: Only, image: str
) -> None:
    word = f"cctest-{uuid.uuid4().hex[:8]}"
    volumes = [f"claude-tools-{word}-{libc}" for libc in ("glibc", "musl")]
    words = ["--label=claude-container.kind=tools", "--label=claude-container.created=1"]
    try:
        for volume in volumes:
            sh("docker", "volume", "create", *words, volume)
        sh("docker", "create", "--name", word, "-v", f"{volumes[1]}:/t:ro", image)
        engine = only(word)
        assert "there is nothing" in cli("cleanup", "--merged", "--yes", **engine).stderr
        done = cli("cleanup", "--yes", **engine)
        left = sh("docker", "volume", "ls", "--quiet", "--filter", f"name={word}").split()
        assert (done.code, left) == (0, volumes[1:])
        assert [line.split()[1::2] for line in done.stdout.splitlines()[1:]] == [["tools", "-"]] * 2
        assert f"deleted the volume {volumes[0]}\n" in done.stderr
        assert f"{volumes[1]} stays: the volume is in use\n" in done.stderr
        assert cli("list", **engine).stdout == ""
    finally:
        subprocess.run(["docker", "rm", "--force", word], capture_output=True)
        subprocess.run(["docker", "volume", "rm", *volumes], capture_output=True)


def test_what_has_no_age_is_never_old() -> None:
    assert cleanup._is_old(Entry("x", "original", ()), 0)
    assert not cleanup._is_old(Entry("x", "original", ()), 60)
    assert cleanup._is_old(Entry("x", "session", (), created=1000), 60)


def test_nothing_of_anyone_elses_is_seen() -> None:
    from claude_container.engines.base import Volume

    others = ["postgres", "claude", "claude-sessions", "session-data", "xclaude-session-a", ""]
    assert listing.entries(Listed([Volume(name, {}) for name in others], ())) == []
