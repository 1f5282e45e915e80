"""The original's flags are the verbs: translated in one place, wherever they stand."""

from __future__ import annotations

import pytest

from claude_container.cli.main import _translated


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--git-session fix", "start fix"),
        ("-g fix --image X", "start fix --image X"),
        ("--image X --git-session fix", "start --image X fix"),
        ("--git-session=fix", "start fix"),
        ("--merge-session fix --into main --auto", "merge fix --into main --auto"),
        ("--auto --merge-session fix", "merge --auto fix"),
        ("--diff-session fix", "diff fix"),
        ("--list-sessions", "list"),
        ("--delete-session fix", "delete fix"),
        ("--cleanup", "cleanup"),
        ("-v", "doctor"),
        # What another option is to be stays that, and so does what is no flag.
        ("--image -g", "--image -g"),
        ("--session -v", "--session -v"),
        ("exec x --cleanup", "exec x --cleanup"),
        ("--session x", "--session x"),
        ("", ""),
    ],
)
def test_a_flag_becomes_its_verb(typed: str, meant: str) -> None:
    assert _translated(typed.split()) == meant.split()
