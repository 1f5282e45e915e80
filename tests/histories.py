"""Two histories made with plain git: the user's repository, and a session's clone of it."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from claude_container import git as host_git
from claude_container.changes import merge, plan, undo
from claude_container.changes.commits import Commit, log
from claude_container.git import Repository
from claude_container.refs import our_ref

NAME = "work"
IDENTITY = "[user]\n\tname = A User\n\temail = user@example.com\n"
_clock = itertools.count(1_700_000_000)


def run(folder: Path, *args: str, check: bool = True, **env: str) -> str:
    """git, as somebody types it; its output."""
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *args],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        check=False,
    )
    output = (done.stdout + done.stderr).decode(errors="surrogateescape")
    assert done.returncode == 0 or not check, f"git {' '.join(args)}\n{output}"
    return done.stdout.decode(errors="surrogateescape").rstrip("\n")


class Tree:
    """A working tree, and what people do in it."""

    def __init__(self, folder: Path, who: str = "") -> None:
        self.folder = folder
        self.who = who

    def git(self, *args: str, check: bool = True) -> str:
        env = {}
        if self.who:
            date = f"@{next(_clock)} +0200"
            for role in ("AUTHOR", "COMMITTER"):
                env |= {f"GIT_{role}_NAME": self.who, f"GIT_{role}_EMAIL": "agent@container"}
                env |= {f"GIT_{role}_DATE": date}
        return run(self.folder, *args, check=check, **env)

    def write(self, path: str, content: str | bytes | None) -> None:
        file = self.folder / path
        if content is None:
            file.unlink()
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> str | None:
        file = self.folder / path
        return file.read_text() if file.is_file() else None

    def commit(self, subject: str = "a commit", **files: str | bytes | None) -> str:
        """Commit files (path, without a dot: .txt) and all else there is; the commit's id."""
        for name, content in files.items():
            self.write(f"{name}.txt", content)
        self.git("add", "--all")
        words = ("--allow-empty", "--allow-empty-message", "--cleanup=verbatim")
        self.git("commit", "--quiet", *words, "-m", subject)
        return self.id()

    def id(self, revision: str = "HEAD") -> str:
        return self.git("rev-parse", "--verify", revision)

    def subjects(self, *revisions: str) -> list[str]:
        return self.git("log", "--reverse", "--format=%s", *revisions).splitlines()

    def status(self) -> str:
        return self.git("status", "--porcelain", "--untracked-files=all")


class Lab:
    """The user's repository, with a session that began from it."""

    def __init__(self, folder: Path) -> None:
        self.host = Tree(folder / "host")
        self.agent = Tree(folder / "agent", "Claude")
        self.host.folder.mkdir(parents=True)
        self.host.git("init", "--quiet")
        self.base = self.host.commit("base", a="a\n", b="b\n")

    @property
    def repository(self) -> Repository:
        found = host_git.find(self.host.folder)
        assert found is not None
        return found

    def start(self, *, snapshot: bool = False) -> None:
        """A clone, as a session has it; with the user's uncommitted work as one commit."""
        origin = base = self.host.id()
        if snapshot:
            from claude_container.clone import snapshot as taking

            here, who = self.repository, ("A User", "user@example.com")
            base = taking.commit(here, NAME, taking.tree(here), who)
        self._set(base=base, origin=origin)
        run(self.host.folder.parent, "init", "--quiet", "agent")
        ref = our_ref(NAME, "base")
        self.agent.git("fetch", "--quiet", str(self.host.folder), ref)
        self.agent.git("reset", "--quiet", "--hard", "FETCH_HEAD")

    def _set(self, **refs: str) -> None:
        for name, id in refs.items():
            self.host.git("update-ref", our_ref(NAME, name), id)

    def look(self) -> None:
        """What fetching from the session does."""
        ref = f"+HEAD:{our_ref(NAME, 'head')}"
        words = ("--no-tags", "--no-recurse-submodules")
        self.host.git("fetch", "--quiet", *words, str(self.agent.folder), ref)

    def push(self, branch: str = "HEAD") -> None:
        """Bring the host's commits into the session, as a merge made there."""
        self.agent.git("fetch", "--quiet", str(self.host.folder), branch)
        self.agent.git("merge", "--quiet", "--no-edit", "FETCH_HEAD")
        self._set(pushed=self.host.id(branch))

    def plan(self, **options: object) -> plan.Plan:
        self.look()
        return plan.plan(self.repository, NAME, plan.Options(**options))  # type: ignore[arg-type]

    def merge(self, *, no_conflicts: bool = False, **options: object) -> merge.Outcome:
        planned = self.plan(**options)
        return merge.apply(self.repository, planned, no_conflicts=no_conflicts)

    def undo(self) -> undo.Undone:
        return undo.undo(self.repository, NAME)

    def refs(self) -> str:
        """Every ref of the user's own, and HEAD."""
        return self.host.git("for-each-ref", "refs/heads", "refs/tags") + self.host.git(
            "rev-parse", "--symbolic-full-name", "HEAD"
        )

    def log(self, *revisions: str) -> list[Commit]:
        return log(self.repository, *revisions)


def subjects(commits: Iterable[Commit]) -> list[str]:
    return [commit.subject for commit in commits]
