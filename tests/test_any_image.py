"""Images with no claude in them: a volume brings it, and what else they lack.

Three unlike ones. `musl` stands in for Alpine, which no package holds: Debian's own musl as
the only libc, and a busybox for everything else. `app` is Debian with another user, home,
PATH and entrypoint. `empty` is a static busybox alone, with no libc at all.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_container import images
from claude_container.sessions import model as names
from tests.conftest import PROGRAM, TOKEN, Cli, Ran, StartModel, clean_environment, sh
from tests.gitsession import git, make_repository
from tests.running import HOLD, bash, held, wait_until

pytestmark = pytest.mark.engine

KINDS = ("musl", "app", "empty")
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
mkdir -p /parts/bin /parts/lib && cp /bin/busybox /parts/bin/
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "/parts/bin/$applet"
done
cp -L /lib/ld-musl-*.so.1 /parts/lib/
"""
# A default image whose claude tells another version, and an image with a claude of its own.
_OURS = r"""
FROM {image}
RUN printf '#!/bin/sh\necho "{version} (Claude Code)"\n' >/usr/local/bin/claude
"""
_OWN = r"""
FROM {image}
RUN printf '#!/bin/sh\n[ ! -e /opt/claude-container ] || echo tools\necho own\n' \
    >/usr/local/bin/claude
"""


def _name() -> str:
    return f"cctest-any-image-{uuid.uuid4().hex[:8]}"


def _build(dockerfile: str, name: str) -> str:
    argv = ["docker", "build", "--quiet", "--force-rm", "--tag", name, "-"]
    subprocess.run(argv, input=dockerfile.encode(), check=True, capture_output=True)
    return name


def _remove_images(*tags: str) -> None:
    subprocess.run(["docker", "image", "rm", "--force", *tags], capture_output=True)


def _import(files: bytes, without: str = "-") -> str:
    """An image of what is in parts/ of a tar, but for what begins with `without`; its name."""
    stream, name = io.BytesIO(), _name()
    with (
        tarfile.open(fileobj=io.BytesIO(files)) as source,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for entry in source:
            entry.name = entry.name.removeprefix("parts").lstrip("/") or "."
            if not entry.name.startswith(without):
                archive.addfile(entry, source.extractfile(entry) if entry.isfile() else None)
    argv = ["docker", "import", "-", name]
    subprocess.run(argv, input=stream.getvalue(), check=True, capture_output=True)
    return name


@pytest.fixture(scope="module")
def unlike(image: str) -> Iterator[dict[str, str]]:
    """The three images, by kind."""
    container = _name()
    try:
        sh("docker", "run", "--name", container, "--entrypoint", "/bin/sh", image, "-euc", _GATHER)
        copy = ["docker", "cp", f"{container}:/parts", "-"]
        parts = subprocess.run(copy, check=True, capture_output=True).stdout
    finally:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True)
    made = {"musl": _import(parts), "empty": _import(parts, "lib"), "app": _build(_APP, _name())}
    yield made
    _remove_images(*made.values())


def test_the_three_are_unlike(unlike: dict[str, str]) -> None:
    """What the names promise: so that none of them passes for another reason."""
    look = "ls /lib/ld-musl* /lib64/ld-linux* /lib/ld-linux* 2>/dev/null; command -v git; id -un; :"
    seen = {
        kind: sh("docker", "run", "--rm", "--entrypoint", "/bin/sh", image, "-c", look)
        for kind, image in unlike.items()
    }
    assert re.fullmatch(r"/lib/ld-musl-\S+\n(root|0)?\n?", seen["musl"])
    assert re.fullmatch(r"(/lib/ld-linux\S+\n|/lib64/ld-linux\S+\n)+app\n", seen["app"])
    assert re.fullmatch(r"(root|0)?\n?", seen["empty"])


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
    assert "GREETING=hello" in seen["env"] or kind != "app"


# As another user, as in test_launch.py.
_AS_USER = """
import difflib, os, sys, tempfile
import claude_container.cli.launch, claude_container.cli.main as main
os.setgroups([int(sys.argv[2])]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
sys.exit(main.main(sys.argv[3:]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize(
    ("kind", "uid", "user", "home"),
    [
        ("app", 4242, "app", "/srv/app"),
        ("app", 1000, "claude-1000", "/home/claude"),
        ("empty", 1000, "claude-1000", "/home/claude"),
    ],
)
def test_it_is_the_hosts_user_whatever_the_image_says(
    kind: str,
    uid: int,
    user: str,
    home: str,
    unlike: dict[str, str],
    session: str,
    image: str,
    start_model: StartModel,
) -> None:
    workspace = Path(sh("mktemp", "-d", "/tmp/cctest-XXXXXX").strip())
    try:
        os.chown(workspace, uid, uid)
        look = 'echo "$USER $HOME $(pwd)" >who; touch "$HOME/x" && echo yes >home'
        model = start_model([bash(look), {"text": "looked"}])
        group = str(os.stat("/var/run/docker.sock").st_gid)
        done = subprocess.run(
            [sys.executable, "-c", _AS_USER, str(uid), group, "-s", session]
            + ["--image", unlike[kind], *model.flags, "--", "-p", "look"],
            cwd=workspace,
            env={**clean_environment(Path("/nonexistent")), "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (0, "looked\n"), done.stderr
        assert (workspace / "who").read_text() == f"{user} {home} /workspace\n"
        assert (workspace / "home").read_text() == "yes\n"
        assert {path.stat().st_uid for path in workspace.iterdir()} == {uid}
    finally:
        sh("rm", "-r", str(workspace))


@pytest.mark.parametrize("kind", KINDS)
def test_the_token_is_nowhere_in_it(
    kind: str, unlike: dict[str, str], session: str, start_model: StartModel, project: Path
) -> None:
    model = start_model(HOLD)
    container = names.container_name(session)
    with held("-s", session, "--image", unlike[kind], *model.flags, cwd=project):
        shown = sh("docker", "inspect", container, names.state_volume(session))
        # The container's own files and volumes, looked at from an image that has a grep.
        changed = sh("docker", "diff", container)
        search = ["grep", "-rlFs", TOKEN, names.STATE, names.TOOLS, "/proc/1/environ"]
        volumes = ["docker", "run", "--rm", "--volumes-from", container, "--entrypoint"]
        found = subprocess.run(
            [*volumes, search[0], images.DEFAULT, *search[1:]], capture_output=True, text=True
        )
        copied = ["docker", "cp", f"{container}:/run/claude-container", "-"]
        payload = subprocess.run(copied, capture_output=True, check=True).stdout
    assert model.tokens() == {f"Bearer {TOKEN}"}
    assert TOKEN not in shown
    assert (found.returncode, found.stdout) == (1, "")
    assert TOKEN.encode() not in payload
    assert "/run/claude-container/token" not in changed


def test_a_session_needs_no_git_in_its_image(
    unlike: dict[str, str], cli: Cli, session: str, start_model: StartModel, tmp_path: Path
) -> None:
    """diff and merge work where claude itself could not commit."""
    repository = make_repository(tmp_path / "repo")
    model = start_model([bash("command -v git || echo no git >new.txt"), {"text": "done"}])
    flags = ["--image", unlike["musl"], *model.flags]
    try:
        ran = cli(
            *("start", session, *flags, "--", "-p", "go"),
            cwd=repository,
            CLAUDE_CODE_OAUTH_TOKEN=TOKEN,
        )
        assert (ran.code, ran.stdout) == (0, "done\n"), ran.stderr
        assert f"left session {session}: 0 commits, 1 uncommitted file" in ran.stderr
        diff = cli("diff", session, cwd=repository)
        assert (diff.code, "new.txt" in diff.stdout) == (0, True), diff.stderr
        merged = cli("merge", session, "--commit-pending", "--all", cwd=repository)
        assert merged.code == 0, merged.stderr
        assert git(repository, "show", "HEAD:new.txt") == "no git"
        # And a command in it, in a container of its own: the image's programs, and ours.
        words = ["exec", session, "--image", unlike["musl"], "--"]
        # From bash: the shell of Debian's busybox would rather be ps itself.
        ps = cli(*words, "bash", "-c", "ps -o pid=,lstart= -p 1", cwd=repository)
        assert (ps.code, ps.stdout.split()[:1]) == (0, ["1"]), ps.stderr
        assert cli(*words, "cat", "new.txt", cwd=repository).stdout == "no git\n"
    finally:
        volume = names.session_volume(session)
        subprocess.run(["docker", "volume", "rm", "-f", volume], capture_output=True)


def test_into_a_running_one_come_shell_and_exec(
    unlike: dict[str, str],
    cli: Cli,
    session: str,
    start_model: StartModel,
    tmp_path: Path,
    home: Path,
) -> None:
    repository = make_repository(tmp_path / "repo")
    until = "touch ready; until [ -e go ]; do sleep 0.1; done"
    model = start_model([bash(until), {"text": "went on"}])
    args = ["start", session, "--image", unlike["musl"], *model.flags, "--", "-p", "wait"]
    try:
        assert cli("start", session, "--no-enter", cwd=repository).code == 0
        with subprocess.Popen(
            [PROGRAM, *args],
            cwd=repository,
            env={**clean_environment(home), "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            try:
                ready = ["sh", "-c", "until [ -e ready ]; do sleep 0.1; done; id -u; type bash"]
                wait_until_running(names.container_name(session), running)
                seen = cli("exec", session, "--", *ready, cwd=repository)
                assert seen.code == 0, seen.stderr
                assert seen.stdout.split()[0] == str(os.getuid())
                assert "/opt/claude-container/bin/bash" in seen.stdout
            finally:
                cli("exec", session, "--", "touch", "go", cwd=repository)
                said, _ = running.communicate(timeout=60)
        assert said == "went on\n"
    finally:
        volume = names.session_volume(session)
        subprocess.run(["docker", "volume", "rm", "-f", volume], capture_output=True)


def wait_until_running(container: str, process: subprocess.Popen[str]) -> None:
    def runs() -> bool:
        asked = ["docker", "inspect", "--format", "{{.State.Running}}", container]
        return subprocess.run(asked, capture_output=True, text=True).stdout == "true\n"

    wait_until(runs, process)


# As if the engine were rootless, where claude is the container's uid 0 and the volume is not
# read-only.
_ROOTLESS = """
import sys
from dataclasses import replace
from claude_container.cli import main
from claude_container.engines.docker import Docker
info = Docker.info
Docker.info = lambda self: replace(info(self), rootless=True)
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="uid 0 in the container takes root here")
def test_where_the_volume_is_not_read_only_claude_cannot_write_it_either(
    unlike: dict[str, str], session: str, start_model: StartModel, home: Path, project: Path
) -> None:
    here = "/opt/claude-container"
    look = (
        f"id -u >uid; touch {here}/x {here}/bin/claude {here}/whole 2>denied;"
        f" mv {here}/bin {here}/lib 2>>denied; rm {here}/whole 2>>denied;"
        f" chmod 777 {here} 2>>denied; :"
    )
    model = start_model([bash(look), {"text": "looked"}])
    flags = ["-s", session, "--image", unlike["empty"], *model.flags]
    done = subprocess.run(
        [sys.executable, "-c", _ROOTLESS, *flags, "--", "-p", "look"],
        cwd=project,
        env={**clean_environment(home), "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "looked\n"), done.stderr
    assert (project / "uid").read_text() == "0\n"
    denied = (project / "denied").read_text()
    assert "Read-only" not in denied
    assert len(re.findall("Permission denied|not permitted", denied)) == 6


def test_an_image_with_a_claude_of_its_own_keeps_to_it(cli: Cli, session: str, image: str) -> None:
    own = _build(_OWN.format(image=image), _name())
    try:
        ran = cli("-s", session, "--image", own, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    finally:
        _remove_images(own)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "own\n", "")


@pytest.mark.parametrize("brought", [False, True])
def test_libraries_from_the_workspace_are_never_loaded(
    brought: bool, cli: Cli, session: str, image: str, project: Path
) -> None:
    """`ENV LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/opt/lib` names the current directory, too."""
    base = "debian:bookworm-slim" if brought else image
    name = _build(f"FROM {base}\nENV LD_LIBRARY_PATH=:/opt/lib GREETING=hello\n", _name())
    # No program could start with it.
    (project / "libc.so.6").write_text("no library")
    try:
        args = ["-s", session, "--image", name]
        ran = cli(*args, "--", "--version", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        assert ran.stdout == "2.1.330 (Claude Code)\n"
        # What the user says counts as it is, but for root.
        ran = cli(
            *args, "--env", "LD_LIBRARY_PATH=.", "--", "--version", CLAUDE_CODE_OAUTH_TOKEN=TOKEN
        )
        assert "claude: error while loading shared libraries: ./libc.so.6" in ran.stderr
        assert "/bin/sh" not in ran.stderr
    finally:
        _remove_images(name)


def test_a_warm_launch_asks_only_for_ids_and_the_volume(
    unlike: dict[str, str], cli: Cli, session: str, tmp_path: Path
) -> None:
    wrapper = tmp_path / "bin" / "docker"
    wrapper.parent.mkdir()
    calls = tmp_path / "calls"
    wrapper.write_text(f'#!/bin/sh\necho "$1" >>"{calls}"\nexec {shutil.which("docker")} "$@"\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    args = ["-s", session, "--image", unlike["app"], "--", "--version"]
    first = cli(*args, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert first.code == 0, first.stderr
    assert "has no git, so Claude cannot commit: add git" in first.stderr
    assert "has no CA certificates" in first.stderr
    again = cli(*args, PATH=path, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert (again.stdout, again.stderr) == (first.stdout, "")
    warm = ["cp", "create", "image", "image", "ps", "start", "volume"]
    assert sorted(calls.read_text().split()) == warm


def test_doctor_tells_what_it_lacks_and_what_is_brought(
    unlike: dict[str, str], cli: Cli, image: str
) -> None:
    def rows(name: str) -> tuple[int, list[tuple[str, str, str]]]:
        ran = cli("doctor", "--image", name, "--json", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        found = [(row["name"], row["status"], row["seen"]) for row in json.loads(ran.stdout)]
        return ran.code, [row for row in found if row[0] in ("image", "claude")]

    code, [there, git, certificates, claude] = rows(unlike["musl"])
    assert (code, there[1]) == (0, "ok")
    assert git[1:] == ("warn", "it has no git, so Claude cannot commit")
    assert certificates[1:] == ("warn", "it has no CA certificates, so git and curl trust no host")
    assert claude[1:] == ("ok", "none in the image: a launch brings it")

    bare = _build(f"FROM {image}\nRUN rm /usr/bin/find\n", _name())
    try:
        code, [lacks] = rows(bare)
    finally:
        _remove_images(bare)
    assert (code, lacks) == (1, ("image", "fail", f"the image {bare} lacks find"))


# With a default image of another version, so that no tool volume of anybody else's is meant.

_WITH_DEFAULT = """
import os, sys
from claude_container.cli import main
os.environ["CLAUDE_CONTAINER_DEFAULT_IMAGE"] = sys.argv[1]
sys.exit(main.main(sys.argv[2:]))
"""


class Ours:
    """A default image of this test's own, and launches that take it for the default."""

    def __init__(self, image: str, app: str, home: Path, project: Path) -> None:
        self.based_on, self.app, self.home, self.project = image, app, home, project
        self.repository = _name()
        self.name = f"{self.repository}:{images.tag(images.SLIM)}"
        self.number = uuid.uuid4().int % 10**6

    def release(self, patch: int) -> str:
        """Make the default image one of that version; return the version."""
        version = f"0.{self.number}.{patch}"
        _build(_OURS.format(image=self.based_on, version=version), self.name)
        return version

    def volumes(self) -> list[str]:
        shown = sh("docker", "volume", "ls", "--quiet", "--filter", f"name=-0.{self.number}.")
        return shown.split()

    def begin(self, session: str, **env: str) -> subprocess.Popen[str]:
        args = ["-s", session, "--image", self.app]
        return subprocess.Popen(
            [sys.executable, "-c", _WITH_DEFAULT, self.repository, *args],
            cwd=self.project,
            env={**clean_environment(self.home), "CLAUDE_CODE_OAUTH_TOKEN": TOKEN, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def launch(self, session: str, **env: str) -> Ran:
        with self.begin(session, **env) as running:
            stdout, stderr = running.communicate(timeout=240)
        return Ran(running.returncode, stdout, stderr)


@pytest.fixture
def ours(image: str, unlike: dict[str, str], home: Path, project: Path) -> Iterator[Ours]:
    made = Ours(image, unlike["app"], home, project)
    yield made
    if left := made.volumes():
        sh("docker", "volume", "rm", *left)
    _remove_images(made.name)


def test_it_is_always_the_claude_of_the_present_default_image(ours: Ours, session: str) -> None:
    for patch in (1, 2):
        version = ours.release(patch)
        assert ours.launch(session).stdout == f"{version} (Claude Code)\n"
        assert ours.volumes() == [names.tools_volume(version, "glibc")]


def test_two_first_launches_at_once_make_one_volume(ours: Ours, session: str) -> None:
    version = ours.release(1)
    with ours.begin(session) as one, ours.begin(f"{session}-2") as two:
        ends = [running.communicate(timeout=240) for running in (one, two)]
    sh("docker", "volume", "rm", names.state_volume(f"{session}-2"))
    assert [said for said, _ in ends] == [f"{version} (Claude Code)\n"] * 2, ends
    assert len(ours.volumes()) == 1


# The docker client, but the launcher is killed when the volume is about to be filled, or
# while it is.
_KILLER = """#!/bin/sh
case $1-$* in create-*claude-container-tools-*) touch {mark} ;; esac
if [ "$1" = start ] && [ -e {mark} ]; then
    if [ "$WHEN" = while ]; then {docker} "$@" & fi
    kill -KILL $PPID
    exit 1
fi
exec {docker} "$@"
"""


@pytest.mark.parametrize("when", ["before", "while"])
def test_after_a_kill_the_next_launch_makes_it_whole(
    when: str, ours: Ours, session: str, tmp_path: Path
) -> None:
    version = ours.release(1)
    wrapper = tmp_path / "bin" / "docker"
    wrapper.parent.mkdir()
    wrapper.write_text(_KILLER.format(docker=shutil.which("docker"), mark=tmp_path / "mark"))
    wrapper.chmod(0o755)
    killed = ours.launch(session, PATH=f"{wrapper.parent}:{os.environ['PATH']}", WHEN=when)
    assert killed.code == -9
    assert len(ours.volumes()) == 1
    ran = ours.launch(session)
    assert (ran.code, ran.stdout) == (0, f"{version} (Claude Code)\n"), ran.stderr
    assert len(ours.volumes()) == 1
    assert "claude-container-tools-0." not in sh("docker", "ps", "--all", "--format", "{{.Names}}")
