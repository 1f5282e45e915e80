"""Launches with a real engine and the real claude, against a scripted model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import TOKEN, Cli, Model

pytestmark = pytest.mark.engine

ECHO = {"turns": [], "echo": True}


def test_a_prompt_is_answered_and_the_token_arrives(
    cli: Cli, session: str, start_model: Callable[..., Model]
) -> None:
    model = start_model(ECHO)
    ran = cli("-s", session, *model.flags, "--", "-p", "hello", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "echo: hello\n", "")
    assert model.tokens() == {f"Bearer {TOKEN}"}
