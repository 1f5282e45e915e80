"""Launches with a real engine and the real claude, against a scripted model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from claude_container.sessions import model as names
from tests.conftest import PROGRAM, TOKEN, Cli, StartModel, clean_environment, sh
from tests.running import HOLD, bash, held

pytestmark = pytest.mark.engine

DOCKER_SOCKET = "/var/run/docker.sock"
ECHO = {"turns": [], "echo": True}


def test_a_prompt_is_answered_and_the_token_arrives(
    cli: Cli, session: str, start_model: StartModel
) -> None:
    model = start_model(ECHO)
    ran = cli("-s", session, *model.flags, "--", "-p", "hello", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "echo: hello\n", "")
    assert model.tokens() == {f"Bearer {TOKEN}"}


def test_what_is_piped_in_reaches_claude_and_only_its_words_come_out(
    cli: Cli, session: str, start_model: StartModel
) -> None:
    model = start_model(ECHO)
    stream = ("--output-format", "stream-json", "--verbose")
    ran = cli(
        *("-s", session, *model.flags, "--", "-p", "say", *stream),
        input="from a pipe",
        CLAUDE_CODE_OAUTH_TOKEN=TOKEN,
    )
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert events[-1]["result"] == "echo: say\nfrom a pipe"
    assert ran.stderr == ""


def test_the_token_file_serves_as_well(
    cli: Cli, session: str, start_model: StartModel, home: Path
) -> None:
    file = home / ".config" / "claude-container" / "token"
    file.parent.mkdir(parents=True)
    file.touch(0o600)
    file.write_text(f"{TOKEN}\n")
    model = start_model(ECHO)
    assert cli("-s", session, *model.flags, "--", "-p", "hi").code == 0
    assert model.tokens() == {f"Bearer {TOKEN}"}


def test_claudes_exit_code_passes_through(cli: Cli, session: str, start_model: StartModel) -> None:
    flags = start_model(ECHO).flags
    ran = cli("-s", session, *flags, "--", "--no-such-option", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert ran.code == 1
    assert "unknown option '--no-such-option'" in ran.stderr
    assert session not in sh("docker", "ps", "--all", "--format", "{{.Names}}")


def test_a_conversation_goes_on_in_a_new_container(
    cli: Cli, session: str, start_model: StartModel
) -> None:
    model = start_model(ECHO)
    said = {}
    for word, flags in (("first", []), ("second", ["--continue"]), ("third", [])):
        args = ["-s", session, *flags, *model.flags, "--", "-p", word]
        assert cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN).code == 0
        said[word] = model.requests()[-1]["messages"]
    assert said["second"] > said["first"] == said["third"]


def test_with_nothing_to_continue_it_says_so(
    cli: Cli, session: str, start_model: StartModel
) -> None:
    model = start_model(ECHO)
    args = ["-s", session, "-c", *model.flags, "--", "-p", "on"]
    ran = cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert (ran.code, ran.stdout) == (1, "")
    assert f"nothing to continue in session {session}" in ran.stderr
    assert model.requests() == []


def test_two_directories_never_share_a_conversation(
    cli: Cli, start_model: StartModel, tmp_path: Path
) -> None:
    model = start_model(ECHO)
    volumes = []
    for parent in ("a", "b"):
        directory = tmp_path / parent / "same"
        directory.mkdir(parents=True)
        args = [*model.flags, "--", "-p", "hi"]
        assert cli(*args, cwd=directory, CLAUDE_CODE_OAUTH_TOKEN=TOKEN).code == 0
        made_for = f"label=claude-container.directory={directory}"
        volumes += sh("docker", "volume", "ls", "--quiet", "--filter", made_for).split()
    sh("docker", "volume", "rm", *volumes)
    assert len(set(volumes)) == 2
    assert all(volume.startswith("claude-state-same-") for volume in volumes)


def test_what_was_in_the_state_is_kept(
    cli: Cli, session: str, start_model: StartModel, image: str
) -> None:
    """A copied ~/.claude.json without what claude needs in a container: nothing of it is lost."""
    volume = f"claude-state-{session}"
    mine = {"theme": "light", "projects": {"/home/me/x": {"history": []}}, "numStartups": 7}
    write = [
        "sh",
        "-c",
        f"echo '{json.dumps(mine)}' >/s/.claude.json; echo '{{}}' >/s/settings.json",
    ]
    sh("docker", "run", "--rm", "-v", f"{volume}:/s", image, *write)
    model = start_model(ECHO)
    args = ["-s", session, *model.flags, "--", "-p", "hi"]
    assert cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN).code == 0
    read = ["cat", "/s/.claude.json"]
    kept = json.loads(sh("docker", "run", "--rm", "-v", f"{volume}:/s", image, *read))
    assert kept["theme"] == "light"
    assert "/home/me/x" in kept["projects"]
    assert kept["hasCompletedOnboarding"] is True


# As another user: the interpreter here may lie in root's home, so everything is
# imported before the user changes.
_AS_USER = """
import difflib, os, sys, tempfile
import claude_container.cli.launch, claude_container.cli.main as main
os.setgroups([int(sys.argv[2])]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
sys.exit(main.main(sys.argv[3:]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize("uid", [1000, 12345, 33])
def test_every_file_belongs_to_the_user_and_nothing_else_changed(
    uid: int, session: str, start_model: StartModel, home: Path
) -> None:
    workspace = Path(sh("mktemp", "-d", "/tmp/cctest-XXXXXX").strip())
    try:
        (workspace / "dir").mkdir(mode=0o750)
        (workspace / "dir" / "file").write_text("old")
        (workspace / "dir" / "file").chmod(0o604)
        for path in (workspace, workspace / "dir", workspace / "dir" / "file"):
            os.chown(path, uid, uid)
        (workspace / "roots").write_text("root's")
        before = {path: _owner_and_mode(path) for path in [workspace, *workspace.rglob("*")]}
        make = "mkdir new && echo x >new/file && cd /workspace && git init -q ."
        model = start_model([bash(make)])
        as_user = [sys.executable, "-c", _AS_USER, str(uid), str(os.stat(DOCKER_SOCKET).st_gid)]
        done = subprocess.run(
            [*as_user, "-s", session, *model.flags, "--", "-p", "make a file"],
            cwd=workspace,
            env={**clean_environment(Path("/nonexistent")), "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        after = {path: _owner_and_mode(path) for path in [workspace, *workspace.rglob("*")]}
        assert {path: after[path] for path in before} == before
        made = set(after) - set(before)
        assert workspace / "new" / "file" in made
        assert workspace / ".git" / "HEAD" in made
        assert {path: after[path][0] for path in made} == dict.fromkeys(made, (uid, uid))
    finally:
        sh("rm", "-r", str(workspace))


def _owner_and_mode(path: Path) -> tuple[tuple[int, int], int]:
    seen = path.lstat()
    return (seen.st_uid, seen.st_gid), seen.st_mode


def test_claude_and_its_tools_have_no_privilege_left(
    cli: Cli, session: str, start_model: StartModel, project: Path
) -> None:
    look = "cat /proc/self/status /proc/$PPID/status | grep -E '^(Cap|NoNewPrivs)' >status"
    model = start_model([bash(look)])
    args = ["-s", session, *model.flags, "--", "-p", "look"]
    assert cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN).code == 0
    seen = [line.split() for line in (project / "status").read_text().splitlines()]
    none = [[f"Cap{kind}:", "0" * 16] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
    assert seen == [*none, ["NoNewPrivs:", "1"]] * 2


def test_limits_mounts_variables_and_ports_reach_the_container(
    cli: Cli, session: str, start_model: StartModel, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "side: ä, b").mkdir()
    (tmp_path / "side: ä, b" / "file").write_text("seen")
    look = (
        'echo "$A|$B|$(cat /side/file)|$(touch /side/x 2>&1 | grep -o Read-only)" >out;'
        " cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null >>out"
    )
    model = start_model([bash(look)])
    ran = cli(
        *("-s", session, *model.flags, "--env", "A=a b # ' \"ü", "--env", "B"),
        *("--mount", f"{tmp_path}/side: ä, b:/side:ro", "--memory", "1g", "--cpus", "1"),
        *("--", "-p", "look"),
        B="from here",
        CLAUDE_CODE_OAUTH_TOKEN=TOKEN,
    )
    assert ran.code == 0, ran.stderr
    assert (project / "out").read_text() == "a b # ' \"ü|from here|seen|Read-only\n4096\n"


def test_no_name_of_a_variable_is_taken_by_our_own_scripts(
    cli: Cli, session: str, start_model: StartModel, project: Path
) -> None:
    """A shell hands on what it assigns to a variable that it was given."""
    names = ("token", "session", "state", "user", "home", "config", "project", "uid", "what")
    value = "${containerEnv:HOME} it's $HOME"
    model = start_model([bash(f"printenv {' '.join(names)} >out")])
    flags = [f"--env={name}={value}" for name in names]
    ran = cli(
        *("-s", session, *model.flags, *flags, "--", "-p", "look"), CLAUDE_CODE_OAUTH_TOKEN=TOKEN
    )
    assert ran.code == 0, ran.stderr
    assert (project / "out").read_text().splitlines() == [value] * len(names)
    assert model.tokens() == {f"Bearer {TOKEN}"}


def test_a_company_certificate_reaches_claude_and_its_tools(
    cli: Cli, session: str, start_model: StartModel, tmp_path: Path, project: Path, image: str
) -> None:
    pem = tmp_path / "tls.pem"
    cert = tmp_path / "ca.crt"
    sh(
        *("docker", "run", "--rm", "--network", "none", "-v", f"{tmp_path}:/o", image),
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", "/o/key.pem", "-out", "/o/ca.crt"),
    )
    pem.write_text((tmp_path / "key.pem").read_text() + cert.read_text())
    fetch = (
        "curl -sf https://127.0.0.1:8443/ >curl; git ls-remote https://127.0.0.1:8443/x 2>git;"
        " python3 -c 'from urllib.request import *; urlopen(\"https://127.0.0.1:8443/\")' 2>py"
    )
    model = start_model([bash(fetch)], port=8443, tls=pem)
    args = ["-s", session, *model.flags, "--ca-file", str(cert), "--", "-p", "go"]
    ran = cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert ran.code == 0, ran.stderr
    assert model.tokens() == {f"Bearer {TOKEN}"}
    assert json.loads((project / "curl").read_text()) == {"ok": True}
    assert "not found" in (project / "git").read_text()
    assert (project / "py").read_text() == ""


def test_a_warm_launch_makes_four_engine_calls(
    cli: Cli, session: str, image: str, tmp_path: Path
) -> None:
    """The sweep for what dead launchers left (ps), and create, cp, start."""
    wrapper = tmp_path / "bin" / "docker"
    wrapper.parent.mkdir()
    calls = tmp_path / "calls"
    wrapper.write_text(f'#!/bin/sh\necho "$1" >>"{calls}"\nexec {shutil.which("docker")} "$@"\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    args = ["-s", session, "--", "--version"]
    assert cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN).code == 0
    assert cli(*args, PATH=path, CLAUDE_CODE_OAUTH_TOKEN=TOKEN).code == 0
    assert sorted(calls.read_text().split()) == ["cp", "create", "ps", "start"]


@pytest.mark.skipif(os.getuid() != 0, reason="giving files to others takes root")
def test_a_mount_below_the_state_or_the_home_keeps_its_owner(session: str, image: str) -> None:
    """The entrypoint gives both to the user, but what is mounted there is the host's."""
    outer = Path(sh("mktemp", "-d", "/tmp/cctest-XXXXXX").strip())
    try:
        outer.chmod(0o755)
        workspace = outer / "workspace"
        workspace.mkdir()
        os.chown(workspace, 1000, 1000)
        mounted = {}
        for name, target in (("a", f"{names.STATE}/skills"), ("b", "/home/claude")):
            folder = outer / name
            folder.mkdir()
            (folder / "file").touch()
            os.chown(folder, 4242, 4242)
            os.chown(folder / "file", 4243, 4243)
            mounted[folder] = target
        flags = [word for folder, to in mounted.items() for word in ("--mount", f"{folder}:{to}")]
        as_user = [sys.executable, "-c", _AS_USER, "1000", str(os.stat(DOCKER_SOCKET).st_gid)]
        done = subprocess.run(
            [*as_user, "-s", session, *flags, "--", "--version"],
            cwd=workspace,
            env={**clean_environment(Path("/nonexistent")), "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        for folder in mounted:
            assert _owner_and_mode(folder)[0] == (4242, 4242)
            assert _owner_and_mode(folder / "file")[0] == (4243, 4243)
    finally:
        sh("rm", "-r", str(outer))


def test_with_nobody_to_read_its_errors_claude_still_ends(
    cli: Cli, session: str, start_model: StartModel, project: Path, image: str
) -> None:
    (project / "Dockerfile").write_text(
        f"FROM {image}\n"
        "RUN printf '#!/bin/sh\\nseq 1 40000 >&2\\necho ended\\n' >/usr/local/bin/claude\n"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [PROGRAM, "-s", session, "--trust"],
            cwd=project,
            env={**os.environ, "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=full,
            timeout=120,
        )
    tag = sh("docker", "images", "claude-dev-my-project-n-code", "--format", "{{.ID}}").split()
    sh("docker", "image", "rm", "--force", *tag)
    assert done.stdout == b"ended\n"


def test_a_second_launch_of_a_session_is_refused(
    cli: Cli, session: str, start_model: StartModel, project: Path
) -> None:
    flags = start_model(HOLD).flags
    with held("-s", session, *flags, cwd=project) as first:
        second = cli("-s", session.upper(), "--", "-p", "hi", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert first.returncode == 0
    assert second.code == 1
    assert "is in use by another command" in second.stderr
    assert "--session" in second.stderr
