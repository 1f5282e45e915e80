"""The token: where it is found, and what is refused without showing it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_container import credentials
from claude_container.credentials import AnotherToken, NoTokenInCI, Token, TokenError
from claude_container.credentials.file_store import FileStore
from tests.conftest import TOKEN

OTHER = "sk-ant-oat01-made-up-another-one-9876543210"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="giving files away takes root")


def write(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    file = folder / "token"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def find(environ: dict[str, str], folder: Path | None) -> Token | None:
    return credentials.find(environ, FileStore(folder))


def test_the_variable_comes_before_the_file(tmp_path: Path) -> None:
    write(tmp_path, b"sk-ant-oat01-of-the-file")
    token = find({credentials.VARIABLE: TOKEN}, tmp_path)
    assert token == credentials.Token(TOKEN, "$CLAUDE_CODE_OAUTH_TOKEN")


@pytest.mark.parametrize("around", ["{}", "{}\n", "  {}\r\n", "\n\n{}\n\n"])
def test_the_file_holds_the_token_with_blanks_around_it(tmp_path: Path, around: str) -> None:
    file = write(tmp_path, around.format(TOKEN).encode())
    assert find({}, tmp_path) == credentials.Token(TOKEN, str(file))


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, TOKEN.encode())
    token = find({credentials.VARIABLE: " "}, tmp_path)
    assert token and token.value == TOKEN


@pytest.mark.parametrize("folder", ["", "missing", "a file/in it"])
def test_no_file_is_no_token(tmp_path: Path, folder: str) -> None:
    (tmp_path / "a file").touch()
    assert find({}, tmp_path / folder) is None


@pytest.mark.parametrize("content", [b"", b" \n\t\n"])
def test_an_empty_file_is_no_token(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, content)
    assert find({}, tmp_path) is None


def test_without_a_home_there_is_only_the_variable() -> None:
    assert find({}, None) is None
    assert find({credentials.VARIABLE: TOKEN}, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
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
        find({}, tmp_path)
    shown = f"{raised.value!r} {raised.value.evidence} {raised.value.hint} {raised.value.__cause__}"
    assert "secret" not in shown and "0123456789" not in shown


def test_a_variable_of_two_words_is_refused_unshown() -> None:
    with pytest.raises(TokenError, match="more than one word") as raised:
        find({credentials.VARIABLE: f"Bearer {TOKEN}"}, None)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o611])
def test_a_file_that_others_can_read_is_refused_with_the_chmod(tmp_path: Path, mode: int) -> None:
    file = write(tmp_path, TOKEN.encode(), mode)
    with pytest.raises(TokenError, match=f"mode {mode:04o}") as raised:
        find({}, tmp_path)
    assert raised.value.hint == f"chmod 600 {file}; or: {credentials.REPLACE}"


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    with pytest.raises(TokenError, match="no regular file"):
        find({}, tmp_path)


def test_a_link_to_a_token_elsewhere_is_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "token").symlink_to(write(elsewhere, TOKEN.encode()))
    token = find({}, tmp_path)
    assert token and token.value == TOKEN


def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").symlink_to(tmp_path / "token")
    with pytest.raises(TokenError, match="cannot read"):
        find({}, tmp_path)


def test_a_token_does_not_show_in_its_repr() -> None:
    assert TOKEN not in repr(credentials.Token(TOKEN, "here"))


def test_what_is_missing_is_said_with_the_place_for_it(tmp_path: Path) -> None:
    error = credentials.missing(ci=False, place=FileStore(tmp_path).place, environ={})
    assert error.exit_code == 1
    assert str(tmp_path / "token") in error.what and "claude-container login" in error.hint


def test_ci_is_told_of_its_secrets_and_nothing_to_type() -> None:
    error = credentials.missing(ci=True, place="", environ={})
    assert isinstance(error, NoTokenInCI) and error.exit_code == 2
    assert "secrets" in error.what and not error.hint


@pytest.mark.parametrize("ci", [True, False])
def test_an_api_key_is_named_and_not_taken(ci: bool) -> None:
    environ = {"ANTHROPIC_API_KEY": "sk-ant-api03-made-up"}
    assert find(environ, None) is None
    error = credentials.missing(ci=ci, place="", environ=environ)
    assert "--env ANTHROPIC_API_KEY" in error.what and "made-up" not in error.what


# Keeping it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "config" / "claude-container"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_saved_token_is_found_and_only_the_users_own(folder: Path) -> None:
    credentials.save(TOKEN, FileStore(folder))
    assert find({}, folder) == Token(TOKEN, str(folder / "token"))
    assert (mode(folder), mode(folder / "token")) == (0o700, 0o600)
    assert [entry.name for entry in folder.iterdir()] == ["token"]


def test_a_folder_that_others_could_read_is_closed(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    credentials.save(TOKEN, FileStore(folder))
    assert mode(folder) == 0o700


def test_a_loose_umask_does_not_open_the_file(folder: Path) -> None:
    before = os.umask(0)
    try:
        credentials.save(TOKEN, FileStore(folder))
    finally:
        os.umask(before)
    assert (mode(folder), mode(folder / "token")) == (0o700, 0o600)


def test_another_token_goes_only_when_that_is_said(folder: Path) -> None:
    store = FileStore(folder)
    credentials.save(TOKEN, store)
    credentials.save(TOKEN, store)  # the same: nothing to say
    with pytest.raises(AnotherToken, match="another token already") as raised:
        credentials.save(OTHER, store)
    assert "--replace" in raised.value.hint
    assert store.read() == TOKEN
    credentials.save(OTHER, store, replace=True)
    assert store.read() == OTHER


def test_one_that_cannot_be_read_goes_only_when_that_is_said(folder: Path) -> None:
    store = FileStore(folder)
    credentials.save(TOKEN, store)
    (folder / "token").chmod(0o644)
    with pytest.raises(TokenError, match="can be read by others"):
        credentials.save(OTHER, store)
    credentials.save(OTHER, store, replace=True)
    assert (store.read(), mode(folder / "token")) == (OTHER, 0o600)


def test_a_link_of_the_users_own_stays_and_leads_to_the_new_token(
    folder: Path, tmp_path: Path
) -> None:
    folder.mkdir(parents=True)
    (tmp_path / "dotfiles").mkdir()
    (folder / "token").symlink_to(tmp_path / "dotfiles" / "token")
    credentials.save(TOKEN, FileStore(folder))
    assert (folder / "token").is_symlink()
    assert (tmp_path / "dotfiles" / "token").read_text() == f"{TOKEN}\n"
    assert FileStore(folder).remove()
    assert not (tmp_path / "dotfiles" / "token").exists()


@as_root
@pytest.mark.parametrize("link", ["token", "folder", "above"])
def test_no_token_goes_where_anothers_link_leads(link: str, folder: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "claude-container").mkdir(parents=True)
    place = {"token": folder / "token", "folder": folder, "above": folder.parent}[link]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to({"token": theirs / "token", "folder": theirs, "above": theirs}[link])
    os.lchown(place, 12345, 12345)
    with pytest.raises(TokenError, match="belongs to uid 12345"):
        credentials.save(TOKEN, FileStore(folder))
    assert [path for path in theirs.rglob("*") if path.is_file()] == []


@as_root
def test_no_token_goes_into_a_folder_of_anothers(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.chown(folder, 12345, 12345)
    with pytest.raises(TokenError, match="belongs to uid 12345"):
        credentials.save(TOKEN, FileStore(folder))


@pytest.mark.parametrize("which", ["parent", "folder"])
def test_no_token_goes_where_others_can_put_a_link(which: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    place = folder if which == "folder" else folder.parent
    place.chmod(0o777)
    with pytest.raises(TokenError, match="can be changed by others"):
        credentials.save(TOKEN, FileStore(folder))
    place.chmod(0o1777)  # as /tmp
    credentials.save(TOKEN, FileStore(folder))


def test_a_folder_in_its_place_is_not_written_over(folder: Path) -> None:
    (folder / "token" / "deep").mkdir(parents=True)
    with pytest.raises(TokenError, match="cannot write") as raised:
        credentials.save(TOKEN, FileStore(folder), replace=True)
    assert TOKEN not in f"{raised.value!r} {raised.value.evidence}"
    assert [entry.name for entry in folder.iterdir()] == ["token"]


def test_a_file_in_the_folders_place_is_told_early(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.touch()
    with pytest.raises(TokenError, match="cannot write"):
        FileStore(folder).prepare()


def test_preparing_leaves_nothing_but_the_folder(folder: Path) -> None:
    FileStore(folder).prepare()
    assert list(folder.iterdir()) == []


def test_without_a_home_nothing_can_be_kept() -> None:
    with pytest.raises(TokenError, match="no home directory"):
        FileStore(None).prepare()
    assert FileStore(None).remove() is False


_FULL = """
import resource, sys
from pathlib import Path
from claude_container import credentials
from claude_container.credentials.file_store import FileStore
resource.setrlimit(resource.RLIMIT_FSIZE, (5, 5))
try:
    credentials.save(sys.stdin.read(), FileStore(Path(sys.argv[1])), replace=True)
except credentials.TokenError as error:
    print(error.what, error.evidence)
"""


def test_a_full_disk_leaves_the_token_that_was_there(folder: Path) -> None:
    """A limit of the process stands in for the disk's: both end a write in its middle."""
    store = FileStore(folder)
    credentials.save(TOKEN, store)
    ran = subprocess.run(
        [sys.executable, "-c", _FULL, str(folder)], input=OTHER, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "cannot write" in ran.stdout and "made-up" not in ran.stdout
    assert store.read() == TOKEN
    assert [entry.name for entry in folder.iterdir()] == ["token"]


def test_a_reader_meets_one_token_or_the_other_and_nothing_between(folder: Path) -> None:
    store = FileStore(folder)
    store.write(TOKEN)
    done = threading.Event()

    def write() -> None:
        for _ in range(50):
            store.write(OTHER)
            store.write(TOKEN)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    while not done.is_set():
        seen.add(store.read())
    thread.join()
    assert seen <= {TOKEN, OTHER}


def test_a_removed_token_is_gone(folder: Path) -> None:
    store = FileStore(folder)
    assert (store.remove(), store.saved()) == (False, None)
    credentials.save(TOKEN, store)
    saved = store.saved()
    assert saved and abs(saved - time.time()) < 60
    (folder / ".claude-container-token.k1ll3d").write_text(TOKEN)
    assert (store.remove(), store.remove(), store.read()) == (True, False, None)
    assert list(folder.iterdir()) == []


@as_root
def test_a_removal_does_not_follow_anothers_link(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    (tmp_path / "thesis").touch()
    (folder / "token").symlink_to(tmp_path / "thesis")
    os.lchown(folder / "token", 12345, 12345)
    assert FileStore(folder).remove()
    assert (tmp_path / "thesis").exists() and not (folder / "token").is_symlink()


@as_root
def test_another_users_token_is_not_taken(folder: Path) -> None:
    """What is asked with it would be theirs to read."""
    folder.mkdir(parents=True)
    write(folder, TOKEN.encode())
    os.chown(folder / "token", 12345, 12345)
    ran = subprocess.run(
        [sys.executable, "-c", _AS_ANOTHER, str(folder)], capture_output=True, text=True
    )
    assert "belongs to another user (uid 12345)" in ran.stdout, ran.stderr


_AS_ANOTHER = """
import os, sys
from pathlib import Path
from claude_container import credentials
from claude_container.credentials import file_store
# Root is let in everywhere, so this one looks through the eyes of another.
os.geteuid = lambda: 54321
try:
    file_store.FileStore(Path(sys.argv[1])).read()
except credentials.TokenError as error:
    print(error.what)
"""


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("sk-ant-oat01-" + "x" * 95, "a setup-token's, 108 characters"),
        ("sk-ant-api03-" + "x" * 95, "an API key's"),
        ("something-else", "not a setup-token's, 14 characters"),
    ],
)
def test_a_shape_is_told_without_a_part_of_it(token: str, words: str) -> None:
    said = credentials.shape(token)
    assert said.startswith(words) and token[:8] not in said and token[-4:] not in said


# In a keyring: the real library, with a backend that keeps it in a file of the test's


@pytest.fixture
def keyring_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import keyring

    from tests.filed_keyring import FiledKeyring

    file = tmp_path / "keyring.json"
    before = keyring.get_keyring()
    keyring.set_keyring(FiledKeyring(file))
    monkeypatch.setattr(FiledKeyring, "fails", "")
    yield file
    keyring.set_keyring(before)


def test_a_keyring_keeps_the_token_and_no_file_does(keyring_file: Path, folder: Path) -> None:
    store = credentials.store("keyring", folder)
    assert credentials.find({}, store) is None
    credentials.save(TOKEN, store)
    assert credentials.find({}, store) == Token(TOKEN, "the keyring (filed)")
    assert json.loads(keyring_file.read_text()) == {"claude-container/token": TOKEN}
    assert not folder.exists()
    assert (store.remove(), store.remove(), store.read()) == (True, False, None)


def test_a_keyring_keeps_another_token_until_told(keyring_file: Path) -> None:
    store = credentials.store("keyring", None)
    credentials.save(TOKEN, store)
    with pytest.raises(AnotherToken):
        credentials.save(OTHER, store)
    credentials.save(OTHER, store, replace=True)
    assert store.read() == OTHER


@pytest.mark.parametrize("fails", ["locked", "forgets"])
def test_a_keyring_that_does_not_take_it_is_told(
    fails: str, keyring_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.filed_keyring import FiledKeyring

    store = credentials.store("keyring", None)
    monkeypatch.setattr(FiledKeyring, "fails", fails)
    with pytest.raises(TokenError, match="the keyring") as raised:
        credentials.save(TOKEN, store)
    assert TOKEN not in f"{raised.value!r} {raised.value.evidence} {raised.value.__cause__}"


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(TokenError, match="not installed") as raised:
        credentials.store("keyring", None)
    assert "pipx inject claude-container keyring" in raised.value.hint
