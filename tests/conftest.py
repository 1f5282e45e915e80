"""What all tests share: a home of their own, the command line as a process, a scripted model."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import claude_container
from claude_container import host, images
from claude_container.engines.docker import Docker

# Of this run alone: some tests search the whole machine for it.
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
TOKEN = f"sk-ant-oat01-made-up-for-the-tests-{_RUN}"
# The installed program: `python -m` would look for modules in the current directory first.
PROGRAM = str(Path(sys.executable).with_name("claude-container"))
_PACKAGE = Path(claude_container.__file__).parent
_FOREIGN = ("CLAUDE_", "ANTHROPIC_", "GIT_", "XDG_")
_EXACT = {
    *host.CI_VARIABLES,
    *("NO_COLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "CLAUDECODE", "SSH_AUTH_SOCK"),
    *("COLUMNS", "LINES"),
}


def clean_environment(home: Path) -> dict[str, str]:
    """This process's environment without anything that is about its user."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and name not in _EXACT
    }
    return {**kept, "HOME": str(home), "TERM": "xterm-256color"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """An empty home for every test: none may see or touch the real one.

    Nor the engine, where a test does not carry its mark: else a forgotten mark would
    show only on a machine on which no engine runs.
    """
    folder = tmp_path / "home"
    folder.mkdir()
    for name in set(os.environ) - set(clean_environment(folder)):
        monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE", "APPDATA"):  # the last two are where Windows looks
        monkeypatch.setenv(name, str(folder))
    if request.node.get_closest_marker("engine") is None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
        monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    return folder


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Started by a script with & or nohup, we ignore signals, and a test's processes would too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup and signal.getsignal(hangup) is signal.SIG_IGN:
        # A handler is not inherited, and nohup holds for us as before.
        signal.signal(hangup, lambda *_: None)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory to launch in, whose path has what paths can have."""
    folder = tmp_path / "my project, ünï:code"
    folder.mkdir()
    return folder


@dataclass(frozen=True)
class Ran:
    code: int
    stdout: str
    stderr: str


Cli = Callable[..., Ran]


@pytest.fixture
def cli(home: Path, project: Path) -> Cli:
    """Run `claude-container ARGS` as a process, without a terminal; stdin is empty unless given."""

    def run(*args: str, cwd: Path | None = None, input: str = "", **env: str) -> Ran:
        done = subprocess.run(
            [PROGRAM, *args],
            cwd=cwd or project,
            env={**clean_environment(home), **env},
            input=input,
            capture_output=True,
            text=True,
            timeout=240,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def here(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """As `cli` does, but in this process: all the same, and ten times as fast."""
    from claude_container.cli import main

    caught = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*args: str, input: str = "", **env: str) -> Ran:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode())))
        code = main.main(args)
        return Ran(code, *capfd.readouterr())

    monkeypatch.chdir(project)
    yield run
    for number, handler in caught.items():
        signal.signal(number, handler)


@pytest.fixture
def fake_docker(tmp_path: Path) -> Callable[[str], str]:
    """Write a `docker` that is this shell script; return a PATH that begins with it."""

    def write(script: str) -> str:
        program = tmp_path / "fake" / "docker"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    return write


# What follows needs an engine: tests that use it carry @pytest.mark.engine.


@pytest.fixture(scope="session")
def docker() -> Docker:
    engine = Docker()
    engine.info()
    return engine


class PlainProgress:
    """Progress as lines on the real stderr, so that a first build is no silent minute."""

    def task(self, text: str) -> Any:
        import contextlib

        print(f"[{text}]", file=sys.__stderr__)
        return contextlib.nullcontext(lambda line: None)

    def warn(self, text: str) -> None:
        print(f"[{text}]", file=sys.__stderr__)


@pytest.fixture(scope="session")
def image(docker: Docker) -> str:
    """The default image, got as a launch gets it, once."""
    if docker.image(images.DEFAULT) is None:
        named = host.ca_file(os.environ)
        ca = Path(named[0]).read_bytes() if named else b""
        images.fetch(docker, images.default(host.proxies(os.environ), ca), PlainProgress())
    return images.DEFAULT


@dataclass(frozen=True)
class Model:
    """A scripted model in a container that has no network but its own loopback."""

    container: str
    url: str

    @property
    def flags(self) -> list[str]:
        """What a launch is told so that it meets this model and nothing else."""
        network = f"container:{self.container}"
        return ["--network", network, "--env", f"ANTHROPIC_BASE_URL={self.url}"]

    def requests(self) -> list[dict[str, Any]]:
        """Every request so far, as demo/model.py logs them."""
        shown = sh("docker", "exec", self.container, "sh", "-c", f"cat /{_port(self.url)}.log || :")
        return [json.loads(line) for line in shown.splitlines()]

    def tokens(self) -> set[str]:
        """Every Authorization and x-api-key header that arrived."""
        headers = [request["headers"] for request in self.requests()]
        sent = {h.get(name, "") for h in headers for name in ("authorization", "x-api-key")}
        return sent - {""}


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def sh(*argv: str) -> str:
    """What a command prints; an error for one that fails."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


StartModel = Callable[..., Model]


@pytest.fixture
def start_model(docker: Docker, image: str, tmp_path: Path) -> Iterator[StartModel]:
    """Start a model with a script (see demo/model.py); a launch joins it with `*model.flags`.

    `beside` another model it listens in that one's network, on another port; `tls`
    is a PEM file with a certificate and its key.
    """
    started: list[str] = []

    def start(
        script: object,
        *,
        port: int = 8080,
        beside: Model | None = None,
        tls: Path | None = None,
        delay: float = 0.0,
    ) -> Model:
        if beside is None:
            container = f"cctest-model-{uuid.uuid4().hex[:8]}"
            init = ["--init", "--network", "none", "--name", container]
            sh("docker", "run", "--rm", "--detach", *init, image, "sleep", "600")
            started.append(container)
        else:
            container = beside.container
        files = tmp_path / f"model-{container}-{port}"
        files.mkdir()
        (files / "script.json").write_text(json.dumps(script))
        shutil.copy(_PACKAGE / "demo" / "model.py", files)
        words = ["--script", f"/{port}/script.json", "--log", f"/{port}.log"]
        if tls:
            shutil.copy(tls, files / "tls.pem")
            words += ["--tls", f"/{port}/tls.pem"]
        sh("docker", "cp", str(files), f"{container}:/{port}")
        words += ["--port", str(port), "--chunk-delay", str(delay)]
        with subprocess.Popen(
            ["docker", "exec", container, "python3", f"/{port}/model.py", *words],
            stdout=subprocess.PIPE,
            text=True,
        ) as serving:
            assert serving.stdout is not None
            assert "listening" in serving.stdout.readline()
            serving.terminate()  # the client; the model goes on with its container
        return Model(container, f"{'https' if tls else 'http'}://127.0.0.1:{port}")

    yield start
    for container in started:
        subprocess.run(["docker", "rm", "-f", container], capture_output=True)


@pytest.fixture
def session() -> Iterator[str]:
    """A session's name; its container and volumes go when the test ends."""
    name = f"cctest-{uuid.uuid4().hex[:8]}"
    yield name
    subprocess.run(["docker", "rm", "-f", f"claude-container-{name}"], capture_output=True)
    subprocess.run(["docker", "volume", "rm", "-f", f"claude-state-{name}"], capture_output=True)
