"""The parts of the action that need no engine, and the workflows."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from claude_container.sessions import model
from tests import actions
from tests.actions import ROOT


@pytest.fixture
def ci(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The program of the action, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "ci"))
    spec = importlib.util.spec_from_file_location("ci_main", ROOT / "ci" / "__main__.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ci_main", module)
    spec.loader.exec_module(module)
    yield module
    for own in ("log", "summary"):
        sys.modules.pop(own)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"pull_request": {"number": 12}}, "claude-pr-12"),
        ({"issue": {"number": 7}, "comment": {}}, "claude-issue-7"),
        ({"issue": {"number": 12, "pull_request": {"url": "…"}}}, "claude-pr-12"),
        ({"ref": "refs/heads/main", "pull_request": None}, "claude-run-99"),
        ({"pull_request": {"number": "1\nbranch=x"}}, "claude-run-99"),
    ],
)
def test_the_default_session_is_named_after_the_event(
    event: object, expected: str, ci: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event))
    environ = {"GITHUB_EVENT_PATH": str(path), "GITHUB_RUN_ID": "99"}
    assert model.check_name(ci.default_session(environ)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("--image=DEFAULT",)),
        ({"INPUT_ARGS": "--memory '4 g' -- --model x"}, ("--image=DEFAULT", "--memory", "4 g")),
        ({"INPUT_ARGS": "--trust"}, ("--trust",)),
        ({"INPUT_ARGS": "-- --trust"}, ("--image=DEFAULT",)),
        ({"INPUT_ARGS": "--trust", "INPUT_IMAGE": "mine:1"}, ("--image=mine:1", "--trust")),
        ({"CLAUDE_CONTAINER_IMAGE": "ours:1"}, ("--image=ours:1",)),
        ({"INPUT_ARGS": "--variant python"}, ("--variant", "python")),
        ({"INPUT_ARGS": "--variant=python"}, ("--variant=python",)),
        ({"CLAUDE_CONTAINER_VARIANT": "full"}, ()),
        ({"CLAUDE_CONTAINER_IMAGE": "ours:1", "INPUT_IMAGE": "mine:1"}, ("--image=mine:1",)),
    ],
)
def test_an_image_is_always_named_unless_the_checkout_is_trusted(
    given: dict[str, str], expected: tuple[str, ...], ci: ModuleType
) -> None:
    found = ci.inputs({"INPUT_PROMPT": "x", **given}).flags
    assert tuple(word.replace(ci.images.DEFAULT, "DEFAULT") for word in found) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"INPUT_PROMPT": " \n"}, "the input prompt is empty"),
        ({"INPUT_ARGS": "'"}, "the input args is no line of words"),
        ({"INPUT_SESSION": "x\nbranch=main"}, "cannot be the name of a session"),
        ({"INPUT_BRANCH": "x\ncommits=9"}, "cannot be the name of a branch"),
        ({"INPUT_BRANCH": "--all"}, "cannot be the name of a branch"),
        ({"INPUT_BRANCH": "@{-1}"}, "cannot be the name of a branch"),
    ],
)
def test_inputs_that_cannot_be_meant_end_with_2(given: dict[str, str], said: str) -> None:
    argv = [sys.executable, "-I", str(ROOT / "ci")]
    env = {**os.environ, "INPUT_PROMPT": "x", **given}
    ran = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert (ran.returncode, said in ran.stdout) == (2, True)
    assert len(list(actions.commands(ran.stdout))) == 2


@pytest.mark.parametrize(
    "line",
    [
        *("{}", "[]", "null", '{"type": "assistant"}', '{"type": "result"}', "words"),
        '{"type": "assistant", "message": {"content": [{"type": "tool_use", "name": 1}]}}',
    ],
)
def test_a_line_of_another_kind_is_shown_as_it_is(
    line: str, ci: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    plain: list[str] = []
    assert ci.log.event(line, plain) == ""
    assert (plain, capsys.readouterr().out) == ([line], f"{line}\n")


def test_a_long_summary_is_cut(ci: ModuleType) -> None:
    commit = {"id": "0" * 40, "subject": "<" * 300, "author": "A"}
    file = {"status": "A", "path": "<" * 300, "added": None}
    risk = {"kind": "hook", "path": "<" * 300, "why": "why", "confirm": True}
    review = {
        "commits": [commit] * 500,
        "files": [file] * 500,
        "risks": [risk] * 500,
        "pending": ["?? <"] * 500,
        "added": 1,
        "removed": 0,
    }
    made = ci.Made("fix", words="<" * 10**6, review=review, branch="fix", commits=500)
    written = ci.markdown(made)
    assert len(written) < 1 << 20
    assert written.count("… and 400 more") == 4


def test_the_action_installs_what_the_developers_have() -> None:
    def pins(path: str) -> set[str]:
        rows = (ROOT / path).read_text().splitlines()
        return {row.split(" ")[0] for row in rows if "==" in row}

    assert pins("ci/requirements.txt") <= pins("requirements-dev.txt")


def test_the_runner_of_these_tests_takes_commands() -> None:
    log = "a ::x::\n ::error::b\rc ##[set-output name=d]e\n::stop-commands::w\n::error::\n::w::\n"
    assert list(actions.commands(f"{log}::f::")) == [
        " ::error::b",
        "c ##[set-output name=d]e",
        "::stop-commands::w",
        "::f::",
    ]
    assert list(actions.outputs("a=1\nb<<E\nx\nc=2\nE\nd=<<\n")) == [
        ("a", "1"),
        ("b", "x\nc=2"),
        ("d", "<<"),
    ]


# Workflows


def test_the_documented_workflows_are_valid(tmp_path: Path) -> None:
    github, steps, gitlab = actions.documented()
    github["jobs"]["claude"]["steps"] += steps
    workflow = tmp_path / ".github" / "workflows" / "claude.yml"
    workflow.parent.mkdir(parents=True)
    pipeline = tmp_path / ".gitlab-ci.yml"
    # JSON is YAML.
    workflow.write_text(json.dumps(github, indent=2))
    pipeline.write_text(json.dumps(gitlab, indent=2))
    for words in (
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow)),
        ("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", str(pipeline)),
        ("zizmor", "--offline", "--no-progress", str(workflow)),
    ):
        program = str(Path(sys.executable).with_name(words[0]))
        ran = subprocess.run([program, *words[1:]], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_documentation_names_every_input_and_output() -> None:
    action = actions.load(actions.ACTION)
    text = (ROOT / "docs" / "ci.md").read_text()
    named = [*action["inputs"], *action["outputs"]]
    assert [name for name in named if f"| `{name}` |" not in text] == []
    given = actions.documented()[0]["jobs"]["claude"]["steps"][1]["with"]
    assert set(given) <= set(action["inputs"])


@pytest.mark.git
def test_the_modules_that_windows_runs_need_nothing_of_unix() -> None:
    workflow = actions.load(ROOT / ".github" / "workflows" / "test.yml")
    listed = workflow["jobs"]["windows"]["env"]["TESTS"].split()
    argv = [sys.executable, "-c", _WITHOUT_UNIX, "-p", "no:cacheprovider", *listed]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# While modules are imported there is nothing that Windows has not; while tests run, which
# on Linux take Linux's branches, only modules are missing.
_WITHOUT_UNIX = """
import importlib, os, pkgutil, sys
import pytest

class Finder:
    absent = {"fcntl", "grp", "pexpect", "pty", "pwd", "resource", "termios", "tty"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in Finder.absent:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Finder())
GONE = ("chown", "fork", "getegid", "geteuid", "getgid", "getuid", "killpg", "mkfifo", "uname")

class Absent:
    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self):
        kept = {name: getattr(os, name) for name in GONE}
        for name in GONE:
            delattr(os, name)
        try:
            import claude_container
            for module in pkgutil.walk_packages(claude_container.__path__, "claude_container."):
                if ".demo.repo" not in module.name:
                    importlib.import_module(module.name)
            return (yield)
        finally:
            for name, function in kept.items():
                setattr(os, name, function)

sys.exit(pytest.main(["-m", "not engine and not git", *sys.argv[1:]], plugins=[Absent()]))
"""
