"""Rows about git sessions: each round measures ours and what it is held against, in turn."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from bench.big import write_history
from claude_container import images
from claude_container.refs import our_ref
from claude_container.sessions import model

OURS = str(Path(sys.executable).with_name("claude-container"))
START = ["docker", "run", "--rm", "--network", "none", images.DEFAULT, "true"]
SESSIONS = 200


def timed(*commands: list[str], cwd: Path) -> float:
    """Seconds that commands take, one after the other; a failure is an error."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC_", "CLAUDE_"))}
    environ = {**environ, "HOME": str(cwd.parent / "home"), "GIT_PAGER": "cat"}
    begun = time.perf_counter()
    for command in commands:
        subprocess.run(
            command,
            check=True,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    return time.perf_counter() - begun


def rounds(measure: Callable[[int], float], count: int) -> list[float]:
    """The ratio of each round, after one that does not count."""
    return [measure(number) for number in range(count + 1)][1:]


def repository(folder: Path, files: int, commits: int) -> Path:
    (folder / "home").mkdir(exist_ok=True)
    (folder / "home" / ".gitconfig").write_text("[user]\n\tname = A\n\temail = a@example.com\n")
    here = folder / "repository"
    timed(["git", "init", "--quiet", "-b", "main", str(here)], cwd=folder / "home")
    write_history(here, files, commits)
    timed(["git", "reset", "--quiet", "--hard"], cwd=here)
    return here


def create(files: int, commits: int, count: int) -> Callable[[str], list[float]]:
    """`start NAME --no-enter` against two `git worktree add` and one container start."""

    def measure(folder: str) -> list[float]:
        here = repository(Path(folder), files, commits)

        def once(number: int) -> float:
            name, tree = f"bench-{uuid.uuid4().hex[:8]}", f"../worktree-{number}"
            try:
                ours = timed([OURS, "start", name, "--no-enter"], cwd=here)
            finally:
                subprocess.run(
                    ["docker", "volume", "rm", model.session_volume(name)],
                    stdout=subprocess.DEVNULL,
                )
            worktree = timed(["git", "worktree", "add", "--quiet", "--detach", tree], cwd=here)
            shutil.rmtree(here.parent / f"worktree-{number}")
            return ours / (2 * worktree + timed(START, cwd=here))

        return rounds(once, count)

    return measure


def bring(
    ours: list[str], plain: list[list[str]], factor: float, count: int = 7
) -> Callable[[str], list[float]]:
    """A verb on a session with 100 commits against git on a clone next door and one start."""

    def measure(folder: str) -> list[float]:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        here = repository(Path(folder), 500, 100)
        clone, saved = here.parent / "clone", here.parent / "saved"
        volume = model.session_volume(name)
        try:
            timed([OURS, "start", name, "--no-enter"], cwd=here)
            mount = ["docker", "run", "--rm", "-v", f"{volume}:/workspace", images.DEFAULT]
            timed([*mount, "sh", "-c", _WORK], cwd=here)
            timed(["git", "clone", "--quiet", str(here), str(clone)], cwd=here)
            timed(["sh", "-c", _WORK], cwd=clone)
            # So that nothing can be fast-forwarded.
            timed(["git", "commit", "--quiet", "--allow-empty", "-m", "host"], cwd=here)
            shutil.copytree(here, saved, symlinks=True)

            def once(number: int) -> float:
                times = []
                for commands in ([[OURS, *ours, name]], plain):
                    shutil.rmtree(here)
                    shutil.copytree(saved, here, symlinks=True)
                    times.append(timed(*commands, cwd=here))
                return times[0] / (factor * times[1] + timed(START, cwd=here))

            # The words of ours are VERB FLAGS… NAME.
            return rounds(once, count)
        finally:
            subprocess.run(["docker", "volume", "rm", volume], stdout=subprocess.DEVNULL)

    return measure


_WORK = """
git config user.name B; git config user.email b@example.com
for n in $(seq 100); do
    echo "line $n" >>work-$((n % 10)); git add .; git commit --quiet -m "work $n"
done
"""
FETCH = ["git", "fetch", "--quiet", "--no-tags", "../clone", "main"]
merge = bring(["merge", "--all"], [FETCH, ["git", "cherry-pick", "HEAD^..FETCH_HEAD"]], 1.3)
diff = bring(
    ["diff"],
    [
        FETCH,
        ["git", "log", "--oneline", "HEAD..FETCH_HEAD"],
        ["git", "diff", "--numstat", "HEAD...FETCH_HEAD"],
    ],
    1.3,
)


def listing(folder: str) -> list[float]:
    """`list` with 200 sessions against `docker volume ls` and `docker ps`."""
    here = repository(Path(folder), 10, 3)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
    ).stdout.strip()
    made = []
    try:
        for number in range(SESSIONS):
            name = f"bench-{uuid.uuid4().hex[:8]}-{number}"
            labels = {
                model.KIND: model.WORKSPACE_KIND,
                model.SESSION: name,
                model.REPOSITORY: str(here / ".git"),
                model.DIRECTORY: str(here),
                model.BRANCH: "main",
                model.BASE: head,
                model.CREATED: str(int(time.time())),
            }
            for volume in (model.session_volume(name), model.state_volume(name)):
                if volume == model.state_volume(name):
                    labels[model.KIND] = model.STATE_KIND
                words = [f"--label={key}={value}" for key, value in labels.items()]
                timed(["docker", "volume", "create", *words, volume], cwd=here)
                made.append(volume)
            for ref in ("base", "origin", "head"):
                timed(["git", "update-ref", our_ref(name, ref), head], cwd=here)
        plain = (["docker", "volume", "ls"], ["docker", "ps"])
        return rounds(lambda _: timed([OURS, "list"], cwd=here) / timed(*plain, cwd=here), 15)
    finally:
        if made:
            subprocess.run(["docker", "volume", "rm", *made], stdout=subprocess.DEVNULL)


ROWS: dict[str, tuple[Callable[[str], list[float]], str]] = {
    "create a session ÷ (2 worktrees + a container start)": (create(200, 50, 9), "≤ 1"),
    "the same, 50,000 files and 3,000 commits": (create(50_000, 3_000, 5), "≤ 1"),
    "merge 100 commits ÷ (1.3 × fetch + cherry-pick, + a start)": (merge, "≤ 1"),
    "diff of 100 commits ÷ (1.3 × fetch + log + diff, + a start)": (diff, "≤ 1"),
    "list 200 sessions ÷ (`docker volume ls` + `docker ps`)": (listing, "≤ 3"),
}
