"""Settings in their layers, the files they come from, and who is trusted."""

from __future__ import annotations

import os
import stat
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_container import config
from claude_container.config import Settings, TrustStore
from claude_container.errors import ClaudeContainerError, UsageError

words = st.sampled_from(["a", "b", "c"])
any_settings = st.builds(
    Settings,
    image=st.none() | words,
    network=st.none() | words,
    pids_limit=st.none() | st.integers(0, 3),
    env=st.lists(words, max_size=2).map(tuple),
    publish=st.lists(words, max_size=2).map(tuple),
)

# Layers


def test_the_higher_layer_wins_and_lists_add_up() -> None:
    high = Settings(image="high", env=("A=high",), publish=("1",))
    low = Settings(image="low", memory="1g", env=("A=low",))
    merged = high.over(low)
    assert (merged.image, merged.memory) == ("high", "1g")
    # The last of one name counts, so the higher layer comes last.
    assert (merged.env, merged.publish) == (("A=low", "A=high"), ("1",))


@given(any_settings, any_settings, any_settings)
def test_layers_can_be_put_together_in_any_order(a: Settings, b: Settings, c: Settings) -> None:
    assert a.over(b).over(c) == a.over(b.over(c))


@given(any_settings)
def test_a_layer_that_says_nothing_changes_nothing(some: Settings) -> None:
    assert some.over(Settings()) == Settings().over(some) == some.only(some.named()) == some


@given(any_settings)
def test_only_drops_all_that_is_not_named(some: Settings) -> None:
    assert some.only({"image", "env"}) == Settings(image=some.image, env=some.env)


def test_what_a_project_file_may_set_are_settings() -> None:
    known = {field.name for field in fields(Settings)}
    assert known >= config.PROJECT_MAY | config.PROJECT_MAY_IF_TRUSTED


@pytest.mark.parametrize("name", ["env", "mount", "network", "engine", "ca_file"])
def test_what_reaches_the_host_is_not_for_a_project_file(name: str) -> None:
    assert name not in config.PROJECT_MAY | config.PROJECT_MAY_IF_TRUSTED


# Where settings come from


def test_variables_set_what_single_values_can_be() -> None:
    environ = {"CLAUDE_CONTAINER_IMAGE": "i", "CLAUDE_CONTAINER_CA_FILE": "/c", "PATH": "/bin"}
    assert config.from_environment(environ) == Settings(image="i", ca_file="/c")


def test_an_empty_variable_says_nothing() -> None:
    assert config.from_environment({"CLAUDE_CONTAINER_IMAGE": ""}) == Settings()


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('image = "ünï"\nenv = ["A=1", "B"]\npids_limit = 7\n', encoding="utf-8")
    assert config.from_file(file) == Settings(image="ünï", env=("A=1", "B"), pids_limit=7)


@pytest.mark.parametrize("place", ["missing", "file/missing"])
def test_no_file_sets_nothing(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    assert config.from_file(tmp_path / place) == Settings()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"image =", "not valid TOML"),
        (b"\xff = 1", "not valid TOML"),
        (b"pids_limit = " + b"9" * 5000, "not valid TOML"),
        (b"image = " + b"[" * 5000, "not valid TOML"),
        (b"image = 4", "`str | null`, got `int` - at `$.image`"),
        (b'env = "A=1"', r"`array`, got `str` - at `$.env`"),
        (b"imgae = 'x'", "there is no setting 'imgae'"),
        (b"[image]\nname = 'x'", "at `$.image`"),
    ],
)
def test_a_file_that_cannot_be_meant_is_named_with_what_is_wrong(
    tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / ".claude-container.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        config.from_file(file)
    assert said in raised.value.what and str(file) in raised.value.what


@pytest.mark.parametrize(
    ("content", "hint"),
    [("imgae = 'x'", "did you mean 'image'?"), ("quux = 'x'", "settings: image, dockerfile")],
)
def test_an_unknown_setting_gets_a_suggestion(tmp_path: Path, content: str, hint: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(content)
    with pytest.raises(UsageError) as raised:
        config.from_file(file)
    assert hint in raised.value.hint


def test_a_folder_in_the_files_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        config.from_file(tmp_path)


# Trust

LOOKED_AT = {"Dockerfile": "a digest", "port 1": ""}


def test_trust_is_remembered_by_the_next_launch(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there yet"
    assert TrustStore(folder).answer(Path("/a"), LOOKED_AT) is None
    TrustStore(folder).remember(Path("/a"), LOOKED_AT)
    TrustStore(folder).remember(Path("/b"), False)
    store = TrustStore(folder)
    assert [store.answer(Path(p), LOOKED_AT) for p in ("/a", "/b", "/a/b")] == [True, False, None]


@pytest.mark.parametrize(
    ("things", "trusted"),
    [
        ({}, True),
        ({"port 1": ""}, True),
        ({"Dockerfile": "another digest"}, None),
        ({**LOOKED_AT, "port 2": ""}, None),
    ],
)
def test_only_what_was_looked_at_is_trusted(
    tmp_path: Path, things: dict[str, str], trusted: bool | None
) -> None:
    store = TrustStore(tmp_path)
    store.remember(Path("/a"), LOOKED_AT)
    assert store.answer(Path("/a"), things) is trusted
    store.remember(Path("/a"), things)
    assert [store.answer(Path("/a"), of) for of in (things, {"port 1": ""})] == [True, True]
    store.remember(Path("/a"), False)
    assert store.answer(Path("/a"), things) is False


def test_a_yes_to_whatever_may_come_is_asked_again(tmp_path: Path) -> None:
    """It is what the file held before there were digests in it."""
    (tmp_path / "trusted.json").write_text('{"/a": true, "/b": false}')
    answers = [TrustStore(tmp_path).answer(Path(p), {}) for p in ("/a", "/b")]
    assert answers == [None, False]


def test_trust_can_be_forgotten(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    store.remember(Path("/a"), LOOKED_AT)
    store.remember(Path("/a"), None)
    store.remember(Path("/never said"), None)
    assert store.answer(Path("/a"), LOOKED_AT) is None


def test_only_the_user_can_read_whom_they_trust(tmp_path: Path) -> None:
    TrustStore(tmp_path / "new").remember(Path("/a"), LOOKED_AT)
    (file,) = (tmp_path / "new").iterdir()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)]
    assert modes == [0o600, 0o700]


@pytest.mark.parametrize("content", ["{", "\0", '["/a"]', '{"/a": "yes"}', '{"/a": 1}'])
def test_a_broken_trust_file_trusts_nobody(tmp_path: Path, content: str) -> None:
    store = TrustStore(tmp_path / "config")
    store.remember(Path("/a"), LOOKED_AT)
    (file,) = (tmp_path / "config").iterdir()
    file.write_text(content)
    try:
        assert store.answer(Path("/a"), LOOKED_AT) is None
    except ClaudeContainerError as error:
        assert error.hint == "remove the file; you will be asked again"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ClaudeContainerError, match=r"cannot (read|write)"):
        TrustStore(tmp_path / "file" / "folder").remember(Path("/a"), LOOKED_AT)


def test_an_answer_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: str, target: Path) -> None:
        raise OSError("no space left on device")

    store = TrustStore(tmp_path / "config")
    store.remember(Path("/a"), LOOKED_AT)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ClaudeContainerError, match="cannot write"):
        store.remember(Path("/b"), LOOKED_AT)
    assert len(list((tmp_path / "config").iterdir())) == 1
    assert [store.answer(Path(p), LOOKED_AT) for p in ("/a", "/b")] == [True, None]


def test_without_a_home_nothing_is_trusted_and_nothing_remembered() -> None:
    assert TrustStore(None).answer(Path("/a"), LOOKED_AT) is None
    with pytest.raises(ClaudeContainerError, match="no home directory"):
        TrustStore(None).remember(Path("/a"), LOOKED_AT)
