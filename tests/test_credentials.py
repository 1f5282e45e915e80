"""The token: where it is found, and what is refused without showing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_container import credentials
from claude_container.credentials import NoTokenInCI, TokenError
from tests.conftest import TOKEN


def write(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    file = folder / "token"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_the_variable_comes_before_the_file(tmp_path: Path) -> None:
    write(tmp_path, b"sk-ant-oat01-of-the-file")
    token = credentials.find({credentials.VARIABLE: TOKEN}, tmp_path)
    assert token == credentials.Token(TOKEN, "$CLAUDE_CODE_OAUTH_TOKEN")


@pytest.mark.parametrize("around", ["{}", "{}\n", "  {}\r\n", "\n\n{}\n\n"])
def test_the_file_holds_the_token_with_blanks_around_it(tmp_path: Path, around: str) -> None:
    file = write(tmp_path, around.format(TOKEN).encode())
    assert credentials.find({}, tmp_path) == credentials.Token(TOKEN, str(file))


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, TOKEN.encode())
    token = credentials.find({credentials.VARIABLE: " "}, tmp_path)
    assert token and token.value == TOKEN


@pytest.mark.parametrize("folder", ["", "missing", "a file/in it"])
def test_no_file_is_no_token(tmp_path: Path, folder: str) -> None:
    (tmp_path / "a file").touch()
    assert credentials.find({}, tmp_path / folder) is None


def test_without_a_home_there_is_only_the_variable() -> None:
    assert credentials.find({}, None) is None
    assert credentials.find({credentials.VARIABLE: TOKEN}, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (f"{TOKEN}\n{TOKEN}\n".encode(), "more than one word or line"),
        (f"export TOKEN={TOKEN}".encode(), "more than one word or line"),
        (b"sk-ant-\xff\xfe-secret", "cannot read"),
        ("sk-ant-oat01-sécret".encode(), "does not hold a token"),
        (b"sk-ant-oat01\x00secret", "does not hold a token"),
        (b"secret", "does not hold a token"),
        (b"secret-" * 1000, "does not hold a token"),
    ],
)
def test_a_file_without_a_token_is_refused_unshown(
    tmp_path: Path, content: bytes, said: str
) -> None:
    write(tmp_path, content)
    with pytest.raises(TokenError, match=said) as raised:
        credentials.find({}, tmp_path)
    shown = f"{raised.value!r} {raised.value.evidence} {raised.value.hint} {raised.value.__cause__}"
    assert "secret" not in shown and "0123456789" not in shown


def test_a_variable_of_two_words_is_refused_unshown() -> None:
    with pytest.raises(TokenError, match="more than one word") as raised:
        credentials.find({credentials.VARIABLE: f"Bearer {TOKEN}"}, None)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o611])
def test_a_file_that_others_can_read_is_refused_with_the_chmod(tmp_path: Path, mode: int) -> None:
    file = write(tmp_path, TOKEN.encode(), mode)
    with pytest.raises(TokenError, match=f"mode {mode:04o}") as raised:
        credentials.find({}, tmp_path)
    assert raised.value.hint == f"chmod 600 {file}"


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    with pytest.raises(TokenError, match="no regular file"):
        credentials.find({}, tmp_path)


def test_a_link_to_a_token_elsewhere_is_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "token").symlink_to(write(elsewhere, TOKEN.encode()))
    token = credentials.find({}, tmp_path)
    assert token and token.value == TOKEN


def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").symlink_to(tmp_path / "token")
    with pytest.raises(TokenError, match="cannot read"):
        credentials.find({}, tmp_path)


def test_a_token_does_not_show_in_its_repr() -> None:
    assert TOKEN not in repr(credentials.Token(TOKEN, "here"))


def test_what_is_missing_is_said_with_the_place_for_it(tmp_path: Path) -> None:
    error = credentials.missing(ci=False, folder=tmp_path, environ={})
    assert error.exit_code == 1
    assert str(tmp_path / "token") in error.what and "claude setup-token" in error.hint


def test_ci_is_told_of_its_secrets_and_nothing_to_type() -> None:
    error = credentials.missing(ci=True, folder=None, environ={})
    assert isinstance(error, NoTokenInCI) and error.exit_code == 2
    assert "secrets" in error.what and not error.hint


@pytest.mark.parametrize("ci", [True, False])
def test_an_api_key_is_named_and_not_taken(ci: bool) -> None:
    environ = {"ANTHROPIC_API_KEY": "sk-ant-api03-made-up"}
    assert credentials.find(environ, None) is None
    error = credentials.missing(ci=ci, folder=None, environ=environ)
    assert "--env ANTHROPIC_API_KEY" in error.what and "made-up" not in error.what
