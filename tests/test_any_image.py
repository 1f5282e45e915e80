"""Images with no claude in them: a volume brings it, and what else they lack.

Three unlike ones. `musl` stands in for Alpine, which no package here holds: Debian's own
musl as the only libc, and a busybox for everything else. `app` is Debian with another user,
home, PATH and entrypoint. `empty` is a static busybox alone, with no libc at all.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TOKEN, Cli, StartModel, sh
from tests.running import bash

pytestmark = pytest.mark.engine

_PARTS = "cctest-any-image-parts"
_APP = """
FROM debian:bookworm-slim
RUN useradd -u 4242 -d /srv/app -m app
ENV HOME=/srv/app PATH=/odd/bin:/usr/bin:/bin GREETING=hello
USER app
WORKDIR /srv
ENTRYPOINT ["/bin/false"]
"""
_GATHER = """
apt-get update && apt-get install -y --no-install-recommends busybox-static musl
mkdir -p /parts/bin && cp /bin/busybox /parts/bin/
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "/parts/bin/$applet"
done
cp -L /lib/ld-musl-*.so.1 /parts/
"""
KINDS = ("musl", "app", "empty")


def _import(files: dict[str, bytes | str], *changes: str) -> str:
    """An image of these files and links; its name."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    name = f"cctest-any-image-{uuid.uuid4().hex[:8]}"
    flags = [word for change in changes for word in ("--change", change)]
    subprocess.run(
        ["docker", "import", *flags, "-", name],
        input=stream.getvalue(),
        check=True,
        capture_output=True,
    )
    return name


def _build(dockerfile: str, name: str) -> str:
    argv = ["docker", "build", "--quiet", "--force-rm", "--tag", name, "-"]
    subprocess.run(argv, input=dockerfile.encode(), check=True, capture_output=True)
    return name


@pytest.fixture(scope="session")
def parts(image: str) -> dict[str, bytes | str]:
    """Files to make images of: a busybox with its links, and musl's loader."""
    script = " && ".join(line for line in _GATHER.strip().splitlines()[:1])
    del script
    container = f"{_PARTS}-{uuid.uuid4().hex[:8]}"
    gather = ["docker", "run", "--name", container, "--entrypoint", "/bin/sh", image]
    try:
        sh(*gather, "-euc", _GATHER)
        copied = subprocess.run(
            ["docker", "cp", f"{container}:/parts", "-"], check=True, capture_output=True
        ).stdout
    finally:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True)
    found: dict[str, bytes | str] = {}
    with tarfile.open(fileobj=io.BytesIO(copied)) as archive:
        for entry in archive:
            if entry.issym():
                found[entry.name.removeprefix("parts/")] = entry.linkname
            elif entry.isfile():
                file = archive.extractfile(entry)
                assert file is not None
                found[entry.name.removeprefix("parts/")] = file.read()
    return found


@pytest.fixture(scope="session")
def unlike(parts: dict[str, bytes | str]) -> Iterator[dict[str, str]]:
    """The three images, by kind."""
    busybox = {name: content for name, content in parts.items() if name.startswith("bin/")}
    loader = {f"lib/{n}": c for n, c in parts.items() if n.startswith("ld-musl")}
    assert loader
    made = {
        "musl": _import({**busybox, **loader}),
        "app": _build(_APP, f"cctest-any-image-{uuid.uuid4().hex[:8]}"),
        "empty": _import(busybox),
    }
    yield made
    subprocess.run(["docker", "image", "rm", "--force", *made.values()], capture_output=True)


@pytest.mark.parametrize("kind", KINDS)
def test_claude_works_in_it(
    kind: str,
    unlike: dict[str, str],
    cli: Cli,
    session: str,
    start_model: StartModel,
    project: Path,
) -> None:
    """It answers, runs bash, sees processes; and the token is nowhere but where it goes."""
    look = (
        'echo "$BASH_VERSION" >bash; ps -o pid=,lstart= -p 1 >ps; id -u >uid; echo "$HOME" >home;'
        " env >env; cat /proc/1/environ /proc/$PPID/environ >>env 2>/dev/null;"
        " touch /opt/claude-container/x 2>refused; find / -xdev -name token >found 2>/dev/null; :"
    )
    model = start_model([bash(look), {"text": "looked"}])
    args = ["-s", session, "--image", unlike[kind], *model.flags, "--", "-p", "look"]
    ran = cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert (ran.code, ran.stdout) == (0, "looked\n"), ran.stderr
    assert model.tokens() == {f"Bearer {TOKEN}"}
    seen = {path.name: path.read_text() for path in project.iterdir()}
    assert seen["bash"] > "4"
    assert seen["ps"].split()[0] == "1"
    assert seen["uid"] == f"{os.getuid()}\n"
    assert "Read-only" in seen["refused"]
    assert TOKEN not in seen["env"]
    assert seen["found"] == ""
    assert {path.stat().st_uid for path in project.iterdir()} == {os.getuid()}
