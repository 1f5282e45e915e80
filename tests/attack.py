"""An agent who wants out: a running session's user, and a picture of the host to compare."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from claude_container import images
from claude_container.sessions import model
from tests.gitsession import GitSession, git


@dataclass(frozen=True)
class Agent:
    """The session's user, in a container that runs all the while, as in a session."""

    session: GitSession
    container: str

    def sh(self, script: str) -> str:
        """Run a shell script at the top of the workspace; what it prints."""
        return self._run("sh", "-euc", script)

    def python(self, script: str, *args: str) -> str:
        return self._run("python3", "-c", textwrap.dedent(script), *args)

    def plant(self, program: str) -> None:
        """Put one of the programs beside this file into the clone's .git."""
        text = (Path(__file__).parent / program).read_text()
        self.python(
            "import sys; open('.git/' + sys.argv[1], 'w').write(sys.argv[2])", program, text
        )

    def save(self) -> None:
        self.sh("rm -rf /tmp/saved && cp -a /workspace /tmp/saved")

    def restore(self) -> None:
        """The workspace as it was saved, whatever became of it."""
        self.sh(
            "chmod -R u+rwX /workspace; find /workspace -mindepth 1 -delete;"
            " cp -a /tmp/saved/. /workspace/"
        )

    def _run(self, *argv: str) -> str:
        user = ["--user", _owner(self.container)]
        command = ["docker", "exec", *user, "--workdir", model.WORKSPACE, self.container, *argv]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _owner(container: str) -> str:
    stat = ["docker", "exec", container, "stat", "--format", "%u:%g", model.WORKSPACE]
    return subprocess.run(stat, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def agent(session: GitSession) -> Iterator[Agent]:
    name = f"{session.name}-agent"
    argv = ["docker", "run", "--detach", "--rm", "--init", "--network", "none", "--name", name]
    argv += ["--volume", f"{model.session_volume(session.name)}:{model.WORKSPACE}"]
    argv += ["--env", "HOME=/tmp", "--entrypoint", "sleep", images.DEFAULT, "600"]
    subprocess.run(argv, check=True, capture_output=True)
    try:
        yield Agent(session, name)
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)


def picture(repository: Path) -> dict[str, object]:
    """All that a session must not change: every file but objects, and every ref but ours."""
    files: dict[str, object] = {}
    ours = (".git/objects", ".git/refs/claude-container", ".git/logs/refs/claude-container")
    for path in sorted(repository.rglob("*")):
        name = path.relative_to(repository).as_posix()
        # What is in the index is told below; when its files were looked at may change.
        if path.is_dir() or name.startswith(ours) or name in (".git/index", ".git/packed-refs"):
            continue
        files[name] = (path.lstat().st_mode, path.is_symlink() or path.read_bytes())
    refs = git(repository, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    files["refs"] = [row for row in refs if not row.startswith("refs/claude-container/")]
    files["index"] = git(repository, "ls-files", "--stage")
    borrowed = repository / ".git" / "objects" / "info" / "alternates"
    files["alternates"] = borrowed.exists()
    return files
