"""Completion in the user's shell: verbs, options, and the names of sessions, in real shells."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from tests.conftest import PROGRAM, Cli, clean_environment, sh
from tests.gitsession import unique

LABEL = "claude-container."


def words(cli: Cli, *line: str, **env: str) -> list[str]:
    """What would be offered for the last word of a line."""
    asked = {"_CLAUDE_CONTAINER_COMPLETE": "bash_complete", "COMP_CWORD": str(len(line))}
    done = cli(COMP_WORDS=" ".join(["claude-container", *line]), **asked, **env)
    assert (done.code, done.stderr) == (0, "")
    return [row.partition(",")[2] for row in done.stdout.splitlines() if row]


@pytest.fixture
def listed(fake_docker: Callable[[str], str]) -> dict[str, str]:
    """The environment of an engine with sessions of each kind, and one of the original."""
    rows = [
        '["claude-session-fix","session","fix","/r/.git","/r","main","","1","",""]',
        '["claude-session-fun","session","fun","/r/.git","/r","main","","1","",""]',
        '["claude-state-talk","state","talk","","/d","","","1","",""]',
        '["session-data-notes","overlay","notes","","/n","","","1","",""]',
        '["claude-session-old","","","","","","","","",""]',
    ]
    script = (
        "case $* in *--filter*kind=session*) n=2 more=',\"session\"]' ;; *) n=5 more=']' ;; esac\n"
    )
    printed = "\n".join(rows)
    script += f"head -n $n <<'END' | sed \"s/]\\$/$more/\"\n{printed}\nEND"
    return {"PATH": fake_docker(script)}


def test_verbs_are_completed_and_what_they_take(cli: Cli) -> None:
    assert words(cli, "st") == ["start"]
    assert {"start", "list", "delete", "cleanup", "completion"} <= set(words(cli, ""))
    assert words(cli, "list", "--ref") == ["--refresh"]
    assert words(cli, "completion", "") == ["bash", "zsh", "fish"]


def test_options_of_a_launch_and_the_originals_flags_are_completed(cli: Cli) -> None:
    assert words(cli, "--im") == ["--image"]
    assert words(cli, "--delete-") == ["--delete-session"]
    assert words(cli, "--image", "x", "--ne") == ["--network"]
    assert words(cli, "--dir", "so") == ["so"]  # a folder: the shell's own to complete


@pytest.mark.parametrize(
    "verb", ["start", "--git-session", "-g", "diff", "--diff-session", "push", "shell", "exec"]
)
def test_names_of_sessions_are_completed(cli: Cli, listed: dict[str, str], verb: str) -> None:
    assert words(cli, verb, "f", **listed) == ["fix", "fun"]
    assert words(cli, verb, "fu", **listed) == ["fun"]


@pytest.mark.parametrize("verb", ["diff", "--merge-session", "shell", "exec"])
def test_names_of_sessions_of_dir_are_completed_where_they_can_be_meant(
    cli: Cli, listed: dict[str, str], verb: str
) -> None:
    assert words(cli, verb, "n", **listed) == ["notes"]


@pytest.mark.parametrize("verb", ["delete", "--delete-session"])
def test_delete_completes_whatever_can_be_deleted(
    cli: Cli, listed: dict[str, str], verb: str
) -> None:
    assert words(cli, verb, "", **listed) == ["fix", "fun", "notes", "talk", "old"]
    assert words(cli, verb, "fix", "f", **listed) == ["fun"]


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense; echo more >&2"])
def test_without_an_engine_nothing_is_completed_and_nothing_said(
    cli: Cli, fake_docker: Callable[[str], str], script: str
) -> None:
    assert words(cli, "start", "", PATH=fake_docker(script)) == []


# In real shells

TAB = "\t"


@pytest.fixture
def volume() -> Iterator[str]:
    """A session, as far as its name goes."""
    name = unique()
    labels = [f"--label={LABEL}kind=session", f"--label={LABEL}session={name}"]
    sh("docker", "volume", "create", *labels, f"claude-session-{name}")
    yield name
    sh("docker", "volume", "rm", f"claude-session-{name}")


def shell(home: Path, *argv: str) -> pexpect.spawn[str]:
    if shutil.which(argv[0]) is None:
        pytest.skip(f"there is no {argv[0]} here")
    path = f"{Path(PROGRAM).parent}:{clean_environment(home)['PATH']}"
    env = {**clean_environment(home), "PATH": path, "PS1": "> ", "TERM": "dumb"}
    return pexpect.spawn(
        argv[0], [*argv[1:]], env=env, encoding="utf-8", timeout=20, dimensions=(24, 200)
    )


@pytest.mark.engine
@pytest.mark.parametrize(
    ("argv", "before"),
    [
        (("bash", "--norc", "--noprofile", "-i"), ""),
        (("zsh", "-f", "-i"), "autoload -U compinit; compinit -u -D; "),
    ],
    ids=["bash", "zsh"],
)
def test_a_shell_completes_the_name_of_a_session(
    argv: tuple[str, ...], before: str, home: Path, volume: str
) -> None:
    with shell(home, *argv) as child:
        child.sendline(f'{before}eval "$(claude-container completion {argv[0]})"; echo re""ady')
        child.expect("ready")
        child.send(f"echo; claude-container del{TAB}")
        child.expect("delete")
        child.send(f" {volume[:-2]}{TAB}")
        child.expect_exact(volume)
        child.sendcontrol("c")


@pytest.mark.engine
def test_fish_completes_the_name_of_a_session(home: Path, volume: str) -> None:
    if shutil.which("fish") is None:
        pytest.skip("there is no fish here")
    path = f"{Path(PROGRAM).parent}:{clean_environment(home)['PATH']}"
    script = "claude-container completion fish | source; complete -C 'claude-container {}'"
    for line, expected in (("del", "delete"), (f"delete {volume[:-2]}", volume)):
        done = subprocess.run(
            ["fish", "--private", "-c", script.format(line)],
            env={**clean_environment(home), "PATH": path},
            capture_output=True,
            text=True,
            timeout=30,
        )
        offered = [row.split("\t")[0] for row in done.stdout.splitlines()]
        assert expected in offered, done.stderr


def test_an_unknown_shell_is_a_usage_error(cli: Cli) -> None:
    assert cli("completion", "tcsh").code == 2
