"""The machine the launcher runs on."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from claude_container import host


def test_files_shall_belong_to_whoever_launches() -> None:
    assert host.user_ids() == (os.getuid(), os.getgid())


@pytest.mark.parametrize("name", host.CI_VARIABLES)
@pytest.mark.parametrize(
    ("value", "ci"), [("true", True), ("1", True), ("", False), ("0", False), ("false", False)]
)
def test_ci_is_known_by_its_variables(name: str, value: str, ci: bool) -> None:
    assert host.in_ci({name: value}) is ci


def test_without_its_variables_it_is_no_ci() -> None:
    assert not host.in_ci({"HOME": "/home/ci"})


def test_the_config_folder_is_in_the_home(home: Path) -> None:
    assert host.config_dir({}) == home / ".config" / "claude-container"


def test_xdg_config_home_moves_the_config_folder() -> None:
    assert host.config_dir({"XDG_CONFIG_HOME": "/x"}) == Path("/x/claude-container")


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_an_xdg_config_home_that_is_not_absolute_does_not_count(home: Path, value: str) -> None:
    assert host.config_dir({"XDG_CONFIG_HOME": value}) == home / ".config" / "claude-container"


def test_a_user_without_a_home_has_no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert (host.config_dir({}), host.cache_dir()) == (None, None)


def test_the_cache_folder_is_made(home: Path) -> None:
    folder = host.cache_dir()
    assert folder and folder.is_dir() and folder.is_relative_to(home)


def test_a_home_that_takes_no_folder_has_no_cache(home: Path) -> None:
    (home / ".cache").write_text("in the way")
    assert host.cache_dir() is None


def test_proxies_keep_the_names_they_have() -> None:
    environ = {"HTTPS_PROXY": "http://p:1", "no_proxy": "x", "HTTP_PROXY": "", "PATH": "/bin"}
    assert host.proxies(environ) == {"HTTPS_PROXY": "http://p:1", "no_proxy": "x"}


@pytest.mark.parametrize("name", host.CA_VARIABLES)
def test_each_variable_can_name_the_certificate(name: str) -> None:
    assert host.ca_file({name: "/ca.pem"}) == ("/ca.pem", name)


def test_the_first_variable_that_says_something_names_the_certificate() -> None:
    first, second, *_ = host.CA_VARIABLES
    assert host.ca_file({second: "/2.pem", first: ""}) == ("/2.pem", second)
    assert host.ca_file({second: "/2.pem", first: "/1.pem"}) == ("/1.pem", first)
    assert host.ca_file({}) is None


def test_a_launcher_is_gone_when_its_process_ended() -> None:
    told = "print(host.launcher_id(), host.launcher_word(), flush=True); input()"
    code = f"from claude_container import host; {told}"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout
        id, word = launcher.stdout.readline().split()
        assert not host.launcher_is_gone(id) and not host.word_is_left(word)
        launcher.communicate("\n")
    assert host.launcher_is_gone(id)
    assert host.word_is_left(word) and host.word_is_left(f"{word}-more")
    assert not host.word_is_left("") and not host.word_is_left("anything")


@pytest.mark.parametrize(
    ("part", "value", "gone"),
    [
        (0, "an earlier boot", None),
        (1, "4194305", True),  # above the largest pid that Linux gives
        (1, "", None),
        (1, "no number", None),
        (2, "1", True),  # the pid was given to another process since
    ],
)
def test_a_launcher_is_gone_only_for_sure(part: int, value: str, gone: bool | None) -> None:
    words = host.launcher_id().split(":")
    words[part] = value
    assert host.launcher_is_gone(":".join(words)) is gone


def test_a_launcher_whose_parent_does_not_wait_for_it_is_gone() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from claude_container import host; print(host.launcher_id())"],
        stdout=subprocess.PIPE,
        text=True,
    ) as launcher:
        assert launcher.stdout
        id = launcher.stdout.read().strip()
        os.waitid(os.P_PID, launcher.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert host.launcher_is_gone(id)


def test_a_launcher_on_another_machine_may_live_on() -> None:
    """Its processes cannot be seen from here: no such pid says nothing, nor does the boot."""
    assert not host.launcher_is_gone("another-machine:4194305:1")


@pytest.mark.parametrize("id", ["", "x", ":::", "a:b:c:d:e"])
def test_an_id_of_another_kind_is_of_nobody_who_is_gone(id: str) -> None:
    assert not host.launcher_is_gone(id)
