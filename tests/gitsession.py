"""A git session on the real engine, in a small repository, and a way to work inside it."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from claude_container import host, images
from claude_container.refs import our_ref
from claude_container.sessions import model
from tests.conftest import Cli

_AS_OWNER = (
    'exec setpriv --reuid "$(stat -c %u /workspace)" --regid "$(stat -c %g /workspace)"'
    ' --clear-groups /bin/sh -euc "$1"'
)


@dataclass(frozen=True)
class GitSession:
    """A session, and the user's repository that it came from."""

    name: str
    repository: Path

    def inside(self, script: str) -> str:
        """Run a shell script in the workspace, as its owner; return what it prints."""
        volume = f"{model.session_volume(self.name)}:{model.WORKSPACE}"
        argv = ["docker", "run", "--rm", "--network", "none", "--user", "0", "-v", volume]
        argv += ["--workdir", model.WORKSPACE, "--env", "HOME=/tmp", "--entrypoint", "/bin/sh"]
        argv += [images.DEFAULT, "-c", _AS_OWNER, "sh", script]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self) -> None:
        """Hold a container in the place of one that claude runs in."""
        labels = {
            model.KIND: model.WORKSPACE_KIND,
            model.SESSION: self.name,
            model.LAUNCHER: host.launcher_id(),
        }
        argv = ["docker", "run", "--detach", "--init", "--network", "none"]
        argv += ["--name", model.container_name(self.name), "--entrypoint", "sleep"]
        argv += [f"--label={key}={value}" for key, value in labels.items()]
        argv += ["-v", f"{model.session_volume(self.name)}:{model.WORKSPACE}"]
        _sh(*argv, images.DEFAULT, "600")

    def commit(self, path: str, content: str, message: str) -> str:
        """Commit one file in the session; return the commit's id."""
        write = f"mkdir -p \"$(dirname '{path}')\"; printf '%s' '{content}' >'{path}'"
        return self.inside(
            f"{write}; git add -- '{path}'; git commit -qm '{message}'; git rev-parse HEAD"
        ).strip()

    def git(self, *args: str) -> str:
        """git in the user's repository; what it prints, without the last line's end."""
        return git(self.repository, *args)

    def refs(self) -> dict[str, str]:
        """Our refs for this session, by the part of their name that follows its own."""
        prefix = our_ref(self.name, "")
        rows = self.git("for-each-ref", "--format=%(refname) %(objectname)", prefix).splitlines()
        return dict(row.removeprefix(prefix).split(" ") for row in rows)

    def volumes(self) -> list[str]:
        """Names of the session's volumes that are there."""
        shown = _sh("docker", "volume", "ls", "--quiet", "--filter", f"name={self.name}")
        return sorted(shown.split())


def git(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    return _sh("git", "-C", str(folder), *who, *args).rstrip("\n")


def unique() -> str:
    """A name that no other session has."""
    return f"cctest-{uuid.uuid4().hex[:8]}"


def make_repository(folder: Path, files: dict[str, str] | None = None) -> Path:
    """A repository with one commit on `main`, in a folder that is made."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Test")
    git(folder, "config", "user.email", "test@example.com")
    for path, content in (files or {"a.txt": "a\n", "b.txt": "b\n"}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "Begin")
    return folder


@contextmanager
def git_session(
    cli: Cli, repository: Path, *flags: str, name: str | None = None
) -> Iterator[GitSession]:
    """A session of this repository, made by `start NAME --no-enter`, and removed at the end."""
    name = name or unique()
    try:
        done = cli("start", name, "--no-enter", *flags, cwd=repository)
        assert done.code == 0, done.stderr
        yield GitSession(name, repository)
    finally:
        remove(name)


def remove(name: str) -> None:
    """Remove what an engine has of a session, whatever state it is in."""
    label = f"label={model.SESSION}={name}"
    left = _sh("docker", "ps", "--all", "--quiet", "--filter", label).split()
    for container in left:
        subprocess.run(["docker", "rm", "-f", container], capture_output=True)
    for volume in (model.session_volume(name), model.state_volume(name)):
        subprocess.run(["docker", "volume", "rm", "-f", volume], capture_output=True)


def _sh(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
