"""The verb `image`, and the variants of the default image."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_container import config, engines, images, stock
from claude_container.engines.base import ContainerSpec
from tests.conftest import TOKEN, Cli, Ran, sh
from tests.memory import Memory
from tests.memory_container import Inside, MemoryImage

# What the recipe is to the in-memory engine: the same stages and labels.
RECIPE = "FROM base AS newest\nRUN newest $ASKED\n" + "".join(
    f"FROM base AS {name}\nLABEL claude-container.claude=$CLAUDE_VERSION"
    f" claude-container.variant={name}\n"
    for name in config.VARIANTS
)
OLD, NEW = "2.1.330", "2.1.331"
FULL = images.default_name("full")


def newest(inside: Inside) -> int:
    inside.stdout += f"newest-claude={NEW}\n".encode()
    return 0


def made(version: str, variant: str = "slim") -> MemoryImage:
    labels = {images.CLAUDE_LABEL: version, images.VARIANT_LABEL: variant}
    return MemoryImage({"newest": newest}, labels)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Memory:
    """An engine in place of docker, with a small recipe in place of ours."""
    memory = Memory({"base": MemoryImage({"newest": newest})})
    monkeypatch.setitem(engines.ENGINES, "docker", lambda: memory)
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "Dockerfile.base").write_text(RECIPE)
    monkeypatch.setattr(images, "RECIPES", recipes)
    return memory


def put(memory: Memory, name: str, image: MemoryImage) -> None:
    memory.registry[name] = image
    memory.pull(name, lambda line: None)


def claude_in(memory: Memory, name: str = images.DEFAULT) -> str:
    image = memory.image(name)
    assert image
    return image.labels[images.CLAUDE_LABEL]


def use(memory: Memory, name: str) -> str:
    return memory.create(ContainerSpec(name, f"uses-{uuid.uuid4().hex[:8]}", ("newest",)))


# The recipe


def test_every_variant_is_a_stage_of_the_recipe_that_says_what_it_is() -> None:
    stages = (images.RECIPES / "Dockerfile.base").read_text().split("\nFROM ")[1:]
    ends = {stage.split()[2]: stage for stage in stages}
    assert [name for name in ends if name in config.VARIANTS] == list(config.VARIANTS)
    for name in config.VARIANTS:
        labels = "claude-container.claude=${CLAUDE_VERSION} claude-container.variant="
        assert f"LABEL {labels}{name}\n" in f"{ends[name]}\n"
    assert "FROM npm AS newest" in (images.RECIPES / "Dockerfile.base").read_text()


def test_a_certificate_stays_in_stages_of_which_only_files_are_taken() -> None:
    text = (images.RECIPES / "Dockerfile.base").read_text()
    bodies = {part.split()[2]: part for part in text.split("\nFROM ")[1:]}
    parents = {name: parent for parent, name in re.findall(r"^FROM (\S+) AS (\S+)$", text, re.M)}
    for name in config.VARIANTS:
        stage: str | None = name
        while stage in bodies:
            assert "ca.crt" not in bodies[stage]
            stage = parents[stage]


# Listing


def test_our_images_are_listed_and_no_others(memory: Memory, here: Cli) -> None:
    project = MemoryImage(labels={**made(OLD).labels, images.DOCKERFILE_LABEL: "/p/Dockerfile"})
    put(memory, FULL, made(OLD, "full"))
    put(memory, f"{images.DEFAULT_REPOSITORY}:0.0.9", MemoryImage())
    put(memory, "claude-dev-p:0123", project)
    put(memory, "mine-from-claude:1", made(OLD))
    put(memory, "claude-dev-of-somebody:1", MemoryImage())
    shown = here("image", "list")
    rows = [line.split()[:3] for line in shown.stdout.splitlines()]
    assert rows == [
        ["NAME", "KIND", "CLAUDE"],
        [f"{images.DEFAULT_REPOSITORY}:0.0.9", "default", "?"],
        [FULL, "default", OLD],
        ["claude-dev-p:0123", "project", OLD],
    ]
    found = json.loads(here("image", "list", "--json").stdout)
    assert [(row["name"], row["claude"], row["variant"]) for row in found][1:] == [
        (FULL, OLD, "full"),
        ("claude-dev-p:0123", OLD, "slim"),
    ]
    assert found[0]["claude"] is None and found[0]["size"] == 0


def test_where_there_are_none_it_is_said(memory: Memory, here: Cli) -> None:
    shown = here("image", "list")
    assert (shown.code, shown.stdout) == (0, "") and "no images" in shown.stderr
    assert here("image", "list", "--json").stdout == "[]\n"


# Getting and renewing


def test_a_build_says_from_what_to_what_and_removes_the_old_image(
    memory: Memory, here: Cli
) -> None:
    put(memory, FULL, made(OLD, "full"))
    ran = here("image", "build", "--variant", "full", "--claude", NEW)
    assert ran.code == 0
    assert f"✓ {FULL}: claude {OLD} → {NEW}" in ran.stderr
    assert [image.names for image in memory.images({images.CLAUDE_LABEL: OLD})] == []


def test_an_old_image_in_use_stays_is_listed_and_can_be_removed_later(
    memory: Memory, here: Cli
) -> None:
    put(memory, images.DEFAULT, made(OLD))
    container = use(memory, images.DEFAULT)
    ran = here("image", "build", "--claude", NEW)
    (old,) = memory.images({images.CLAUDE_LABEL: OLD})
    id = old.id.removeprefix("sha256:")[:12]
    assert ran.code == 0 and old.names == ()
    assert f"⚠ the old image {id} stays" in ran.stderr
    assert f"{id}  " in here("image", "list").stdout
    kept = here("image", "rm", id)
    assert kept.code == 1 and "is in use, and stays" in kept.stderr
    memory.remove(container)
    assert here("image", "rm", id).code == 0
    assert memory.image(old.id) is None


@pytest.mark.parametrize("version", ["latest", "2.1", "-1.2.3", "2.1.330; rm -rf /", ""])
def test_a_version_is_a_version(memory: Memory, here: Cli, version: str) -> None:
    ran = here("image", "build", f"--claude={version}")
    assert ran.code == 2 and "is not a version" in ran.stderr and memory.calls == []


def test_a_pull_gets_what_the_registry_has(memory: Memory, here: Cli) -> None:
    put(memory, images.DEFAULT, made(OLD))
    memory.registry[images.DEFAULT] = made(NEW)
    ran = here("image", "pull")
    assert f"claude {OLD} → {NEW}" in ran.stderr
    again = here("image", "pull")
    assert "it was up to date" in again.stderr


def test_a_pull_that_fails_keeps_what_is_there_and_names_the_other_way(
    memory: Memory, here: Cli
) -> None:
    put(memory, images.DEFAULT, made(OLD))
    memory.registry.clear()
    ran = here("image", "pull")
    assert ran.code == 1 and "image build makes it from the recipe" in ran.stderr
    assert claude_in(memory) == OLD


def test_an_update_renews_all_variants_that_are_here(memory: Memory, here: Cli) -> None:
    put(memory, images.DEFAULT, made(OLD))
    put(memory, FULL, made(OLD, "full"))
    ran = here("image", "update")
    assert ran.code == 0
    assert [claude_in(memory), claude_in(memory, FULL)] == [NEW, NEW]
    assert memory.image(images.default_name("rust")) is None
    assert ran.stderr.count(f"claude {OLD} → {NEW}") == 2
    assert not [n for i in memory.images({}) for n in i.names if "newest" in n]
    builds = memory.calls.count("build")
    again = here("image", "update")
    assert again.stderr.count(f"has claude {NEW}, the newest") == 2
    assert memory.calls.count("build") == builds + 1  # the question


def test_an_update_never_goes_back(memory: Memory, here: Cli) -> None:
    put(memory, images.DEFAULT, made("2.1.1000"))
    ran = here("image", "update")
    assert f"has claude 2.1.1000, and the newest is {NEW}" in ran.stderr
    assert claude_in(memory) == "2.1.1000"


def test_an_update_where_nothing_is_makes_what_a_launch_would_take(
    memory: Memory, here: Cli
) -> None:
    assert here("image", "update", CLAUDE_CONTAINER_VARIANT="python").code == 0
    assert claude_in(memory, images.default_name("python")) == NEW


def test_an_update_that_is_not_told_changes_nothing(memory: Memory, here: Cli) -> None:
    put(memory, images.DEFAULT, made(OLD))
    put(memory, "base", MemoryImage({"newest": lambda inside: 1}))
    ran = here("image", "update")
    assert ran.code == 1 and "cannot ask which claude is the newest" in ran.stderr
    put(memory, "base", MemoryImage({"newest": lambda inside: 0}))
    assert "nothing told which claude is the newest" in here("image", "update").stderr
    assert claude_in(memory) == OLD


def test_an_update_tells_of_projects_that_have_the_old_one(memory: Memory, here: Cli) -> None:
    put(memory, images.DEFAULT, made(OLD))
    labels = {images.CLAUDE_LABEL: OLD, images.DOCKERFILE_LABEL: "/p/Dockerfile"}
    put(memory, "claude-dev-p:0123", MemoryImage(labels=labels))
    assert "claude-dev-p:0123 has an older claude" in here("image", "update").stderr


# Removing


def test_images_are_removed_by_name_and_by_variant_and_what_is_not_ours_is_refused(
    memory: Memory, here: Cli
) -> None:
    put(memory, FULL, made(OLD, "full"))
    put(memory, images.DEFAULT, made(OLD))
    ran = here("image", "rm", "full", "base", "nothing:1", images.DEFAULT)
    assert ran.code == 1
    assert "base is not one of" in ran.stderr and "there is no image nothing:1" in ran.stderr
    assert [image.names for image in memory.images({})] == [("base",)]


def test_an_image_in_use_stays_and_the_others_go(memory: Memory, here: Cli) -> None:
    put(memory, FULL, made(OLD, "full"))
    put(memory, images.DEFAULT, made(OLD))
    use(memory, images.DEFAULT)
    ran = here("image", "rm", images.DEFAULT, FULL)
    assert ran.code == 1 and f"{images.DEFAULT} is in use, and stays" in ran.stderr
    assert memory.image(images.DEFAULT) and not memory.image(FULL)


# The real recipe on a real engine


@pytest.fixture
def repository() -> Iterator[str]:
    """A name for default images that are no others'; they go when the test ends."""
    name = f"cctest-{uuid.uuid4().hex[:8]}/claude-container"
    yield name
    if names := sh("docker", "images", name, "--format", "{{.Repository}}:{{.Tag}}").split():
        subprocess.run(["docker", "image", "rm", "--force", *names], capture_output=True)


@pytest.mark.engine
def test_a_variant_is_built_run_updated_and_removed(
    cli: Cli, session: str, image: str, repository: str
) -> None:
    def run(*words: str) -> Ran:
        return cli(*words, CLAUDE_CONTAINER_DEFAULT_IMAGE=repository, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)

    python = f"{repository}:{images.tag('python')}"
    built = run("image", "build", "--variant", "python")
    assert built.code == 0, built.stderr
    assert f"✓ {python}: claude 2.1.330" in built.stderr
    (row,) = json.loads(run("image", "list", "--json").stdout)[:1]
    assert (row["name"], row["claude"], row["variant"]) == (python, "2.1.330", "python")

    flags = ("--variant", "python", "-s", session)
    assert run(*flags, "--", "--version").stdout == "2.1.330 (Claude Code)\n"
    inside = sh("docker", "run", "--rm", "--network", "none", python, "sh", "-c", _LOOK)
    assert inside.split() == ["uv", "ready", "clean"]

    holds = sh("docker", "create", python).strip()
    try:
        updated = run("image", "update")
        assert updated.code == 0, updated.stderr
        old = re.search(r"claude-container image rm ([0-9a-f]{12})", updated.stderr)
        # npm has a newer one, as a rule; else there was nothing to do.
        assert old or "has claude 2.1.330, the newest" in updated.stderr
        last = old[1] if old else python
        kept = run("image", "rm", last)
        assert kept.code == 1 and "is in use, and stays" in kept.stderr
    finally:
        sh("docker", "rm", holds)
    if newer := re.search(r"claude 2\.1\.330 → (\d+\.\d+\.\d+)", updated.stderr):
        assert run(*flags, "--", "--version").stdout == f"{newer[1]} (Claude Code)\n"
    assert run("image", "rm", last).code == 0


_LOOK = """
uv --version | cut -d' ' -f1
python -m venv /tmp/v && /tmp/v/bin/pip --version >/dev/null && echo ready
[ ! -e /ca.crt ] && echo clean
"""


@pytest.mark.parametrize(
    ("version", "than", "newer"),
    [
        ("2.1.10", "2.1.9", True),
        ("2.1.9", "2.1.10", False),
        ("2.1.3-beta.2", "2.1.3", False),
        ("2.1.3", "unknown", True),
    ],
)
def test_versions_go_by_their_first_three_numbers(version: str, than: str, newer: bool) -> None:
    assert stock.is_newer(version, than) is newer
