"""A devcontainer.json on the real engine: its image, user, variables, ports and commands."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.conftest import PROGRAM, TOKEN, Cli, Ran, clean_environment, sh
from tests.gitsession import make_repository, remove, unique
from tests.test_launch import _AS_USER, DOCKER_SOCKET

pytestmark = pytest.mark.engine

FILE = ".devcontainer/devcontainer.json"
# In the place of claude: what it would find. Its token is read, so that a test sees it there.
PROBE = r"""#!/bin/sh
echo "token $(cat <&3 2>/dev/null)"
echo "env $GREETING|$PATH|${GONE-gone}|$HOME|$SHELL|$(id -un)"
echo "image $(cat /what) $(cat /stage)"
cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -o 'sleep 77[0-9]' | sed 's/^/still there: /'
ls -n "$HOME" | sed 's/^/home /'
"""
RECIPE = """FROM {image} AS base
ARG WHAT=default
RUN echo "$WHAT" >/what && echo base >/stage \\
 && useradd --create-home --uid 4321 --shell /bin/dash vscode \\
 && touch /home/vscode/mine /home/vscode/roots && ln -s /what /home/vscode/link \\
 && chown vscode /home/vscode/mine && chown -h vscode /home/vscode/link
ENV GONE=here PATH=/opt/image:$PATH
COPY claude /usr/local/bin/claude
FROM base AS dev
RUN echo dev >/stage
FROM base
RUN echo last >/stage
"""


@pytest.fixture
def repository(image: str) -> Iterator[Path]:
    """A folder with a development container; its images go when the test ends."""
    folder = Path(sh("mktemp", "-d", "/tmp/cctest-XXXXXX").strip())
    folder.chmod(0o755)
    (folder / ".devcontainer").mkdir()
    (folder / ".devcontainer" / "Dockerfile").write_text(RECIPE.format(image=image))
    (folder / ".devcontainer" / "claude").write_text(PROBE)
    (folder / ".devcontainer" / "claude").chmod(0o755)
    yield folder
    name = f"claude-dev-{folder.name.lower()}"
    if names := sh("docker", "images", name, "--format", "{{.Repository}}:{{.Tag}}").split():
        sh("docker", "image", "rm", "--force", *names)
    sh("rm", "-r", str(folder))


def write(repository: Path, said: dict[str, object]) -> None:
    whole = {"build": {"dockerfile": "Dockerfile"}, **said}
    (repository / FILE).write_text(f"// a comment\n{json.dumps(whole, indent=1)}\n")


def launch(cli: Cli, session: str, repository: Path, *flags: str) -> Ran:
    args = ["--trust", "-s", session, *flags]
    return cli(*args, cwd=repository, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)


def launch_as(
    uid: int, session: str, repository: Path, *claude_args: str, others: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """As another user, whose the repository is, but for what is the uid 4321's."""
    sh("chown", "-R", f"{uid}:{uid}", str(repository))
    if others:
        sh("chown", "-R", "4321:4321", str(others))
    # What is imported late has to be imported before the user changes.
    script = f"import jsonc, msgspec, encodings.unicode_escape\n{_AS_USER}"
    argv = [sys.executable, "-c", script, str(uid), str(os.stat(DOCKER_SOCKET).st_gid)]
    return subprocess.run(
        [*argv, "--trust", "-s", session, "--", *claude_args],
        cwd=repository,
        env={**clean_environment(Path("/nonexistent")), "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
        capture_output=True,
        text=True,
    )


def test_a_build_with_arguments_and_a_target(cli: Cli, session: str, repository: Path) -> None:
    def built(**build: object) -> str:
        write(repository, {"build": {"dockerfile": "Dockerfile", **build}})
        ran = launch(cli, session, repository)
        assert ran.code == 0, ran.stderr
        return ran.stdout

    assert "image default last\n" in built()
    args = {"WHAT": "it's an argument"}
    assert "image it's an argument dev\n" in built(args=args, target="dev")
    assert "image it's an argument last\n" in built(args=args)


def test_variables_reach_claude_and_not_the_roots_half(
    cli: Cli, session: str, repository: Path
) -> None:
    (repository / "evil").mkdir()
    for name in ("cat", "setpriv", "env", "claude"):
        (repository / "evil" / name).write_text("#!/bin/sh\ntouch /workspace/stolen\n")
        (repository / "evil" / name).chmod(0o755)
    write(
        repository,
        {
            "containerEnv": {
                "GREETING": "it's ${containerWorkspaceFolder}",
                "PATH": "/workspace/evil:/usr/bin:/bin",
                "CLAUDE_CONFIG_DIR": "/tmp/theirs",
            },
            "remoteEnv": {"PATH": "${containerEnv:PATH}:/opt/x", "GONE": None},
        },
    )
    ran = launch(cli, session, repository)
    assert ran.code == 0, ran.stderr
    assert f"token {TOKEN}\n" in ran.stdout
    assert "env it's /workspace|/opt/image:" in ran.stdout
    assert "/bin:/opt/x|gone|" in ran.stdout
    assert ran.stderr.splitlines()[0] == (
        f"⚠ {FILE}: not taken over: containerEnv.CLAUDE_CONFIG_DIR"
    )
    assert not (repository / "stolen").exists()

    mine = launch(cli, session, repository, "--env", "GREETING=mine")
    assert "env mine|" in mine.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize("uid", [0, 1000, 4321])
def test_the_user_it_names_has_the_hosts_uid_and_its_own_home(
    uid: int, session: str, repository: Path
) -> None:
    write(repository, {"remoteUser": "vscode", "postCreateCommand": "touch made ~/made"})
    done = launch_as(uid, session, repository)
    assert done.returncode == 0, done.stderr
    assert "|/home/vscode|/bin/dash|vscode\n" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("home ")]
    owners = {row[9]: int(row[3]) for row in rows if len(row) > 9}
    # A link is the user's, what it points to stays; so does what was another's in there.
    assert owners == {"mine": uid, "made": uid, "link": uid, "roots": 0}
    assert (repository / "made").stat().st_uid == uid


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize("place", ["/", "/home/link", "/workspace/theirs", "/home/../workspace"])
def test_a_home_that_leads_to_the_host_changes_no_owner_there(
    place: str, session: str, repository: Path, image: str
) -> None:
    write(repository, {"remoteUser": "odd"})
    (repository / ".devcontainer" / "Dockerfile").write_text(
        f"FROM {image}\nRUN useradd --no-create-home --uid 4321 --home-dir {place} odd"
        " && ln -s /workspace /home/link\n"
    )
    theirs = repository / "theirs"
    theirs.mkdir()
    (theirs / "file").touch()
    done = launch_as(1000, session, repository, "--version", others=theirs)
    assert done.returncode == 0, done.stderr
    assert [path.stat().st_uid for path in (theirs, theirs / "file")] == [4321, 4321]


def test_a_user_that_the_image_lacks_is_told_before_claude_starts(
    cli: Cli, session: str, repository: Path
) -> None:
    write(repository, {"remoteUser": "nobody-of-this-name"})
    ran = launch(cli, session, repository)
    assert (ran.code, ran.stdout) == (1, "")
    assert "✗ the image has no user nobody-of-this-name" in ran.stderr


COMMANDS = {
    "a string": ("echo one >out; echo said; echo err >&2", "one\n"),
    "words": (["/bin/sh", "-c", 'echo "$1" >out; echo said', "sh", "a b;c"], "a b;c\n"),
    "several": ({"x": "echo one >out; echo said", "y": ["cp", "out", "out2"]}, "one\n"),
}


@pytest.mark.parametrize("form", COMMANDS)
def test_post_create_runs_in_each_container_before_claude(
    form: str, cli: Cli, session: str, repository: Path
) -> None:
    said, out = COMMANDS[form]
    write(repository, {"postCreateCommand": said})
    for _ in range(2):
        ran = launch(cli, session, repository)
        assert ran.code == 0, ran.stderr
        assert (repository / "out").read_text() == out
        (repository / "out").unlink()
        assert "said\n" in ran.stderr and "said" not in ran.stdout
        assert "→ postCreateCommand" in ran.stderr
    assert (repository / "out2").exists() == (form == "several")


# All that a program of the user's can try: the pipe, the file, what other processes have in
# their environment or memory. (What it looks for is written backwards, lest it finds itself.)
THIEF = r"""
exec >/workspace/found 2>&1
timeout 2 cat <&3
cat /run/claude-container/token
grep -rs sk-ant-oat /run /tmp
cat > /tmp/look.py <<'PY'
import os, re
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    try:
        maps, held = open(f"/proc/{pid}/maps").read(), open(f"/proc/{pid}/environ", "rb").read()
        memory = open(f"/proc/{pid}/mem", "rb", 0)
    except OSError as error:
        print("shut", pid, error.errno)
        continue
    for start, end in re.findall(r"^(\w+)-(\w+) r", maps, re.M):
        try:
            memory.seek(int(start, 16))
            held += memory.read(int(end, 16) - int(start, 16))
        except (OSError, ValueError, OverflowError):
            pass
    print("open", pid, b"stset-eht-rof-pu-edam"[::-1] in held)
PY
python3 /tmp/look.py
sleep 771 &
setsid -f sleep 772
nohup sh -c 'trap "" TERM HUP; sleep 773' &
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize("uid", [0, 1000])
def test_post_create_finds_no_token_and_leaves_nothing_running(
    uid: int, session: str, repository: Path
) -> None:
    write(repository, {"postCreateCommand": THIEF})
    done = launch_as(uid, session, repository)
    assert done.returncode == 0, done.stderr
    found = (repository / "found").read_text()
    assert TOKEN not in found
    assert "True" not in found
    # It saw its own shell, and the process that holds the token, shut.
    assert "open" in found and "shut" in found
    assert f"token {TOKEN}\n" in done.stdout
    assert "still there" not in done.stdout


def test_post_create_does_not_eat_what_is_piped_to_claude(
    cli: Cli, session: str, repository: Path
) -> None:
    write(repository, {"postCreateCommand": "cat"})
    (repository / ".devcontainer" / "claude").write_text("#!/bin/sh\nexec cat\n")
    args = ["--trust", "-s", session]
    ran = cli(*args, cwd=repository, input="for claude", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert (ran.code, ran.stdout) == (0, "for claude")


def test_a_post_create_that_fails_ends_the_launch(cli: Cli, session: str, repository: Path) -> None:
    write(repository, {"postCreateCommand": {"db": "echo why >&2; exit 7", "after": "touch x"}})
    ran = launch(cli, session, repository)
    assert (ran.code, ran.stdout) == (1, "")
    assert "why\n✗ postCreateCommand db failed with exit code 7\nhint: " in ran.stderr
    assert not (repository / "x").exists()
    assert session not in sh("docker", "ps", "--all", "--format", "{{.Names}}")
    assert session not in sh("docker", "volume", "ls", "--format", "{{.Name}}")


def test_an_interrupted_post_create_leaves_nothing(session: str, repository: Path) -> None:
    write(repository, {"postCreateCommand": "echo waits; sleep 600"})
    terminal = pexpect.spawn(
        PROGRAM,
        ["--trust", "-s", session],
        cwd=str(repository),
        env={**os.environ, "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
        encoding="utf-8",
        timeout=60,
    )
    terminal.expect_exact("waits\r\n")
    terminal.sendintr()
    terminal.expect_exact("interrupted")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert session not in sh("docker", "ps", "--all", "--format", "{{.Names}}")


def test_ports_are_forwarded_on_this_machine_alone_unless_they_are_taken(
    cli: Cli, session: str, repository: Path
) -> None:
    with socket.socket() as taken, socket.socket() as free:
        for one in (taken, free):
            one.bind(("127.0.0.1", 0))
        taken.listen()
        busy, port = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        serve = f"timeout 60 python3 -m http.server {port} & touch ready; wait"
        probe = f"#!/bin/sh\ncd /workspace && {serve}\n"
        (repository / ".devcontainer" / "claude").write_text(probe)
        write(repository, {"forwardPorts": [busy, port, "db:5432"]})
        with subprocess.Popen(
            [PROGRAM, "--trust", "-s", session],
            cwd=repository,
            env={**os.environ, "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            until = time.monotonic() + 90
            while not (repository / "ready").exists():
                assert running.poll() is None and time.monotonic() < until
                time.sleep(0.1)
            format = "{{json .HostConfig.PortBindings}}"
            shown = sh("docker", "inspect", f"claude-container-{session}", "--format", format)
            running.terminate()
            _, said = running.communicate(timeout=60)
    assert json.loads(shown) == {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": f"{port}"}]}
    assert f"⚠ not forwarded, as it is in use here: port {busy}\n" in said
    assert f"⚠ {FILE}: not taken over: forwardPorts db:5432\n" in said


def test_without_a_network_of_its_own_there_are_no_ports(
    cli: Cli, session: str, repository: Path
) -> None:
    write(repository, {"forwardPorts": [3999]})
    assert launch(cli, session, repository, "--network", "none").code == 0


def test_untrusted_nothing_of_it_runs(cli: Cli, session: str, repository: Path) -> None:
    write(repository, {"postCreateCommand": "touch ran", "containerEnv": {"GREETING": "x"}})
    ran = cli("-s", session, cwd=repository, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert (ran.code, ran.stdout) == (1, "")
    assert "is not trusted yet" in ran.stderr
    args = ["-s", session, "--devcontainer", "none", "--image", "cctest.invalid/none:1"]
    cli(*args, cwd=repository, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert not (repository / "ran").exists()
    assert sh("docker", "images", "-q", f"claude-dev-{repository.name.lower()}") == ""


def test_a_git_session_has_it_too_and_so_have_shell_and_exec(cli: Cli, repository: Path) -> None:
    write(
        repository,
        {
            "remoteUser": "vscode",
            "containerEnv": {"GREETING": "hello"},
            "postCreateCommand": "echo at $(pwd) >>/tmp/created; cp /tmp/created created",
        },
    )
    work = make_repository(repository / "git")
    sh("mv", str(repository / ".devcontainer"), str(work))
    name = unique()
    try:
        ran = cli("start", name, "--trust", cwd=work, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        assert ran.code == 0, ran.stderr
        assert "env hello|" in ran.stdout
        look = 'echo "$GREETING $(whoami) $(cat created)"'
        ran = cli("exec", name, "--trust", "--", "sh", "-c", look, cwd=work)
        assert (ran.code, ran.stdout) == (0, "hello vscode at /workspace\n")
        assert "→ postCreateCommand: " in ran.stderr
        ran = cli("shell", name, "--trust", cwd=work, input="echo $0 $GREETING\n")
        assert ran.stdout == "/bin/dash hello\n"
        assert not (work / "created").exists()

        # A look around is for finding out why, too.
        (work / FILE).write_text(
            json.dumps({"build": {"dockerfile": "Dockerfile"}, "postCreateCommand": "exit 4"})
        )
        ran = cli("exec", name, "--trust", "--", "echo", "went on", cwd=work)
        assert (ran.code, ran.stdout) == (0, "went on\n")
        assert "✗ postCreateCommand failed with exit code 4" in ran.stderr
        assert "⚠ going on without it" in ran.stderr
        assert cli("start", name, "--trust", cwd=work, CLAUDE_CODE_OAUTH_TOKEN=TOKEN).code == 1
    finally:
        remove(name)
        tag = "claude-dev-git"
        if names := sh("docker", "images", tag, "--format", "{{.Repository}}:{{.Tag}}").split():
            sh("docker", "image", "rm", "--force", *names)
