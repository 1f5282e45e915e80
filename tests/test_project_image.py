"""Images of a project's own: chosen, built when their Dockerfile changed, used as they are."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_container import images
from claude_container.engines.base import ContainerSpec
from claude_container.engines.docker import Docker
from claude_container.sessions import model
from tests.conftest import TOKEN, Cli, Ran, StartModel, sh
from tests.running import bash

pytestmark = pytest.mark.engine


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    """A project directory; the images that were built for it go when the test ends."""
    folder = tmp_path / f"cctest-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    yield folder
    if names := built(folder):
        sh("docker", "image", "rm", "--force", *names)


def built(folder: Path) -> list[str]:
    name = f"claude-dev-{folder.name}"
    return sh("docker", "images", name, "--format", "{{.Repository}}:{{.Tag}}").split()


def launch(cli: Cli, session: str, folder: Path, *args: str) -> Ran:
    words = [*args, "-s", session, "--", "--version"]
    return cli(*words, cwd=folder, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)


@pytest.mark.parametrize("place", ["Dockerfile", ".devcontainer/Dockerfile", "docker/Dockerfile"])
def test_a_dockerfile_is_built_once_and_again_when_it_changed(
    place: str, cli: Cli, session: str, repository: Path, image: str
) -> None:
    dockerfile = repository / place
    dockerfile.parent.mkdir(exist_ok=True)
    (repository / "hello").write_text("hi")  # the context is the project's root
    dockerfile.write_text(f"FROM {image}\nCOPY hello /hello\n")
    assert "not trusted yet" in launch(cli, session, repository).stderr
    assert cli("trust", cwd=repository).code == 0

    first = launch(cli, session, repository)
    assert (first.code, first.stdout) == (0, "2.1.330 (Claude Code)\n")
    assert "→ building claude-dev-" in first.stderr
    assert launch(cli, session, repository).stderr == ""  # not else
    before = built(repository)

    dockerfile.write_text(f"FROM {image}\nCOPY hello /changed\n")
    assert "has changed since it was trusted" in launch(cli, session, repository).stderr
    assert cli("trust", cwd=repository).code == 0
    assert "→ building claude-dev-" in launch(cli, session, repository).stderr
    assert len(built(repository)) == 1
    assert built(repository) != before

    assert "→ building" in launch(cli, session, repository, "--build").stderr


def test_what_lies_beside_a_directory_named_docker_is_not_sent(
    cli: Cli, session: str, repository: Path, image: str
) -> None:
    (repository / "secret").write_text("of another project")
    folder = repository / "docker"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {image}\nCOPY secret /stolen\n")
    ran = launch(cli, session, folder, "--trust")
    assert ran.code == 1
    assert "secret" in ran.stderr


def test_a_named_dockerfile_needs_no_other_word(
    cli: Cli, session: str, repository: Path, image: str
) -> None:
    other = repository / repository.name  # so that its image goes, too
    other.mkdir()
    (other / "near").write_text("x")
    (other / "My.Dockerfile").write_text(f"FROM {image}\nCOPY near /near\n")
    assert launch(cli, session, repository, f"{other.name}/My.Dockerfile").code == 0


def test_a_build_that_fails_shows_its_end(cli: Cli, session: str, repository: Path) -> None:
    (repository / "Dockerfile").write_text("FROM debian:bookworm-slim\nRUN echo why; exit 7\n")
    ran = launch(cli, session, repository, "--trust")
    assert ran.code == 1
    assert "✗ cannot build the image from" in ran.stderr
    assert "why" in ran.stderr
    assert "hint:" in ran.stderr


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("FROM scratch\nCOPY Dockerfile /\n", "has no shell (/bin/sh)"),
        ("FROM debian:bookworm-slim\nRUN rm /usr/bin/find /bin/sed\n", "lacks find and sed"),
        (
            "FROM debian:bookworm-slim\n"
            "RUN printf '#!/bin/sh\\necho glibc 2.17\\n' >/usr/bin/getconf\n",
            "is 2.17, and claude needs 2.26",
        ),
    ],
)
def test_an_image_that_lacks_something_is_told_by_name(
    dockerfile: str, said: str, cli: Cli, session: str, repository: Path
) -> None:
    (repository / "Dockerfile").write_text(dockerfile)
    ran = launch(cli, session, repository, "--trust")
    assert (ran.code, ran.stdout) == (1, "")
    assert said in ran.stderr
    assert "hint:" in ran.stderr
    assert "Error response" not in ran.stderr.splitlines()[0]
    # Nothing was made for it.
    volumes = sh("docker", "volume", "ls", "--quiet", "--filter", f"name={session}")
    assert volumes == ""


def test_an_image_is_used_as_it_is(
    cli: Cli, session: str, repository: Path, image: str, start_model: StartModel
) -> None:
    """Its own user, its own home, its PATH, its policy: none of it is changed."""
    (repository / "Dockerfile").write_text(
        f"FROM {image}\n"
        "RUN mkdir -p /etc/claude-code /opt/tool\n"
        'RUN echo \'{"env": {"COMPANY": "policy"}}\' >/etc/claude-code/managed-settings.json\n'
        "RUN printf '#!/bin/sh\\necho tool\\n' >/opt/tool/tool && chmod 755 /opt/tool/tool\n"
        "ENV PATH=/workspace/bin:/opt/tool:$PATH GREETING=hello\n"
        "USER nobody\n"
    )
    # What the entrypoint calls, planted where the image's PATH looks first.
    (repository / "bin").mkdir()
    for name in ("cat", "rm", "stat", "chown", "setpriv", "readlink", "sh", "grep", "sed", "sleep"):
        fake = repository / "bin" / name
        fake.write_text("#!/bin/bash\ntimeout 1 cat <&3 >>/workspace/stolen\nexit 1\n")
        fake.chmod(0o755)
    model = start_model([bash('echo "$GREETING $COMPANY $(tool)" >out')])
    ran = cli(
        *("--trust", "-s", session, *model.flags, "--", "-p", "go"),
        cwd=repository,
        CLAUDE_CODE_OAUTH_TOKEN=TOKEN,
    )
    assert ran.code == 0, ran.stderr
    assert (repository / "out").read_text() == "hello policy tool\n"
    assert not (repository / "stolen").exists()


def test_a_claude_in_the_workspace_is_not_run(
    cli: Cli, session: str, repository: Path, image: str
) -> None:
    (repository / "Dockerfile").write_text(f"FROM {image}\nENV PATH=/workspace/bin:$PATH\n")
    (repository / "bin").mkdir()
    (repository / "bin" / "claude").write_text("#!/bin/sh\ncat <&3\n")
    (repository / "bin" / "claude").chmod(0o755)
    ran = launch(cli, session, repository, "--trust")
    assert ran.code == 1
    assert "claude is found in the workspace" in ran.stderr
    assert TOKEN not in ran.stdout + ran.stderr


def test_a_claude_in_the_state_is_not_run(
    cli: Cli, session: str, repository: Path, image: str
) -> None:
    """By way of a link, which an earlier launch of this conversation could have left."""
    (repository / "Dockerfile").write_text(f"FROM {image}\nENV PATH=/workspace/bin:$PATH\n")
    (repository / "bin").mkdir()
    (repository / "bin" / "claude").symlink_to(f"{model.STATE}/claude")
    sh("docker", "volume", "create", model.state_volume(session))
    evil = f"printf '#!/bin/sh\\ncat <&3\\n' >{model.STATE}/claude; chmod 755 {model.STATE}/claude"
    state = f"{model.state_volume(session)}:{model.STATE}"
    sh("docker", "run", "--rm", "-v", state, image, "sh", "-c", evil)
    ran = launch(cli, session, repository, "--trust")
    assert ran.code == 1
    assert "claude is found in the workspace" in ran.stderr
    assert TOKEN not in ran.stdout + ran.stderr


def test_no_health_check_of_an_image_runs(
    docker: Docker, cli: Cli, session: str, repository: Path, image: str
) -> None:
    (repository / "Dockerfile").write_text(
        f"FROM {image}\nHEALTHCHECK --interval=1s CMD touch checked\n"
    )
    assert launch(cli, session, repository, "--trust").code == 0
    made = docker.images({images.DOCKERFILE_LABEL: str(repository / "Dockerfile")})[0]
    assert "touch checked" in sh("docker", "inspect", made.id)
    spec = ContainerSpec(made.id, f"{session}-spec", ("sleep", "60"))
    container = docker.create(spec)
    try:
        shown = json.loads(sh("docker", "inspect", container))[0]
    finally:
        docker.remove(container)
    assert shown["Config"]["Healthcheck"]["Test"] == ["NONE"]


def test_an_image_of_ones_own_built_on_a_projects_stays(
    docker: Docker, cli: Cli, session: str, repository: Path, image: str
) -> None:
    (repository / "Dockerfile").write_text(f"FROM {image}\nENV A=1\n")
    assert launch(cli, session, repository, "--trust").code == 0
    made = docker.images({images.DOCKERFILE_LABEL: str(repository / "Dockerfile")})[0]
    own = f"{session}-own:1"
    sh("docker", "tag", made.id, own)
    try:
        (repository / "Dockerfile").write_text(f"FROM {image}\nENV A=2\n")
        assert launch(cli, session, repository, "--trust").code == 0
        assert docker.image(own)
        left = docker.images({images.DOCKERFILE_LABEL: str(repository / "Dockerfile")})
        assert sorted(len(each.names) for each in left) == [1, 1]
    finally:
        sh("docker", "image", "rm", own)


def test_an_image_nobody_has_is_an_error_with_a_hint(cli: Cli, session: str, project: Path) -> None:
    ran = launch(cli, session, project, "--image", "cctest.invalid/none:1")
    assert ran.code == 1
    assert "✗ cannot get the image cctest.invalid/none:1" in ran.stderr
    assert "hint:" in ran.stderr
