"""One session without a terminal, for `action.yml`: claude runs, and its commits become a branch.

Everything comes in through the environment (INPUT_…, GITHUB_…), and goes out through files
that the runner names. The Python that claude-container is installed in runs this folder.

What an agent says goes into the log (log.py) and the summary (summary.py), made harmless
there; no output holds any of it.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import log
from summary import Made, markdown

from claude_container import images, process
from claude_container.errors import UsageError
from claude_container.sessions import model

PROGRAM = str(Path(sys.executable).with_name("claude-container"))
_TOKEN = "CLAUDE_CODE_OAUTH_TOKEN"


class Failed(Exception):
    """The step fails with this exit code. The text is ours, never an agent's."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Inputs:
    """What the action was told; `flags` are start's, `claude_args` go to claude."""

    prompt: str
    session: str
    branch: str
    flags: tuple[str, ...]
    claude_args: tuple[str, ...]
    accept_risks: bool


def main() -> int:
    def end(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, end)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(encoding="utf-8")  # as the runner reads it, whatever the locale
    try:
        with log.no_commands():
            return act(os.environ)
    except Failed as error:
        # Ours again: an annotation, which is what a pull request shows of a log.
        escaped = str(error).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        log.say(f"::error title=claude-container::{escaped}")
        return error.code


def act(environ: Mapping[str, str]) -> int:
    """From the inputs to the outputs, whatever becomes of it. Raises Failed."""
    wanted = inputs(environ)
    made = Made(wanted.session)
    check_branch(wanted.branch)
    if is_there(wanted.session):
        check_same_start(wanted.session)
    try:
        work(wanted, made)
        if made.code and not is_there(wanted.session):
            raise Failed(why_none(environ), made.code)
        bring(wanted, made)
    except Failed as error:
        made.problem = str(error)
        raise
    finally:
        tell(made, environ)
    if made.code:
        raise Failed(f"the session ended with exit code {made.code}", made.code)
    return 0


def inputs(environ: Mapping[str, str]) -> Inputs:
    """The inputs of the action. Raises Failed for what cannot be meant."""
    prompt = environ.get("INPUT_PROMPT", "")
    if not prompt.strip():
        raise Failed("the input prompt is empty", 2)
    try:
        words = shlex.split(environ.get("INPUT_ARGS", ""))
    except ValueError as error:
        raise Failed(f"the input args is no line of words: {error}", 2) from None
    split = words.index("--") if "--" in words else len(words)
    flags = words[:split]
    image = environ.get("INPUT_IMAGE") or environ.get("CLAUDE_CONTAINER_IMAGE")
    settled = "--trust" in flags or environ.get("CLAUDE_CONTAINER_VARIANT")
    if image or not (settled or any(word.split("=")[0] == "--variant" for word in flags)):
        # Named, so that what a pull request brings is not even asked about.
        flags.insert(0, f"--image={image or images.default_name()}")
    session = environ.get("INPUT_SESSION") or default_session(environ)
    try:
        model.check_name(session)
    except UsageError as error:
        raise Failed(f"{error.what}: {error.hint}", 2) from None
    return Inputs(
        prompt,
        session,
        environ.get("INPUT_BRANCH") or session,
        tuple(flags),
        tuple(words[split + 1 :]),
        environ.get("INPUT_ACCEPT_RISKS") == "true",
    )


def default_session(environ: Mapping[str, str]) -> str:
    """claude-pr-12 where it is about pull request 12, claude-issue-7, else by the run's id."""
    path = environ.get("GITHUB_EVENT_PATH", "")
    event = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    for kind in ("pull_request", "issue"):
        about = event.get(kind) or {}
        if isinstance(number := about.get("number"), int):
            # To GitHub a pull request's comments are an issue's.
            word = "pr" if kind == "pull_request" or about.get("pull_request") else "issue"
            return f"claude-{word}-{number}"
    return f"claude-run-{environ.get('GITHUB_RUN_ID', '0')}"


def check_branch(branch: str) -> None:
    """Before claude does any work: the branch can be made. Raises Failed."""
    if git("check-ref-format", "--branch", branch) != branch:
        raise Failed(f"{branch!r} cannot be the name of a branch", 2)
    # The tree of the checkout is the other steps'.
    if git("symbolic-ref", "--quiet", "HEAD") == f"refs/heads/{branch}":
        raise Failed(
            f"branch {branch} is checked out here, and the checkout stays as it is:"
            " name another one (input branch)",
            2,
        )


def is_there(session: str) -> bool:
    return session in run("list", "--quiet").splitlines()


def check_same_start(session: str) -> None:
    """An earlier step's session is gone on with, an earlier run's is not. Raises Failed."""
    origin = git("rev-parse", "--verify", "--quiet", f"refs/claude-container/{session}/origin")
    if origin != git("rev-parse", "--verify", "--quiet", "HEAD"):
        raise Failed(
            f"there is a session {session} on this runner, and it began with another commit:"
            f" name another one (input session), or before this: claude-container delete {session}",
            2,
        )


def work(wanted: Inputs, made: Made) -> None:
    """Let claude work in the session, and log what it does."""
    argv = [PROGRAM, "start", wanted.session, "--clean", *wanted.flags]
    argv += ["--", "-p", "--output-format", "stream-json", "--verbose", *wanted.claude_args]
    # After -- nothing is an option, whatever a prompt that is a title begins with.
    argv += ["--", wanted.prompt]
    plain: list[str] = []
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as running:
        try:
            assert running.stdout is not None
            for line in running.stdout:
                made.words = log.event(line, plain) or made.words
        except BaseException:
            # The launcher takes its container with it; who cancels a job waits ten seconds.
            running.terminate()
            raise
    made.code = running.returncode
    made.words = made.words or "".join(plain)


def bring(wanted: Inputs, made: Made) -> None:
    """Make the branch, of what the session did not commit, too. Raises Failed."""
    made.review = json.loads(run("diff", wanted.session, "--json"))
    words = ["--into", wanted.branch, "--all", "--no-conflicts", "--json"]
    if pending := made.review["pending_count"] > 0:
        # The runner, and with it the session, may be gone in a minute.
        words.append("--commit-pending")
    if wanted.accept_risks:
        words.append("--accept-risks")
    try:
        outcome = json.loads(run("merge", wanted.session, *words))
    except Failed as error:
        confirm = any(risk["confirm"] for risk in made.review["risks"])
        raise not_brought(wanted, "the log says why", confirm, error.code) from None
    something = outcome["kind"] != "nothing"
    if pending:
        made.review = json.loads(run("diff", wanted.session, "--json"))
    if not wanted.accept_risks and something and changes_ci(made):
        run("merge", wanted.session, "--undo")
        raise not_brought(wanted, "it changes what CI runs, and with which secrets", True, 2)
    made.commits = len(outcome["commits"])
    if something or not outcome["created"]:
        made.branch = wanted.branch


def changes_ci(made: Made) -> bool:
    """A person may read such a change before pushing it. Here a step that follows pushes."""
    return made.review is not None and any(r["kind"] == "ci" for r in made.review["risks"])


def not_brought(wanted: Inputs, why: str, risky: bool, code: int) -> Failed:
    text = f"branch {wanted.branch} did not get what session {wanted.session} made: {why}"
    return Failed(f"{text} (accept-risks: true brings it all the same)" if risky else text, code)


def why_none(environ: Mapping[str, str]) -> str:
    if environ.get(_TOKEN):
        return "there is no session: the log says why"
    return (
        f"there is no session, for there is no token: {_TOKEN} is empty (input token)."
        " A pull request from a fork, or of Dependabot's, gets no secrets"
    )


def tell(made: Made, environ: Mapping[str, str]) -> None:
    """The summary, in a file for the steps that follow, too; and the outputs."""
    folder = tempfile.mkdtemp(prefix="claude-container-", dir=environ.get("RUNNER_TEMP") or None)
    file = Path(folder, "summary.md")
    text = markdown(made)
    outputs = {
        "session": made.session,
        "branch": made.branch,
        "commits": made.commits,
        "summary": file,
    }
    lines = "".join(f"{name}={value}\n" for name, value in outputs.items())
    # None of it is an agent's: a line more would be an output more.
    assert lines.count("\n") == len(outputs) and not re.search(r"[\r\0]", lines)
    file.write_text(text, encoding="utf-8")
    for name, written in (("GITHUB_STEP_SUMMARY", text), ("GITHUB_OUTPUT", lines)):
        if path := environ.get(name):
            with open(path, "a", encoding="utf-8") as out:
                out.write(written)


def run(verb: str, *words: str) -> str:
    """What a verb of ours answers; what fails it says on stderr. Raises Failed."""
    done = subprocess.run(
        [PROGRAM, verb, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=process.environment(),
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"claude-container {verb} failed: the log says why", done.returncode)
    return done.stdout


def git(*words: str) -> str:
    """What git answers here, "" where it fails."""
    done = subprocess.run(
        ["git", *words], stdout=subprocess.PIPE, env=process.environment(), check=False
    )
    return os.fsdecode(done.stdout).strip()


if __name__ == "__main__":
    sys.exit(main())
