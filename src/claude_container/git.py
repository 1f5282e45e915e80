"""The host's git: one builder for its environment, and the repository we stand in."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from claude_container import process
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.process import Attached, Completed, ProcessError, ProgramMissing

# Of GIT_ variables only what is about the user. The others may come from a hook that
# called us, and point into its own repository.
_KEPT = {
    *(f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
}
# (name, email): of commits in a session, unless the user names somebody; and of our own notes.
CLAUDE = ("Claude", "claude@container")
OURS = ("claude-container", "claude@container")
HELPER = "git-remote-claude-container"
# No hook runs: what comes out of a session may lie where core.hooksPath points.
_ALWAYS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
# For a repository that was named, not come upon: users may have git refuse bare ones.
NAMED = ("-c", "safe.bareRepository=all")
# What a user's own diff may look like, and who shows it.
_SHOWN = frozenset({"GIT_PAGER", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS"})


class NoRepository(ClaudeContainerError):
    """A folder is in no git repository, or in one without a working tree."""


def git(
    *args: str,
    cwd: Path,
    check: bool = True,
    input: bytes | None = None,
    env: Mapping[str, str | None] | None = None,
    timeout: float | None = 600.0,
    pass_fds: Sequence[int] = (),
    finish: float = 5.0,
) -> Completed:
    """Run git with hooks off, in English, and asking nothing. Raises ProcessError.

    Never called in a tree that an agent could write, whose configuration would
    count here.
    """
    try:
        return process.run(
            ["git", *_ALWAYS, *args],
            cwd=cwd,
            env={**_environment(), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(env or {})},
            check=check,
            input=input,
            timeout=timeout,
            pass_fds=pass_fds,
            finish=finish,
        )
    except ProcessError as error:
        # By its verb, and not by the options that all our calls have.
        words = itertools.pairwise(["git", *args])
        verb = next((w for b, w in words if b != "-c" and not w.startswith("-")), "")
        error.what = error.what.replace("git -c", f"git {verb}", 1)
        raise


def show(*args: str, cwd: Path) -> Attached:
    """Run git on the user's own terminal, with pager, colours and language as they set them."""
    return process.attach(["git", *_ALWAYS, *NAMED, *args], cwd=cwd, env=_environment(keep=_SHOWN))


def _environment(keep: frozenset[str] = frozenset()) -> dict[str, str | None]:
    """What changes for git: GIT_ variables go, and its remote helper is found.

    git looks for `git-remote-claude-container` on PATH only (seen with 2.39).
    """
    dropped = [n for n in os.environ if n.startswith("GIT_") and n not in _KEPT | keep]
    places = [*filter(None, [scripts()]), os.environ.get("PATH", os.defpath)]
    return {**dict.fromkeys(dropped), "PATH": os.pathsep.join(places)}


def scripts() -> str | None:
    """The folder with our remote helper: this program's own, or this Python's."""
    near = [sys.executable]
    if os.path.basename(sys.argv[0]).startswith("claude-container"):
        near.insert(0, sys.argv[0])
    folders = [os.path.dirname(os.path.abspath(path)) for path in near]
    return next((folder for folder in folders if shutil.which(HELPER, path=folder)), None)


@dataclass(frozen=True)
class Repository:
    """The user's own repository, as seen from one of its working trees.

    `common` is where all its worktrees keep refs and objects, and so what it is
    known by. `branch` is None for a detached HEAD, `head` for an unborn branch.
    """

    top: Path
    git_dir: Path
    common: Path
    branch: str | None
    head: str | None
    shallow: bool = False

    def git(
        self,
        *args: str,
        check: bool = True,
        input: bytes | None = None,
        env: Mapping[str, str | None] | None = None,
        timeout: float | None = 600.0,
        pass_fds: Sequence[int] = (),
        finish: float = 5.0,
    ) -> Completed:
        """git(), at the root of the working tree, or where there is none in the git folder."""
        return git(
            *(NAMED if self.top == self.git_dir else ()),
            *args,
            cwd=self.top,
            check=check,
            input=input,
            env=env,
            timeout=timeout,
            pass_fds=pass_fds,
            finish=finish,
        )

    @functools.cached_property
    def _settings(self) -> dict[str, str]:
        rows = os.fsdecode(self.git("config", "--list", "-z").stdout).split("\0")
        return dict(row.partition("\n")[::2] for row in rows if row)

    def setting(self, key: str) -> str:
        """A value of the user's configuration as it is written, "" for none; read once.

        The section and the last part of `key` are in lower case, as git lists them.
        """
        return self._settings.get(key, "")

    def commit(self, revision: str) -> str | None:
        """The id of the commit that a revision means, or None."""
        spec = f"{revision}^{{commit}}"
        shown = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", spec, check=False)
        return shown.text or None

    def refs(self, *patterns: str) -> dict[str, str]:
        """Refs that match for-each-ref's patterns, each with the id of its object."""
        shown = self.git("for-each-ref", "--format=%(objectname) %(refname)", *patterns)
        rows = (line.split(" ", 1) for line in shown.text.splitlines())
        return {name: id for id, name in rows}

    def update_refs(
        self,
        new: Mapping[str, str | None],
        *,
        old: Mapping[str, str | None] | None = None,
        message: str = "",
    ) -> None:
        """Set refs (None: delete them), all of them or none, with a message for their reflogs.

        Only where each of those in `old`, to be set or not, is at that (None: where it is
        not there). Raises ProcessError.
        """
        old = old or {}
        lines = [
            f"verify {name}{f' {id}' if id else ''}\n"
            for name, id in old.items()
            if name not in new
        ]
        for name, id in new.items():
            at = old.get(name)
            verb = "delete" if id is None else "create" if name in old and at is None else "update"
            lines.append(" ".join(filter(None, (verb, name, id, at))) + "\n")
        reason = ["-m", message] if message else []
        self.git("update-ref", *reason, "--stdin", input="".join(lines).encode())

    def write_blob(self, content: bytes) -> str:
        """The id of a blob with this content, to which nothing refers yet. Raises ProcessError."""
        return self.git("hash-object", "-w", "--stdin", input=content).text

    def commit_tree(
        self, tree: str, message: str, who: tuple[str, str], *parents: str, date: str | None = None
    ) -> str:
        """The id of a commit of a tree on top of others, to which nothing refers yet.

        By `who`, (name, email), now or at a `date` as in "@SECONDS +0000". Raises ProcessError.
        """
        named = {"NAME": who[0], "EMAIL": who[1], "DATE": date}
        roles = ("AUTHOR", "COMMITTER")
        return self.git(
            *("commit-tree", tree, *(word for id in parents for word in ("-p", id))),
            # Not as a word: it can be longer than a command line may be.
            input=(message if message.endswith("\n") else f"{message}\n").encode(errors="replace"),
            env={f"GIT_{role}_{what}": named[what] for role in roles for what in named},
        ).text

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether a commit is another, or among those that it builds on."""
        return self.git("merge-base", "--is-ancestor", old, new, check=False).code == 0


def find(folder: Path) -> Repository | None:
    """The repository that a folder is in, or None. Raises NoRepository for a bare one."""
    asked = git(
        "rev-parse",
        "--path-format=absolute",
        "--is-inside-work-tree",
        "--git-dir",
        "--git-common-dir",
        "--is-shallow-repository",
        cwd=folder,
        check=False,
    )
    if asked.code != 0:
        if "not a git repository" in asked.error_text:
            return None
        raise NoRepository(f"git refuses {folder}", evidence=asked.error_text)
    inside, git_dir, common, shallow = _lines(asked, 4, folder)
    if inside != "true":
        raise NoRepository(
            f"{folder} is in a repository without a working tree",
            hint="go to a clone or worktree of it: git worktree add ../work",
        )
    top = _lines(git("rev-parse", "--show-toplevel", cwd=folder), 1, folder)[0]
    branch = git("symbolic-ref", "--quiet", "HEAD", cwd=folder, check=False).text
    head = git("rev-parse", "--verify", "--quiet", "HEAD^{commit}", cwd=folder, check=False).text
    return Repository(
        top=Path(top),
        git_dir=Path(git_dir),
        common=Path(common).resolve(),
        branch=branch.removeprefix("refs/heads/") or None,
        head=head or None,
        shallow=shallow == "true",
    )


def _lines(done: Completed, count: int, folder: Path) -> Sequence[str]:
    lines = os.fsdecode(done.stdout).rstrip("\n").split("\n")
    if len(lines) != count:
        raise UsageError(f"the path of this repository holds a line break: {str(folder)!r}")
    return lines


def quoted(value: str) -> str:
    """A value as git-config(1) reads it back."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def identity() -> tuple[str, str] | None:
    """(name, email) of the user's own git configuration, if both are set there."""
    try:
        shown = git(
            "config",
            "--global",
            "--get-regexp",
            r"^user\.(name|email)$",
            cwd=Path("/"),
            check=False,
        )
    except ProgramMissing:
        return None
    said = dict(line.partition(" ")[::2] for line in shown.text.splitlines())
    name, email = said.get("user.name", ""), said.get("user.email", "")
    return (name, email) if name and email else None
