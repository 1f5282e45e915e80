"""What docker said, recorded from the real thing: recorded/docker-CLIENT.json, engine 20.10.24.

Only names of the machine are changed. A call's recording is played back by a
`docker` on PATH, so that all of our own code runs. A new client's file is one
more case of every test here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from claude_container.engines.base import (
    Build,
    Container,
    ContainerSpec,
    EngineError,
    EngineNotAllowed,
    EngineNotRunning,
    ImageMissing,
    NameTaken,
    Streams,
    Volume,
    VolumeInUse,
)
from claude_container.engines.docker import Docker
from claude_container.process import NOTHING

RECORDED = {
    path.stem.removeprefix("docker-"): json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "recorded").glob("docker-*.json"))
}
_PLAYER = """#!/bin/sh
[ -d "{folder}/$1" ] && cd "{folder}/$1" || cd "{folder}/any"
cat stdout; cat stderr >&2; exit "$(cat code)"
"""
SPEC = ContainerSpec("cctest:1", "cctest", ("true",))
STREAMS = Streams(stdin=NOTHING)
LABEL = {"cctest.rec": None}


def _no_line(line: str) -> None:
    pass


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Docker]:
    """`play(any=RECORDING, VERB=RECORDING…)`: docker as it was, by its verb."""

    def player(**calls: dict[str, Any]) -> Docker:
        folder = tmp_path / "recorded"
        for verb, call in calls.items():
            (folder / verb).mkdir(parents=True)
            for name, value in call.items():
                (folder / verb / name).write_text(str(value))
        program = tmp_path / "docker"
        program.write_text(_PLAYER.format(folder=folder))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return Docker()

    return player


Play = Callable[..., Docker]
every_client = pytest.mark.parametrize("client", RECORDED)


@every_client
def test_info(play: Play, client: str) -> None:
    answers = RECORDED[client]["answers"]
    info = play(version=answers["version"], info=answers["info"]).info()
    assert (info.version, info.client_version.split("+")[0]) == ("20.10.24+dfsg1", client)
    assert info.system == "Debian GNU/Linux 12 (bookworm), x86_64"
    assert (info.root, info.rootless) == ("/var/lib/docker", False)


@every_client
@pytest.mark.parametrize(("kind", "labels"), [("with", {"cctest.one": "two"}), ("without", {})])
def test_image(play: Play, client: str, kind: str, labels: dict[str, str]) -> None:
    image = play(any=RECORDED[client]["answers"][f"image {kind} labels"]).image("cctest:1")
    assert image and image.id.startswith("sha256:")
    assert image.labels == labels
    assert (image.size > 0) == (kind == "with")


@every_client
def test_containers(play: Play, client: str) -> None:
    listed = play(any=RECORDED[client]["answers"]["ps"]).containers(LABEL, ["cctest.rec"])
    assert [(c.name, c.state, c.labels) for c in listed] == [
        ("cctest-rec-b", "running", {}),
        ("cctest-rec-a", "created", {"cctest.rec": 'a,b "c"\td=é\n☃'}),
    ]
    assert all(isinstance(c, Container) and len(c.id) == 64 for c in listed)


@every_client
def test_volumes(play: Play, client: str) -> None:
    listed = play(any=RECORDED[client]["answers"]["volume"]).volumes(LABEL, ["cctest.rec"])
    assert listed == [Volume("cctest-rec-v", {"cctest.rec": "x"})]


VERBS: dict[str, Callable[[Docker], object]] = {
    "attach": lambda docker: docker.attach("cctest", STREAMS),
    "build": lambda docker: docker.build(Build("cctest:1", b"", "Dockerfile"), _no_line),
    "copy_in": lambda docker: docker.copy_in("cctest", b""),
    "create": lambda docker: docker.create(SPEC),
    "exec": lambda docker: docker.exec("cctest", ["true"]),
    "image": lambda docker: docker.image("cctest:1"),
    "info": lambda docker: docker.info(),
    "list": lambda docker: docker.containers({}, ()),
    "pull": lambda docker: docker.pull("cctest:1", _no_line),
    "remove": lambda docker: docker.remove("cctest"),
    "remove, in time": lambda docker: docker.remove("cctest", grace=1),
    "remove_volume": lambda docker: docker.remove_volume("cctest"),
}
NOT_RUNNING, NOT_ALLOWED = "no engine answers", "does not let this user in"
FAILURES: dict[str, tuple[str, type[EngineError], str]] = {
    "not running": ("list", EngineNotRunning, NOT_RUNNING),
    "not running, asked for info": ("info", EngineNotRunning, NOT_RUNNING),
    "not running, attached": ("attach", EngineNotRunning, NOT_RUNNING),
    "build while not running": ("build", EngineNotRunning, NOT_RUNNING),
    "connection lost": ("attach", EngineNotRunning, NOT_RUNNING),
    "ssh refused": ("list", EngineNotRunning, NOT_RUNNING),
    "not allowed": ("list", EngineNotAllowed, NOT_ALLOWED),
    "not allowed, asked for info": ("info", EngineNotAllowed, NOT_ALLOWED),
    "not allowed to create": ("create", EngineNotAllowed, NOT_ALLOWED),
    "no such image": ("create", ImageMissing, "does not have the image"),
    "name taken": ("create", NameTaken, "the name is taken"),
    "no such container, attached": ("attach", EngineError, "did not run"),
    "no such container, executed in": ("exec", EngineError, "docker exec failed"),
    "container not running": ("exec", EngineError, "docker exec failed"),
    "volume in use": ("remove_volume", VolumeInUse, "the volume is in use"),
    "missing bind source": ("create", EngineError, "cannot see a folder"),
    "no shell": ("attach", EngineError, "has no shell"),
    "no shell, no init process": ("attach", EngineError, "has no shell"),
    "port in use by a program": ("attach", EngineError, "port to publish is in use"),
    "port in use by a container": ("attach", EngineError, "port to publish is in use"),
    "no space left": ("copy_in", EngineError, "disk is full"),
    "build step failed": ("build", EngineError, "docker build failed"),
    "build step failed in BuildKit": ("build", EngineError, "docker build failed"),
    "build with a wrong Dockerfile": ("build", EngineError, "docker build failed"),
    "build from a registry that is not there": ("build", EngineError, "docker build failed"),
    "pull from a registry that is not there": ("pull", EngineError, "docker pull failed"),
}
ABSENT = {
    "no such image, inspected": ("image", None),
    "no such container, removed": ("remove", False),
    "no such container, stopped": ("remove, in time", False),
    "no such volume": ("remove_volume", False),
}


def _recorded_failures() -> list[tuple[str, str]]:
    return [(client, name) for client, held in RECORDED.items() for name in held["failures"]]


@pytest.mark.parametrize(("client", "name"), _recorded_failures())
def test_a_failure_is_understood(play: Play, client: str, name: str) -> None:
    failure = RECORDED[client]["failures"][name]
    docker = play(any=failure, version=RECORDED[client]["answers"]["version"])
    if name in ABSENT:
        verb, value = ABSENT[name]
        assert VERBS[verb](docker) is value
        return
    verb, kind, what = FAILURES[name]
    with pytest.raises(EngineError) as raised:
        VERBS[verb](docker)
    assert type(raised.value) is kind
    assert what in raised.value.what
    said = (failure["stdout"] + failure["stderr"]).replace('\\"', '"')
    assert raised.value.evidence.splitlines()[-1] in said
