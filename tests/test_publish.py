"""Publishing the default images, and getting them from a registry of one's own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from claude_container import __version__, config, images
from tests.conftest import TOKEN, Cli, Ran, clean_environment, sh

ROOT = Path(__file__).parents[1]
REGISTRY = "cctest-registry:bookworm"
# As large as a stage need be to be told from the others in a launch.
RECIPE = "ARG BASE=debian:bookworm-slim\n" + "".join(
    f"""FROM ${{BASE}} AS {name}
RUN printf '#!/bin/sh\\necho this is {name}\\n' >/usr/local/bin/claude; \\
    chmod 0755 /usr/local/bin/claude
LABEL claude-container.claude=9.9.9 claude-container.variant={name}
"""
    for name in config.VARIANTS
)
Push = Callable[..., Ran]


def git(tree: Path, *words: str) -> str:
    named = ["-c", "user.name=A", "-c", "user.email=a@b"]
    return sh("git", "-C", str(tree), *named, *words)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clean checkout of this working tree, with a small recipe."""
    tree = tmp_path / "a tree"
    without = shutil.ignore_patterns("__pycache__")
    for name in ("src", "scripts"):
        shutil.copytree(ROOT / name, tree / name, ignore=without)
    (tree / "src" / "claude_container" / "recipes" / "Dockerfile.base").write_text(RECIPE)
    (tree / ".gitignore").write_text("__pycache__\n")
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "a tree")
    return tree


@pytest.fixture
def push(tree: Path, home: Path) -> Push:
    def run(*words: str, **env: str) -> Ran:
        done = subprocess.run(
            [sys.executable, str(tree / "scripts" / "push-base-image"), *words],
            env={**clean_environment(home), **env},
            capture_output=True,
            text=True,
            timeout=240,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def buildx(fake_docker: Callable[[str], str]) -> str:
    """A PATH with a docker that has buildx, and fails at everything that would be done."""
    return fake_docker('[ "$1 $2" = "buildx version" ]')


@pytest.fixture
def classic(fake_docker: Callable[[str], str]) -> str:
    return fake_docker("exit 1")


def pushed(ran: Ran) -> list[str]:
    lines = re.findall(r"^✓ would push (.*)$", ran.stderr, re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


@pytest.mark.git
def test_a_release_has_every_variant_and_their_plain_names(push: Push, classic: str) -> None:
    ran = push("--dry-run", "--repository", "localhost:1/c", f"v{__version__}", PATH=classic)
    assert ran.code == 0, ran.stderr
    expected = [__version__, "latest"]
    for name in config.VARIANTS[1:]:
        expected += [f"{__version__}-{name}", name]
    assert pushed(ran) == [f"localhost:1/c:{tag}" for tag in expected]
    assert "no docker buildx" in ran.stderr


@pytest.mark.git
def test_what_is_no_release_moves_no_plain_name(push: Push, classic: str) -> None:
    ran = push("--dry-run", "1.0.0-rc.1", PATH=classic, CLAUDE_CONTAINER_DEFAULT_IMAGE="a/b")
    tags = ["1.0.0-rc.1", *(f"1.0.0-rc.1-{name}" for name in config.VARIANTS[1:])]
    assert pushed(ran) == [f"a/b:{tag}" for tag in tags]


@pytest.mark.git
def test_with_buildx_it_is_for_both_kinds_of_machine_and_all_is_built_first(
    push: Push, buildx: str
) -> None:
    ran = push("--dry-run", PATH=buildx)
    done = re.findall(r"^→ docker buildx build .*--target (\w+) (.*)$", ran.stderr, re.MULTILINE)
    assert [name for name, _ in done] == [*config.VARIANTS, *config.VARIANTS]
    assert all("--platform linux/amd64,linux/arm64" in flags for _, flags in done)
    assert all("--provenance=mode=max" in flags for _, flags in done)
    count = len(config.VARIANTS)
    assert ["--push" in flags for _, flags in done] == [False] * count + [True] * count
    assert "⚠" not in ran.stderr


def test_a_tree_with_changes_is_refused(push: Push, tree: Path, classic: str) -> None:
    (tree / "src" / "new.py").write_text("")
    ran = push("--repository", "localhost:1/c", PATH=classic)
    assert ran.code == 1 and "not committed" in ran.stderr and "src/new.py" in ran.stderr
    assert "→" not in ran.stderr


@pytest.mark.parametrize("tag", ["9.9.9", "a b", "x" * 200, "-x", "a/b"])
def test_what_cannot_be_a_tag_is_refused(push: Push, classic: str, tag: str) -> None:
    ran = push("--dry-run", "--", tag, PATH=classic)
    assert ran.code == 2 and "→" not in ran.stderr


@pytest.mark.git
def test_nothing_is_pushed_where_one_cannot_be_built(push: Push, classic: str) -> None:
    ran = push("--repository", "localhost:1/c", PATH=classic)
    assert ran.code == 1 and "slim is not built" in ran.stderr
    assert "docker push" not in ran.stderr


def test_the_workflow_publishes_to_the_registry_of_its_own_repository(
    tree: Path, home: Path, fake_docker: Callable[[str], str], tmp_path: Path
) -> None:
    """Its steps' own shell, with a docker that notes what it is told and does nothing."""
    workflow = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "publish-image.yml")
    steps = {step["name"]: step for step in workflow["jobs"]["images"]["steps"] if "run" in step}
    path = fake_docker(f'echo "$@" >>"{tmp_path}/log"; [ "$1" != login ] || cat >"{tmp_path}/in"')
    env = {"GITHUB_REPOSITORY": "Some/Fork", "GITHUB_ACTOR": "me", "TOKEN": "made-up", "PATH": path}
    for name in ("Log in", "Build and push, with provenance", "Log out"):
        subprocess.run(
            ["bash", "-e", "-c", steps[name]["run"]],
            cwd=tree,
            env={**clean_environment(home), **env, "TAG": f"v{__version__}"},
            check=True,
            capture_output=True,
        )
    told = (tmp_path / "log").read_text()
    assert (tmp_path / "in").read_text() == "made-up" and "made-up" not in told
    assert f"--tag=ghcr.io/some/fork:{__version__}-full --tag=ghcr.io/some/fork:full" in told
    assert "hypermemetic" not in told and told.endswith("logout ghcr.io\n")


# A real registry, on loopback


@pytest.fixture
def registry(docker: object) -> Iterator[str]:
    """A registry in a container, its address; the image of it stays, for the next time."""
    recipe = """FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends docker-registry
RUN printf '%s\\n' 'version: 0.1' 'storage: {filesystem: {rootdirectory: /var/lib/registry}}' \\
      'http: {addr: ":5000"}' >/config.yml
"""
    subprocess.run(
        ["docker", "build", "--tag", REGISTRY, "-"],
        input=recipe.encode(),
        check=True,
        capture_output=True,
    )
    command = ["docker-registry", "serve", "/config.yml"]
    flags = ["--rm", "--detach", "--init", "--publish", "127.0.0.1::5000"]
    container = sh("docker", "run", *flags, REGISTRY, *command).strip()
    try:
        address = sh("docker", "port", container, "5000").split()[0]
        _await(f"http://{address}/v2/")
        yield address
    finally:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True)


def _await(url: str) -> None:
    import time

    end = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@pytest.fixture
def repository(registry: str) -> Iterator[str]:
    name = f"{registry}/some/claude-container"
    yield name
    _forget(name)


def _forget(repository: str) -> None:
    # Of a run that was cut short an image may be left that has lost its tag.
    shown = '{{.Repository}}{{if eq .Tag "<none>"}}@{{.Digest}}{{else}}:{{.Tag}}{{end}}'
    if names := sh("docker", "images", "--digests", repository, "--format", shown).split():
        sh("docker", "image", "rm", "--force", *names)


@pytest.mark.engine
def test_what_is_pushed_is_what_a_launch_elsewhere_gets(
    push: Push, tree: Path, repository: str, cli: Cli, session: str, home: Path
) -> None:
    ran = push("--repository", repository)
    assert ran.code == 0, ran.stderr
    revision = git(tree, "rev-parse", "HEAD").strip()
    _forget(repository)

    settings = home / ".config" / "claude-container" / config.USER_FILE
    settings.parent.mkdir(parents=True)
    settings.write_text(f'default_image = "{repository}"\nvariant = "full"\n')
    for flags, variant in (((), "full"), (("--variant", "slim"), "slim")):
        name = f"{repository}:{images.tag(variant)}"
        first = cli(*flags, "-s", session, "--", "--version", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        assert (first.code, first.stdout) == (0, f"this is {variant}\n"), first.stderr
        assert f"→ pulling {name}" in first.stderr and "building" not in first.stderr
        label = "org.opencontainers.image.revision"
        template = f'{{{{index .Config.Labels "{label}"}}}}'
        shown = sh("docker", "image", "inspect", "--format", template, name)
        assert shown.strip() == revision
    again = cli("image", "pull", "--variant", "full")
    assert "claude 9.9.9" in again.stderr and "up to date" in again.stderr
    for tag in ("latest", "rust"):
        sh("docker", "pull", f"{repository}:{tag}")
