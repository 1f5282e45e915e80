"""The action, run as a runner runs it, and the workflows. See actions.py for the runner."""

from __future__ import annotations

import html.parser
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from claude_container.refs import our_ref
from claude_container.sessions import model as names
from tests import actions
from tests.actions import ROOT, Ran, Runner
from tests.conftest import PROGRAM, TOKEN, Cli, Model, StartModel, clean_environment, sh
from tests.gitsession import GitSession, git, make_repository, remove, unique
from tests.running import bash
from tests.trees import held, write

# Too large to be anybody's own: the default name of a session is made of it.
NUMBER = random.randrange(10**12, 10**13)
DEFAULT = f"claude-pr-{NUMBER}"
SOCKET = "/var/run/docker.sock"
COMMIT = [bash("echo fixed >fix.txt; git add fix.txt; git commit -qm 'Fix it'"), {"text": "Fixed."}]


@pytest.fixture(scope="module")
def temp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One RUNNER_TEMP for all, so that the first installs what the others find installed."""
    return tmp_path_factory.mktemp("runner")


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A repository with a pull request, and what GitHub makes of it: a merge for a test."""
    repo = make_repository(tmp_path / "upstream")
    git(repo, "switch", "-qc", "feature")
    write(repo, {"feature.txt": "new\n"})
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "A feature")
    git(repo, "switch", "-q", "main")
    git(repo, "commit", "-q", "--allow-empty", "-m", "Meanwhile")
    return repo


def offer(upstream: Path) -> None:
    git(upstream, "switch", "-q", "--detach", "main")
    git(upstream, "merge", "-q", "--no-ff", "-m", "Merge feature into main", "feature")
    git(upstream, "update-ref", f"refs/pull/{NUMBER}/merge", "HEAD")
    git(upstream, "switch", "-q", "main")


def check_out(upstream: Path, folder: Path) -> Path:
    """As actions/checkout v5 does for a pull request (src/git-command-manager.ts)."""
    offer(upstream)
    ref = f"refs/remotes/pull/{NUMBER}/merge"
    commit = git(upstream, "rev-parse", f"refs/pull/{NUMBER}/merge")
    if not folder.exists():
        folder.mkdir()
        git(folder, "init", "-q")
        git(folder, "remote", "add", "origin", f"file://{upstream}")
        git(folder, "config", "--local", "gc.auto", "0")
        header = "http.https://github.com/.extraheader"
        git(folder, "config", "--local", header, "AUTHORIZATION: basic c2VjcmV0")
    words = ("--no-tags", "--prune", "--no-recurse-submodules", "--depth=1")
    git(folder, "fetch", "-q", *words, "origin", f"+{commit}:{ref}")
    git(folder, "checkout", "-q", "--force", ref)
    return folder


@pytest.fixture
def runner(upstream: Path, tmp_path: Path, home: Path, temp: Path) -> Runner:
    checkout = check_out(upstream, tmp_path / "my checkout, ünï:code")
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"action": "opened", "pull_request": {"number": NUMBER}}))
    environ = {
        **clean_environment(home),
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_RUN_ID": "7",
        "GITHUB_WORKSPACE": str(checkout),
        "RUNNER_TEMP": str(temp),
    }
    return Runner(checkout, environ, tmp_path / "steps")


@pytest.fixture
def name() -> Iterator[str]:
    """A session's name; what there is of it goes when the test ends."""
    chosen = unique()
    yield chosen
    remove(chosen)


@pytest.fixture
def meet(start_model: StartModel, home: Path) -> Callable[..., Model]:
    """Start a model, and have the user's own settings lead every session to it."""

    def start(script: object) -> Model:
        model = start_model(script)
        network, env = model.flags[1::2]
        config = f"network = {json.dumps(network)}\nenv = [{json.dumps(env)}]\n"
        write(home, {".config/claude-container/config.toml": config})
        return model

    return start


def error_of(ran: Ran) -> str:
    """The annotation of a run that failed; the runner got no other command."""
    stop, error = ran.commands
    assert stop.startswith("::stop-commands::")
    title, _, text = error[2:].partition("::")
    assert title == "error title=claude-container"
    return text


def went_well(ran: Ran) -> None:
    assert ran.code == 0, ran.log
    assert [line.partition("::stop")[2][:10] for line in ran.commands] == ["-commands:"]


# What it does


@pytest.mark.engine
def test_a_pull_request_gets_a_branch_and_the_checkout_stays_as_it_is(
    runner: Runner, upstream: Path, home: Path, meet: Callable[..., Model], tmp_path: Path
) -> None:
    model = meet(COMMIT)
    checkout = runner.checkout
    # As google-github-actions/auth leaves one there.
    write(checkout, {"gha-creds-1.json": "a secret"})
    before = (
        held(checkout),
        git(checkout, "status", "--porcelain"),
        (checkout / ".git/HEAD").read_text(),
    )
    prompt = (
        "--help: it's \"here\" `touch pwned` $(touch pwned)\n::error::x ${{ github.token }} 'ünï'"
    )
    try:
        ran = runner.run(prompt=prompt, token=TOKEN)
        went_well(ran)
        made = GitSession(DEFAULT, checkout)
        assert made.inside("ls").split() == ["a.txt", "b.txt", "feature.txt", "fix.txt"]
        assert "extraheader" not in made.inside("cat .git/config")
    finally:
        remove(DEFAULT)
    summary = ran.outputs.pop("summary")
    assert ran.outputs == {"session": DEFAULT, "branch": DEFAULT, "commits": "1"}
    assert Path(summary).read_text() == ran.summary
    assert "1 new commit on branch" in ran.summary and "Fix it" in ran.summary
    assert git(checkout, "log", "--format=%s", f"{DEFAULT}^..{DEFAULT}") == "Fix it"
    assert git(checkout, "rev-parse", f"{DEFAULT}^") == git(checkout, "rev-parse", "HEAD")
    assert git(checkout, "branch", "--format=%(refname:short)").splitlines()[1:] == [DEFAULT]
    after = (
        held(checkout),
        git(checkout, "status", "--porcelain"),
        (checkout / ".git/HEAD").read_text(),
    )
    assert after == before
    assert prompt in [request["last"] for request in model.requests()]
    assert model.tokens() == {f"Bearer {TOKEN}"}
    offered = push_as_documented(runner, ran, summary, tmp_path)
    assert git(upstream, "log", "-1", "--format=%s", DEFAULT) == "Fix it"
    assert offered[0] == "auth setup-git" and offered[1].startswith(f"pr list --head {DEFAULT}")
    assert offered[2].startswith(f"pr create --base feature --head {DEFAULT}")
    for place in (checkout, home, Path(runner.environ["RUNNER_TEMP"]), tmp_path / "steps"):
        found = subprocess.run(["grep", "-rlF", TOKEN, str(place)], capture_output=True, text=True)
        assert found.stdout == ""


@pytest.mark.engine
def test_a_second_step_goes_on_with_the_session_and_its_uncommitted_work_is_kept(
    runner: Runner, name: str, meet: Callable[..., Model]
) -> None:
    meet(
        [
            bash("n=$(ls | wc -l); echo x >f$n; echo c >c$n; git add f$n; git commit -qm Step"),
            {"text": "Done."},
        ]
    )
    for _ in range(2):
        ran = runner.run(prompt="go on", token=TOKEN, session=name, branch="bot/work")
        went_well(ran)
        assert (ran.outputs["branch"], ran.outputs["commits"]) == ("bot/work", "2")
    pending = "Work that was not committed yet"
    shown = git(runner.checkout, "log", "--format=%s", "HEAD..bot/work")
    assert shown.splitlines() == [pending, "Step"] * 2


@pytest.mark.engine
def test_what_makes_no_commit_makes_no_branch(
    runner: Runner, name: str, meet: Callable[..., Model]
) -> None:
    meet([{"text": "Looks good to me."}])
    ran = runner.run(prompt="review this", token=TOKEN, session=name)
    went_well(ran)
    assert (ran.outputs["branch"], ran.outputs["commits"]) == ("", "0")
    assert git(runner.checkout, "for-each-ref", "refs/heads") == ""
    assert "It made no commits" in ran.summary and "Looks good to me." in ran.summary
    assert "Looks good to me." in ran.log


def push_as_documented(runner: Runner, ran: Ran, summary: str, folder: Path) -> list[str]:
    """Run the step of docs/ci.md that follows the action; what it called GitHub's `gh` with."""
    step = actions.documented()[0]["jobs"]["claude"]["steps"][2]
    gh = folder / "gh" / "gh"
    gh.parent.mkdir()
    calls = folder / "calls"
    gh.write_text(f'#!/bin/sh\necho "$@" >>{calls}\n[ "$2" != list ] || echo 0\n')
    gh.chmod(0o755)
    env = {
        **runner.environ,
        "PATH": f"{gh.parent}:{runner.environ['PATH']}",
        "BRANCH": ran.outputs["branch"],
        "SUMMARY": summary,
        "INTO": "feature",
    }
    assert set(step["env"]) - {"GH_TOKEN"} <= set(env)
    argv = ["bash", "-e", "-c", step["run"]]
    pushed = subprocess.run(argv, cwd=runner.checkout, env=env, capture_output=True, text=True)
    assert pushed.returncode == 0, pushed.stderr
    return calls.read_text().splitlines()


@pytest.mark.engine
def test_the_documented_script_for_gitlab_works_with_an_engine_elsewhere(
    runner: Runner, meet: Callable[..., Model], home: Path
) -> None:
    meet(COMMIT)
    name = f"claude-mr-{NUMBER}"
    job = actions.documented()[2]["claude"]
    # Neither is there a GitLab to install from, nor one to push to.
    script = [line for line in job["script"] if not line.startswith(("apk", "pipx", "git push"))]
    assert len(script) == len(job["script"]) - 3
    relay = [sys.executable, str(Path(__file__).with_name("relay.py")), "tcp", SOCKET]
    with subprocess.Popen(relay, stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        env = {
            **clean_environment(home),
            "CI": "true",
            "GITLAB_CI": "true",
            "CI_MERGE_REQUEST_IID": str(NUMBER),
            "CLAUDE_CODE_OAUTH_TOKEN": TOKEN,
            "DOCKER_HOST": f"tcp://127.0.0.1:{engine.stdout.readline().strip()}",
            "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}",
        }
        try:
            argv = ["bash", "-eo", "pipefail", "-c", "\n".join(script)]
            ran = subprocess.run(
                argv,
                cwd=runner.checkout,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
        finally:
            remove(name)
            engine.terminate()
    assert ran.returncode == 0, ran.stderr
    assert "Fixed." in ran.stdout and "1 new commit" in ran.stdout
    assert git(runner.checkout, "log", "-1", "--format=%s", name) == "Fix it"


# What an agent says


EVIL = """::error::from the agent
##[set-output name=branch]main
EOF
branch=main
commits<<ghadelimiter
::set-output name=branch::main\r::warning::x
</code></pre><script>alert(1)</script><img src=x onerror=y> ![x](https://example.invalid/t)

# Heading @everyone fixes #1 [a](b) ``` <!-- \x1b[31m \u202e"""
FILE = "a\n::error::b<img src=x>.txt"
COMMIT_EVIL = """\
import json, subprocess
said = json.load(open("/tmp/said.json"))
open(said["file"], "w").close()
subprocess.run(["git", "add", "."], check=True)
argv = ["git", "-c", "user.name=" + said["author"], "commit", "-q", "-F", "-"]
subprocess.run(argv, input=said["message"].encode(), check=True)
"""


@pytest.mark.engine
def test_nothing_that_an_agent_says_works_in_the_log_the_outputs_or_the_summary(
    runner: Runner, name: str, meet: Callable[..., Model]
) -> None:
    said = json.dumps({"message": EVIL, "file": FILE, "author": "*A* @all"})
    heredocs = f"cat >/tmp/said.json <<'_'\n{said}\n_\ncat >/tmp/x.py <<'_'\n{COMMIT_EVIL}_\n"
    meet([{"text": EVIL, **bash(f"{heredocs}python3 /tmp/x.py")}, {"text": EVIL}])
    ran = runner.run(prompt=EVIL, token=TOKEN, session=name)
    went_well(ran)
    assert set(ran.step_outputs) == {"session", "branch", "commits", "summary"}
    assert (ran.outputs["branch"], ran.outputs["commits"]) == (name, "1")
    shown = Page(ran.summary)
    assert shown.tags <= {"h3", "p", "ul", "li", "code", "pre"} and not shown.attributes
    assert "<script>alert(1)</script>" in shown.quoted and "@everyone" in shown.quoted
    assert "\\n::error::b<img src=x>.txt" in shown.quoted and "*A* @all" in shown.quoted
    for text in ("@all", "@everyone", "::error", "<", "[a]", "#1"):
        assert text not in shown.plain
    assert "##[set-output name=branch]main" in ran.log
    assert not {"\x1b", "\u202e"} & set(ran.summary + ran.log)


class Page(html.parser.HTMLParser):
    """Markdown as it is shown: its tags, and its text, of which some is in code or pre."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[Any] = []
        self.quoted = self.plain = ""
        self._depth = 0
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        self._depth += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.quoted += data
        else:
            self.plain += data


# What goes wrong


@pytest.mark.engine
def test_without_a_token_it_names_the_variable_and_makes_nothing(runner: Runner, name: str) -> None:
    ran = runner.run(prompt="fix it", session=name)
    assert ran.code == 2
    assert "✗ no token: set CLAUDE_CODE_OAUTH_TOKEN in this job's secrets" in ran.log
    error = error_of(ran)
    assert "CLAUDE_CODE_OAUTH_TOKEN is empty" in error and "from a fork" in error
    assert (ran.outputs["branch"], ran.outputs["commits"]) == ("", "0")
    assert "from a fork" in ran.summary
    assert GitSession(name, runner.checkout).volumes() == []


@pytest.mark.engine
def test_claudes_exit_code_is_the_steps_and_what_it_committed_is_brought(
    runner: Runner, name: str, meet: Callable[..., Model]
) -> None:
    meet([COMMIT[0], bash("true"), {"text": "never said"}])
    ran = runner.run(prompt="fix it", token=TOKEN, session=name, args="-- --max-turns 1")
    assert ran.code == 1
    assert error_of(ran) == "the session ended with exit code 1"
    assert (ran.outputs["branch"], ran.outputs["commits"]) == (name, "1")
    assert "exit code 1" in ran.summary and "Fix it" in ran.summary


@pytest.mark.engine
@pytest.mark.parametrize(
    ("path", "then"),
    [(".husky/pre-commit", "git add .; git commit -qm Automate"), (".github/workflows/x.yml", ":")],
)
def test_what_could_run_by_itself_is_brought_only_when_told(
    path: str, then: str, runner: Runner, upstream: Path, name: str, meet: Callable[..., Model]
) -> None:
    add = f"mkdir -p {Path(path).parent}; date +%N >{path}; {then}"
    meet([bash(add), {"text": "Done."}])
    ran = runner.run(prompt="automate it", token=TOKEN, session=name)
    assert ran.code == 2
    assert "accept-risks: true" in error_of(ran)
    assert f"{path}</code>" in ran.summary.partition("Worth a look")[2]
    assert ran.outputs["branch"] == "" and git(runner.checkout, "for-each-ref", "refs/heads") == ""
    # It is kept as docs/ci.md shows, for a clone with all of the history.
    keep = actions.documented()[1][0]["run"]
    env = {**runner.environ, "SESSION": ran.outputs["session"]}
    subprocess.run(["bash", "-e", "-c", keep], cwd=runner.checkout, env=env, check=True)
    git(upstream, "fetch", "-q", str(runner.checkout / "claude.bundle"), our_ref(name, "head"))
    assert path in git(upstream, "ls-tree", "-r", "--name-only", "FETCH_HEAD")
    ran = runner.run(prompt="automate it", token=TOKEN, session=name, accept_risks="true")
    went_well(ran)
    assert (ran.outputs["branch"], ran.outputs["commits"]) == (name, "2")


@pytest.mark.engine
def test_a_conflict_fails_and_leaves_the_branch_where_it_was(
    runner: Runner, upstream: Path, name: str, meet: Callable[..., Model]
) -> None:
    meet([bash("echo theirs >a.txt; git commit -qam Theirs"), {"text": "Done."}])
    git(upstream, "switch", "-qc", "bot")
    write(upstream, {"a.txt": "ours\n"})
    git(upstream, "commit", "-qam", "Ours")
    checkout = runner.checkout
    git(checkout, "fetch", "-q", "origin", "bot:bot")
    tip = git(checkout, "rev-parse", "bot")
    ran = runner.run(prompt="fix it", token=TOKEN, session=name, branch="bot")
    assert ran.code == 1
    assert "branch bot did not get" in error_of(ran)
    assert "this conflicts with bot, so nothing changed\n  a.txt" in ran.log
    assert git(checkout, "rev-parse", "bot") == tip
    assert git(checkout, "status", "--porcelain") == ""


@pytest.mark.engine
def test_a_session_of_an_earlier_run_is_not_gone_on_with(
    runner: Runner, upstream: Path, name: str, cli: Cli
) -> None:
    assert cli("start", name, "--no-enter", cwd=runner.checkout).code == 0
    git(upstream, "commit", "-q", "--allow-empty", "-m", "Later")
    check_out(upstream, runner.checkout)
    ran = runner.run(prompt="fix it", token=TOKEN, session=name)
    assert ran.code == 2
    assert f"claude-container delete {name}" in error_of(ran)


@pytest.mark.engine
def test_the_branch_that_is_checked_out_is_refused(runner: Runner, name: str) -> None:
    git(runner.checkout, "switch", "-qc", "work")
    ran = runner.run(prompt="fix it", token=TOKEN, session=name, branch="work")
    assert (ran.code, "branch work is checked out here" in error_of(ran)) == (2, True)


@pytest.mark.engine
def test_a_job_that_is_cancelled_leaves_no_container(
    runner: Runner, name: str, meet: Callable[..., Model]
) -> None:
    meet([bash("echo at work; until [ -e /never ]; do sleep 0.1; done")])
    steps = runner.start(prompt="wait", token=TOKEN, session=name)
    install = next(steps)
    assert install.finish(install.begin()).code == 0
    run = next(steps)
    process = run.begin()
    deadline = time.monotonic() + 60
    while b"Bash: echo at work" not in run.log.read_bytes():
        assert process.poll() is None and time.monotonic() < deadline, run.log.read_text()
        time.sleep(0.05)
    # The runner signals the one process that it started; its script became this one.
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    ran = run.finish(process)
    assert ran.code == 143
    label = f"label={names.SESSION}={name}"
    assert sh("docker", "ps", "--all", "--quiet", "--filter", label) == ""


# What a pull request brings


@pytest.mark.engine
def test_nothing_of_the_pull_request_runs_outside_of_the_container(
    runner: Runner, upstream: Path, name: str, meet: Callable[..., Model], tmp_path: Path
) -> None:
    meet(COMMIT)
    marker = tmp_path / "ran"
    python = f"open({str(marker)!r}, 'w').close()\n"
    own = ("log", "summary", "claude_container", "sitecustomize")
    write(
        upstream,
        {
            **{f"{module}.py": python for module in ("venv", "pip", "ensurepip", "json", *own)},
            "Dockerfile": "FROM example.invalid/evil\n",
            ".claude-container.toml": 'image = "example.invalid/evil"\nmount = ["/:/host"]\n',
        },
    )
    git(upstream, "add", "--all")
    git(upstream, "commit", "-qm", "Hello")
    check_out(upstream, runner.checkout)
    # Installed anew, with the checkout as the directory that the step begins in.
    temp = tmp_path / "temp"
    temp.mkdir()
    fresh = Runner(runner.checkout, {**runner.environ, "RUNNER_TEMP": str(temp)}, tmp_path / "more")
    went_well(fresh.run(prompt="fix it", token=TOKEN, session=name))
    assert not marker.exists()


@pytest.mark.engine
def test_its_dockerfile_counts_when_the_workflow_says_so(
    runner: Runner, upstream: Path, name: str, image: str, meet: Callable[..., Model]
) -> None:
    meet([bash("cat /built >built.txt; git add .; git commit -qm Built"), {"text": "Done."}])
    write(upstream, {"Dockerfile": f"FROM {image}\nRUN echo {name} >/built\n"})
    git(upstream, "add", "--all")
    git(upstream, "commit", "-qm", "An image")
    check_out(upstream, runner.checkout)
    try:
        went_well(runner.run(prompt="build it", token=TOKEN, session=name, args="--trust"))
    finally:
        own = f"label=claude-container.dockerfile={runner.checkout}/Dockerfile"
        for built in sh("docker", "images", "--quiet", "--filter", own).split():
            subprocess.run(["docker", "rmi", "-f", built], capture_output=True)
    assert git(runner.checkout, "show", f"{name}:built.txt") == name
