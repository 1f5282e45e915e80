"""The real command line: help, usage, exit codes, and input as bad as it comes."""

from __future__ import annotations

import importlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path

import click
import pexpect
import pytest

from claude_container import __version__, images
from claude_container.cli import main as program
from tests.conftest import PROGRAM, TOKEN, Cli, clean_environment

COMMAND = [PROGRAM]
FakeDocker = Callable[[str], str]


@pytest.fixture
def token_file(home: Path) -> Path:
    file = home / ".config" / "claude-container" / "token"
    file.parent.mkdir(parents=True)
    return file


# Help and version


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_is_an_answer(cli: Cli, flag: str) -> None:
    ran = cli(flag)
    assert (ran.code, ran.stdout, ran.stderr) == (0, f"claude-container {__version__}\n", "")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_an_answer_that_fits_80_columns(cli: Cli, flag: str) -> None:
    ran = cli(flag, COLUMNS="80")
    assert (ran.code, ran.stderr) == (0, "")
    assert "[DOCKERFILE] [-- CLAUDE ARGS]" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
    for word in (*program.VERBS, "--session", "--continue", "--build", "--image", "--trust"):
        assert f"  {word}" in ran.stdout or f", {word}" in ran.stdout


COMMANDS = [
    importlib.import_module(f"claude_container.cli.{name}").command
    for name in (program.LAUNCH, *program.VERBS)
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_and_option_says_what_it_is_for(command: click.Command) -> None:
    assert command.help
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [option.opts for option in options if not option.help] == []


@pytest.mark.parametrize("verb", program.VERBS)
def test_every_verb_has_help_of_its_own(here: Cli, verb: str) -> None:
    assert all(program.VERBS.values())
    ran = here(verb, "--help")
    assert ran.code == 0 and f"claude-container {verb}" in ran.stdout


# Usage: exit code 2, nothing on stdout, and what to do


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--bogus"], "No such option '--bogus'"),
        (["--bogus"], "(see: claude-container --help)"),
        (["doctor", "--bogus"], "(see: claude-container doctor --help)"),
        (["--session"], "requires an argument"),
        (["a", "b"], "unexpected extra argument"),
        (["doctor", "extra"], "unexpected extra argument"),
        (["--engine", "lxc"], "choose one of: docker"),
        (["--image", "-v"], "cannot be an image"),
        (["--image", "a b"], "cannot be an image"),
        (["--image", "x", "Dockerfile"], "exclude each other"),
        (["--env", "A B"], "is not the name of a variable"),
        (["--mount", "nowhere"], "is not SRC:DST"),
        (["--publish", "http"], "is not [IP:]HOST:PORT"),
        (["missing.dockerfile"], "there is no file (and no verb) missing.dockerfile"),
        (["trsut"], "did you mean the verb trust?"),
        ([os.curdir], "name the file in it: Dockerfile"),
        (["--ca-file", "missing.pem"], "cannot read the ca_file"),
        (["trust", "missing"], "does not exist"),
        (["trust", "--", "-folder"], "what follows -- goes to claude"),
        (["doctor", "--", "x"], "what follows -- goes to claude"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(here: Cli, args: list[str], said: str) -> None:
    ran = here(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("✗ ") and said in ran.stderr


@pytest.mark.parametrize(
    "name", ["../x", "-rf", "x" * 200, "ünï", "", ".", "a b", "a/b", "a\nb", "x\n", "\udcff"]
)
def test_what_cannot_be_a_sessions_name_is_refused(here: Cli, name: str) -> None:
    ran = here("--session", name)
    assert (ran.code, ran.stdout) == (2, "")
    assert "cannot be the name of a session" in ran.stderr
    assert "at most 63" in ran.stderr and len(ran.stderr) < 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("image =", "is not valid TOML"),
        ("imgae = 'x'", "did you mean 'image'?"),
        ("image = 4", "Expected `str | null`"),
    ],
)
def test_a_broken_file_is_a_usage_error(here: Cli, project: Path, content: str, said: str) -> None:
    (project / ".claude-container.toml").write_text(content)
    ran = here(CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert ran.code == 2 and said in ran.stderr


def test_a_directory_that_is_gone_is_said(home: Path, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        ["sh", "-c", 'cd gone; rmdir ../gone; exec "$@"', "sh", *COMMAND],
        cwd=tmp_path,
        env=clean_environment(home),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "the current directory does not exist any more" in done.stderr


# The token


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (f"{TOKEN}\n{TOKEN}\n".encode(), 0o600, "more than one word or line"),
        (TOKEN.encode(), 0o644, "hint: chmod 600"),
        (b"sk-ant-\xff", 0o600, "not UTF-8 text"),
        (None, 0o700, "is no regular file"),
    ],
    ids=["two lines", "mode 644", "not UTF-8", "a folder"],
)
def test_a_token_file_that_cannot_be_used_is_said(
    here: Cli, token_file: Path, content: bytes | None, mode: int, said: str
) -> None:
    if content is None:
        token_file.mkdir()
    else:
        token_file.write_bytes(content)
    token_file.chmod(mode)
    ran = here()
    assert (ran.code, ran.stdout) == (1, "")
    assert str(token_file) in ran.stderr and said in ran.stderr
    assert "sk-ant" not in ran.stderr


def test_without_a_token_it_is_said_where_one_goes(here: Cli, token_file: Path) -> None:
    ran = here()
    assert (ran.code, ran.stdout) == (1, "")
    assert str(token_file) in ran.stderr and "claude-container login" in ran.stderr


def test_ci_without_a_token_is_a_usage_error_and_no_prompt(home: Path, project: Path) -> None:
    """On a terminal too, which some runners have; what is typed there is not waited for."""
    terminal = pexpect.spawn(
        COMMAND[0],
        COMMAND[1:],
        cwd=str(project),
        env={**clean_environment(home), "CI": "true"},
        encoding="utf-8",
        timeout=20,
    )
    terminal.expect(pexpect.EOF)
    terminal.close()
    said = "✗ no token: set CLAUDE_CODE_OAUTH_TOKEN in this job's secrets"
    assert (terminal.exitstatus, (terminal.before or "").strip()) == (2, said)


def test_without_a_home_there_is_still_an_error_to_read(
    here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a uid that no passwd file knows, in a container for example."""

    def unknown(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    launched, trusted = here(), here("trust")
    assert (launched.code, trusted.code) == (1, 1)
    assert "no token: CLAUDE_CODE_OAUTH_TOKEN is not set, and none" in launched.stderr
    assert "set HOME, or use --trust" in trusted.stderr


# The engine: three ways not to answer

MISSING = "✗ docker is not installed"
STOPPED = "✗ docker is installed, but no engine answers"
FORBIDDEN = "✗ docker does not let this user in"
_SOCKET = "unix:///var/run/docker.sock"
_DENIED = f"permission denied while trying to connect to the Docker daemon socket at {_SOCKET}: "
_DIAL = "dial unix /var/run/docker.sock: connect: permission denied"
_SSH = "command [ssh -l u -- h docker system dial-stdio] has exited with exit status 255"
# What clients 20.10.24 and 28.2.2 print (they differ in which request fails first).
CANNOT_CONNECT = f"Cannot connect to the Docker daemon at {_SOCKET}. Is the docker daemon running?"
WORDS = [
    (CANNOT_CONNECT, STOPPED),
    (CANNOT_CONNECT.replace(_SOCKET, "tcp://127.0.0.1:2375"), STOPPED),
    (f'error during connect: Get "http://docker.example.com/v1.24/info": {_SSH}', STOPPED),
    (
        f'{_DENIED}Post "http://%2Fvar%2Frun%2Fdocker.sock/v1.24/containers/create": {_DIAL}',
        FORBIDDEN,
    ),
    (f'{_DENIED}Head "http://%2Fvar%2Frun%2Fdocker.sock/_ping": {_DIAL}', FORBIDDEN),
]


@pytest.mark.parametrize(("words", "meaning"), WORDS)
def test_an_engine_that_does_not_answer_is_told_from_one_that_forbids(
    here: Cli, fake_docker: FakeDocker, words: str, meaning: str
) -> None:
    path = fake_docker(f"echo '{words}' >&2; exit 1")
    ran = here(CLAUDE_CODE_OAUTH_TOKEN=TOKEN, PATH=path)
    what, evidence, hint = ran.stderr.splitlines()
    assert (ran.code, ran.stdout) == (1, "")
    assert (what, evidence) == (meaning, f"  {words}")
    assert {STOPPED: "start it", FORBIDDEN: "usermod -aG docker"}[meaning] in hint


def test_a_docker_that_is_not_there_is_said(here: Cli, tmp_path: Path) -> None:
    ran = here(CLAUDE_CODE_OAUTH_TOKEN=TOKEN, PATH=str(tmp_path))
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr.splitlines()[0] == MISSING and "docs.docker.com" in ran.stderr


@pytest.mark.skipif(not shutil.which("docker"), reason="needs a docker client, and no engine")
@pytest.mark.parametrize("args", [[], ["doctor"]])
def test_the_client_that_is_here_says_so_too(cli: Cli, tmp_path: Path, args: list[str]) -> None:
    socket = f"unix://{tmp_path}/no.sock"
    ran = cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN, DOCKER_HOST=socket)
    assert ran.code == 1
    assert STOPPED.strip("✗ ") in ran.stderr + ran.stdout


@pytest.mark.parametrize(("words", "meaning"), [*WORDS, (None, MISSING)])
def test_doctor_says_the_same_in_a_row(
    here: Cli, fake_docker: FakeDocker, tmp_path: Path, words: str | None, meaning: str
) -> None:
    path = fake_docker(f"echo '{words}' >&2; exit 1") if words else str(tmp_path)
    ran = here("doctor", "--json", CLAUDE_CODE_OAUTH_TOKEN=TOKEN, PATH=path)
    rows = {row["name"]: row for row in json.loads(ran.stdout)}
    assert ran.code == 1
    assert rows["engine"]["status"] == "fail" and rows["engine"]["hint"]
    assert rows["engine"]["seen"].startswith(meaning.strip("✗ "))
    assert rows["token"] == {
        "name": "token",
        "status": "ok",
        "seen": "from $CLAUDE_CODE_OAUTH_TOKEN",
        "hint": "",
    }


def test_no_engine_call_shows_the_token(cli: Cli, fake_docker: FakeDocker, tmp_path: Path) -> None:
    path = fake_docker(f'(echo "$@"; env; cat) >>"{tmp_path}/seen"; echo {TOKEN} >&2; exit 1')
    ran = cli("--env", "A=1", CLAUDE_CODE_OAUTH_TOKEN=TOKEN, ANTHROPIC_API_KEY=TOKEN, PATH=path)
    seen = (tmp_path / "seen").read_text()
    assert "create --pull never" in seen and "A=1" in seen
    assert TOKEN not in seen + ran.stderr and "[token]" in ran.stderr


# What goes where


@pytest.fixture
def created(here: Cli, fake_docker: FakeDocker, tmp_path: Path) -> Callable[..., list[str]]:
    """The arguments of the `docker create` that a command line leads to."""
    path = fake_docker(
        f"""case $1 in create) printf '%s\\n' "$@" >"{tmp_path}/create" ;; esac; exit 1"""
    )

    def run(*args: str) -> list[str]:
        assert here(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN, PATH=path).code == 1
        return (tmp_path / "create").read_text().splitlines()

    return run


@pytest.mark.parametrize(
    "claude_args",
    [[], ["-p", "do this", "--output-format", "stream-json"], ["--help"], ["-V"], ["--", "x"]],
    ids=str,
)
def test_what_follows_the_dashes_goes_to_claude_unchanged(
    created: Callable[..., list[str]], claude_args: list[str]
) -> None:
    argv = created("-s", "mine", "--", *claude_args)
    assert argv[argv.index("--dangerously-skip-permissions") + 1 :] == claude_args
    assert "--label=claude-container.session=mine" in argv


def test_flags_become_what_the_engine_is_told(
    created: Callable[..., list[str]], project: Path
) -> None:
    flags = ["--memory", "1g", "--cpus", "1.5", "--network", "n"]
    argv = created(*flags, "--publish", "8080:80", "--mount", f"{project}:/m:ro")
    for flag, value in (("--memory", "1g"), ("--cpus", "1.5"), ("--network", "n")):
        assert argv[argv.index(flag) + 1] == value
    assert "--publish=127.0.0.1:8080:80" in argv
    assert f'type=bind,"source={project}",target=/m,ro' in argv
    assert argv[argv.index("--entrypoint") + 2] == images.DEFAULT


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (["-s", "x"], ["--session", "x"]),
        (["-c"], ["--continue"]),
        (["-b"], ["--build"]),
        (["-v"], ["--verify"]),
        (["-V"], ["--version"]),
    ],
)
def test_the_originals_flags_have_both_their_names(
    here: Cli, tmp_path: Path, short: list[str], long: list[str]
) -> None:
    first, second = (here(*args, PATH=str(tmp_path)) for args in (short, long))
    assert first == second and first.code != 2


@pytest.mark.parametrize("flag", ["-v", "--verify"])
def test_verify_is_doctor(here: Cli, tmp_path: Path, flag: str) -> None:
    assert here(flag, "--json", PATH=str(tmp_path)) == here("doctor", "--json", PATH=str(tmp_path))


# Streams


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["doctor", "--json"]])
def test_a_reader_that_left_ends_it_quietly(home: Path, project: Path, args: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, *args],
        cwd=project,
        env={**clean_environment(home), "PATH": str(project)},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("closed", "args", "code"),
    [
        (">&-", "--version", 0),
        (">&-", "--help", 0),
        ("2>&-", "-s ../x", 2),
        (">&- 2>&-", "--help", 0),
        ("<&-", "-s ../x", 2),
        ("<&-", "", 1),
    ],
)
def test_a_closed_stream_is_no_defect(
    home: Path, project: Path, closed: str, args: str, code: int
) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {args} {closed}', "sh", *COMMAND],
        cwd=project,
        env=clean_environment(home),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert "defect" not in done.stderr and "Traceback" not in done.stderr


def test_a_terminal_without_utf_8_shows_question_marks(cli: Cli) -> None:
    ran = cli("-s", "../x", PYTHONIOENCODING="latin-1")
    assert ran.code == 2 and ran.stderr.startswith("? '../x' cannot be")


# Ends


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_it_with_the_shells_code(
    home: Path, project: Path, fake_docker: FakeDocker, signum: int, code: int
) -> None:
    """While the engine is busy; what it was told is not cut short."""
    os.mkfifo(project / "asked")
    os.mkfifo(project / "go")
    path = fake_docker("case $1 in create) echo >asked; read x <go ;; esac; exit 1")
    with subprocess.Popen(
        COMMAND,
        cwd=project,
        env={**clean_environment(home), "PATH": path, "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        (project / "asked").read_text()
        launcher.send_signal(signum)
        (project / "go").write_text("\n")
        out, err = launcher.communicate(timeout=20)
    assert (launcher.returncode, out) == (code, "")
    assert err.strip() == ("⚠ interrupted" if signum == signal.SIGINT else "")


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["^C", "^D"])
def test_leaving_a_question_is_an_interruption(home: Path, project: Path, key: str) -> None:
    (project / "Dockerfile").touch()
    terminal = pexpect.spawn(
        COMMAND[0], COMMAND[1:], cwd=str(project), env=clean_environment(home), timeout=20
    )
    terminal.expect_exact("Trust this directory")
    terminal.send(key)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert not (home / ".config").exists()


def test_a_defect_is_ours_with_a_log_to_report_and_no_token_in_it(
    here: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @click.command("broken")
    def broken() -> None:
        raise RuntimeError(f"with {TOKEN} and of-another-shape in it")

    verb = types.ModuleType("claude_container.cli.broken")
    verb.command = broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, verb.__name__, verb)
    monkeypatch.setitem(program.VERBS, "broken", "a verb with a defect")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ran = here("broken", CLAUDE_CODE_OAUTH_TOKEN="of-another-shape")
    what, evidence, hint = ran.stderr.splitlines()
    assert (ran.code, ran.stdout) == (3, "")
    (log,) = tmp_path.glob("claude-container-*.log")
    assert what == "✗ a defect in claude-container"
    assert evidence == "  RuntimeError: with [token] and [token] in it"
    assert hint == f"hint: please report it with {log}"
    assert __version__ in log.read_text() and "Traceback" in log.read_text()
    assert TOKEN not in log.read_text() and "of-another-shape" not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_doctor_says_whether_git_finds_sessions_in_any_shell(here: Cli, tmp_path: Path) -> None:
    scripts = str(Path(PROGRAM).parent)
    # The developer may have it installed.
    path = os.environ["PATH"].split(os.pathsep)
    others = [p for p in path if not Path(p, "git-remote-claude-container").exists()]
    without = here("doctor", PATH=os.pathsep.join(others)).stdout
    assert "git-remote-claude-container is not on PATH" in without
    assert f"add {scripts} to PATH" in without
    found = here("doctor", PATH=os.pathsep.join([scripts, *others])).stdout
    assert "with claude-container:: addresses" in found
    assert "✗ git       git is not installed" in here("doctor", PATH=str(tmp_path)).stdout
