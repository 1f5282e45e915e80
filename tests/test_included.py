"""Ignored files come along into a session once the user said so, whoever names them."""

from __future__ import annotations

import os
from pathlib import Path

import pexpect
import pytest

from claude_container import config, git, host
from claude_container.cli import included, settings
from claude_container.cli.console import Console
from claude_container.clone import luggage
from claude_container.config import Settings, TrustStore
from claude_container.errors import UsageError
from tests.conftest import PROGRAM, Cli, clean_environment
from tests.gitsession import GitSession, git_session, make_repository, remove, unique

TRACKED = {".gitignore": ".env\n*.key\n", ".worktreeinclude": "# what tests need\n.env\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = make_repository(tmp_path / "my repo", TRACKED)
    (made / ".env").write_text("SECRET=1")
    (made / "a.key").write_text("secret")
    return made


def comes(repository: Path, *, trust: bool = False) -> list[str]:
    """The ignored files that would come along if `start` were typed here, without a terminal."""
    found = git.find(repository)
    assert found
    chosen = settings.resolve(Console(), repository, Settings(), ask=False)
    return luggage.included(found, included.patterns(Console(), found, chosen, trust=trust))


def write_user(home: Path, text: str) -> None:
    file = home / ".config" / "claude-container" / config.USER_FILE
    file.parent.mkdir(parents=True)
    file.write_text(text)


def test_without_a_word_of_the_users_they_stay_and_are_named(
    repository: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert comes(repository) == []
    assert f"hint: claude-container trust '{repository}' lets" in capfd.readouterr().err
    monkeypatch.chdir(repository)
    assert comes(repository) == []
    assert capfd.readouterr().err == (
        "⚠ not in the session, though .worktreeinclude names it: .env\n"
        "hint: claude-container trust lets such files come along (for this once: --trust)\n"
    )


def test_what_the_user_names_needs_no_trust(
    home: Path, repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_user(home, 'include = [".env"]')
    assert comes(repository) == [".env"]
    assert capfd.readouterr().err == ""
    (repository / config.PROJECT_FILE).write_text('include = ["*.key"]')
    assert comes(repository) == [".env"]
    assert f".worktreeinclude and {config.PROJECT_FILE} names it: a.key" in capfd.readouterr().err


def test_a_user_can_except_what_a_trusted_repository_names(home: Path, repository: Path) -> None:
    write_user(home, 'include = ["!.env"]')
    (repository / config.PROJECT_FILE).write_text('include = ["*.key"]')
    assert comes(repository, trust=True) == ["a.key"]


def test_the_flag_is_for_once(repository: Path) -> None:
    assert comes(repository, trust=True) == [".env"]
    assert comes(repository) == []


@pytest.mark.parametrize("change", [".worktreeinclude", config.PROJECT_FILE])
def test_trust_is_in_these_patterns_until_untrust(cli: Cli, repository: Path, change: str) -> None:
    said = cli("trust", cwd=repository).stderr
    assert said.endswith("hint: ignored files may come along into sessions: .env\n")
    assert comes(repository) == [".env"]
    text = {".worktreeinclude": "*.key\n", config.PROJECT_FILE: 'include = ["*.key"]'}[change]
    (repository / change).write_text(text)
    assert comes(repository) == []
    assert cli("trust", cwd=repository).code == 0
    assert "a.key" in comes(repository)
    assert cli("untrust", cwd=repository).stderr == f"✓ forgotten: {repository}\n"
    assert comes(repository) == []
    assert "nothing was said" in cli("untrust", cwd=repository).stderr


@pytest.mark.parametrize("later", [[".env*"], ["!.env.prod", ".env*"], []])
@pytest.mark.parametrize("file", [[], [".env*"]])
def test_patterns_are_trusted_in_their_order_as_a_whole(
    cli: Cli, repository: Path, file: list[str], later: list[str]
) -> None:
    (repository / ".worktreeinclude").write_text("".join(f"{line}\n" for line in file))
    (repository / ".gitignore").write_text(".env*\n")
    (repository / ".env.prod").write_text("secret")
    (repository / config.PROJECT_FILE).write_text('include = [".env*", "!.env.prod"]')
    assert cli("trust", cwd=repository).code == 0
    assert comes(repository) == [".env"]
    (repository / config.PROJECT_FILE).write_text(f"include = {later}")
    assert comes(repository) == []


def test_a_no_to_the_directory_is_a_no_to_this(repository: Path) -> None:
    store = TrustStore(host.config_dir(os.environ))
    store.remember(included.trusted_as(repository), included.asked(repository, ()).things)
    store.remember(repository, False)
    assert comes(repository) == []


def test_trusting_files_is_not_trusting_what_else_a_directory_brings(
    home: Path, repository: Path
) -> None:
    write_user(home, 'memory = "1g"')
    (repository / config.PROJECT_FILE).write_text('memory = "60g"\ninclude = ["*.key"]')
    wanted = included.asked(repository, ("*.key",))
    TrustStore(host.config_dir(os.environ)).remember(included.trusted_as(repository), wanted.things)
    assert sorted(comes(repository)) == [".env", "a.key"]
    resolved = settings.resolve(Console(), repository, Settings(), ask=False)
    assert resolved.settings.memory == "1g"


def test_nothing_is_said_where_nothing_would_come(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (repository / ".env").unlink()
    assert comes(repository) == []
    assert capfd.readouterr().err == ""


def test_many_are_counted_and_odd_names_shown_harmlessly(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (repository / ".worktreeinclude").write_text("*.key\n")
    for name in ("\x1b[2J", *range(20)):
        (repository / f"{name}.key").touch()
    assert comes(repository) == []
    said = capfd.readouterr().err
    assert "\x1b" not in said
    assert " and 2 more\n" in said


def test_a_file_that_is_none_is_an_error_or_nothing(repository: Path) -> None:
    file = repository / ".worktreeinclude"
    file.unlink()
    os.mkfifo(file)
    assert comes(repository) == []
    file.unlink()
    file.write_bytes(b"\n" * (1 << 20) + b"x")
    with pytest.raises(UsageError, match="cannot read"):
        comes(repository)


@pytest.mark.engine
@pytest.mark.parametrize("yes", [True, False])
def test_on_a_terminal_it_is_asked_once(
    cli: Cli, home: Path, image: str, repository: Path, yes: bool
) -> None:
    with git_session(cli, repository, "--trust") as first:  # which remembers nothing
        assert first.inside("ls -A").split().count(".env") == 1
    name = unique()
    asking = pexpect.spawn(
        PROGRAM,
        ["start", name, "--no-enter"],
        cwd=str(repository),
        env=clean_environment(home),
        encoding="utf-8",
        timeout=60,
    )
    try:
        asking.expect_exact(".worktreeinclude wants ignored files in the session: .env")
        asking.expect_exact("Let them come along, now and later?")
        asking.sendline("y" if yes else "")
        asking.expect_exact(pexpect.EOF)
        assert GitSession(name, repository).inside("ls -A").split().count(".env") == yes
    finally:
        remove(name)
    with git_session(cli, repository) as later:
        assert later.inside("ls -A").split().count(".env") == yes
