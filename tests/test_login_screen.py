"""What is read off claude's login screen: recorded of the real program, and altered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from claude_container.login.screen import Screen

# `claude setup-token` 2.1.330 in a container, against a stand-in for the vendor's hosts.
RECORDED = Path(__file__).parent / "recorded" / "setup-token-2.1.330"
TOKEN = (
    "sk-ant-oat01-made-up-ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefgAA"
)


def recorded(name: str) -> bytes:
    return (RECORDED / f"{name}.raw").read_bytes()


def shown(written: bytes) -> Screen:
    screen = Screen()
    screen.feed(written)
    return screen


def test_it_asks_for_the_code_and_says_where_to_sign_in() -> None:
    screen = shown(recorded("asks"))
    assert screen.url and screen.url.startswith("https://claude.ai/oauth/authorize?I")
    assert (screen.token, screen.refusal, screen.wants_enter) == (None, None, False)


def test_the_long_address_of_other_versions_is_read_too() -> None:
    long = (
        b"https://claude.com/cai/oauth/authorize?code=true&client_id=9d1c-2&redirect_uri=https%3A"
    )
    short = shown(recorded("asks")).url
    assert short
    assert shown(recorded("asks").replace(short.encode(), long)).url == long.decode()


def test_an_incomplete_code_is_told_in_claudes_words() -> None:
    screen = shown(recorded("incomplete"))
    assert screen.refusal == (
        "That doesn't look like the full code. Copy all of it, including the # in the middle."
    )
    assert screen.url and not screen.wants_enter


def test_a_refused_code_is_told_and_waits_for_enter() -> None:
    screen = shown(recorded("refused"))
    assert screen.refusal and screen.refusal.startswith("That code wasn't accepted. It may be")
    assert screen.refusal.endswith("Sign in again to get a new code.")
    assert screen.wants_enter and screen.token is None


def test_without_a_network_it_says_so() -> None:
    screen = shown(recorded("offline"))
    assert screen.refusal and "(EAI_AGAIN)" in screen.refusal and screen.wants_enter


def test_the_token_is_read_whole() -> None:
    screen = shown(recorded("token-1000"))
    assert (screen.token, screen.refusal, screen.url) == (TOKEN, None, None)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_it_does_not_matter_how_the_bytes_come(size: int) -> None:
    screen = Screen()
    written = recorded("token-1000")
    for at in range(0, len(written), size):
        screen.feed(written[at : at + size])
    assert screen.token == TOKEN


@pytest.mark.parametrize("columns", [80, 40])
def test_a_token_that_was_cut_into_lines_is_not_read(columns: int) -> None:
    """As on a terminal of the user's own width."""
    assert shown(recorded(f"token-{columns}")).token is None


SHORT = b"sk-ant-oat01-made-up-ABCDEF"
FORGED: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda token: SHORT,
    "with dots at its end": lambda token: token[:60] + "…".encode(),
    "masked": lambda token: token[:20] + b"*" * 80,
    "with a blank in it": lambda token: token[:50] + b" " + token[50:],
    "in quotes": lambda token: b'"' + token + b'"',
    "after a label": lambda token: b"token: " + token,
    "in a command": lambda token: b"export CLAUDE_CODE_OAUTH_TOKEN=" + token,
    "over two lines": lambda token: token[:60] + b"\r\n" + token[60:],
    "over two lines, indented": lambda token: token[:60] + b"\r\n  " + token[60:],
    "over two lines with one between": lambda token: token[:60] + b"\r\n\r\nsk-ant-" + token[60:],
    "twice": lambda token: token + b"\r\n\r\n" + token,
    "beside another": lambda token: token + b"\r\n\r\n" + token.replace(b"A", b"B"),
    "of another kind": lambda token: token.replace(b"oat01", b"api03"),
    "of a new kind": lambda token: token.replace(b"oat01", b"oat1a"),
    "too long": lambda token: token + b"A" * 300,
    "wider than the screen": lambda token: token + b"A" * 1500,
    "with letters of another alphabet": lambda token: token.replace(b"A", "\u0410".encode()),
    "gone again": lambda token: token + b"\x1b[2J",
    "drawn over": lambda token: token + b"\r\x1b[30CXXX...",
}


@pytest.mark.parametrize("how", FORGED)
def test_a_changed_screen_gives_no_token_rather_than_a_wrong_one(how: str) -> None:
    written = recorded("token-1000").replace(TOKEN.encode(), FORGED[how](TOKEN.encode()))
    assert written != recorded("token-1000")
    assert shown(written).token is None


def test_a_token_of_another_length_is_read() -> None:
    for length in (60, 61, 79, 80, 81, 108, 159, 199, 200):
        token = "sk-ant-oat01-" + "aB3_-"[: length % 5] + "x" * (length - 13 - length % 5)
        assert len(token) == length
        assert shown(recorded("token-1000").replace(TOKEN.encode(), token.encode())).token == token


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Paste\x1b[8Gcode", b"Enter\x1b[8Gcode"),
        (b"oauth/authorize", b"oauth/start"),
        (b"https://claude.ai", b"http://claude.ai"),
        (b"https://claude.ai", b"Go to https://claude.ai"),
    ],
)
def test_a_screen_that_asks_otherwise_names_no_address(old: bytes, new: bytes) -> None:
    assert old in recorded("asks")
    assert shown(recorded("asks").replace(old, new)).url is None
