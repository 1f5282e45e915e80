"""Sessions of folders that are no git repositories: every verb, on the real engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from claude_container import host
from claude_container.sessions import known, model
from tests.conftest import PROGRAM, TOKEN, Cli, StartModel, clean_environment
from tests.gitsession import GitSession, git, git_session, make_repository, remove, unique
from tests.running import bash
from tests.trees import FILE, held, untouched, workspace, write

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("image")]

LINES = "".join(f"{number}\n" for number in range(20))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path and content have what they can have."""
    made = tmp_path / "my notes, ünï:folder"
    write(made, {"a.txt": "a\n", "lines": LINES, "d/e/x": "x\n", "run": "#!/bin/sh\n"})
    write(made, {".gitignore": "/private\n", "private": "secret", "node_modules/m": ""})
    (made / "run").chmod(0o755)
    (made / "link").symlink_to("a.txt")
    return made


@pytest.fixture
def session(cli: Cli, folder: Path) -> Iterator[GitSession]:
    with git_session(cli, folder) as made:
        yield made


@pytest.fixture
def name() -> Iterator[str]:
    chosen = unique()
    yield chosen
    remove(chosen)


def scratch(session: GitSession) -> list[Path]:
    return list((Path.home() / ".cache/claude-container/folders").glob(f"{session.name}-*"))


def changed(line: int, word: str) -> str:
    return LINES.replace(f"\n{line}\n", f"\n{word}\n")


# Starting


def test_a_copy_is_made_and_nothing_is_written_into_the_folder(
    cli: Cli, folder: Path, name: str
) -> None:
    os.mkfifo(folder / "pipe")
    make_repository(folder / "inner")
    with untouched(folder):
        made = cli("start", name, "--no-enter", cwd=folder)
    assert made.code == 0, made.stderr
    assert f"{folder} is in no git repository: Claude gets a copy" in made.stderr
    assert f"session {name}: 6 files, " in made.stderr
    assert "2 ignored and 1 repository inside stayed here" in made.stderr
    assert "not in the session: pipe is a pipe" in made.stderr
    there = workspace(name)
    expected = held(folder)
    for left in ("private", "node_modules/m", *(p for p in expected if p.startswith("inner/"))):
        del expected[left]
    assert there == expected
    session = GitSession(name, folder)
    told = session.inside("git status --short; git log --format=%s")
    assert told == f"{folder.name}, as it was\n"
    labels = json.loads(
        subprocess.check_output(
            ["docker", "volume", "inspect", "-f", "{{json .Labels}}", model.session_volume(name)]
        )
    )
    assert labels[model.REPOSITORY] == "none"
    assert labels[model.DIRECTORY] == str(folder)
    assert labels[model.BASE] == session.inside("git rev-parse HEAD").strip()


def test_an_empty_folder_is_one_to_begin_in(cli: Cli, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with git_session(cli, empty) as session:
        session.commit("new/file", "1", "First")
        assert cli("merge", session.name, "--auto", cwd=empty).code == 0
        assert held(empty) == {"new/file": (FILE, b"1")}


def test_bytes_come_as_they_are_and_go_back_so(cli: Cli, tmp_path: Path, home: Path) -> None:
    write(home, {".gitconfig": "[core]\n\tautocrlf = true\n\teol = crlf\n"})
    folder = tmp_path / "bytes"
    write(folder, {".gitattributes": "* text=auto ident\n"})
    (folder / "crlf").write_bytes(b"one\r\ntwo\n$Id$\r\n")
    before = held(folder)
    with git_session(cli, folder) as session:
        assert workspace(session.name) == before
        session.inside(
            "printf 'three\\r\\n' >>crlf; printf 'lf\\n' >lf; git add -A; git commit -qm x"
        )
        assert cli("merge", session.name, "--auto", cwd=folder).code == 0
        assert held(folder) == workspace(session.name)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--clean"], "uncommitted work"),
        (["--branch", "x"], "names a branch"),
        (["--depth", "1"], "about history"),
        (["--as-stored"], "filters"),
    ],
)
def test_flags_about_history_are_refused(
    cli: Cli, folder: Path, name: str, flags: list[str], why: str
) -> None:
    refused = cli("start", name, "--no-enter", *flags, cwd=folder)
    assert refused.code == 2 and why in refused.stderr
    assert GitSession(name, folder).volumes() == []


def test_a_home_is_refused(cli: Cli, home: Path, name: str) -> None:
    for where in (home, home.parent):
        refused = cli("start", name, "--no-enter", cwd=where)
        assert refused.code == 2 and "claude-container's own" in refused.stderr
    assert GitSession(name, home).volumes() == []


def test_a_folder_that_is_too_large_is_refused(
    cli: Cli, folder: Path, name: str, home: Path
) -> None:
    write(home, {".config/claude-container/config.toml": 'fetch_limit = "1m"\n'})
    (folder / "sparse").write_bytes(b"")
    os.truncate(folder / "sparse", 3 << 30)
    refused = cli("start", name, "--no-enter", cwd=folder)
    assert refused.code == 1 and "holds 3.2 GB, and 0.0 GB are allowed" in refused.stderr
    assert "fetch_limit" in refused.stderr
    assert scratch(GitSession(name, folder)) == GitSession(name, folder).volumes() == []
    write(folder, {".gitignore": "sparse\n"})
    assert cli("start", name, "--no-enter", cwd=folder).code == 0


def test_a_making_that_fails_leaves_nothing(
    cli: Cli, folder: Path, name: str, tmp_path: Path
) -> None:
    volume = model.session_volume(name)
    subprocess.run(["docker", "volume", "create", volume], check=True, capture_output=True)
    refused = cli("start", name, "--no-enter", cwd=folder)
    assert refused.code == 1 and "that is no git session's" in refused.stderr
    assert scratch(GitSession(name, folder)) == []


def test_it_goes_on_from_anywhere_but_another_repository(
    cli: Cli, folder: Path, session: GitSession, tmp_path: Path
) -> None:
    for where in (folder, folder / "d", tmp_path):
        again = cli("start", session.name, "--no-enter", cwd=where)
        assert "is there already" in again.stderr
    other = make_repository(tmp_path / "other")
    refused = cli("start", session.name, "--no-enter", cwd=other)
    assert (refused.code, f"hint: cd {folder}" in refused.stderr) == (1, True)
    for verb in ("diff", "merge", "push"):
        words = ["--auto"] if verb == "merge" else []
        assert cli(verb, session.name, *words, cwd=folder / "d").code == 0
        refused = cli(verb, session.name, *words, cwd=tmp_path)
        assert (refused.code, f"hint: cd {folder}" in refused.stderr) == (1, True)


def test_claude_works_on_the_copy_and_its_work_is_merged_uncommitted_or_not(
    cli: Cli, folder: Path, name: str, start_model: StartModel
) -> None:
    step = "echo c >c; git add c; git commit -qm 'By claude'; cat a.txt >d/new; rm -r d/e"
    model_ = start_model([bash(step), {"text": "done"}])
    words = ["start", name, *model_.flags, "--", "-p", "work"]
    with untouched(folder):
        ran = cli(*words, cwd=folder, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert (ran.code, ran.stdout) == (0, "done\n"), ran.stderr
    assert f"left session {name}: 1 commit, 2 uncommitted files" in ran.stderr
    shown = cli("merge", name, "--dry-run", cwd=folder)
    assert shown.stdout.splitlines()[1:] == ["  added    c"]
    assert "not in here: 2 uncommitted files in the session" in shown.stderr
    done = cli("merge", name, "--auto", cwd=folder)
    assert "committing 2 uncommitted files in the session first" in done.stderr
    assert done.stdout.splitlines()[1:] == ["  added    c", "  deleted  d/e/x", "  added    d/new"]
    assert done.code == 0 and "2 added, 1 deleted" in done.stderr
    assert (folder / "d/new").read_text() == "a\n" and not (folder / "d/e").exists()
    assert (folder / "private").read_text() == "secret"


# Merging, again and again


def test_merging_again_brings_only_what_is_new(cli: Cli, session: GitSession) -> None:
    folder = session.repository

    def merge() -> list[str]:
        done = cli("merge", session.name, "--auto", cwd=folder)
        assert done.code == 0, done.stderr
        return done.stdout.splitlines()

    session.commit("lines", changed(3, "one"), "One")
    assert merge()[1:] == ["  changed  lines"]
    assert merge() == [f"nothing new for {folder}"]
    # The same line again: against what the session began with it would be a conflict.
    session.commit("lines", changed(3, "two"), "Two")
    assert merge()[1:] == ["  changed  lines"]
    (folder / "lines").write_text(changed(3, "two").replace("\n15\n", "\nmine\n"))
    (folder / "own").write_text("own\n")
    session.commit("lines", changed(3, "three"), "Three")
    assert merge()[1:] == ["  merged   lines"]
    expected = changed(3, "three").replace("\n15\n", "\nmine\n")
    assert (folder / "lines").read_text() == expected
    # Without what we keep of it: all that it made since it began, which is there.
    shutil.rmtree(known._scratches())
    assert merge() == [f"nothing new for {folder}"]
    assert (folder / "lines").read_text() == expected
    assert (folder / "own").read_text() == "own\n"


def test_a_merge_is_taken_back(cli: Cli, session: GitSession) -> None:
    folder = session.repository
    before = held(folder)
    session.inside("rm run; echo 2 >a.txt; echo 3 >new; git add -A; git commit -qm work")
    assert cli("merge", session.name, "--auto", cwd=folder).code == 0
    (folder / "lines").write_text("mine\n")
    shown = cli("merge", session.name, "--undo", "--dry-run", cwd=folder)
    assert shown.stdout.splitlines()[1:] == ["  changed  a.txt", "  deleted  new", "  added    run"]
    undone = cli("merge", session.name, "--undo", cwd=folder)
    assert undone.code == 0 and "the last merge into" in undone.stderr
    assert held(folder) == {**before, "lines": (FILE, b"mine\n")}
    twice = cli("merge", session.name, "--undo", cwd=folder)
    assert (twice.code, "no merge of session" in twice.stderr) == (1, True)
    listed = json.loads(cli("list", "--json").stdout)
    assert [row["commits"] for row in listed if row["name"] == session.name] == [1]
    assert cli("merge", session.name, "--auto", cwd=folder).code == 0
    assert (folder / "new").read_text() == "3\n"


def test_a_conflict_changes_nothing_and_is_resolved_in_the_session(
    cli: Cli, session: GitSession
) -> None:
    folder = session.repository
    session.inside("sed -i 's/^3$/theirs/' lines; echo 2 >a.txt; git commit -qam work")
    (folder / "lines").write_text(changed(3, "mine"))
    (folder / "own").write_text("own\n")
    with untouched(folder):
        shown = cli("merge", session.name, "--dry-run", cwd=folder)
        assert shown.code == 0
        assert "would conflict: lines: changed here and in the session" in shown.stderr
        refused = cli("merge", session.name, "--auto", cwd=folder)
    assert refused.code == 1
    assert "a conflict: nothing was written" in refused.stderr
    assert f"claude-container push {session.name}" in refused.stderr
    pushed = cli("push", session.name, cwd=folder)
    assert (pushed.code, "conflict in lines" in pushed.stderr) == (1, True)
    unfinished = cli("merge", session.name, "--auto", cwd=folder)
    assert (unfinished.code, "in conflict" in unfinished.stderr) == (1, True)
    both = "sed -i '/^[<=>]\\{7\\}/d' lines; git commit -qam Both"
    assert session.inside(f"{both}; cat own a.txt") == "own\n2\n"
    shown = cli("diff", session.name, "--name-only", cwd=folder)
    assert shown.stdout == "a.txt\nlines\n"
    done = cli("merge", session.name, "--auto", cwd=folder)
    assert done.stdout.splitlines()[1:] == ["  changed  a.txt", "  changed  lines"]
    assert "\ntheirs\nmine\n" in (folder / "lines").read_text()
    assert "has all of" in cli("push", session.name, cwd=folder).stderr


def test_what_is_pushed_keeps_what_is_ignored_here(cli: Cli, session: GitSession) -> None:
    """A file of the session's that a .gitignore names later is not deleted there."""
    folder = session.repository
    write(folder, {".gitignore": "/private\n/a.txt\n", "a.txt": "mine\n"})
    make_repository(folder / "d" / "inner")
    assert cli("push", session.name, cwd=folder).code == 0
    assert session.inside("cat a.txt .gitignore; ls d") == "mine\n/private\n/a.txt\ne\n"


@pytest.mark.parametrize(
    "flags",
    [["--squash"], ["--merge"], ["--into", "x"], ["--commits", "HEAD"], ["--with-snapshot"]],
)
def test_flags_about_commits_are_refused(cli: Cli, session: GitSession, flags: list[str]) -> None:
    ways = [] if "--commits" in flags else ["--auto"]
    refused = cli("merge", session.name, *flags, *ways, cwd=session.repository)
    assert refused.code == 2
    assert flags[0] in refused.stderr and "no git repository" in refused.stderr


def test_what_could_run_by_itself_needs_a_yes(cli: Cli, session: GitSession, home: Path) -> None:
    folder = session.repository
    session.commit(".claude/settings.json", '{"hooks": {}}', "Hooks")
    refused = cli("merge", session.name, "--auto", cwd=folder)
    assert refused.code == 2 and "--accept-risks" in refused.stderr
    assert not (folder / ".claude").exists()
    argv = [PROGRAM, "merge", session.name]
    for answers, comes in (("n", False), ("yn", False), ("yy", True)):
        child = pexpect.spawn(
            argv[0], argv[1:], cwd=folder, env=clean_environment(home), timeout=60, encoding="utf-8"
        )
        child.expect(r"Write this into .*\?")
        child.sendline(answers[0])
        if len(answers) > 1:
            child.expect("bring it")
            child.sendline(answers[1])
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert (folder / ".claude").exists() is comes


def test_merge_tells_scripts_what_it_did(cli: Cli, session: GitSession) -> None:
    folder = session.repository
    session.inside("echo 2 >a.txt; git rm -q run; git commit -qam work")
    for flags, written in ((["--dry-run"], False), (["--auto"], True)):
        told = json.loads(cli("merge", session.name, *flags, "--json", cwd=folder).stdout)
        assert told == {
            "folder": str(folder),
            "written": written,
            "files": [{"path": "a.txt", "how": "changed"}, {"path": "run", "how": "deleted"}],
            "conflicts": [],
            "already": 0,
            "left": [],
        }


# The other verbs


def test_a_git_that_refuses_bare_repositories_is_told_which_it_is(
    cli: Cli, folder: Path, home: Path
) -> None:
    write(home, {".gitconfig": "[safe]\n\tbareRepository = explicit\n"})
    with git_session(cli, folder) as session:
        session.commit("a.txt", "2", "Change")
        for words in (["diff", "--patch"], ["merge", "--auto"], ["push"], ["merge", "--undo"]):
            done = cli(words[0], session.name, *words[1:], cwd=folder)
            assert done.code == 0, done.stderr
        row = next(r for r in json.loads(cli("list", "--json").stdout) if r["name"] == session.name)
        assert row["commits"] == 1
        assert cli("delete", "--force", session.name, cwd=folder).code == 0


def test_diff_shows_and_chooses(cli: Cli, session: GitSession) -> None:
    folder = session.repository
    session.commit("d/e/x", "2", "Change")
    session.inside("echo new >pending")
    shown = cli("diff", session.name, cwd=folder)
    assert "1 new commit" in shown.stdout and "M  d/e/x" in shown.stdout
    assert "?? pending" in shown.stdout
    chosen = cli("diff", session.name, "--stat", "--", "e", cwd=folder / "d")
    assert chosen.stdout.startswith("M  d/e/x")
    assert "+2" in cli("diff", session.name, "--patch", cwd=folder).stdout
    cli("merge", session.name, "--auto", cwd=folder)
    assert "no new commits" in cli("diff", session.name, cwd=folder).stdout


def test_list_and_delete_know_what_is_merged(cli: Cli, session: GitSession) -> None:
    folder = session.repository
    session.commit("a.txt", "2", "Change")
    refused = cli("delete", session.name)
    assert refused.code == 1 and "1 commit" in refused.stderr and "Change" in refused.stderr
    assert cli("merge", session.name, "--auto", cwd=folder).code == 0
    row = next(r for r in json.loads(cli("list", "--json").stdout) if r["name"] == session.name)
    assert (row["commits"], row["uncommitted"], row["repository"]) == (0, 0, None)
    assert (row["directory"], row["repository_gone"]) == (str(folder), False)
    assert "(folder)" in cli("list").stdout
    session.inside("echo pending >x")
    assert "1 uncommitted file" in cli("delete", session.name).stderr
    session.inside("rm x")
    assert len(scratch(session)) == 1
    assert cli("delete", session.name).code == 0
    assert (session.volumes(), scratch(session)) == ([], [])


NEST = (
    "git init -q nested && cd nested && echo hours >work && git add work"
    " && git -c user.name=a -c user.email=a@b commit -qm Work"
)


def test_a_repository_made_inside_keeps_the_session(cli: Cli, session: GitSession) -> None:
    session.inside(NEST)
    merged = cli("merge", session.name, "--auto", "--delete", cwd=session.repository)
    assert "nested is a git repository of its own" in merged.stderr
    assert session.volumes() and not (session.repository / "nested").exists()
    refused = cli("delete", session.name)
    assert refused.code == 1
    assert "1 repository in it, at a commit that is nowhere else:\n    nested" in refused.stderr
    assert cli("delete", session.name, "--force").code == 0


def test_what_the_users_own_configuration_names_needs_a_yes(
    cli: Cli, session: GitSession, home: Path
) -> None:
    folder = session.repository
    (home / ".gitconfig").write_text(f"[include]\n\tpath = {folder / 'a.txt'}\n")
    session.commit("a.txt", "[alias]\n\tst = !echo hello\n", "Change")
    assert "include.path" in cli("diff", session.name, cwd=folder).stdout
    refused = cli("merge", session.name, "--auto", cwd=folder)
    assert refused.code == 2 and "include.path" in refused.stderr
    assert "alias" not in (folder / "a.txt").read_text()


def test_a_folder_that_is_gone_loses_nothing_more(cli: Cli, session: GitSession) -> None:
    folder = session.repository
    session.commit("a.txt", "2", "Change")
    assert cli("merge", session.name, "--auto", cwd=folder).code == 0
    moved = folder.rename(folder.with_name("moved"))
    row = next(r for r in json.loads(cli("list", "--json").stdout) if r["name"] == session.name)
    assert row["repository_gone"] is True
    gone = cli("merge", session.name, "--auto", cwd=moved)
    assert (gone.code, "which is gone" in gone.stderr) == (1, True)
    folder.symlink_to(moved)
    session.commit("a.txt", "3", "Again")
    assert cli("merge", session.name, "--auto", cwd=moved).code == 0
    assert (moved / "a.txt").read_text() == "3"


def test_git_fetches_it_from_any_repository(
    cli: Cli, session: GitSession, tmp_path: Path, home: Path
) -> None:
    tip = session.commit("a.txt", "2", "Change")
    other = make_repository(tmp_path / "other")
    env = {**clean_environment(home), "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}"}
    address = f"claude-container::{session.name}"
    argv = ["git", "fetch", "--quiet", "--no-tags", address]
    subprocess.run(argv, cwd=other, env=env, check=True, capture_output=True)
    assert git(other, "rev-parse", "FETCH_HEAD") == tip


def test_a_command_runs_in_it(cli: Cli, session: GitSession, tmp_path: Path) -> None:
    ran = cli("exec", session.name, "--", "cat", "a.txt", cwd=tmp_path)
    assert (ran.code, ran.stdout) == (0, "a\n"), ran.stderr


def test_the_base_cannot_be_moved_from_inside(cli: Cli, session: GitSession, home: Path) -> None:
    """A history of its own, with what we keep thrown away: the label's commit is fetched by id."""
    folder = session.repository
    base = session.inside("git rev-parse HEAD").strip()
    session.inside(
        "git checkout -q --orphan other; git rm -qf run; echo 2 >a.txt; git commit -qam New;"
        " git branch -D main; git branch -m main"
    )
    shutil.rmtree(known._scratches())
    shown = cli("merge", session.name, "--dry-run", cwd=folder)
    assert shown.stdout.splitlines()[1:] == ["  changed  a.txt", "  deleted  run"], shown.stderr
    assert host.cache_dir() and base in git(scratch(session)[0], "rev-parse", "--all")
    session.inside("git reflog expire --expire=now --all; git gc -q --prune=now")
    shutil.rmtree(known._scratches())
    lost = cli("merge", session.name, "--dry-run", cwd=folder)
    assert lost.code == 1 and "neither in it any more nor here" in lost.stderr
    assert base in lost.stderr
    env = {**clean_environment(home), "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}"}
    argv = ["git", "clone", "--quiet", f"claude-container::{session.name}", str(folder / "all")]
    subprocess.run(argv, env=env, check=True, capture_output=True)
    assert (folder / "all" / "a.txt").read_text() == "2\n"
