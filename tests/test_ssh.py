"""`--ssh`: a real agent with a real key, and a real sshd in a network of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from claude_container import archive, host, images
from claude_container.engines.base import Build, Streams
from claude_container.engines.docker import Docker
from claude_container.process import NOTHING
from claude_container.sessions import enter, model
from claude_container.sessions.enter import Launch
from tests.conftest import (
    PROGRAM,
    TOKEN,
    Cli,
    PlainProgress,
    Ran,
    StartModel,
    clean_environment,
    sh,
)
from tests.gitsession import git, git_session, make_repository, remove, unique
from tests.running import bash, wait_until
from tests.test_launch import DOCKER_SOCKET

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("image")]

AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
ADDRESS = "ssh://ann@127.0.0.1:2222/home/ann/repo.git"
SSH = ("ssh", "-o", "BatchMode=yes", "-p", "2222", "ann@127.0.0.1")
_SERVER = f"""
FROM {images.DEFAULT}
COPY ca.crt /ca.crt
RUN cat /ca.crt >>/etc/ssl/certs/ca-certificates.crt \\
 && apt-get update && apt-get install -y --no-install-recommends openssh-server \\
 && rm -rf /var/lib/apt/lists/* \\
 && mkdir -p /run/sshd && useradd --create-home --shell /bin/sh --password '*' ann
"""
_SERVE = """
mkdir -m 700 ~ann/.ssh
cat >~ann/.ssh/authorized_keys
chown -R ann: ~ann/.ssh
su ann -c 'git init -q --bare -b main ~/repo.git'
/usr/sbin/sshd -p 2222
# It is in the background before it listens.
tries=100
until ssh-keyscan -t ed25519 -p 2222 127.0.0.1 2>/dev/null | grep ed25519; do
    [ $((tries -= 1)) -gt 0 ]
    sleep 0.1
done
"""


@dataclass(frozen=True)
class Server:
    """An sshd that knows one key, on port 2222 of its container's loopback."""

    container: str
    known_hosts: str

    @property
    def flags(self) -> list[str]:
        return ["--network", f"container:{self.container}"]

    def pushed(self) -> str:
        """The subjects of what was pushed there."""
        argv = ("git", "-C", "/home/ann/repo.git", "-c", "safe.directory=*", "log", "--format=%s")
        return sh("docker", "exec", self.container, *argv, "--all")


@pytest.fixture(scope="session")
def server_image(docker: Docker, image: str) -> Iterator[str]:
    """The default image with an sshd in it."""
    tag = f"cctest-sshd:{uuid.uuid4().hex[:8]}"
    named = host.ca_file(os.environ)
    ca = Path(named[0]).read_bytes() if named else b""
    context = archive.tar([("Dockerfile", 0o644, _SERVER.encode()), ("ca.crt", 0o644, ca)])
    proxies = dict.fromkeys(host.proxies(os.environ))
    docker.build(Build(tag, context, "Dockerfile", proxies), lambda line: None)
    yield tag
    subprocess.run(["docker", "image", "rm", tag], capture_output=True)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    return path


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(server_image: str, key: Path) -> Iterator[StartServer]:
    started: list[str] = []

    def start(network: str = "none") -> Server:
        container = f"cctest-sshd-{uuid.uuid4().hex[:8]}"
        run = ["docker", "run", "--rm", "--detach", "--init", "--network", network]
        sh(*run, "--name", container, server_image, "sleep", "600")
        started.append(container)
        done = subprocess.run(
            ["docker", "exec", "--interactive", container, "sh", "-ec", _SERVE],
            input=key.with_suffix(".pub").read_text(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert "ssh-ed25519" in done.stdout
        return Server(container, done.stdout)

    yield start
    for container in started:
        subprocess.run(["docker", "rm", "-f", container], capture_output=True)


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server()


@contextmanager
def agent(folder: Path, key: Path | None = None, uid: int | None = None) -> Iterator[str]:
    """A user's ssh-agent with a key; its socket."""
    path = str(folder / "agent.sock")
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", path], user=uid, group=uid, stdout=subprocess.PIPE, text=True
    ) as serving:
        try:
            wait_until(lambda: os.path.exists(path), serving)
            if key:
                add = ["ssh-add", "-q", "-"]
                env = {**os.environ, "SSH_AUTH_SOCK": path}
                subprocess.run(
                    add, check=True, env=env, user=uid, input=key.read_bytes(), capture_output=True
                )
            yield path
        finally:
            serving.send_signal(signal.SIGTERM)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users get into, with a short name, as a socket's path has to be."""
    path = Path(tempfile.mkdtemp(prefix="cctest-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def know(home: Path, server: Server) -> None:
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh" / "known_hosts").write_text(server.known_hosts)
    (home / ".ssh" / "config").write_text("Host never-to-be-seen\n")


def test_ssh_and_git_work_inside_and_without_the_flag_nothing_of_it_is_there(
    cli: Cli, server: Server, folder: Path, home: Path, key: Path
) -> None:
    know(home, server)
    with (
        agent(folder, key) as path,
        git_session(cli, make_repository(folder / "repo")) as session,
    ):

        def inside(*words: str, flags: tuple[str, ...] = ()) -> Ran:
            run = ("exec", session.name, *server.flags, *flags, "--", *words)
            return cli(*run, cwd=session.repository, SSH_AUTH_SOCK=path)

        lent = inside(*SSH, "echo in as $(id -un)", flags=("--ssh",))
        assert (lent.code, lent.stdout, lent.stderr) == (0, "in as ann\n", "")
        push = f"git push -q {ADDRESS} HEAD:main && git clone -q {ADDRESS} /tmp/c && ls /tmp/c"
        there = inside("sh", "-c", push, flags=("--ssh",))
        assert (there.code, there.stdout, there.stderr) == (0, "a.txt\nb.txt\n", "")
        assert server.pushed() == "Begin\n"

        look = "env; ls /run/host-services /etc/ssh; cat /proc/mounts; ls -a ~"
        seen = inside("sh", "-c", look, flags=("--ssh",)).stdout
        assert f"SSH_AUTH_SOCK={model.AGENT}\n" in seen and "ssh_known_hosts" in seen
        assert path not in seen and ".ssh" not in seen.split()  # the folder itself stays here
        seen = inside("sh", "-c", look)
        assert "No such file" in seen.stderr
        words = ("SSH_AUTH_SOCK", "ssh-auth.sock", "ssh_known_hosts", "agent.sock")
        assert not [word for word in words if word in seen.stdout]
        for refused in (inside(*SSH, "true"), inside("git", "ls-remote", ADDRESS)):
            assert refused.code != 0 and "Host key verification failed" in refused.stderr

        # The user's own file can say the same, and a flag the contrary.
        config = home / ".config" / "claude-container" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text("ssh = true\n")
        assert inside(*SSH, "true").code == 0
        assert "SSH_AUTH_SOCK" not in inside("env", flags=("--no-ssh",)).stdout


def test_claude_pushes_on_its_own(
    cli: Cli,
    project: Path,
    home: Path,
    folder: Path,
    key: Path,
    session: str,
    start_model: StartModel,
    start_server: StartServer,
) -> None:
    """In the directory itself, headless, with the real claude."""
    push = (
        "git init -q -b main . && git commit -q --allow-empty -m Agent"
        f" && git push -q {ADDRESS} main"
    )
    model_ = start_model([bash(push), {"text": "done"}])
    server = start_server(f"container:{model_.container}")
    know(home, server)
    with agent(folder, key) as path:
        run = ("-s", session, "--ssh", *model_.flags, "--", "-p", "push")
        done = cli(*run, CLAUDE_CODE_OAUTH_TOKEN=TOKEN, SSH_AUTH_SOCK=path)
    assert (done.code, done.stderr) == (0, "")
    assert server.pushed() == "Agent\n"


_AS_USER = """
# The interpreter here may lie in root's home, where the user does not get.
import difflib, os, socket, sys, tempfile, traceback
import claude_container.cli.start, claude_container.cli.exec, claude_container.cli.main as main
os.setgroups([int(sys.argv[2])]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
sys.exit(main.main(sys.argv[3:]))
"""


@AS_ROOT
@pytest.mark.parametrize("uid", [12345, 33])  # the image has no such user, and has one
def test_another_user_lends_an_agent_of_their_own(
    uid: int, server: Server, folder: Path, key: Path
) -> None:
    home = folder / "home"
    home.mkdir()
    know(home, server)
    repository = make_repository(folder / "repo")
    sh("chown", "-R", f"{uid}:{uid}", str(folder))
    name = unique()
    as_user = [sys.executable, "-c", _AS_USER, str(uid), str(os.stat(DOCKER_SOCKET).st_gid)]

    def run(*words: str, path: str) -> subprocess.CompletedProcess[str]:
        env = {**clean_environment(home), "SSH_AUTH_SOCK": path}
        return subprocess.run(
            [*as_user, *words], cwd=repository, env=env, capture_output=True, text=True
        )

    try:
        with agent(folder, key, uid) as path:
            before = os.stat(path)
            assert run("start", name, "--no-enter", path=path).returncode == 0
            there = ("sh", "-c", f"id -u && {' '.join(SSH)} id -un && git ls-remote {ADDRESS}")
            done = run("exec", name, "--ssh", *server.flags, "--", *there, path=path)
            assert (done.returncode, done.stdout) == (0, f"{uid}\nann\n"), done.stderr
            after = os.stat(path)
            assert (
                (after.st_uid, after.st_mode)
                == (before.st_uid, before.st_mode)
                == (
                    uid,
                    before.st_mode,
                )
            )
        # An agent of root's is not theirs to lend.
        (folder / "roots").mkdir(mode=0o755)
        with agent(folder / "roots", key) as path:
            done = run("exec", name, "--ssh", *server.flags, "--", "env", path=path)
            assert "another user's" in done.stderr and "SSH_AUTH_SOCK" not in done.stdout
    finally:
        remove(name)


@AS_ROOT
def test_root_does_not_lend_what_it_could_not_use_inside(
    cli: Cli, server: Server, folder: Path, key: Path
) -> None:
    """In the container it has no power over a socket of another user's: sudo keeps the variable."""
    theirs = folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    with (
        git_session(cli, make_repository(folder / "repo")) as session,
        agent(theirs, key, 12345) as path,
    ):
        run = ("exec", session.name, "--ssh", *server.flags, "--", "env")
        done = cli(*run, cwd=session.repository, SSH_AUTH_SOCK=path)
    assert done.code == 0 and "SSH_AUTH_SOCK" not in done.stdout
    assert "another user's" in done.stderr and "without sudo" in done.stderr


def test_without_an_agent_it_says_so_and_goes_on(cli: Cli, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "stale.sock"))
    with git_session(cli, make_repository(folder / "repo")) as session:
        run = ("exec", session.name, "--ssh", "--network", "none", "--", "sh", "-c", "env; exit 7")
        for path in ("", str(folder / "stale.sock"), str(folder / "gone.sock")):
            done = cli(*run, cwd=session.repository, SSH_AUTH_SOCK=path)
            assert done.code == 7 and "SSH_AUTH_SOCK" not in done.stdout
            assert done.stderr.startswith("⚠ without ssh: no ssh agent")
            assert (path in done.stderr) and "ssh-add" in done.stderr


def test_a_session_that_runs_already_keeps_what_it_has(cli: Cli, folder: Path) -> None:
    with git_session(cli, make_repository(folder / "repo")) as session:
        session.run()
        done = cli("exec", session.name, "--ssh", "--", "true", cwd=session.repository)
        assert f"session {session.name} runs already" in done.stderr


@AS_ROOT
@pytest.mark.parametrize("in_vm", [True, False])
def test_only_a_virtual_machines_socket_is_made_over(
    in_vm: bool, docker: Docker, folder: Path, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Docker Desktop has it on macOS: root's, which the session's user is not."""
    monkeypatch.setattr(host, "user_ids", lambda: (12345, 12345))
    path = str(folder / "vm.sock")
    said = bytearray()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        os.chmod(path, 0o660)
        launch = Launch(
            directory=folder,
            session=session,
            image=images.Choice(images.DEFAULT, "the test"),
            claude_args=(),
            token=None,
            streams=Streams(stdin=NOTHING, stdout=said.extend, stderr=said.extend),
            network="none",
            agent=host.Agent(path, in_vm=in_vm),
            command=("sh", "-c", 'stat -c %u "$SSH_AUTH_SOCK"; test -w "$SSH_AUTH_SOCK"'),
        )
        code = enter.enter(docker, launch, PlainProgress())
    owner = 12345 if in_vm else 0
    assert (code, os.stat(path).st_uid) == (0 if in_vm else 1, owner)
    assert said.decode().splitlines()[-1] == str(owner)
    assert ("without ssh" in said.decode()) is not in_vm


@pytest.mark.parametrize(
    "environ",
    [
        {"DOCKER_HOST": "ssh://anna@far.example"},
        {"DOCKER_HOST": "tcp://192.0.2.7:2376"},
    ],
)
def test_an_engine_elsewhere_gets_no_directory_of_this_machine(
    environ: dict[str, str], project: Path, home: Path
) -> None:
    """Said before a token is looked for, or the engine asked."""
    started = subprocess.run(
        [PROGRAM, "--", "-p", "hi"],
        cwd=project,
        env={**clean_environment(home), **environ},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert started.returncode == 2
    machine = environ["DOCKER_HOST"].rpartition("/")[2].rpartition("@")[2].partition(":")[0]
    assert f"the engine is on {machine}" in started.stderr
    assert "claude-container start NAME" in started.stderr


def test_a_repository_cannot_have_the_agent_lent(
    cli: Cli, server: Server, folder: Path, key: Path
) -> None:
    repository = make_repository(folder / "repo", {".claude-container.toml": "ssh = true\n"})
    with git_session(cli, repository) as session, agent(folder, key) as path:
        run = ("exec", session.name, "--trust", *server.flags, "--", "env")
        done = cli(*run, cwd=session.repository, SSH_AUTH_SOCK=path)
    assert done.code == 0 and "SSH_AUTH_SOCK" not in done.stdout
    assert "ignored ssh" in done.stderr
    assert git(repository, "status", "--porcelain") == ""
