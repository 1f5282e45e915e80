"""What is written into a folder without git, file by file, and what never is."""

from __future__ import annotations

import os
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from claude_container.changes import folder as folders
from claude_container.changes.folder import Incomplete, carry
from claude_container.changes.taken import Refused
from claude_container.clone import index, plain
from claude_container.clone.opened import Entry
from tests.test_folder import Desk, Files, put
from tests.trees import FILE, LINK, PROGRAM, untouched

pytestmark = pytest.mark.git
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


def refused(desk: Desk, base: str, head: str) -> str:
    """Why a merge is refused, which changes nothing."""
    with untouched(desk.folder), pytest.raises(Refused) as caught:
        desk.merge(base, head)
    return f"{caught.value.what}\n{caught.value.evidence}\n{caught.value.hint}"


# What lies there already


@pytest.mark.parametrize("mode", [0o4755, 0o2775, 0o6711])
def test_new_content_does_not_run_as_somebody_else(desk: Desk, mode: int) -> None:
    desk.write("a", "!1\n", mode=mode)
    desk.merge(desk.tree({"a": "!1\n"}), desk.tree({"a": "!2\n"}))
    assert stat.S_IMODE((desk.folder / "a").stat().st_mode) == mode & 0o777


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o666, 0o1755])
def test_a_file_keeps_its_mode(desk: Desk, mode: int) -> None:
    sign = "!" if mode & 0o100 else ""
    desk.write("a", f"{sign}1\n", mode=mode)
    desk.merge(desk.tree({"a": f"{sign}1\n"}), desk.tree({"a": f"{sign}2\n"}))
    assert (desk.folder / "a").read_text() == f"{sign}2\n"
    assert stat.S_IMODE((desk.folder / "a").stat().st_mode) == mode


def test_only_that_a_file_can_be_run_changes(desk: Desk) -> None:
    desk.write("a", "1\n", mode=0o640)
    inode = (desk.folder / "a").stat().st_ino
    program = index.tree(desk.repository, {"a": entry(desk, "1\n", "100755")})
    planned = desk.merge(desk.tree({"a": "1\n"}), program)
    assert [row.how for row in planned.rows] == ["mode"]
    told = (desk.folder / "a").stat()
    assert (stat.S_IMODE(told.st_mode), told.st_ino) == (0o750, inode)
    desk.merge(program, desk.tree({"a": "1\n"}))
    assert stat.S_IMODE((desk.folder / "a").stat().st_mode) == 0o640


@as_root
def test_owners_are_kept_and_new_files_belong_to_whom_the_folder_does(desk: Desk) -> None:
    desk.lay({"a": "1\n", "d/x": "1\n"})
    os.chown(desk.folder / "a", 1234, 2345)
    os.chown(desk.folder / "d", 3456, 4567)
    desk.merge(
        desk.tree({"a": "1\n", "d/x": "1\n"}),
        desk.tree({"a": "2\n", "d/x": "1\n", "d/y": "new\n", "d/e/z": "new\n", "d/l": "@y"}),
    )

    def owner(path: str) -> tuple[int, int]:
        told = (desk.folder / path).lstat()
        return told.st_uid, told.st_gid

    assert owner("a") == (1234, 2345)
    assert {owner(path) for path in ("d/y", "d/e", "d/e/z", "d/l")} == {(3456, 4567)}


def test_folders_that_a_deletion_leaves_empty_go_and_others_stay(desk: Desk) -> None:
    files = {"d/e/x": "1\n", "f/x": "1\n"}
    desk.lay({**files, "f/mine": "mine\n"})
    (desk.folder / "empty").mkdir()
    desk.merge(desk.tree(files), desk.tree({}))
    assert sorted(os.listdir(desk.folder)) == ["empty", "f"]
    assert os.listdir(desk.folder / "f") == ["mine"]


def test_both_sides_changes_of_a_file_are_merged_also_where_one_renamed_it(desk: Desk) -> None:
    lines = [f"{number}\n" for number in range(20)]
    theirs, mine = lines[:2] + ["theirs\n"] + lines[3:], [*lines[:-2], "mine\n"]
    base = desk.tree({"a": "".join(lines), "b": "".join(reversed(lines)), "c": "c\n"})
    desk.lay({"a": "".join(mine), "b": "!" + "".join(reversed(lines)), "own": "own\n"})
    desk.write("b", "!" + "".join(reversed(mine)))
    head = desk.tree({"moved": "".join(theirs), "b": "".join(reversed(theirs)), "c": "2\n"})
    assert "c deleted here, changed in the session" in refused(desk, base, head)
    desk.lay({"c": "c\n"})
    planned = desk.merge(base, head)
    both = theirs[:-2] + ["mine\n"]
    how = {row.path: (row.how, row.merged) for row in planned.rows}
    assert how == {
        "a": ("deleted", False),
        "b": ("changed", True),
        "c": ("changed", False),
        "moved": ("added", True),
    }
    assert desk.held() == {
        "b": (PROGRAM, f"!{''.join(reversed(both))}".encode()),
        "c": (FILE, b"2\n"),
        "moved": (FILE, "".join(both).encode()),
        "own": (FILE, b"own\n"),
    }


# What would lead out of the folder, or over what is the user's own


def test_no_link_is_followed(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("1\n")
    (desk.folder / "d").symlink_to(outside)
    with untouched(outside):
        base, head = desk.tree({"d/x": "1\n"}), desk.tree({"d/x": "2\n"})
        assert "d/x deleted here, changed in the session" in refused(desk, base, head)
        assert "d/x d is no folder here" in refused(desk, desk.tree({}), head)
        # What is deleted there is not here: it is the link's.
        assert desk.merge(base, desk.tree({})).rows == ()
    (desk.folder / "d").unlink()
    # A link in a file's place is replaced, not written through.
    (desk.folder / "d").mkdir()
    (desk.folder / "d/x").symlink_to(outside / "x")
    with untouched(outside):
        desk.merge(desk.tree({"d/x": f"@{outside}/x"}), desk.tree({"d/x": "mine\n"}))
    assert desk.held() == {"d/x": (FILE, b"mine\n")}


def test_a_link_that_the_session_brought_is_not_followed_later(desk: Desk, tmp_path: Path) -> None:
    with_link = desk.tree({"d": f"@{tmp_path}"})
    desk.merge(desk.tree({}), with_link)
    assert desk.held()["d"] == (LINK, os.fsencode(tmp_path))
    # As one change it is a folder in the link's place, and nothing goes through it.
    desk.merge(with_link, desk.tree({"d/x": "1\n"}))
    assert desk.held() == {"d/x": (FILE, b"1\n")}
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("lies", "path", "why"),
    [
        ({"d": "mine\n"}, "d/x", "d is no folder here"),
        ({"d": "@elsewhere"}, "d/x", "d is no folder here"),
        ({"d/mine": "mine\n"}, "d", "is a folder here, which holds d/mine"),
        ({"x": "other\n"}, "x", "new here and in the session"),
        ({"inner/.git/HEAD": "ref: refs/heads/main\n"}, "inner/x", "git repository of its own"),
        ({"b/HEAD": "", "b/refs/x": "", "b/objects/x": ""}, "b/hooks/x", "git repository of its"),
    ],
)
def test_what_is_in_the_way_stays(desk: Desk, lies: Files, path: str, why: str) -> None:
    desk.lay(lies)
    assert why in refused(desk, desk.tree({}), desk.tree({path: "new\n"}))


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_is_no_file_stays(desk: Desk, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    special(desk.folder, kind, monkeypatch)
    assert f"is a {kind} here" in refused(desk, desk.tree({}), desk.tree({kind: "new\n"}))
    base = desk.tree({kind: "old\n"})
    assert f"is a {kind} here" in refused(desk, base, desk.tree({}))


def test_a_folder_takes_a_files_place_and_the_other_way_round(desk: Desk) -> None:
    one = {"a": "1\n", "d/x": "1\n", "d/e/y": "1\n"}
    other = {"a/b/c": "2\n", "d": "2\n"}
    desk.lay(one)
    (desk.folder / "d/e/empty").mkdir()
    before, after = desk.tree(one), desk.tree(other)
    desk.merge(before, after)
    assert desk.held() == desk.content(after)
    desk.merge(after, before)
    assert desk.held() == desk.content(before)


@pytest.mark.parametrize(
    "name", [".git", ".GIT", ".git ", "git~1", ".g\u200cit", "..", ".", "a\\..\\b"]
)
def test_names_that_lead_elsewhere_are_refused(desk: Desk, name: str) -> None:
    """A fetch refuses most of them already; other trees come without one."""
    if name == "a\\..\\b":
        pytest.skip("a plain name here") if os.sep == "/" else None
    blob = desk.repository.write_blob(b"x")
    inner = raw_tree(desk, "100644", "config", blob)
    for mode, id in (("40000", inner), ("100644", blob)):
        head = raw_tree(desk, mode, name, id)
        assert "may lie in no folder" in refused(desk, desk.tree({}), head)


def test_a_repository_made_in_the_session_cannot_come(desk: Desk) -> None:
    link = desk.repository.commit_tree(desk.tree({}), "inner", ("A", "a@b"))
    inner = raw_tree(desk, "160000", "inner", link)
    planned = desk.merge(desk.tree({}), inner)
    assert (planned.rows, planned.left) == ((), ("inner",))
    desk.lay({"inner/x": "1\n"})
    why = refused(desk, desk.tree({"inner/x": "1\n"}), inner)
    assert "became a git repository of its own there" in why


def test_names_that_are_one_name_here_are_refused(desk: Desk) -> None:
    """As on macOS and Windows, which git knows by its own setting."""
    one, other = desk.tree({"readme": "1\n"}), desk.tree({"README": "1\n"})
    both = desk.tree({"readme": "1\n", "README": "2\n"})
    desk.repository.git("config", "core.ignorecase", "true")
    desk.lay({"readme": "1\n"})
    assert "readme → README" in refused(desk, one, other)
    assert "takes names" in refused(desk, one, both)


# Whole, or not at all


def test_a_full_disk_is_met_before_anything_changes(desk: Desk) -> None:
    files = {"a": "1\n", "b": "1\n"}
    desk.lay(files)
    head = desk.tree({"a": "2\n", "b": "x" * (2 << 20)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    planned = desk.plan(desk.tree(files), head)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with untouched(desk.folder), pytest.raises(Refused, match="nothing was changed"):
            folders.carry_out(planned)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folders.carry_out(planned)
    assert desk.held() == desk.content(head)


def test_what_changes_between_plan_and_merge_is_not_written_over(desk: Desk) -> None:
    desk.lay({"a": "1\n", "b": "1\n"})
    base, head = desk.tree({"a": "1\n", "b": "1\n"}), desk.tree({"a": "2\n"})
    planned = desk.plan(base, head)
    desk.write("b", "mine\n")
    with untouched(desk.folder), pytest.raises(Refused, match="changed meanwhile") as caught:
        folders.carry_out(planned)
    assert caught.value.evidence == "b"
    assert "b changed here, deleted in the session" in refused(desk, base, head)


@pytest.mark.parametrize(("error", "code"), [(OSError(28, "No space left"), 1), (None, 130)])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_what_is_cut_short_says_so_and_is_completed(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    error: OSError | None,
    code: int,
) -> None:
    files = {"a": "1\n", "b": "1\n", "c": "1\n"}
    desk.lay(files)
    base, head = desk.tree(files), desk.tree({"a": "2\n", "c": "1\n", "d/e": "1\n"})
    before, real, put_in_place = desk.held(), carry._put_one, []

    def cut_short(*args: object) -> None:
        if len(put_in_place) == after:
            raise error or KeyboardInterrupt
        put_in_place.append(args)
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(carry, "_put_one", cut_short)
    planned = desk.plan(base, head)
    with pytest.raises(Incomplete) as caught:
        folders.carry_out(planned)
    monkeypatch.undo()
    assert caught.value.exit_code == code
    assert len(caught.value.applied) == after
    assert f"only {after} of 3 files were written" in caught.value.what
    # What moves is there twice before it is gone.
    assert caught.value.left[-1].path == "b"
    now = desk.held()
    for path in {*now, *before}:
        assert now.get(path) in (before.get(path), desk.content(head).get(path))
    assert not list(desk.folder.glob(f"{plain.STAGING}*"))
    desk.merge(base, head)
    assert desk.held() == desk.content(head)


def test_what_a_killed_merge_prepared_is_removed_by_the_next(desk: Desk) -> None:
    told = "from claude_container import host; print(host.launcher_word())"
    ended = subprocess.check_output([sys.executable, "-c", told], text=True).strip()
    left = desk.folder / f"{plain.STAGING}{ended}"
    left.mkdir()
    (left / "0").write_text("x")
    desk.merge(desk.tree({}), desk.tree({"a": "1\n"}))
    assert os.listdir(desk.folder) == ["a"]


def test_an_older_git_merges_path_by_path_and_says_what_it_cannot(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.lay({"a": "1\n", "b": "1\n"})
    base = desk.tree({"a": "1\n", "b": "1\n"})
    head = desk.tree({"a": "2\n", "b": "1\n"})
    real = subprocess.check_output(["sh", "-c", "command -v git"], text=True).strip()
    fake = tmp_path / "bin/git"
    put(
        fake.parent,
        "git",
        f'!/bin/sh\ncase " $* " in *" merge-tree "*) exit 129;; esac\nexec {real} "$@"\n',
    )
    fake.write_text("#" + fake.read_text())
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    desk.write("a", "mine\n")
    assert "git 2.38" in refused(desk, base, head)
    desk.write("a", "1\n")
    desk.write("b", "mine\n")
    assert [row.path for row in desk.merge(base, head).rows] == ["a"]


# What goes in


def test_what_a_folder_holds_decides_nothing(desk: Desk, home: Path, tmp_path: Path) -> None:
    """The user's own filter, which an attribute in the folder asks for, does not run."""
    ran = tmp_path / "ran"
    (home / ".gitconfig").write_text(
        f'[filter "evil"]\n\tclean = touch {ran}; cat\n\tsmudge = touch {ran}; cat\n'
        f'[merge "evil"]\n\tdriver = touch {ran}\n[core]\n\tautocrlf = true\n'
    )
    odd = b"$Id$\r\nx\ny\r\n"
    attributes = "* filter=evil merge=evil ident text eol=crlf working-tree-encoding=UTF-16\n"
    for folder in (desk.folder, tmp_path / "later"):
        put(folder, ".gitattributes", attributes)
        (folder / "a").write_bytes(odd)
    (tmp_path / "later" / "a").write_bytes(odd + b"z\n")
    (tmp_path / "later" / "b").write_bytes(odd)
    with untouched(desk.folder):
        base = plain.take(desk.repository, desk.folder).tree
    head = plain.take(desk.repository, tmp_path / "later").tree
    assert desk.content(base)["a"] == (FILE, odd)
    (desk.folder / "a").write_bytes(b"mine\n" + odd)
    assert desk.merge(base, head).rows[0].merged
    assert desk.held()["a"] == (FILE, b"mine\n" + odd + b"z\n")
    assert desk.held()["b"] == (FILE, odd)
    assert not ran.exists()


def test_what_does_not_come_along_is_named(
    desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/ignore").write_text("*.swp\n")
    desk.lay(
        {
            ".gitignore": "/build/\n*.log\n",
            "build/x": "",
            "x.log": "",
            "a.swp": "",
            "sub/node_modules/m/index.js": "",
            "sub/__pycache__/x.pyc": "",
            'quote"d': "1\n",
            '"q"': "2\n",
            "line\nbreak": "3\n",
            "ünï": "4\n",
            "sub/link": "@/etc/passwd",
            "sub/.git": "gitdir: /nowhere\n",
            "b/HEAD": "",
            "b/refs/x": "",
            "b/objects/x": "",
        }
    )
    subprocess.run(["git", "init", "-q", str(desk.folder / "inner")], check=True)
    put(desk.folder, "inner/x", "")
    special(desk.folder, "pipe", monkeypatch)
    special(desk.folder, "socket", monkeypatch)
    with untouched(desk.folder):
        taken = plain.take(desk.repository, desk.folder)
    content = desk.content(taken.tree)
    assert sorted(content) == sorted([".gitignore", 'quote"d', '"q"', "line\nbreak", "ünï"])
    assert content["line\nbreak"] == (FILE, b"3\n") and content['"q"'] == (FILE, b"2\n")
    assert taken.files == 5
    assert {"build/", "x.log", "a.swp"} <= set(taken.ignored)
    assert sorted(taken.nested) == ["b", "inner", "sub"]
    assert taken.odd == ("pipe is a pipe", "socket is a socket")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named(desk: Desk) -> None:
    desk.write("a", "1\n", mode=0)
    desk.lay({"d/x": "1\n"})
    (desk.folder / "d").chmod(0)
    taken = plain.take(desk.repository, desk.folder)
    (desk.folder / "d").chmod(0o755)
    assert [row.split(" ")[0] for row in taken.odd] == ["a", "d"]


def entry(desk: Desk, content: str, mode: str = FILE) -> Entry:
    return Entry(mode, desk.repository.write_blob(content.encode()))


def raw_tree(desk: Desk, mode: str, name: str, id: str) -> str:
    """A tree of one entry, which git itself may not make."""
    content = f"{mode} ".encode() + os.fsencode(name) + b"\0" + bytes.fromhex(id)
    words = ("hash-object", "-w", "--literally", "-t", "tree", "--stdin")
    return desk.repository.git(*words, input=content).text


def special(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(folder / "pipe"),
        "socket": lambda: socket.socket(socket.AF_UNIX).bind("socket"),
    }
    with monkeypatch.context() as patch:
        patch.chdir(folder)  # an address of a socket is short
        make[kind]()
