"""The contract of engines/base.py, held against every engine."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from claude_container.engines.base import (
    Bind,
    Build,
    Container,
    ContainerSpec,
    EngineError,
    EngineNotRunning,
    ImageInUse,
    ImageMissing,
    NameTaken,
    Streams,
    Volume,
    VolumeMount,
)
from claude_container.engines.docker import Docker
from claude_container.engines.podman import Podman
from claude_container.errors import UsageError
from claude_container.process import NOTHING, Attached
from tests.memory import Memory
from tests.programs import IN_MEMORY, SCRIPTS

LAB = "cctest.lab"
VALUES = [
    "plain",
    "two words",
    " edges ",
    'it\'s "quoted"',
    "# no comment",
    "",
    "a=b=c",
    "ünï ☃",
    "$HOME `id` \\n",
    "a,b",
    "a\tb",
]
LABELS = [value for value in VALUES if value] + ["two\nlines"]
PATHS = [
    "with blank",
    "colon:here",
    "comma,here",
    'quote"here',
    "it's",
    "ünï ☃",
    "a=b",
    "#1",
    "two\nlines",
]


def _tar(files: dict[str, bytes], **fields: int) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


def _ignore(line: str) -> None:
    pass


@dataclass
class Lab:
    """An engine with an image of the programs, and a label for all that a test makes on it."""

    engine: Memory | Docker | Podman
    image: str
    id: str

    def spec(self, *command: str, **fields: Any) -> ContainerSpec:
        name = f"cctest-{uuid.uuid4().hex[:12]}"
        labels = {LAB: self.id, **fields.pop("labels", {})}
        image = fields.pop("image", self.image)
        return ContainerSpec(image, fields.pop("name", name), command, labels=labels, **fields)

    def create(self, *command: str, **fields: Any) -> str:
        return self.engine.create(self.spec(*command, **fields))

    def volume(self, target: str = "/data", **fields: Any) -> VolumeMount:
        labels = {LAB: self.id, **fields.pop("labels", {})}
        return VolumeMount(f"cctest-{uuid.uuid4().hex[:12]}", target, labels, **fields)

    def attach(self, container: str, stdin: int = NOTHING) -> tuple[Attached, bytes]:
        written = bytearray()
        ended = self.engine.attach(container, Streams(stdin=stdin, stdout=written.extend))
        return ended, bytes(written)

    def run(self, *command: str, **fields: Any) -> tuple[int, bytes]:
        ended, written = self.attach(self.create(*command, **fields))
        return ended.code, written

    def containers(self) -> list[Container]:
        return self.engine.containers({LAB: self.id}, ())

    def volumes(self) -> list[Volume]:
        return self.engine.volumes({LAB: self.id}, ())

    @property
    def tag(self) -> str:
        """A name for an image to build."""
        return f"cctest-{self.id}:1"

    def clear(self) -> None:
        for container in self.containers():
            self.engine.remove(container.id)
        for volume in self.volumes():
            self.engine.remove_volume(volume.name)
        self.engine.remove_image(self.tag)


def _clients() -> list[Path]:
    """Every docker client on PATH, the one that is used by default first."""
    found = [Path(folder) / "docker" for folder in os.get_exec_path()]
    return list({path.resolve(): path for path in found if os.access(path, os.X_OK)}.values())


@contextlib.contextmanager
def _programs(engine: Docker | Podman, image: str) -> Iterator[str]:
    """An image of the programs as scripts, on a real engine."""
    name = f"cctest-programs-{uuid.uuid4().hex[:8]}:1"
    recipe = f"FROM {image}\nCOPY programs /programs\nLABEL {LAB}={name}\n".encode()
    files = {"Dockerfile": recipe, **{f"programs/{n}": s for n, s in SCRIPTS.items()}}
    engine.build(Build(name, _tar(files, mode=0o755), "Dockerfile"), _ignore)
    yield name
    engine.remove_image(name)


@pytest.fixture(scope="session")
def programs(docker: Docker, image: str) -> Iterator[str]:
    with _programs(docker, image) as name:
        yield name


@pytest.fixture(scope="session")
def podman_programs(image: str) -> Iterator[str]:
    """As `programs`, on podman, which is given the default image that docker has."""
    if not shutil.which("podman"):
        pytest.skip("podman is not installed here")
    if Podman().image(image) is None:
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["podman", "load"], stdin=saved.stdout, check=True, capture_output=True)
    with _programs(Podman(), image) as name:
        yield name


DOCKERS = [
    pytest.param(0, id="docker", marks=pytest.mark.engine),
    pytest.param(1, id="other docker client", marks=pytest.mark.engine),
]
PODMAN = pytest.param("podman", id="podman", marks=pytest.mark.engine)
# Rootless, podman keeps all that it has there, and a test's home is an empty one.
PODMANS_HOME = {n: v for n, v in os.environ.items() if n == "HOME" or n.startswith("XDG_")}


@pytest.fixture(params=["memory", *DOCKERS, PODMAN])
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    id = uuid.uuid4().hex[:12]
    if request.param == "memory":
        yield Lab(Memory({"tiny": IN_MEMORY}), "tiny", id)
        return
    if request.param == "podman":
        for name, value in PODMANS_HOME.items():
            monkeypatch.setenv(name, value)
        lab = Lab(Podman(), request.getfixturevalue("podman_programs"), id)
        yield lab
        lab.clear()
        return
    clients = _clients()
    if request.param >= len(clients):
        pytest.skip("there is one docker client here")
    monkeypatch.setenv("PATH", f"{clients[request.param].parent}:{os.environ['PATH']}")
    lab = Lab(Docker(), request.getfixturevalue("programs"), id)
    yield lab
    lab.clear()


only_real = pytest.mark.parametrize("lab", [*DOCKERS, PODMAN], indirect=True)


def test_info_tells_who_answers(lab: Lab) -> None:
    info = lab.engine.info()
    assert info.name == lab.engine.name
    assert info.version and info.client_version and info.system
    assert info.root.startswith("/")


# A container's life


def test_the_exit_code_passes(lab: Lab) -> None:
    assert [lab.run("/programs/exit", code)[0] for code in ("0", "125")] == [0, 125]


def test_arguments_arrive_as_they_are(lab: Lab) -> None:
    words = [*VALUES, "--help", "two\nlines"]
    assert lab.run("/programs/args", *words) == (0, "".join(f"{w}\0" for w in words).encode())


def test_stdin_arrives_and_ends_and_stdout_is_exactly_the_bytes(lab: Lab, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000 + b"no line end"
    (tmp_path / "in").write_bytes(content)
    with open(tmp_path / "in", "rb") as stdin:
        ended, written = lab.attach(lab.create("/programs/cat"), stdin.fileno())
    assert (ended.code, written) == (0, content)


def test_no_stdin_ends_at_once(lab: Lab) -> None:
    assert lab.run("/programs/cat") == (0, b"")


def test_stderr_is_passed_on_and_kept(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    ended, written = lab.attach(lab.create("/programs/fail", "some words"))
    assert (ended, written) == (Attached(1, "some words"), b"")
    assert capfd.readouterr() == ("", "some words\n")


@pytest.mark.parametrize(
    "words", ["tar: unexpected EOF", "it said: Error response from daemon: no", "error: no such"]
)
def test_words_like_an_engine_s_are_the_program_s_own(lab: Lab, words: str) -> None:
    assert lab.attach(lab.create("/programs/fail", words))[0] == Attached(1, words)


def test_a_container_is_listed_from_creation_until_it_ended(lab: Lab) -> None:
    spec = lab.spec("/programs/exit", "0")
    id = lab.engine.create(spec)
    assert lab.containers() == [Container(id, spec.name, "created", {})]
    lab.attach(spec.name)
    assert lab.containers() == []


@pytest.mark.parametrize(
    ("grace", "left"), [(0, b""), (20, b"TERM")], ids=["killed", "told to end"]
)
def test_a_started_container_runs_until_it_is_removed(lab: Lab, grace: int, left: bytes) -> None:
    volume = lab.volume()
    container = lab.create("/programs/stay", "/data", mounts=(volume,))
    lab.engine.start(container)
    assert lab.engine.exec(container, ["/programs/await", "/data/ready"]).code == 0
    assert [c.state for c in lab.containers()] == ["running"]
    assert lab.engine.remove(container, grace=grace)
    assert lab.containers() == []
    assert lab.run("/programs/cat", "/data/ended", mounts=(volume,))[1] == left


def test_a_command_in_a_running_container_is_captured(lab: Lab) -> None:
    container = lab.create("/programs/stay", "/tmp")
    lab.engine.start(container)
    listed = lab.engine.exec(container, ["/programs/args", "two words"])
    failed = lab.engine.exec(container, ["/programs/fail", "unexpected EOF"])
    user = lab.engine.exec(container, ["/programs/whoami"], user="1234")
    assert (listed.code, listed.stdout) == (0, b"two words\0")
    assert (failed.code, failed.stdout, failed.stderr) == (1, b"", b"unexpected EOF\n")
    assert user.text == "1234"
    assert lab.engine.exec(container, ["/programs/whoami"]).text == "0"
    assert lab.engine.exec(container, ["/programs/nothing"]).code in (126, 127)


def test_a_command_in_a_container_that_does_not_run_is_an_error(lab: Lab) -> None:
    container = lab.create("/programs/exit", "0")
    with pytest.raises(EngineError):
        lab.engine.exec(container, ["/programs/exit", "0"])


VERBS_ON_NOTHING: dict[str, Callable[[Lab], object]] = {
    "start": lambda lab: lab.engine.start("cctest-absent"),
    "attach": lambda lab: lab.attach("cctest-absent"),
    "exec": lambda lab: lab.engine.exec("cctest-absent", ["true"]),
    "copy_in": lambda lab: lab.engine.copy_in("cctest-absent", _tar({"a": b""})),
}


@pytest.mark.parametrize("verb", VERBS_ON_NOTHING)
def test_a_container_that_is_not_there_is_an_error(lab: Lab, verb: str) -> None:
    with pytest.raises(EngineError):
        VERBS_ON_NOTHING[verb](lab)


def test_removing_what_is_not_there_is_no_error(lab: Lab) -> None:
    assert lab.engine.remove("cctest-absent") is False
    assert lab.engine.remove("cctest-absent", grace=1) is False
    assert lab.engine.remove_volume("cctest-absent") is False
    lab.engine.remove_image("cctest-absent:1")


def test_a_name_is_had_once(lab: Lab) -> None:
    spec = lab.spec("/programs/exit", "0", mounts=(lab.volume(),))
    lab.engine.create(spec)
    second = lab.volume()
    with pytest.raises(NameTaken):
        lab.create("/programs/exit", "0", name=spec.name, mounts=(second,))
    assert second.name not in {volume.name for volume in lab.volumes()}
    assert lab.engine.remove(spec.name)
    lab.engine.create(spec)


def test_a_missing_image_is_told(lab: Lab) -> None:
    with pytest.raises(ImageMissing):
        lab.create("/programs/exit", "0", image="cctest-absent:1")
    assert lab.containers() == []


def test_a_missing_program_is_the_engine_s_error_and_leaves_nothing(lab: Lab) -> None:
    container = lab.create("/programs/nothing")
    with pytest.raises(EngineError) as error:
        lab.attach(container)
    assert not isinstance(error.value, EngineNotRunning)
    assert lab.containers() == []


def test_on_a_terminal_a_missing_program_is_a_code_like_any_other(lab: Lab) -> None:
    code = 1 if lab.engine.name == "podman" else 127  # its init's, and tini's
    assert lab.run("/programs/nothing", tty=True)[0] == code
    assert lab.containers() == []


def test_a_missing_folder_to_mount_is_the_engine_s_error(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        lab.create("/programs/exit", "0", mounts=(Bind(str(tmp_path / "absent"), "/data"),))
    assert lab.containers() == []


# What goes in


def test_variables_arrive_as_they_are(lab: Lab) -> None:
    env = {f"VALUE_{number}": value for number, value in enumerate(VALUES)}
    lines = lab.run("/programs/env", env=env)[1].decode().split("\n")
    assert [line for line in lines if line.startswith("VALUE_")] == [
        f"{name}={value}" for name, value in env.items()
    ]


def test_variables_that_the_client_reads_do_not_disturb_it(lab: Lab) -> None:
    names = ["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "HTTPS_PROXY"]
    env = dict.fromkeys(names, "/nowhere, not here")
    lines = lab.run("/programs/env", env=env)[1].decode().split("\n")
    assert {f"{name}={value}" for name, value in env.items()} <= set(lines)


def test_files_are_copied_with_owner_and_mode(lab: Lab) -> None:
    volume = lab.volume()
    container = lab.create("/programs/mode", "/run/cctest/file", mounts=(volume,))
    files = {"run/cctest/file": b"one", "data/file": b"two"}
    lab.engine.copy_in(container, _tar(files, mode=0o604, uid=1234, gid=4321))
    assert lab.attach(container)[1] == b"1234:4321 604\n"
    assert lab.run("/programs/mode", "/data/file", mounts=(volume,))[1] == b"1234:4321 604\n"
    assert lab.run("/programs/cat", "/data/file", mounts=(volume,))[1] == b"two"


def test_files_are_copied_into_a_running_container(lab: Lab) -> None:
    container = lab.create("/programs/stay", "/tmp")
    lab.engine.start(container)
    lab.engine.copy_in(container, _tar({"tmp/file": b"late"}))
    assert lab.engine.exec(container, ["/programs/cat", "/tmp/file"]).stdout == b"late"


def test_folders_of_the_host_are_mounted_whatever_their_names(lab: Lab, tmp_path: Path) -> None:
    mounts = []
    for name in PATHS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        mounts.append(Bind(str(tmp_path / name), f"/mnt/{name}"))
    files = [f"{mount.target}/file" for mount in mounts]
    assert lab.run("/programs/cat", *files, mounts=tuple(mounts))[1].decode() == "".join(PATHS)


def test_what_is_written_in_a_mounted_folder_is_the_host_s(lab: Lab, tmp_path: Path) -> None:
    mounts = (Bind(str(tmp_path), "/data"),)
    assert lab.run("/programs/write", "/data/new", "hello", mounts=mounts)[0] == 0
    assert (tmp_path / "new").read_text() == "hello"


def test_what_is_mounted_read_only_cannot_be_written(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    folder = Bind(str(tmp_path), "/data", read_only=True)
    volume = lab.volume("/data", read_only=True)
    assert lab.run("/programs/cat", "/data/file", mounts=(folder,)) == (0, b"old")
    assert lab.run("/programs/write", "/data/file", "new", mounts=(folder,))[0] != 0
    assert lab.run("/programs/write", "/data/file", "new", mounts=(volume,))[0] != 0
    assert (tmp_path / "file").read_text() == "old"


# Volumes and labels


def test_a_volume_keeps_what_it_holds_and_its_first_labels(lab: Lab) -> None:
    first = lab.volume(labels={"cctest.turn": "first"})
    again = VolumeMount(first.name, "/elsewhere", {"cctest.turn": "second"})
    lab.run("/programs/write", "/data/file", "kept", mounts=(first,))
    assert lab.run("/programs/cat", "/elsewhere/file", mounts=(again,)) == (0, b"kept")
    assert lab.engine.volumes({LAB: lab.id}, ["cctest.turn"]) == [
        Volume(first.name, {"cctest.turn": "first"})
    ]


def test_a_volume_is_made_with_its_labels_and_again_stays_as_it_is(lab: Lab) -> None:
    name = lab.volume().name
    for turn in ("a,b", "second"):
        lab.engine.create_volume(name, {LAB: lab.id, "cctest.turn": turn}, {})
    assert lab.engine.volumes({LAB: lab.id}, ["cctest.turn"]) == [
        Volume(name, {"cctest.turn": "a,b"})
    ]
    path = lab.engine.volume_path(name)
    assert path is not None and path.startswith("/")
    assert lab.engine.volume_path("cctest-absent") is None


@only_real
def test_a_volume_can_be_an_overlay_of_the_engine_s_own(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower" / "file").write_text("below")
    upper, over = lab.volume(), lab.volume("/over")
    lab.engine.create_volume(upper.name, {LAB: lab.id}, {})
    assert lab.run("/bin/sh", "-c", "mkdir /data/upper /data/work", mounts=(upper,))[0] == 0
    path = lab.engine.volume_path(upper.name)
    layers = f"lowerdir={tmp_path}/lower,upperdir={path}/upper,workdir={path}/work"
    options = {"type": "overlay", "device": "overlay", "o": layers}
    lab.engine.create_volume(over.name, {LAB: lab.id}, options)
    assert lab.run("/programs/write", "/over/file", "changed", mounts=(over,))[0] == 0
    assert (tmp_path / "lower" / "file").read_text() == "below"
    assert lab.run("/programs/cat", "/data/upper/file", mounts=(upper,))[1] == b"changed"


@only_real
def test_a_bare_volume_gets_nothing_of_the_image_s(lab: Lab) -> None:
    bare = lab.volume("/programs", bare=True)
    if lab.engine.name == "podman":
        pytest.skip("podman 4.3 cannot be told so")
    assert lab.run("/bin/sh", "-c", "ls /programs | wc -l", mounts=(bare,)) == (0, b"0\n")


def test_a_volume_in_use_stays(lab: Lab) -> None:
    volume = lab.volume()
    container = lab.create("/programs/exit", "0", mounts=(volume,))
    with pytest.raises(EngineError):
        lab.engine.remove_volume(volume.name)
    assert lab.engine.remove(container)
    assert [v.name for v in lab.volumes()] == [volume.name]
    assert lab.engine.remove_volume(volume.name) is True
    assert lab.volumes() == []


def test_containers_and_volumes_are_found_by_label(lab: Lab) -> None:
    labels = {f"cctest.{number}": value for number, value in enumerate(LABELS)}
    volume = lab.volume(labels=labels)
    container = lab.create("/programs/exit", "0", labels=labels, mounts=(volume,))
    for name, value in labels.items():
        for having in ({LAB: lab.id, name: value}, {LAB: lab.id, name: None}):
            containers = lab.engine.containers(having, [name, "cctest.absent"])
            volumes = lab.engine.volumes(having, [name, "cctest.absent"])
            assert [(c.id, c.labels) for c in containers] == [(container, {name: value})]
            assert volumes == [Volume(volume.name, {name: value})]


@pytest.mark.parametrize("value", ["a,b c ", "a,b", "", None])
def test_another_label_finds_nothing(lab: Lab, value: str | None) -> None:
    volume = lab.volume(labels={"cctest.value": "a,b c"})
    lab.create("/programs/exit", "0", labels=volume.labels, mounts=(volume,))
    having = {LAB: lab.id, ("cctest.value" if value is not None else "cctest.absent"): value}
    assert lab.engine.containers(having, ()) == []
    assert lab.engine.volumes(having, ()) == []


# Images


def test_an_image_is_described_and_a_missing_one_is_none(lab: Lab) -> None:
    image = lab.engine.image(lab.image)
    assert image and image.id.startswith("sha256:") and image.size > 0
    assert image.labels[LAB] == lab.image
    assert lab.engine.image("cctest-absent:1") is None


@pytest.mark.parametrize("streamed", [False, True], ids=["from a folder", "from a tar"])
def test_an_image_is_built_found_and_removed(lab: Lab, streamed: bool, tmp_path: Path) -> None:
    files = {"Dockerfile": f"FROM {lab.image}\nCOPY note /note\n".encode(), "note": b"built"}
    folder = tmp_path / "a folder, its comma"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    context = _tar(files) if streamed else str(folder)
    dockerfile = "Dockerfile" if streamed else str(folder / "Dockerfile")
    lines: list[str] = []
    labels = {LAB: lab.id, "cctest.path": 'a folder, its "name": ünï'}
    lab.engine.build(Build(lab.tag, context, dockerfile, labels=labels), lines.append)
    assert any("COPY note /note" in line for line in lines)
    assert lab.run("/programs/cat", "/note", image=lab.tag) == (0, b"built")
    assert [image.names for image in lab.engine.images(labels)] == [(lab.tag,)]
    assert lab.engine.images(labels) == [lab.engine.image(lab.tag)]
    assert lab.engine.images({**labels, "cctest.path": "a folder"}) == []
    lab.engine.remove_image(lab.tag)
    assert lab.engine.images({LAB: lab.id}) == []
    assert lab.engine.image(lab.tag) is None


def test_a_stage_of_a_dockerfile_is_built_and_what_its_commands_print_is_told(lab: Lab) -> None:
    recipe = f"""
FROM {lab.image} AS first
LABEL {LAB}={lab.id}
RUN /programs/args told by the first
FROM first AS second
RUN /programs/fail second
"""
    lines: list[str] = []
    plan = Build(lab.tag, _tar({"Dockerfile": recipe.encode()}), "Dockerfile", target="first")
    lab.engine.build(plan, lines.append)
    assert any("told\0by\0the\0first" in line for line in lines)
    image = lab.engine.image(lab.tag)
    assert image and image.labels[LAB] == lab.id


def test_an_image_knows_its_names_and_when_it_was_made(lab: Lab) -> None:
    begun = int(time.time())
    recipe = f"FROM {lab.image}\nLABEL {LAB}={lab.id}\n".encode()
    lab.engine.build(Build(lab.tag, _tar({"Dockerfile": recipe}), "Dockerfile"), _ignore)
    image = lab.engine.image(lab.tag)
    assert image and image.names == (lab.tag,)
    assert lab.engine.image(image.id) == image
    if lab.engine.name != "memory":
        assert begun - 5 <= image.created <= time.time() + 5


def test_an_image_whose_name_another_took_goes_by_its_id(lab: Lab) -> None:
    ids = []
    for word in ("old", "new"):
        recipe = f"FROM {lab.image}\nLABEL {LAB}={lab.id}\nLABEL cctest.word={word}\n".encode()
        lab.engine.build(Build(lab.tag, _tar({"Dockerfile": recipe}), "Dockerfile"), _ignore)
        image = lab.engine.image(lab.tag)
        assert image
        ids.append(image.id)
    old = lab.engine.image(ids[0])
    assert old and old.names == () and old.labels["cctest.word"] == "old"
    assert {image.id for image in lab.engine.images({LAB: lab.id})} == set(ids)
    lab.engine.remove_image(ids[0])
    assert [image.id for image in lab.engine.images({LAB: lab.id})] == ids[1:]
    lab.engine.remove_image(ids[0])  # is no error


def test_an_image_that_a_container_uses_stays(lab: Lab) -> None:
    recipe = f"FROM {lab.image}\nLABEL {LAB}={lab.id}\n".encode()
    lab.engine.build(Build(lab.tag, _tar({"Dockerfile": recipe}), "Dockerfile"), _ignore)
    container = lab.create("/programs/stay", "/tmp", image=lab.tag)
    lab.engine.start(container)
    for name in (lab.tag, lab.engine.images({LAB: lab.id})[0].id):
        with pytest.raises(ImageInUse):
            lab.engine.remove_image(name)
    assert lab.engine.image(lab.tag)
    assert lab.engine.remove(container)
    lab.engine.remove_image(lab.tag)
    assert lab.engine.image(lab.tag) is None


def test_a_streamed_build_takes_nothing_of_the_current_directory(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = f"FROM {lab.image}\nCOPY note /note\n".encode()
    (tmp_path / "Dockerfile").write_bytes(recipe)
    (tmp_path / "note").write_bytes(b"somebody's")
    monkeypatch.chdir(tmp_path)
    ours = {"Dockerfile": recipe + b"COPY note /ours\n", "note": b"ours"}
    lab.engine.build(Build(lab.tag, _tar(ours), "Dockerfile"), _ignore)
    assert lab.run("/programs/cat", "/note", "/ours", image=lab.tag) == (0, b"oursours")


@pytest.mark.parametrize(
    "words",
    [
        "no space left on device",
        "permission denied while trying to connect",
        "Cannot connect to the Docker daemon",
        "No such image",
    ],
)
def test_a_build_that_fails_is_not_the_engine_s_state(lab: Lab, words: str) -> None:
    recipe = f"FROM {lab.image}\nRUN /programs/fail {shlex.quote(words)}\n".encode()
    with pytest.raises(EngineError) as error:
        lab.engine.build(Build(lab.tag, _tar({"Dockerfile": recipe}), "Dockerfile"), _ignore)
    assert (type(error.value), error.value.what.split()[-1]) == (EngineError, "failed")
    assert words in error.value.evidence
    assert lab.engine.image(lab.tag) is None
    image = lab.engine.image(lab.image)
    assert image and lab.engine.containers(image.labels, ()) == []


def test_an_image_that_cannot_be_pulled_is_an_error(lab: Lab) -> None:
    with pytest.raises(EngineError):
        lab.engine.pull("localhost:1/cctest-absent:1", _ignore)


# What a real engine only can show


@only_real
def test_a_value_is_in_no_argv_and_no_environment_of_the_client(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    client = lab.engine.name
    wrapper = tmp_path / "bin" / client
    wrapper.parent.mkdir()
    record = f'{{ printf "%s\\n" "$@"; env; }} >>{log}'
    wrapper.write_text(f'#!/bin/sh\n{record}\nexec {shutil.which(client)} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    _, written = lab.run("/programs/env", env={"SECRET": "made-up-value"})
    assert b"SECRET=made-up-value\n" in written
    assert "create\n" in log.read_text()
    assert "made-up-value" not in log.read_text()


@only_real
def test_the_proxies_of_our_own_environment_stay_here(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://made-up.example:1")
    assert b"made-up" not in lab.run("/programs/env")[1]


@only_real
def test_a_line_break_is_taken_only_from_our_own_environment(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"LINES_OF": "one\ntwo"}
    with pytest.raises(UsageError):
        lab.create("/programs/env", env=env)
    monkeypatch.setenv("LINES_OF", "one\ntwo")
    assert b"LINES_OF=one\ntwo\n" in lab.run("/programs/env", env=env)[1]


@only_real
def test_the_capabilities_are_exactly_those(lab: Lab) -> None:
    status = lab.run("/programs/cat", "/proc/self/status", capabilities=("KILL", "CHOWN"))[1]
    held = dict(line.split(":\t") for line in status.decode().splitlines())
    sets = {held[name] for name in ("CapPrm", "CapEff", "CapBnd")}
    assert sets == {f"{1 << 0 | 1 << 5:016x}"}
    assert held["NoNewPrivs"] == "1"


@only_real
def test_limits_hold_inside(lab: Lab) -> None:
    script = """
        cd /sys/fs/cgroup
        cat pids.max pids/pids.max 2>/dev/null
        cat memory.max memory/memory.limit_in_bytes 2>/dev/null
        pwd; ls /sys/class/net
    """
    limits = {"pids": 77, "memory": "64m", "network": "none", "workdir": "/var/tmp"}
    written = lab.run("/bin/sh", "-c", script.replace("pwd", "cd -; pwd"), **limits)[1]
    assert written.split() == [b"77", str(64 << 20).encode(), b"/var/tmp", b"/var/tmp", b"lo"]


@only_real
def test_a_container_has_a_terminal_only_if_asked(lab: Lab) -> None:
    assert lab.run("/bin/sh", "-c", "test -t 1")[0] == 1
    assert lab.run("/bin/sh", "-c", "test -t 1", tty=True)[0] == 0
