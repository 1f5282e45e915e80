"""Logging in as a user does it, with the real `claude setup-token`, and what can go wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest

import claude_container
from claude_container import images
from claude_container.sessions import model as names
from tests import vendor as stand_in
from tests.conftest import PROGRAM, TOKEN, clean_environment, sh

pytestmark = pytest.mark.engine

HERE = Path(__file__).parent
RECORDED = HERE / "recorded" / "setup-token-2.1.330"
STATE = "#aaaabbbbccccddddeeeeffff"  # the second half of every code
GOOD = f"give-108-{'0123456789' * 3}{STATE}"
HOSTS = ("platform.claude.com", "api.anthropic.com")


@dataclass(frozen=True)
class Vendor:
    """The stand-in's container: its network is what a login has to be on, `ca` its certificate."""

    container: str
    ca: Path

    @property
    def flags(self) -> list[str]:
        return ["--network", f"container:{self.container}", "--ca-file", str(self.ca)]

    def requests(self) -> list[dict[str, Any]]:
        shown = sh("docker", "exec", self.container, "sh", "-c", "cat /log 2>/dev/null || :")
        return [json.loads(line) for line in shown.splitlines()]


@pytest.fixture(scope="module")
def vendor(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    """Both hosts, in a network that has nothing but its own loopback."""
    folder = tmp_path_factory.mktemp("vendor")
    hosts = ",".join(f"DNS:{host}" for host in HOSTS)
    sh(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=stand-in", "-addext", f"subjectAltName={hosts}"),
        *("-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")),
    )
    certificate, key = (folder / "ca.pem").read_text(), (folder / "key.pem").read_text()
    (folder / "tls.pem").write_text(certificate + key)
    demo = folder / "claude_container" / "demo"  # what vendor.py imports, and no more
    demo.mkdir(parents=True)
    shutil.copy(Path(claude_container.__file__).parent / "demo" / "model.py", demo)
    shutil.copy(HERE / "vendor.py", folder)
    container = f"cctest-vendor-{uuid.uuid4().hex[:8]}"
    local = [f"--add-host={host}:127.0.0.1" for host in HOSTS]
    kept = ["--init", "--network", "none", *local, "--name", container]
    sh("docker", "run", "--rm", "--detach", *kept, image, "sleep", "1200")
    try:
        sh("docker", "cp", str(folder), f"{container}:/vendor")
        serve = ["python3", "/vendor/vendor.py", "/vendor/tls.pem", "/log"]
        with subprocess.Popen(
            ["docker", "exec", container, *serve], stdout=subprocess.PIPE, text=True
        ) as serving:
            assert serving.stdout is not None
            assert "listening" in serving.stdout.readline()
            serving.terminate()  # the client; the server goes on with its container
        yield Vendor(container, folder / "ca.pem")
    finally:
        subprocess.run(["docker", "rm", "-f", container], capture_output=True)


ASKED = "Paste the code you get there"


class Terminal:
    """The command line on a terminal of some width; `seen` is all that came to it."""

    def __init__(
        self, args: list[str], home: Path, cwd: Path, columns: int = 80, **env: str
    ) -> None:
        self.seen = ""
        self.child = pexpect.spawn(
            args[0] if args[0] == sys.executable else PROGRAM,
            args[1:] if args[0] == sys.executable else args,
            cwd=str(cwd),
            env={**clean_environment(home), **env},
            dimensions=(24, columns),
            encoding="utf-8",
            timeout=60,
        )

    def expect(self, text: str) -> None:
        self.child.expect_exact(text)
        assert isinstance(self.child.before, str)
        self.seen += self.child.before + text

    def code(self, code: str) -> None:
        self.expect(ASKED)
        self.expect(": ")
        self.child.sendline(code)

    def end(self) -> int:
        self.child.expect(pexpect.EOF)
        assert isinstance(self.child.before, str)
        self.seen += self.child.before
        self.child.close()
        return self.child.exitstatus if self.child.exitstatus is not None else -1


OnTerminal = Callable[..., Terminal]


@pytest.fixture
def terminal(home: Path, project: Path) -> OnTerminal:
    def run(*args: str, **more: Any) -> Terminal:
        return Terminal(list(args), home, project, **more)

    return run


@pytest.fixture
def token_file(home: Path) -> Path:
    return home / ".config" / "claude-container" / "token"


def containers() -> list[str]:
    kind = f"label={names.KIND}={names.LOGIN_KIND}"
    return sh("docker", "ps", "--all", "--quiet", "--filter", kind).split()


@pytest.mark.parametrize(
    ("columns", "length"), [(250, 108), (80, 108), (40, 108), (80, 60), (80, 79), (40, 200)]
)
def test_a_user_logs_in(
    columns: int, length: int, vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    screen = terminal("login", *vendor.flags, columns=columns)
    code = f"give-{length}-{'0123456789' * 3}{STATE}"
    screen.code(code)
    assert screen.end() == 0
    token = stand_in.token(code.partition("#")[0])
    assert token and len(token) == length
    assert token_file.read_text() == f"{token}\n"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert f"token saved to {token_file}" in screen.seen
    assert re.search(r"https://claude\.ai/oauth/authorize\?I[\w-]+", screen.seen)
    # Neither the token nor the code, nor anything of claude's own screen.
    assert not [part for part in (token[:30], "give-", STATE, "Welcome") if part in screen.seen]
    assert containers() == []


def test_an_address_that_wraps_opens_whole(vendor: Vendor, terminal: OnTerminal) -> None:
    screen = terminal("login", *vendor.flags, columns=40)
    screen.expect(ASKED)
    linked = re.search(r"\x1b]8;;(https://[^\x1b]+)\x1b\\([^\x1b]+)\x1b]8;;\x1b\\", screen.seen)
    assert linked and linked[1] == linked[2] and len(linked[1]) > 40
    screen.child.sendintr()
    assert screen.end() == 130


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (GOOD.partition("#")[0], "doesn't look like the full code"),
        (f"late-{GOOD}", "That code wasn't accepted"),
        ("c", "that is no code"),  # claude's own key for "copy"
        ("give-108\x1b[D-0123456789", "that is no code"),  # an arrow key
    ],
)
def test_after_a_wrong_code_another_is_asked_for(
    wrong: str, said: str, vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    screen = terminal("login", *vendor.flags, columns=250)
    for code in (wrong, wrong, GOOD):
        screen.code(code)
    assert screen.end() == 0
    assert screen.seen.count(said) == 2
    assert token_file.exists()


def test_a_code_that_was_copied_over_two_lines_is_one(
    vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    screen = terminal("login", *vendor.flags)
    screen.code(f"  {GOOD[:20]}\r\n  {GOOD[20:]}")
    assert screen.end() == 0
    assert token_file.exists()


def test_a_code_reaches_a_program_that_stood_still_meanwhile(
    vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    """Code and Enter that it reads in one go would be a paste of both, and no Enter."""
    screen = terminal("login", *vendor.flags)
    screen.expect(ASKED)
    (container,) = containers()
    sh("docker", "pause", container)
    try:
        screen.child.sendline(GOOD)
        for _ in range(15):  # of a spinner that turns ten times a second
            screen.expect("getting the token")
    finally:
        sh("docker", "unpause", container)
    assert screen.end() == 0
    assert token_file.exists()


def test_two_logins_side_by_side_keep_one_token(
    vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    first, second = (terminal("login", *vendor.flags, columns=250) for _ in range(2))
    second.expect(ASKED)
    first.code(GOOD)
    assert first.end() == 0
    second.expect(": ")
    second.child.sendline(f"give-109-{'0123456789' * 3}{STATE}")
    second.expect("Replace it by this one?")
    second.child.sendline("n")
    assert second.end() == 1
    assert "there is another token already" in second.seen
    assert token_file.read_text() == f"{stand_in.token(GOOD)}\n"


def test_a_token_that_no_request_is_accepted_with_is_not_saved(
    vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    screen = terminal("login", *vendor.flags)
    screen.code(f"give-108-revoked-0123456789{STATE}")
    assert screen.end() == 1
    assert "the token does not work, and is not saved" in screen.seen
    assert "401 OAuth token has been revoked." in screen.seen
    assert not token_file.exists()


def test_a_launch_without_a_token_logs_in_and_goes_on(
    session: str, vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    screen = terminal("-s", session, *vendor.flags, "--", "-p", "hello there")
    screen.expect("no token found: logging in")
    screen.code(GOOD)
    assert screen.end() == 0
    assert f"token saved to {token_file}" in screen.seen
    assert "\r\necho: hello there\r\n" in screen.seen
    asked = [request for request in vendor.requests() if request["last"] == "hello there"]
    sent = {request["headers"]["authorization"] for request in asked}
    assert sent == {f"Bearer {stand_in.token(GOOD)}"}


def test_a_saved_token_is_replaced_only_when_that_is_said(
    vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    token_file.parent.mkdir(parents=True)
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    screen = terminal("login", *vendor.flags)
    screen.expect("replace it?")
    screen.child.sendline("n")
    assert screen.end() == 0
    assert f"token found: {token_file}" in screen.seen
    assert token_file.read_text() == TOKEN
    screen = terminal("login", "--replace", *vendor.flags)
    screen.code(GOOD)
    assert screen.end() == 0
    assert token_file.read_text() == f"{stand_in.token(GOOD)}\n"


# What goes wrong


def test_a_host_that_is_not_there_is_named_before_anybody_signs_in(
    image: str, vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    offline = f"cctest-offline-{uuid.uuid4().hex[:8]}"
    alone = ["--init", "--network", "none", "--name", offline]
    sh("docker", "run", "--rm", "--detach", *alone, image, "sleep", "60")
    try:
        screen = terminal("login", "--network", f"container:{offline}", columns=250)
        assert screen.end() == 1
    finally:
        sh("docker", "rm", "-f", offline)
    assert "cannot reach platform.claude.com" in screen.seen
    assert "Could not resolve host" in screen.seen
    assert ASKED not in screen.seen and not token_file.exists()


def test_a_certificate_that_is_not_trusted_is_told(vendor: Vendor, terminal: OnTerminal) -> None:
    screen = terminal("login", "--network", f"container:{vendor.container}", columns=250)
    assert screen.end() == 1
    assert "cannot reach platform.claude.com" in screen.seen
    assert "SSL certificate problem" in screen.seen and "--ca-file" in screen.seen


@pytest.mark.parametrize(
    ("end", "code"),
    [("^C", 130), ("^D", 130), ("^\\", 131), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_an_end_at_the_question_leaves_nothing(
    end: str | signal.Signals, code: int, vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    screen = terminal("login", *vendor.flags)
    screen.expect(ASKED)
    screen.expect(": ")
    assert len(containers()) == 1
    assert not screen.child.getecho()
    if isinstance(end, signal.Signals):
        screen.child.kill(end)
    else:
        screen.child.sendcontrol(end[1].lower())
        if end == "^C":
            screen.child.sendintr()  # impatience
    assert screen.end() == code
    assert containers() == []
    assert not token_file.exists()


def test_the_terminal_is_as_it_was_afterwards(vendor: Vendor, home: Path, project: Path) -> None:
    line = f"trap : INT; {PROGRAM} login {' '.join(vendor.flags)}; stty -a; echo it ended"
    shell = pexpect.spawn(
        "sh", ["-c", line], cwd=str(project), env=clean_environment(home), encoding="utf-8"
    )
    shell.expect_exact(ASKED, timeout=60)
    shell.sendintr()
    shell.expect_exact("it ended")
    assert shell.before and " echo " in shell.before and " icanon " in shell.before
    shell.close()


_WRAPPED = """#!/bin/sh
# The docker client; ^C comes while it carries out one of its calls.
[ "$1" != "$CALL" ] || kill -INT $PPID
exec {docker} "$@"
"""


@pytest.mark.parametrize("call", ["create", "cp", "start"])
def test_an_interrupt_at_any_call_leaves_nothing(
    call: str, vendor: Vendor, terminal: OnTerminal, token_file: Path, tmp_path: Path
) -> None:
    wrapper = tmp_path / "bin" / "docker"
    wrapper.parent.mkdir()
    wrapper.write_text(_WRAPPED.format(docker=shutil.which("docker")))
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    screen = terminal("login", *vendor.flags, PATH=path, CALL=call)
    assert screen.end() == 130
    assert containers() == [] and not token_file.exists()


def test_a_killed_login_is_cleared_by_the_next_command(
    vendor: Vendor, terminal: OnTerminal
) -> None:
    screen = terminal("login", *vendor.flags)
    screen.expect(ASKED)
    screen.child.kill(signal.SIGKILL)
    screen.end()
    assert len(containers()) == 1
    screen = terminal("list")
    assert screen.end() == 0
    assert "removed what a login that was cut short had left" in screen.seen
    assert containers() == []


@contextmanager
def _relayed(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """(DOCKER_HOST, a call that takes the engine away): a relay in front of the real one."""
    socket = folder / "docker.sock"
    command = [sys.executable, str(HERE / "relay.py"), str(socket), "/var/run/docker.sock"]
    with subprocess.Popen(command) as relay:
        while not socket.exists():
            assert relay.poll() is None
        try:
            yield f"unix://{socket}", relay.kill
        finally:
            relay.kill()


def test_an_engine_that_goes_away_ends_the_question(
    vendor: Vendor, terminal: OnTerminal, token_file: Path, tmp_path: Path
) -> None:
    with _relayed(tmp_path) as (engine, take_away):
        screen = terminal("login", *vendor.flags, DOCKER_HOST=engine)
        screen.expect(ASKED)
        take_away()
        assert screen.end() == 1
    assert "no engine answers" in screen.seen
    assert not token_file.exists()
    assert terminal("list").end() == 0  # it clears what could not be cleared
    assert containers() == []


_IMPATIENT = """
import sys
from claude_container.cli import dialogue, main
dialogue._SECONDS = 1
sys.exit(main.main(sys.argv[1:]))
"""


def test_nobody_is_waited_for_without_end(
    vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    screen = terminal(sys.executable, "-c", _IMPATIENT, "login", *vendor.flags)
    assert screen.end() == 1
    assert "no code came within" in screen.seen
    assert containers() == [] and not token_file.exists()


# A claude of another version

_ALTERED = """#!/bin/sh
# Plays recordings: what it shows before the code and after it; that a code is typed, a star shows.
case $1 in
setup-token)
    stty -echo -icanon
    cat /before
    head -c 1 >/dev/null
    printf '\\0337\\033[1;900H*\\0338'
    read -r code
    cat /after
    exit "$(cat /code)"
    ;;
esac
: >/asked
cat <&3 >/dev/null
until [ -e /go ]; do sleep 0.1; done
echo '{"is_error": false}'
"""
_WITH_IMAGE = """
import os, sys
from claude_container.cli import main
os.environ["CLAUDE_CONTAINER_DEFAULT_IMAGE"] = sys.argv[1]
sys.exit(main.main(sys.argv[2:]))
"""
Altered = Callable[..., list[str]]


@pytest.fixture
def altered(image: str, tmp_path: Path) -> Iterator[Altered]:
    """A command line whose default image has a claude that shows what it is told to."""
    repository = f"cctest-altered-{uuid.uuid4().hex[:8]}/claude-container"
    tag = f"{repository}:{images.tag(images.SLIM)}"
    made: list[str] = []

    def make(before: bytes, after: bytes, code: int = 0, *, go: bool = True) -> list[str]:
        files = {"before": before, "after": after, "code": b"%d" % code}
        files |= {"go": b""} if go else {}
        (tmp_path / "claude").write_text(_ALTERED)
        (tmp_path / "claude").chmod(0o755)
        container = sh("docker", "create", image).strip()
        try:
            sh("docker", "cp", str(tmp_path / "claude"), f"{container}:/usr/local/bin/claude")
            for name, content in files.items():
                (tmp_path / name).write_bytes(content)
                sh("docker", "cp", str(tmp_path / name), f"{container}:/{name}")
            sh("docker", "commit", container, tag)
            made.append(tag)
        finally:
            sh("docker", "rm", "-f", container)
        return [sys.executable, "-c", _WITH_IMAGE, repository]

    yield make
    for tag in made:
        subprocess.run(["docker", "image", "rm", "-f", tag], capture_output=True)


ASKS = (RECORDED / "asks.raw").read_bytes()
SUCCESS = (RECORDED / "token-1000.raw").read_bytes()


def test_the_altered_program_shows_a_token_that_is_read(
    altered: Altered, vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    """Else the tests after this could pass by chance."""
    screen = terminal(*altered(ASKS, SUCCESS), "login", *vendor.flags)
    screen.code(GOOD)
    assert screen.end() == 0
    assert token_file.read_text().startswith("sk-ant-oat01-made-up-ABC")


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (ASKS, (RECORDED / "token-80.raw").read_bytes(), 0),
        (ASKS, (RECORDED / "token-40.raw").read_bytes(), 0),
        (ASKS, SUCCESS.replace(b"sk-ant-oat01-", b"sk-ant-new-"), 0),
        (ASKS, b"\x1b[2J\x1b[HAll set.\r\n", 0),
    ],
)
def test_a_token_that_cannot_be_read_is_asked_for(
    before: bytes,
    after: bytes,
    code: int,
    altered: Altered,
    vendor: Vendor,
    terminal: OnTerminal,
    token_file: Path,
) -> None:
    screen = terminal(*altered(before, after, code), "login", *vendor.flags)
    screen.code(GOOD)
    screen.expect("could not read the token; paste it here")
    screen.expect("Paste the token (it does not show): ")
    assert containers() == [] and not token_file.exists()
    screen.child.sendline(TOKEN)
    assert screen.end() == 0
    assert token_file.read_text() == f"{TOKEN}\n"
    assert TOKEN not in screen.seen


def test_a_token_of_a_program_that_failed_is_not_taken(
    altered: Altered, vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    screen = terminal(*altered(ASKS, SUCCESS, 1), "login", *vendor.flags)
    screen.code(GOOD)
    assert screen.end() == 1
    assert "claude setup-token ended with exit code 1" in screen.seen
    assert "sk-ant" not in screen.seen and not token_file.exists()


def test_the_token_is_nowhere_while_it_is_checked(
    altered: Altered, vendor: Vendor, terminal: OnTerminal, token_file: Path
) -> None:
    screen = terminal(*altered(ASKS, SUCCESS, go=False), "login", *vendor.flags)
    screen.code(GOOD)
    deadline = 200
    while not (running := containers()) or _in(running[0], "test", "-e", "/asked"):
        deadline -= 1
        assert deadline and screen.child.isalive()
    secret = "sk-ant-oat01-made-up-ABCDEF"
    shown = sh("docker", "inspect", running[0])
    argv_and_environ = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'"
    processes = sh("docker", "exec", running[0], "sh", "-c", argv_and_environ)
    assert "claude" in processes
    assert secret not in shown + processes
    logs = subprocess.run(["docker", "logs", running[0]], capture_output=True, text=True)
    assert secret not in logs.stdout + logs.stderr
    assert not _in(running[0], "touch", "/go")
    assert screen.end() == 0
    assert token_file.exists()


def _in(container: str, *argv: str) -> int:
    return subprocess.run(["docker", "exec", container, *argv], capture_output=True).returncode
