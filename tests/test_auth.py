"""`login --with-token`, `logout`, `auth status`: without an engine and without a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from claude_container import host
from claude_container.cli import browser
from tests.conftest import PROGRAM, TOKEN, Cli, clean_environment

OTHER = "sk-ant-oat01-made-up-another-one-9876543210"
SETUP = "sk-ant-oat01-made-up-" + "x" * 87
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere.sock"}


@pytest.fixture
def token_file(home: Path) -> Path:
    return home / ".config" / "claude-container" / "token"


@pytest.mark.parametrize("around", ["{}", "{}\n", " {}\r\n"])
def test_a_token_on_standard_input_is_saved(around: str, here: Cli, token_file: Path) -> None:
    ran = here("login", "--with-token", input=around.format(SETUP), **NO_ENGINE)
    assert (ran.code, ran.stdout) == (0, "")
    assert ran.stderr.startswith(f"✓ token saved to {token_file}\n")
    assert token_file.read_text() == f"{SETUP}\n"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600


def test_ci_may_save_a_token_too(here: Cli, token_file: Path) -> None:
    assert here("login", "--with-token", input=SETUP, CI="true").code == 0
    assert token_file.exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "standard input is empty"),
        ("two words", "more than one word"),
        (f"{SETUP}\n{SETUP}", "more than one word"),
        ("sécret-0123456789", "does not hold a token"),
        ("x" * 70000, "does not hold a token"),
    ],
)
def test_what_is_no_token_is_not_saved(given: str, said: str, here: Cli, token_file: Path) -> None:
    ran = here("login", "--with-token", input=given)
    assert ran.code == 1 and said in ran.stderr and "cret" not in ran.stderr
    assert not token_file.exists()


def test_a_token_of_another_shape_is_saved_with_a_word(here: Cli, token_file: Path) -> None:
    ran = here("login", "--with-token", input="another-kind-of-token")
    assert ran.code == 0 and "not a setup-token's" in ran.stderr
    assert token_file.exists()


def test_a_saved_token_stays_until_it_is_said(here: Cli, token_file: Path) -> None:
    assert here("login", "--with-token", input=SETUP).code == 0
    again = here("login", "--with-token", input=SETUP)
    assert again.code == 0 and f"✓ token saved to {token_file}\n" in again.stderr
    ran = here("login", "--with-token", input=OTHER)
    assert ran.code == 1 and "--replace" in ran.stderr
    assert token_file.read_text() == f"{SETUP}\n"
    assert here("login", "--with-token", "--replace", input=OTHER).code == 0
    assert token_file.read_text() == f"{OTHER}\n"


def test_xdg_config_home_holds_it(here: Cli, tmp_path: Path) -> None:
    assert here("login", "--with-token", input=SETUP, XDG_CONFIG_HOME=str(tmp_path / "x")).code == 0
    assert (tmp_path / "x" / "claude-container" / "token").exists()


def test_a_login_without_a_terminal_says_what_to_do(here: Cli) -> None:
    ran = here("login", **NO_ENGINE)
    assert (ran.code, ran.stdout) == (2, "")
    assert "needs a terminal" in ran.stderr and "--with-token" in ran.stderr


@pytest.mark.parametrize("verb", [("login",), ("auth", "status"), ("--", "-p", "x")])
def test_ci_is_told_the_variable_and_never_asked(verb: tuple[str, ...], here: Cli) -> None:
    ran = here(*verb, CI="true", **NO_ENGINE)
    assert (ran.code, ran.stdout) == (2, "")
    assert "CLAUDE_CODE_OAUTH_TOKEN" in ran.stderr


def test_status_tells_of_a_saved_token_and_no_part_of_it(here: Cli, token_file: Path) -> None:
    here("login", "--with-token", input=SETUP)
    then = time.time() - 40 * 86400
    os.utime(token_file, (then, then))
    ran = here("auth", "status", **NO_ENGINE)
    assert ran.code == 0
    assert ran.stderr == f"✓ token found: {token_file}\n"
    day = time.strftime("%Y-%m-%d", time.localtime(then))
    assert ran.stdout == (
        "shape  a setup-token's, 108 characters\n"
        f"age    40 days (saved {day}); 325 left of its year\n"
    )
    rows = json.loads(here("auth", "status", "--json").stdout)
    assert rows == {
        "source": str(token_file),
        "shape": "a setup-token's, 108 characters",
        "saved": day,
        "days": 40,
    }


def test_status_tells_that_the_year_is_over(here: Cli, token_file: Path) -> None:
    here("login", "--with-token", input=SETUP)
    os.utime(token_file, (0, 0))
    assert "a year is over" in here("auth", "status").stdout


def test_the_variable_comes_first_and_has_no_age(here: Cli) -> None:
    here("login", "--with-token", input=SETUP)
    ran = here("auth", "status", "--json", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    rows = json.loads(ran.stdout)
    assert (rows["source"], rows["saved"]) == ("$CLAUDE_CODE_OAUTH_TOKEN", None)
    assert TOKEN not in ran.stdout + ran.stderr


def test_status_without_a_token_says_what_to_do(here: Cli, token_file: Path) -> None:
    ran = here("auth", "status")
    assert (ran.code, ran.stdout) == (1, "")
    assert str(token_file) in ran.stderr and "claude-container login" in ran.stderr


def test_status_of_a_file_that_others_can_read_is_an_error(here: Cli, token_file: Path) -> None:
    here("login", "--with-token", input=SETUP)
    token_file.chmod(0o644)
    ran = here("auth", "status")
    assert ran.code == 1 and f"chmod 600 {token_file}" in ran.stderr


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_status_tells_of_a_login_that_is_none_of_ours(
    flags: list[str], cli: Cli, token_file: Path
) -> None:
    token_file.parent.mkdir(parents=True)
    (token_file.parent / "config.toml").write_text('env = ["ANTHROPIC_API_KEY"]\n')
    ran = cli("auth", "status", *flags, ANTHROPIC_API_KEY="sk-ant-api03-made-up")
    assert ran.code == 0 and "ANTHROPIC_API_KEY" in ran.stdout + ran.stderr
    assert "made-up" not in ran.stdout + ran.stderr


def test_a_check_without_an_engine_is_an_error(here: Cli) -> None:
    here("login", "--with-token", input=SETUP)
    ran = here("auth", "status", "--check", **NO_ENGINE)
    assert ran.code == 1 and "no engine answers" in ran.stderr


def test_after_a_logout_there_is_none(here: Cli, token_file: Path) -> None:
    here("login", "--with-token", input=SETUP)
    ran = here("logout", CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert ran.code == 0 and not token_file.exists()
    assert f"token removed: {token_file}" in ran.stderr
    assert "CLAUDE_CODE_OAUTH_TOKEN is set here" in ran.stderr
    again = here("logout", CLAUDE_CODE_OAUTH_TOKEN="")
    assert (again.code, again.stderr) == (0, "→ there is no saved token\n")


def test_a_keyring_that_is_not_there_is_told(cli: Cli, token_file: Path) -> None:
    """The real library, on a machine that has nothing to keep a secret in."""
    token_file.parent.mkdir(parents=True)
    (token_file.parent / "config.toml").write_text('token_store = "keyring"\n')
    none = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    for verb in (["login", "--with-token"], ["auth", "status"], ["logout"], ["--", "-p", "x"]):
        ran = cli(*verb, input=SETUP, **none, **NO_ENGINE)
        assert ran.code == 1 and "keyring" in ran.stderr and SETUP not in ran.stderr
    assert not token_file.exists()


def test_a_logout_removes_what_it_can(here: Cli, token_file: Path) -> None:
    here("login", "--with-token", input=SETUP)
    (token_file.parent / "config.toml").write_text('token_store = "keyring"\n')
    ran = here("logout", PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring")
    assert ran.code == 1 and "keyring" in ran.stderr
    assert f"token removed: {token_file}" in ran.stderr
    assert not token_file.exists()


def test_a_store_of_no_known_kind_is_a_usage_error(here: Cli, token_file: Path) -> None:
    token_file.parent.mkdir(parents=True)
    (token_file.parent / "config.toml").write_text('token_store = "vault"\n')
    ran = here("auth", "status")
    assert ran.code == 2 and "token_store" in ran.stderr


def test_a_repository_cannot_choose_the_store(here: Cli, project: Path, token_file: Path) -> None:
    (project / ".claude-container.toml").write_text('token_store = "keyring"\n')
    ran = here("login", "--with-token", input=SETUP)
    assert ran.code == 0
    assert token_file.exists()


# On a terminal


@pytest.fixture
def terminal(home: Path, project: Path) -> Iterator[Callable[..., pexpect.spawn[str]]]:
    with contextlib.ExitStack() as opened:

        def run(*args: str, **env: str) -> pexpect.spawn[str]:
            environ = {**clean_environment(home), **NO_ENGINE, **env}
            child = pexpect.spawn(
                *(PROGRAM, list(args)), cwd=str(project), env=environ, encoding="utf-8", timeout=20
            )
            return opened.enter_context(child)

        yield run


def test_a_token_is_pasted_unseen_even_over_two_lines(
    terminal: Callable[..., pexpect.spawn[str]], token_file: Path
) -> None:
    child = terminal("login", "--with-token")
    child.expect_exact("Paste the token (it does not show): ")
    child.send(f"{SETUP[:70]}\r\n")
    with pytest.raises(pexpect.TIMEOUT):  # as a packet that is lost
        child.expect(pexpect.EOF, timeout=0.4)
    child.send(f"{SETUP[70:]}\r")
    child.expect(pexpect.EOF)
    assert child.before and "token saved" in child.before and SETUP[70:] not in child.before
    assert token_file.read_text() == f"{SETUP}\n"


def test_what_is_typed_can_be_mended(
    terminal: Callable[..., pexpect.spawn[str]], token_file: Path
) -> None:
    child = terminal("login", "--with-token")
    child.expect_exact("(it does not show): ")
    child.send(f"something else\x15or\x17\x1b[200~{SETUP}oops\x7f\x7f\b\b\x1b[201~\r")
    child.expect(pexpect.EOF)
    assert token_file.read_text() == f"{SETUP}\n"


@pytest.mark.parametrize("env", [{}, {"CI": "true"}])
def test_a_token_is_never_typed_where_it_would_show(
    env: dict[str, str], home: Path, project: Path, token_file: Path
) -> None:
    """At a terminal whose echo nobody turned off, as no question could be asked."""
    ours, theirs = os.openpty()
    ran = subprocess.run(
        [PROGRAM, "login", "--with-token"],
        cwd=project,
        env={**clean_environment(home), **env},
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs if env else subprocess.PIPE,
        timeout=20,
    )
    said = os.read(ours, 4096) if env else ran.stderr
    os.close(ours)
    os.close(theirs)
    assert ran.returncode == 2 and b"takes a terminal" in said
    assert not token_file.exists()


def test_nobody_signs_in_for_a_launch_that_is_refused(
    terminal: Callable[..., pexpect.spawn[str]],
) -> None:
    child = terminal("--mount", "/nowhere:/x")
    child.expect(pexpect.EOF)
    assert child.before and "/nowhere" in child.before and "logging in" not in child.before


# The browser

WSL_1 = host.platform("linux", "4.4.0-19041-Microsoft")
WSL_2 = host.platform("linux", "5.15.153.1-microsoft-standard-WSL2")
LOOKS = {
    "a desktop": ({"DISPLAY": ":0"}, "linux", ""),
    "wayland": ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", ""),
    "a server": ({}, "linux", None),
    "over ssh": ({"SSH_CONNECTION": "1 2 3 4", "DISPLAY": "localhost:10.0"}, "linux", None),
    "a mac": ({}, "macos", ""),
    "a mac over ssh": ({"SSH_CONNECTION": "1 2 3 4"}, "macos", None),
    "windows": ({}, "windows", ""),
    "wsl with wslu": ({}, WSL_2, "wslview"),
    "wsl 1 with wslu": ({}, WSL_1, "wslview"),
    "chosen": ({"BROWSER": "firefox", "SSH_CONNECTION": "1 2 3 4"}, "linux", ""),
}


@pytest.mark.parametrize("where", LOOKS)
def test_a_browser_is_opened_where_the_user_sits(where: str) -> None:
    environ, platform, program = LOOKS[where]
    assert browser.command(environ, platform, lambda name: name) == program


def test_wsl_without_wslu_asks_windows() -> None:
    def which(name: str) -> str | None:
        return name if name == "explorer.exe" else None

    assert browser.command({}, WSL_2, which) == "explorer.exe"


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library remembers what it found."""
    monkeypatch.delitem(sys.modules, "webbrowser", raising=False)


@pytest.mark.usefixtures("untried")
def test_the_systems_opener_gets_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = tmp_path / "xdg-open"
    opener.write_text(
        f"#!/bin/sh\necho \"$1\" >'{tmp_path}/part' && mv '{tmp_path}/part' '{tmp_path}/opened'\n"
    )
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":0")
    url = "https://claude.ai/oauth/authorize?I_x-y"
    assert browser.open_page(url)
    deadline = time.monotonic() + 20
    while not (tmp_path / "opened").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (tmp_path / "opened").read_text() == f"{url}\n"


@pytest.mark.usefixtures("untried")
def test_a_browser_for_the_terminal_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("w3m", "lynx"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    assert not browser.open_page("https://claude.ai/")
