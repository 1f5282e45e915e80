"""What `merge` asks, says and answers. Real git; the look at the session is stood in for."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import click
import pytest

from claude_container.changes import figures
from claude_container.changes.figures import Figures
from claude_container.changes.taken import Refused
from claude_container.cli import merge as verb
from claude_container.cli import session as opening
from claude_container.cli.console import Console
from claude_container.cli.main import Call
from claude_container.errors import UsageError
from claude_container.sessions.known import Session
from tests.histories import IDENTITY, NAME, Lab

pytestmark = pytest.mark.git


@pytest.fixture
def lab(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    (home / ".gitconfig").write_text(IDENTITY)
    lab = Lab(tmp_path)
    lab.start()

    opened = Session(NAME, "id", lab.repository.common, lab.repository.top, "main", "", 0)

    def look(*args: object, **flags: object) -> Figures:
        lab.look()
        return Figures(0, "id", lab.agent.id(), "main", ("?? new",), 1)

    monkeypatch.chdir(lab.host.folder)
    monkeypatch.setattr(opening, "opened", lambda *args: (lab.repository, opened))
    monkeypatch.setattr(opening, "look_now", look)
    monkeypatch.setattr(verb, "sweeping", lambda *args: contextlib.nullcontext())
    return lab


def call(*args: str, terminal: bool = False) -> int:
    console = Console({})
    console.terminal = terminal
    code = verb.command.main(
        [NAME, *args], standalone_mode=False, obj=Call(console, (), passed=False)
    )
    assert isinstance(code, int)
    return code


def ahead(lab: Lab) -> int | None:
    """What `list` says of the session's commits."""
    seen = figures.read(lab.repository, NAME)
    return seen and seen.ahead


def test_all_is_brought_unasked_and_said(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.agent.commit("one \x1b]0;evil\x07", c="c\n")
    assert call("--all") == 0
    said = capsys.readouterr()
    assert "1 commit for main, as they are" in said.out
    assert r"one \x1b]0;evil\x07 (Claude)" in said.out and "\x1b]0" not in said.out + said.err
    assert "1 uncommitted file" in said.err and "--commit-pending" in said.err
    assert lab.host.read("c.txt") == "c\n"
    assert call("--auto") == 0
    assert "nothing new for main" in capsys.readouterr().out
    assert ahead(lab) == 0
    assert call("--undo") == 0
    assert lab.host.id() == lab.base
    assert ahead(lab) == 1


def test_a_branch_that_nothing_is_new_for_is_not_said_to_be_there(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.agent.commit("one", c="c\n")
    assert call("--all") == 0
    assert call("--all", "--into", "topic") == 0
    assert "topic was not made" in capsys.readouterr().err
    assert lab.repository.commit("refs/heads/topic") is None


def test_without_a_terminal_it_asks_for_a_choice(lab: Lab) -> None:
    lab.agent.commit("one", c="c\n")
    for words in ([], ["--select"], ["--squash"]):
        with pytest.raises(UsageError, match="no terminal") as caught:
            call(*words)
        assert "--all" in caught.value.hint
    assert lab.host.id() == lab.base


@pytest.mark.parametrize(
    "words", [["--all", "--undo"], ["--undo", "--delete"], ["--undo", "--into", "main"]]
)
def test_flags_that_do_not_go_together(lab: Lab, words: list[str]) -> None:
    with pytest.raises(UsageError):
        call(*words)


@pytest.mark.parametrize("answer", ["y", "n", "select"])
def test_on_a_terminal_it_asks(lab: Lab, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    lab.agent.commit("one", c="c\n")
    two = lab.agent.commit("two", d="d\n")
    monkeypatch.setattr(verb, "_checklist", lambda planned: [two])
    asked = []

    def prompt(question: str, **more: Any) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr(click, "prompt", prompt)
    assert call(terminal=True) == 0
    assert asked == ["Bring this into main?"]
    wanted = {"y": ["base", "one", "two"], "n": ["base"], "select": ["base", "two"]}
    assert lab.host.subjects() == wanted[answer]


def test_a_conflict_says_what_ends_it(lab: Lab) -> None:
    lab.agent.commit("one", a="agent\n")
    lab.host.commit("mine", a="mine\n")
    assert call("--all") == 1
    with pytest.raises(Refused):
        call("--all")
    call("--undo")
    with pytest.raises(Refused, match="nothing changed"):
        call("--all", "--no-conflicts")


def test_a_dry_run_tells_and_changes_nothing(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.agent.commit("one", a="agent\n")
    tip = lab.host.commit("mine", a="mine\n")
    assert call("--dry-run") == 0
    assert "would conflict: a.txt" in capsys.readouterr().err
    assert call("--dry-run", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["conflicts"]) == ("replay", ["a.txt"])
    assert lab.host.id() == tip


def test_what_could_run_by_itself_needs_a_yes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.host.git("config", "core.hooksPath", ".husky")
    lab.agent.write(".husky/pre-commit", "#!/bin/sh\n")
    lab.agent.commit("hook")
    with pytest.raises(UsageError, match="run on your machine"):
        call("--all")
    assert lab.host.id() == lab.base
    monkeypatch.setattr(Console, "confirm", lambda self, question: False)
    call("--all", terminal=True)
    assert lab.host.id() == lab.base
    assert call("--all", "--accept-risks", "--json") == 0
    assert lab.host.id() == lab.agent.id()
