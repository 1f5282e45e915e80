"""Platforms that cannot be had here: recorded environments and answers, each with its source.

What this file imports and does at import is to be had on Windows and macOS, too: their
jobs run it there.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest

from claude_container import git, host, images
from claude_container.engines import arguments
from claude_container.engines.base import Streams
from claude_container.engines.docker import Docker
from claude_container.errors import ClaudeContainerError
from claude_container.host.behind import COLIMA, DESKTOP, ORBSTACK, Behind
from claude_container.process import NOTHING
from claude_container.sessions import checkup, enter, home
from claude_container.sessions.enter import Launch
from claude_container.sessions.known import Session
from tests.conftest import PlainProgress
from tests.memory import Memory

POSIX = pytest.mark.skipif(os.name == "nt", reason="a shell script, or a socket in a folder")
IN_VM = "/run/host-services/ssh-auth.sock"


# Names


@pytest.mark.parametrize(
    ("system", "release", "name"),
    [
        ("linux", "6.1.0-18-amd64", "linux"),  # Debian 12
        ("linux", "4.4.0-18362-Microsoft", "wsl 1"),  # github.com/paulirish/git-open/pull/158
        ("linux", "4.4.0-19041-Microsoft", "wsl 1"),
        ("linux", "4.19.104-microsoft-standard", "wsl 2"),  # github.com/kivy/buildozer/pull/1220
        ("linux", "5.15.153.1-microsoft-standard-WSL2", "wsl 2"),  # microsoft/WSL/issues/4555
        ("darwin", "", "macos"),
        ("win32", "", "windows"),
        ("cygwin", "", "windows"),
        ("freebsd14", "", "freebsd14"),
    ],
)
def test_a_platform_has_a_name(system: str, release: str, name: str) -> None:
    assert host.platform(system, release) == name


# Folders

# learn.microsoft.com/windows/deployment/usmt/usmt-recognized-environment-variables
WINDOWS = {
    "APPDATA": r"C:\Users\An Na\AppData\Roaming",
    "LOCALAPPDATA": r"C:\Users\An Na\AppData\Local",
    "USERPROFILE": r"C:\Users\An Na",
    "HOMEDRIVE": "C:",
}


@pytest.mark.parametrize(
    ("system", "environ", "where", "folder"),
    [
        (
            "windows",
            WINDOWS,
            PureWindowsPath(r"C:\Users\An Na"),
            r"C:\Users\An Na\AppData\Roaming\claude-container",
        ),
        # A roaming profile may lie on a server.
        (
            "windows",
            {**WINDOWS, "APPDATA": r"\\files\profiles$\anna\AppData\Roaming"},
            PureWindowsPath(r"C:\Users\An Na"),
            r"\\files\profiles$\anna\AppData\Roaming\claude-container",
        ),
        (
            "windows",
            {"XDG_CONFIG_HOME": "/home/anna/.config"},  # not absolute there: it has no drive
            PureWindowsPath(r"C:\Users\An Na"),
            r"C:\Users\An Na\.config\claude-container",
        ),
        (
            "macos",
            {"APPDATA": "/x"},
            PurePosixPath("/Users/anna"),
            "/Users/anna/.config/claude-container",
        ),
        (
            "wsl 2",
            {"APPDATA": r"C:\Users\x\AppData\Roaming"},  # brought along by WSLENV
            PurePosixPath("/home/anna"),
            "/home/anna/.config/claude-container",
        ),
        (
            "linux",
            {"XDG_CONFIG_HOME": "/srv/config"},
            PurePosixPath("/home/anna"),
            "/srv/config/claude-container",
        ),
        ("linux", {"XDG_CONFIG_HOME": "config"}, None, None),
    ],
)
def test_the_folder_of_our_files(
    system: str, environ: dict[str, str], where: PurePath | None, folder: str | None
) -> None:
    found = host.config_path(environ, system, where)
    assert (found and str(found)) == folder


def test_a_host_without_uids_has_those_of_a_distributions_first_user() -> None:
    uid, gid = host.user_ids()
    assert (uid, gid) == ((1000, 1000) if os.name == "nt" else (os.getuid(), os.getgid()))


@pytest.mark.engine
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="takes root")
@pytest.mark.parametrize(
    ("ids", "group"),
    [
        # The first user of macOS, whose group "staff" is Debian's dialout
        # (developer.apple.com: `id`; Debian's base-passwd).
        ((501, 20), "dialout"),
        ((1000, 1000), "claude-1000"),  # what a Windows host says
    ],
)
def test_the_ids_of_such_a_host_can_be_had_in_a_container(
    ids: tuple[int, int],
    group: str,
    image: str,
    session: str,
    project: Path,
    docker: Docker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "user_ids", lambda: ids)
    os.chown(project, *ids)
    said = bytearray()
    launch = Launch(
        directory=project,
        session=session,
        image=images.Choice(image, "the test"),
        claude_args=(),
        token=None,
        streams=Streams(stdin=NOTHING, stdout=said.extend, stderr=said.extend),
        network="none",
        command=("sh", "-c", "id -u; id -gn; touch made"),
    )
    assert enter.enter(docker, launch, PlainProgress()) == 0
    assert said.decode().split() == [str(ids[0]), group]
    made = (project / "made").stat()
    assert (made.st_uid, made.st_gid) == ids


# Mounts


@pytest.mark.parametrize(
    ("word", "source", "target", "read_only"),
    [
        (r"C:\a b:/dst:ro", r"C:\a b", "/dst", True),
        (r"C:\a b:/dst", r"C:\a b", "/dst", False),
        ("C:/x:/y", "C:/x", "/y", False),
        ("c:/x:/y:rw", "c:/x", "/y", False),
        (r"\\server\share\x:/y:ro", r"\\server\share\x", "/y", True),
        (r"\\wsl.localhost\Debian\home\me:/y", r"\\wsl.localhost\Debian\home\me", "/y", False),
        (r"\\?\C:\long:/y", r"\\?\C:\long", "/y", False),
        (r"..\src:/y", r"..\src", "/y", False),
        ("src:/y", "src", "/y", False),
    ],
)
def test_a_mount_as_it_is_typed_on_windows(
    word: str, source: str, target: str, read_only: bool
) -> None:
    assert host.split_mount(word, "windows") == (source, target, read_only)


@pytest.mark.parametrize("word", ["C:/x:ro", "c:/x", r"C:\x:ro", r"C:\x", r"C:\x:dst", "/y"])
def test_a_mount_without_a_target_is_none_on_windows(word: str) -> None:
    assert host.split_mount(word, "windows") is None


@pytest.mark.parametrize("system", ["linux", "macos", "wsl 2"])
@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("/a b:/dst:ro", ("/a b", "/dst", True)),
        ("/a:b:/dst", ("/a:b", "/dst", False)),
        ("C:/x:ro", ("C", "/x", True)),  # a folder C is nothing special
        ("/mnt/c/x:/y", ("/mnt/c/x", "/y", False)),
        ("/a", None),
    ],
)
def test_a_mount_as_it_is_typed_elsewhere(
    system: str, word: str, found: tuple[str, str, bool] | None
) -> None:
    assert host.split_mount(word, system) == found


def test_what_lies_in_a_folder_does_so_however_it_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "Home" / "config").mkdir(parents=True)
    inside = tmp_path / "Home" / "config" / "not yet" / "there"
    assert host.holds(tmp_path / "Home", inside)
    assert host.holds(tmp_path / "Home" / "config", tmp_path / "Home" / "config")
    assert host.holds(tmp_path / "Home" / ".." / "Home", inside)
    assert not host.holds(tmp_path / "Home" / "config", tmp_path / "Home")
    assert not host.holds(tmp_path / "nowhere", inside)
    spelled = tmp_path / "hOME"
    if not spelled.exists():  # a case-sensitive file system: a second name, in a way it can have
        spelled.symlink_to("Home")
    assert host.holds(spelled, inside)


def test_a_repository_is_known_however_it_is_spelled(tmp_path: Path) -> None:
    for name in ("Mine", "other"):
        subprocess.run(["git", "init", "--quiet", str(tmp_path / name)], check=True)
    spelled = tmp_path / "mINE"
    if not spelled.exists():
        spelled.symlink_to("Mine")
    mine, other = (git.find(tmp_path / name) for name in ("Mine", "other"))
    assert mine and other
    common = spelled / ".git"
    session = Session("s", "id", common, spelled, "main", "0" * 40, 0)
    assert session.is_of(mine) and not session.is_of(other)
    found = home.at(common)
    assert found and found.common == common
    (tmp_path / "other" / "empty").mkdir()
    assert home.at(tmp_path / "other" / "empty") is None


# What is behind docker


@pytest.mark.parametrize(
    ("address", "kind", "profile", "machine"),
    [
        # github.com/orbstack/orbstack/issues/509: `docker context ls` on macOS
        ("unix:///Users/anna/.docker/run/docker.sock", DESKTOP, "", ""),
        ("unix:///Users/anna/.orbstack/run/docker.sock", ORBSTACK, "", ""),
        # the same in DOCKER_HOST: github.com/orbstack/orbstack/issues/374
        ("unix:////Users/anna/.docker/run/docker.sock", DESKTOP, "", ""),
        # docs.docker.com/desktop/setup/install/linux: the context desktop-linux
        ("unix:///home/anna/.docker/desktop/docker.sock", DESKTOP, "", ""),
        # docs/FAQ.md of github.com/abiosoft/colima, "Docker socket location"
        ("unix:///Users/anna/.colima/default/docker.sock", COLIMA, "default", ""),
        ("unix:///Users/anna/.colima/work/docker.sock", COLIMA, "work", ""),
        ("unix:///Users/anna/.colima/docker.sock", COLIMA, "", ""),
        ("unix:///Users/anna/.config/colima/work/docker.sock", COLIMA, "work", ""),
        # docs.docker.com/engine/security/rootless
        ("unix:///run/user/1000/docker.sock", "", "", ""),
        # github.com/docker/for-win/issues/15061
        ("npipe:////./pipe/dockerDesktopLinuxEngine", "", "", ""),
        # docs.docker.com/engine/security/protect-access
        ("ssh://anna@build.example.com", "", "", "build.example.com"),
        ("ssh://build", "", "", "build"),
        ("tcp://10.0.0.7:2376", "", "", "10.0.0.7"),
        ("10.0.0.7:2375", "", "", "10.0.0.7"),  # clients 20.10 and 28.2 take it for tcp
        ("tcp://[2001:db8::7]:2376", "", "", "2001:db8::7"),
        # A tunnel, or Docker Desktop's "Expose daemon on tcp://localhost:2375"
        ("tcp://localhost:2375", "", "", ""),
        ("tcp://127.0.0.1:2375", "", "", ""),
        ("ssh://anna@127.0.0.1:2222", "", "", ""),
        ("tcp://[::1]:2375", "", "", ""),
        ("tcp://:2375", "", "", ""),
        ("tcp://[oops", "", "", ""),
    ],
)
def test_an_address_tells_what_is_behind(
    address: str, kind: str, profile: str, machine: str
) -> None:
    assert host.behind({"DOCKER_HOST": address}) == Behind(address, kind, profile, machine)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        # docs.docker.com/desktop/setup/install/mac-permission-requirements, /var/run/docker.sock
        ("/Users/anna/.docker/run/docker.sock", DESKTOP),
        # docs/FAQ.md of github.com/abiosoft/colima has people link it
        ("/Users/anna/.colima/default/docker.sock", COLIMA),
        # github.com/docker/desktop-feedback/issues/423: in WSL
        ("/mnt/wsl/docker-desktop/shared-sockets/guest-services/docker.proxy.sock", ""),
        ("/run/docker.sock", ""),
    ],
)
@pytest.mark.parametrize("environ", [{}, {"DOCKER_HOST": "unix:///var/run/docker.sock"}])
def test_the_default_socket_leads_to_one_of_them(
    target: str, kind: str, environ: dict[str, str]
) -> None:
    found = host.behind(environ, link={"/var/run/docker.sock": target}.__getitem__)
    assert (found.kind, found.machine) == (kind, "")


@pytest.mark.skipif(not shutil.which("docker"), reason="the docker client writes the files")
def test_the_clients_own_files_are_read_in_its_own_order(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer beside the real client's own: no engine is asked for that."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def docker(*args: str) -> str:
        return subprocess.run(
            ["docker", *args], check=True, capture_output=True, text=True
        ).stdout.strip()

    def seen() -> tuple[str, str]:
        """The machine that we see, and the address that the client says it has."""
        asked = docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        found = host.behind(os.environ)
        if "example" in asked:
            assert found.address == asked
        return found.machine, asked

    def make(name: str, address: str) -> None:
        docker("context", "create", name, "--docker", f"host={address}")

    make("far", "ssh://anna@far.example")
    make("farther", "tcp://farther.example:2376")
    assert seen()[0] == ""
    docker("context", "use", "far")
    assert seen() == ("far.example", "ssh://anna@far.example")
    monkeypatch.setenv("DOCKER_CONTEXT", "farther")
    assert seen()[0] == "farther.example"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert seen()[0] == ""
    monkeypatch.setenv("DOCKER_CONTEXT", "")
    assert seen()[0] == "far.example"
    monkeypatch.setenv("DOCKER_HOST", "tcp://farthest.example:2376")
    assert seen()[0] == "farthest.example"
    monkeypatch.setenv("DOCKER_HOST", "")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "elsewhere"))
    assert seen()[0] == ""


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"x"', '{"currentContext": 7}', '{"currentContext": "gone"}', None]
)
def test_what_cannot_be_read_of_them_tells_nothing(home: Path, content: str | None) -> None:
    (home / ".docker").mkdir()
    if content is None:
        (home / ".docker" / "config.json").mkdir()
    else:
        (home / ".docker" / "config.json").write_text(content)
    assert host.behind({}).machine == ""


# The ssh agent


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: a socket's path has room for some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="cctest-") as folder:
        yield Path(os.path.realpath(folder))


def test_docker_desktop_and_orbstack_have_it_in_their_machine() -> None:
    for system, kind in (("macos", DESKTOP), ("linux", DESKTOP), ("macos", ORBSTACK)):
        found = host.find_agent({"SSH_AUTH_SOCK": "/private/tmp/x"}, Behind("", kind), system)
        assert found == host.Agent(IN_VM, in_vm=True)


@pytest.mark.parametrize(
    ("behind", "system", "what", "hint"),
    [
        (Behind("ssh://far", machine="far"), "linux", "the engine is on far", "merge"),
        (Behind("ssh://far", machine="far"), "macos", "the engine is on far", "merge"),
        (Behind("npipe:////./pipe/docker_engine"), "windows", "named pipe", "WSL 2"),
        (Behind("unix:///Users/anna/.rd/docker.sock"), "macos", "not known", "Colima"),
        (Behind("unix:///run/docker.sock"), "linux", "SSH_AUTH_SOCK is not set", "ssh-add"),
        (Behind("unix:///run/docker.sock"), "wsl 2", "SSH_AUTH_SOCK is not set", "ssh-add"),
    ],
)
def test_where_there_is_none_it_says_why_and_what_to_do(
    behind: Behind, system: str, what: str, hint: str
) -> None:
    with pytest.raises(host.NoAgent) as caught:
        host.find_agent({}, behind, system)
    assert what in caught.value.what and hint in caught.value.hint


@POSIX
def test_a_socket_is_lent_only_while_somebody_answers(short: Path) -> None:
    path, link = short / "agent", short / "link"
    link.symlink_to("agent")
    environ, behind = {"SSH_AUTH_SOCK": str(link)}, Behind("unix:///run/docker.sock")
    with pytest.raises(host.NoAgent, match="no ssh agent answers"):
        host.find_agent(environ, behind, "linux")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        # The engine gets the socket itself: where a link leads is another thing there.
        assert host.find_agent(environ, behind, "linux") == host.Agent(str(path))
        path.chmod(0o400)
        with pytest.raises(host.NoAgent, match="another user's"):
            host.find_agent(environ, behind, "linux")
        path.chmod(0o600)
    with pytest.raises(host.NoAgent, match="no ssh agent answers"):
        host.find_agent(environ, behind, "linux")
    path.unlink()
    path.write_text("no socket")
    with pytest.raises(host.NoAgent, match="no ssh agent answers"):
        host.find_agent(environ, behind, "linux")


def test_the_users_known_hosts_and_nothing_else_of_that_folder_comes_along(home: Path) -> None:
    behind = Behind("", DESKTOP)
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ed25519").write_text("secret")
    assert host.find_agent({}, behind, "macos").known_hosts == b""
    (home / ".ssh" / "known_hosts").write_bytes(b"example.com ssh-ed25519 AAAA\n")
    assert host.find_agent({}, behind, "macos").known_hosts == b"example.com ssh-ed25519 AAAA\n"


@POSIX
@pytest.mark.parametrize(
    ("answer", "socket_in_vm", "words"),
    [
        # github.com/abiosoft/colima/issues/1330, started with --ssh-agent
        ("echo /tmp/ssh-yhBbSVSpFi/agent.1121", "/tmp/ssh-yhBbSVSpFi/agent.1121", ""),
        # printenv of an unset variable
        ("exit 1", None, "colima start --ssh-agent"),
        ('echo "FATA[0000] colima is not running" >&2; exit 1', None, "colima start --ssh-agent"),
    ],
)
def test_colima_is_asked_where_it_has_it(
    answer: str,
    socket_in_vm: str | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = tmp_path / "bin" / "colima"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >"{tmp_path}/asked"\n{answer}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    behind = Behind("unix:///Users/anna/.colima/work/docker.sock", COLIMA, "work")
    if socket_in_vm:
        assert host.find_agent({}, behind, "macos") == host.Agent(socket_in_vm)
    else:
        with pytest.raises(host.NoAgent) as caught:
            host.find_agent({}, behind, "macos")
        assert words in caught.value.hint
    asked = (tmp_path / "asked").read_text()
    assert asked == "ssh --profile work -- printenv SSH_AUTH_SOCK\n"


# Variables, where there is no /dev/stdin


def test_on_windows_the_client_brings_values_by_name() -> None:
    ours = {"TERM": "xterm", "PATH": r"C:\bin", "DOCKER_HOST": "npipe:////./pipe/docker_engine"}
    wanted = {"TERM": "xterm", "SECRET": "one\ntwo", "PATH": "/bin", "DOCKER_HOST": "tcp://x"}
    flags, stdin, changes = arguments.environment(wanted, ours, windows=True)
    assert (stdin, changes) == (None, {"SECRET": "one\ntwo"})
    # Of what the client reads itself only the container is to see another value.
    assert flags == ["--env=TERM", "--env=SECRET", "--env=PATH=/bin", "--env=DOCKER_HOST=tcp://x"]


@pytest.mark.engine
@pytest.mark.parametrize("windows", [True, False])
def test_both_ways_bring_the_same_into_a_container(image: str, windows: bool) -> None:
    ours = {**os.environ, "TERM": "xterm"}
    wanted = {"TERM": "xterm", "A": "a b='\"$x", "PATH": "/bin:/usr/bin", "DOCKER_HOST": "tcp://x"}
    flags, stdin, changes = arguments.environment(wanted, ours, windows=windows)
    argv = ["docker", "run", "--rm", "--network", "none", *flags, "--entrypoint", "env", image]
    env = {**ours, **{name: value for name, value in changes.items() if value is not None}}
    done = subprocess.run(argv, check=True, capture_output=True, input=stdin or b"", env=env)
    assert (
        wanted.items() <= dict(r.split("=", 1) for r in done.stdout.decode().splitlines()).items()
    )


# What doctor says


@pytest.mark.parametrize(
    ("name", "status", "hint"),
    [
        ("linux", "ok", ""),
        ("wsl 2", "ok", ""),
        ("wsl 1", "warn", "wsl --set-version"),  # learn.microsoft.com/windows/wsl/compare-versions
        ("windows", "warn", "WSL 2"),
    ],
)
def test_doctor_names_the_platform(
    name: str, status: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "platform", lambda: name)
    row = checked()["platform"]
    assert row.seen.startswith(f"{name}, Python ")
    assert row.status == status and hint in row.hint


@pytest.mark.parametrize(
    ("address", "status", "end"),
    [
        ("unix:///Users/anna/.colima/default/docker.sock", "ok", ", Colima"),
        ("ssh://anna@far.example", "warn", ", on far.example"),
        ("tcp://localhost:2375", "ok", ""),
    ],
)
def test_doctor_tells_what_is_behind_the_engine(
    address: str, status: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://localhost:2375")
    without = checked()["engine"].seen
    monkeypatch.setenv("DOCKER_HOST", address)
    row = checked()["engine"]
    assert (row.seen, row.status) == (without + end, status)
    assert ("start NAME" in row.hint) is (status == "warn")


def checked() -> dict[str, checkup.Check]:
    """doctor's rows, by name, of an engine in memory."""

    def no_image() -> images.Choice:
        raise ClaudeContainerError("none is looked at here")

    engine = Memory()
    engine.name = "docker"  # by which it is known what may be behind
    return {check.name: check for check in checkup.look(engine, no_image, {})}


# Importing

_WITHOUT_POSIX = """
import importlib, os, pkgutil, sys
# What others import, on a POSIX system, they may.
import asyncio, multiprocessing, pathlib, shutil, signal, socket, subprocess, tempfile, uuid
import click, msgspec, pytest, questionary, rich.console, rich.live
for name in ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
for where, names in (
    (os, ("fork", "getgid", "getuid", "killpg", "mkfifo", "setsid", "uname", "waitid")),
    (signal, ("SIGHUP", "SIGWINCH", "SIGKILL")),
):
    for name in names:
        if hasattr(where, name):
            delattr(where, name)
import claude_container
for module in pkgutil.walk_packages(claude_container.__path__, "claude_container."):
    if not module.name.startswith("claude_container.demo.repo"):
        importlib.import_module(module.name)
import tests.conftest, tests.test_platforms
print(len([name for name in sys.modules if name.startswith("claude_container.")]))
"""


def test_nothing_needs_a_posix_system_to_be_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_POSIX],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50
