"""Which image a launch runs in, and how it gets onto an engine that does not have it."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from claude_container import images
from claude_container.engines.base import Build, EngineError, ImageMissing
from claude_container.errors import ClaudeContainerError, UsageError
from tests.memory import Memory
from tests.memory_container import MemoryImage


class Told:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextlib.contextmanager
    def task(self, text: str) -> Iterator[Callable[[str], None]]:
        self.lines.append(f"task: {text}")
        yield self.lines.append

    def warn(self, text: str) -> None:
        self.lines.append(f"warn: {text}")


@pytest.fixture
def engine() -> Memory:
    return Memory({"base": MemoryImage()})


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def dockerfile(project: Path) -> Path:
    file = project / "Dockerfile"
    file.write_text("FROM base\n")
    return file


# Choosing


def put(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text("FROM base\n")


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (("Dockerfile", ".devcontainer/Dockerfile", "docker/Dockerfile"), "Dockerfile"),
        ((".devcontainer/Dockerfile", "docker/Dockerfile"), ".devcontainer/Dockerfile"),
        (("docker/Dockerfile",), "docker/Dockerfile"),
    ],
)
def test_the_nearest_dockerfile_is_found(project: Path, there: tuple[str, ...], found: str) -> None:
    put(project, *there)
    assert images.find_dockerfile(project) == project / found


def test_no_dockerfile_is_none_and_a_folder_of_that_name_is_no_dockerfile(project: Path) -> None:
    (project / "Dockerfile").mkdir()
    put(project, "other/Dockerfile", "docker/Containerfile")
    assert images.find_dockerfile(project) is None


@pytest.mark.parametrize("name", ["", "-v", "--privileged", "a b", "a\nb", "\t"])
def test_what_cannot_be_an_image_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be an image"):
        images.named(name, "--image")


def test_a_named_image_is_used_as_it_is() -> None:
    choice = images.named("ghcr.io/a/b:1@sha256:0", "--image")
    assert choice == images.Choice("ghcr.io/a/b:1@sha256:0", "--image", pull=True)


def test_the_default_image_brings_its_recipe_and_the_certificate() -> None:
    choice = images.default({"https_proxy": "http://secret@p:1"}, b"a certificate")
    assert choice.name == images.DEFAULT and choice.pull and choice.build
    assert isinstance(choice.build.context, bytes)
    with tarfile.open(fileobj=io.BytesIO(choice.build.context)) as tar:
        held = {member.name: tar.extractfile(member) for member in tar}
        contents = {name: file.read() for name, file in held.items() if file}
    assert contents["ca.crt"] == b"a certificate"
    assert contents["Dockerfile.base"] == (images.RECIPES / "Dockerfile.base").read_bytes()
    # By name alone: the value may hold a password.
    assert choice.build.arguments == {"https_proxy": None}


# A project's own


def test_a_projects_image_is_the_same_until_its_dockerfile_changes(dockerfile: Path) -> None:
    first = images.project(Path("/launch"), dockerfile, {})
    assert images.project(Path("/launch"), dockerfile, {}) == first
    assert first.name.startswith("claude-dev-my-project-n-code:")
    dockerfile.write_text("FROM base\nRUN true\n")
    assert images.project(Path("/launch"), dockerfile, {}).name != first.name


def test_the_same_dockerfile_elsewhere_is_another_image(dockerfile: Path, tmp_path: Path) -> None:
    put(tmp_path, "my-project-n-code/Dockerfile")
    other = images.project(Path("/launch"), tmp_path / "my-project-n-code" / "Dockerfile", {})
    assert other.name != images.project(Path("/launch"), dockerfile, {}).name


def test_the_way_a_dockerfile_was_named_does_not_matter(
    dockerfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dockerfile.parent)
    there = images.project(Path("/launch"), dockerfile, {})
    for name in ("Dockerfile", "./Dockerfile", f"../{dockerfile.parent.name}/Dockerfile"):
        assert images.project(Path("/launch"), Path(name), {}).build == there.build


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("Dockerfile", "."),
        (".devcontainer/Dockerfile", "."),
        ("docker/Dockerfile", "."),
        ("other/Dockerfile", "other"),
        ("docker/web.dockerfile", "."),
    ],
)
def test_the_context_is_the_dockerfiles_folder_or_the_project_around_it(
    project: Path, name: str, context: str
) -> None:
    put(project, name)
    build = images.project(Path("/launch"), project / name, {}).build
    assert build
    assert build.context == str((project / context).resolve())
    assert build.dockerfile == str(project / name)


@pytest.mark.parametrize("name", ["日本", "...", "_", "x" * 250, b"caf\xe9"])
def test_any_folder_name_makes_a_name_that_docker_takes(tmp_path: Path, name: str | bytes) -> None:
    folder = tmp_path / os.fsdecode(name)
    put(folder.parent, f"{folder.name}/Dockerfile")
    repository, _, tag = images.project(Path("/launch"), folder / "Dockerfile", {}).name.partition(
        ":"
    )
    assert repository.isascii() and len(repository) < 200 and not repository.endswith("-")
    assert len(tag) == 12


@pytest.mark.parametrize("name", ["missing", "Dockerfile/in it", "x" * 300])
def test_a_dockerfile_that_cannot_be_read_is_said(dockerfile: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot read") as raised:
        images.project(Path("/launch"), dockerfile.parent / name, {})
    assert raised.value.evidence


def test_a_folder_is_answered_with_the_file_to_name(project: Path) -> None:
    with pytest.raises(UsageError, match="is a folder") as raised:
        images.project(Path("/launch"), project, {})
    assert raised.value.hint == f"name the file in it: {project / 'Dockerfile'}"


# Getting it onto the engine


def small(text: str = "FROM base\n") -> Build:
    return Build("default", _tar(text), "Dockerfile")


def _tar(text: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
    return archive.getvalue()


def test_a_missing_image_is_pulled(engine: Memory, told: Told) -> None:
    engine.registry["theirs"] = MemoryImage()
    images.fetch(engine, images.named("theirs", "--image"), told)
    assert engine.image("theirs")
    assert told.lines == ["task: pulling theirs", "pulled theirs"]


def test_an_image_that_cannot_be_pulled_is_an_error_with_the_reason(
    engine: Memory, told: Told
) -> None:
    with pytest.raises(EngineError, match="cannot get the image theirs") as raised:
        images.fetch(engine, images.named("theirs", "--image"), told)
    assert "memory login" in raised.value.hint


def test_the_default_image_is_built_where_it_cannot_be_pulled(engine: Memory, told: Told) -> None:
    choice = images.Choice("default", "the default image", pull=True, build=small())
    images.fetch(engine, choice, told)
    assert engine.image("default")
    assert [line.partition(":")[0] for line in told.lines] == ["task", "warn", "task", "FROM base"]


def test_a_rebuild_does_not_ask_the_registry(engine: Memory, told: Told) -> None:
    engine.registry["default"] = MemoryImage(labels={"from": "registry"})
    choice = images.Choice("default", "the default image", pull=True, build=small())
    images.fetch(engine, choice, told, rebuild=True)
    built = engine.image("default")
    assert built and not built.labels


def test_a_rebuild_of_an_image_without_a_recipe_pulls_it(engine: Memory, told: Told) -> None:
    engine.registry["theirs"] = MemoryImage()
    images.fetch(engine, images.named("theirs", "--image"), told, rebuild=True)
    assert engine.image("theirs")


def test_a_projects_image_is_built_in_its_context(
    engine: Memory, told: Told, project: Path
) -> None:
    put(project, ".devcontainer/Dockerfile")
    (project / ".devcontainer" / "Dockerfile").write_text("FROM base\nCOPY data /data\n")
    (project / "data").write_text("of the project")
    choice = images.project(Path("/launch"), project / ".devcontainer" / "Dockerfile", {})
    images.fetch(engine, choice, told)
    assert engine.image(choice.name)
    assert told.lines[1:] == ["FROM base", "COPY data /data"]


def test_a_changed_dockerfile_replaces_its_old_image_and_no_other(
    engine: Memory, told: Told, dockerfile: Path
) -> None:
    put(dockerfile.parent, "other/Dockerfile")
    other = images.project(Path("/launch"), dockerfile.parent / "other" / "Dockerfile", {})
    first = images.project(Path("/launch"), dockerfile, {})
    for choice in (other, first):
        images.fetch(engine, choice, told)
    dockerfile.write_text("FROM base\n\n")
    second = images.project(Path("/launch"), dockerfile, {})
    images.fetch(engine, second, told)
    assert {name for image in engine.images({}) for name in image.names} == {
        *("base", other.name, second.name)
    }


def test_a_build_that_fails_says_of_what_and_keeps_the_old_image(
    engine: Memory, told: Told, dockerfile: Path
) -> None:
    first = images.project(Path("/launch"), dockerfile, {})
    images.fetch(engine, first, told)
    dockerfile.write_text("FROM nothing-of-that-name\n")
    with pytest.raises(ImageMissing, match="cannot build the image from") as raised:
        images.fetch(engine, images.project(Path("/launch"), dockerfile, {}), told)
    assert str(dockerfile) in raised.value.what and raised.value.hint
    assert engine.image(first.name)


def test_an_engine_that_cannot_build_says_what_to_do(told: Told) -> None:
    class Cluster:
        name = "cluster"

    with pytest.raises(ClaudeContainerError, match="cluster cannot pull or build") as raised:
        images.fetch(Cluster(), images.default({}, b""), told)  # type: ignore[arg-type]
    assert "--image" in raised.value.hint
