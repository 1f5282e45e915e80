"""What engines said, recorded from the real thing: recorded/ENGINE-CLIENT.json.

Docker's engine was 20.10.24 for every client. Only names of the machine are changed. A
call's recording is played back by a `docker` or `podman` on PATH, so that all of our own
code runs. A new client's file is one more case of every test here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from claude_container import engines
from claude_container.engines.base import (
    Build,
    Container,
    ContainerSpec,
    EngineError,
    EngineNotAllowed,
    EngineNotRunning,
    EngineUsage,
    ImageInUse,
    ImageMissing,
    NameTaken,
    NoShell,
    StoppedShort,
    Streams,
    Volume,
    VolumeInUse,
)
from claude_container.engines.docker import Docker
from claude_container.engines.podman import Podman
from claude_container.process import NOTHING

RECORDED = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "recorded").glob("*.json"))
}
Real = Docker | Podman
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
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Real]:
    """`play(CLIENT, any=RECORDING, VERB=RECORDING…)`: the engine as it was, by its verb."""

    def player(client: str, **calls: dict[str, Any]) -> Real:
        kind = client.partition("-")[0]
        folder = tmp_path / "recorded"
        for verb, call in calls.items():
            (folder / verb).mkdir(parents=True)
            for name, value in call.items():
                (folder / verb / name).write_text(str(value))
        program = tmp_path / kind
        program.write_text(_PLAYER.format(folder=folder))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        engine = engines.get(kind)
        assert isinstance(engine, Real)
        return engine

    return player


Play = Callable[..., Real]
every_client = pytest.mark.parametrize("client", RECORDED)


WHO = {
    "docker": ("20.10.24+dfsg1", "Debian GNU/Linux 12 (bookworm), x86_64", "/var/lib/docker"),
    "podman": ("4.3.1", "debian 12, amd64", "/var/lib/containers/storage"),
}


@every_client
def test_info(play: Play, client: str) -> None:
    answers = RECORDED[client]["answers"]
    info = play(client, version=answers["version"], info=answers["info"]).info()
    name, _, version = client.partition("-")
    assert (info.name, info.client_version.split("+")[0], info.rootless) == (name, version, False)
    assert (info.version, info.system, info.root) == WHO[name]


@every_client
@pytest.mark.parametrize(("kind", "labels"), [("with", {"cctest.one": "two"}), ("without", {})])
def test_image(play: Play, client: str, kind: str, labels: dict[str, str]) -> None:
    image = play(client, any=RECORDED[client]["answers"][f"image {kind} labels"]).image("cctest:1")
    assert image and image.id.startswith("sha256:")
    assert image.labels == labels
    # An image of nothing: podman counts what describes it, too.
    assert (image.size > 0) == (kind == "with" or client.startswith("podman"))


@every_client
def test_containers(play: Play, client: str) -> None:
    listed = play(client, any=RECORDED[client]["answers"]["ps"]).containers(LABEL, ["cctest.rec"])
    assert sorted((c.name, c.state, c.labels) for c in listed) == [
        ("cctest-rec-a", "created", {"cctest.rec": 'a,b "c"\td=é\n☃'}),
        ("cctest-rec-b", "running", {}),
    ]
    assert all(isinstance(c, Container) and len(c.id) == 64 for c in listed)


@every_client
def test_volumes(play: Play, client: str) -> None:
    listed = play(client, any=RECORDED[client]["answers"]["volume"]).volumes(LABEL, ["cctest.rec"])
    assert listed == [Volume("cctest-rec-v", {"cctest.rec": "x"})]


VERBS: dict[str, Callable[[Real], object]] = {
    "attach": lambda engine: engine.attach("cctest", STREAMS),
    "build": lambda engine: engine.build(Build("cctest:1", ".", "Dockerfile"), _no_line),
    "copy_in": lambda engine: engine.copy_in("cctest", b""),
    "create": lambda engine: engine.create(SPEC),
    "exec": lambda engine: engine.exec("cctest", ["true"]),
    "image": lambda engine: engine.image("cctest:1"),
    "info": lambda engine: engine.info(),
    "list": lambda engine: engine.containers({}, ()),
    "pull": lambda engine: engine.pull("cctest:1", _no_line),
    "remove": lambda engine: engine.remove("cctest"),
    "remove, in time": lambda engine: engine.remove("cctest", grace=1),
    "remove_image": lambda engine: engine.remove_image("cctest:1"),
    "remove_volume": lambda engine: engine.remove_volume("cctest"),
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
    "no such container, executed in": ("exec", EngineError, "exec failed"),
    "container not running": ("exec", EngineError, "exec failed"),
    "volume in use": ("remove_volume", VolumeInUse, "the volume is in use"),
    "image in use": ("remove_image", ImageInUse, "the image is in use"),
    "missing bind source": ("create", EngineError, "cannot see a folder"),
    "no shell": ("attach", NoShell, "has no shell"),
    "no shell, no init process": ("attach", NoShell, "has no shell"),
    "network that is not there": ("create", EngineError, "no network of that name"),
    "value refused": ("create", EngineUsage, "does not accept a value"),
    "flag's value refused": ("create", EngineUsage, "does not accept a value"),
    "no init program": ("create", EngineError, "has no init program"),
    "no runtime": ("list", EngineError, "no program that runs containers"),
    "stopped while it starts": ("attach", StoppedShort, "stopped while it started"),
    "port in use by a program": ("attach", EngineError, "port to publish is in use"),
    "port in use by a container": ("attach", EngineError, "port to publish is in use"),
    "no space left": ("copy_in", EngineError, "disk is full"),
    "build step failed": ("build", EngineError, "build failed"),
    "build step failed in BuildKit": ("build", EngineError, "build failed"),
    "build with a wrong Dockerfile": ("build", EngineError, "build failed"),
    "build from a registry that is not there": ("build", EngineError, "build failed"),
    "pull of a name without a registry": ("pull", EngineError, "which registry the image is in"),
    "pull from a registry that is not there": ("pull", EngineError, "pull failed"),
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
    engine = play(client, any=failure, version=RECORDED[client]["answers"]["version"])
    if name in ABSENT:
        verb, value = ABSENT[name]
        assert VERBS[verb](engine) is value
        return
    verb, kind, what = FAILURES[name]
    with pytest.raises(EngineError) as raised:
        VERBS[verb](engine)
    assert type(raised.value) is kind
    assert what in raised.value.what
    said = (failure["stdout"] + failure["stderr"]).replace('\\"', '"')
    assert raised.value.evidence.splitlines()[-1].replace('\\"', '"') in said
