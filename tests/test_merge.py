"""Merging a session: what comes, under which ids, and what is refused beforehand. Real git."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from claude_container.changes import plan as planning
from claude_container.changes.taken import Refused
from claude_container.errors import UsageError
from tests.histories import IDENTITY, Lab, subjects

pytestmark = pytest.mark.git


@pytest.fixture
def lab(tmp_path: Path, home: Path) -> Lab:
    (home / ".gitconfig").write_text(IDENTITY)
    return Lab(tmp_path)


def state(lab: Lab) -> tuple[str, ...]:
    """All that a refused merge must leave as it is."""
    return (lab.refs(), lab.host.status(), lab.host.git("diff"), lab.host.git("diff", "--cached"))


def refused(lab: Lab, **options: object) -> Refused:
    before = state(lab)
    with pytest.raises(Refused) as caught:
        lab.merge(**options)  # type: ignore[arg-type]
    assert state(lab) == before
    return caught.value


def test_a_clean_session_on_a_branch_that_did_not_move_is_fast_forwarded(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    tip = lab.agent.commit("two", a="changed\n")
    outcome = lab.merge()
    assert (outcome.kind, outcome.new_ids, outcome.after) == (planning.FAST_FORWARD, False, tip)
    assert lab.host.id() == tip and lab.host.read("a.txt") == "changed\n"
    assert lab.host.status() == ""


def test_a_fast_forward_keeps_merge_commits_and_brings_what_comes_later(lab: Lab) -> None:
    lab.start()
    lab.agent.git("switch", "--quiet", "-c", "side")
    lab.agent.commit("side", s="s\n")
    lab.agent.git("switch", "--quiet", "main")
    lab.agent.commit("straight", c="c\n")
    lab.agent.git("merge", "--quiet", "--no-edit", "side")
    assert lab.merge().after == lab.agent.id()
    assert lab.plan().kind == planning.NOTHING
    tip = lab.agent.commit("later", c="later\n")
    assert (lab.merge().kind, lab.host.id()) == (planning.FAST_FORWARD, tip)


@pytest.mark.parametrize("staged", [False, True])
def test_a_fast_forward_goes_around_the_users_own_work(lab: Lab, staged: bool) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.write("b.txt", "mine\n")
    if staged:
        lab.host.git("add", "b.txt")
    before = lab.host.status()
    assert lab.merge().kind == planning.FAST_FORWARD
    assert lab.host.status() == before
    assert lab.undo().tip == lab.base
    assert (lab.host.status(), lab.host.read("c.txt")) == (before, None)


@pytest.mark.parametrize("staged", [False, True])
def test_a_fast_forward_over_the_users_own_work_is_refused(lab: Lab, staged: bool) -> None:
    lab.start()
    lab.agent.commit("one", b="b2\n")
    lab.host.write("b.txt", "mine\n")
    if staged:
        lab.host.git("add", "b.txt")
    assert "b.txt" in refused(lab).evidence


def test_on_a_branch_that_moved_commits_are_replayed_under_new_ids(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one\n\nbody  \n# no comment\n\n\n\nend", c="c\n")
    lab.agent.commit("", a="changed\n")
    lab.host.commit("mine", b="mine\n")
    outcome = lab.merge()
    assert (outcome.kind, outcome.new_ids) == (planning.REPLAY, True)
    assert lab.host.git("log", "--format=%s|", "-3").split("\n") == ["|", "one|", "mine|"]
    shown = ("log", "-2", "--format=%an %ae %ad %B", "--date=raw")
    assert lab.host.git(*shown) == lab.agent.git(*shown)
    assert lab.host.git("log", "-2", "--format=%cn") == "A User\nA User"
    assert lab.plan().kind == planning.NOTHING


def test_the_snapshot_is_never_brought(lab: Lab) -> None:
    lab.host.write("a.txt", "unstaged\n")
    lab.host.write("new.txt", "untracked\n")
    lab.start(snapshot=True)
    lab.agent.commit("one", c="c\n")
    before = lab.host.status()
    assert lab.merge().kind == planning.REPLAY
    assert lab.host.subjects() == ["base", "one"]
    assert lab.host.status() == before
    lab.agent.commit("two", c="c2\n")
    lab.merge()
    assert lab.host.subjects() == ["base", "one", "two"]


def test_empty_commits_are_kept_and_redundant_ones_counted(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("empty")
    lab.agent.commit("first half", c="c\n", d="d\n")
    lab.agent.commit("last", e="e\n")
    lab.host.commit("both", c="c\n", d="d\n", z="z\n")
    outcome = lab.merge()
    assert (outcome.dropped, lab.host.subjects()) == (1, ["base", "both", "empty", "last"])
    assert lab.plan().kind == planning.NOTHING


def test_only_redundant_commits_leave_the_branch_as_it_is(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    tip = lab.host.commit("mine", c="c\n", z="z\n")
    assert (lab.merge().dropped, lab.host.id()) == (1, tip)
    assert lab.plan().kind == planning.NOTHING
    lab.undo()
    assert lab.host.id() == tip and subjects(lab.plan().commits) == ["one"]


@pytest.mark.parametrize("way", [{}, {"squash": True}, {"merge": True}])
def test_staged_work_is_refused_for_all_but_a_fast_forward(lab: Lab, way: dict[str, bool]) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.commit("mine", b="mine\n")
    lab.host.write("staged.txt", "staged\n")
    lab.host.git("add", "staged.txt")
    assert "staged.txt" in refused(lab, **way).evidence


@pytest.mark.parametrize("way", [{}, {"squash": True}, {"merge": True}])
def test_unstaged_work_elsewhere_stays_through_merge_and_undo(
    lab: Lab, way: dict[str, bool]
) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.commit("mine", b="mine\n", d="d\n")
    lab.host.write("b.txt", "unstaged\n")
    lab.host.write("d.txt", None)
    lab.host.write("new/untracked", "untracked\n")
    before = state(lab)
    lab.merge(**way)  # type: ignore[arg-type]
    assert state(lab)[1:] == before[1:] and lab.host.read("c.txt") == "c\n"
    lab.undo()
    assert state(lab) == before


def rename(lab: Lab) -> None:
    lab.agent.git("mv", "a.txt", "moved.txt")


CHANGES = {
    "edits it": ("a.txt", lambda lab: lab.agent.write("a.txt", "agent\n")),
    "deletes it": ("a.txt", lambda lab: lab.agent.write("a.txt", None)),
    "renames it": ("a.txt", rename),
    "renames to it": ("moved.txt", rename),
    "adds it": ("new.txt", lambda lab: lab.agent.write("new.txt", "agent\n")),
    "makes it a folder": ("thing", lambda lab: lab.agent.write("thing/file", "agent\n")),
    "makes a file of its folder": ("thing/mine", lambda lab: lab.agent.write("thing", "agent\n")),
    "changes its mode": ("a.txt", lambda lab: (lab.agent.folder / "a.txt").chmod(0o755)),
}


@pytest.mark.parametrize("moved", [True, False], ids=["replay", "fast-forward"])
@pytest.mark.parametrize("what", CHANGES)
def test_work_in_a_file_is_refused_where_a_commit(lab: Lab, what: str, moved: bool) -> None:
    mine, change = CHANGES[what]
    lab.start()
    change(lab)
    lab.agent.commit(what)
    if moved:
        lab.host.commit("mine", z="z\n")
    lab.host.write(mine, "mine\n")
    error = refused(lab)
    assert error.evidence == mine and "git stash" in error.hint


@pytest.mark.parametrize("moved", [True, False], ids=["replay", "fast-forward"])
@pytest.mark.parametrize("mine, theirs", [("x", "x"), ("x", "x/y"), ("x/deep/y", "x")])
def test_an_ignored_file_is_not_overwritten(lab: Lab, mine: str, theirs: str, moved: bool) -> None:
    lab.host.write(".gitignore", "x\n")
    lab.host.commit("ignore")
    lab.start()
    lab.agent.write(theirs, "agent\n")
    lab.agent.git("add", "--force", "--all")
    lab.agent.commit("force")
    if moved:
        lab.host.commit("mine", z="z\n")
    lab.host.write(mine, "secret\n")
    assert refused(lab).evidence == mine
    assert lab.host.read(mine) == "secret\n"


def test_work_in_a_file_that_the_host_renamed_is_refused(lab: Lab) -> None:
    """git finds that out only on its way; what was begun is put back."""
    lab.start()
    lab.agent.commit("before", c="c\n")
    lab.agent.commit("one", a="a\nmore\n")
    lab.host.git("mv", "a.txt", "moved.txt")
    lab.host.commit("move")
    lab.host.write("moved.txt", "mine\n")
    assert "moved.txt" in refused(lab).evidence
    assert lab.host.subjects() == ["base", "move"]


def test_names_that_differ_by_case_overlap_where_the_repository_says_so(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", New="agent\n")
    lab.host.commit("mine", z="z\n")
    lab.host.write("new.txt", "mine\n")
    lab.host.git("config", "core.ignorecase", "true")
    assert refused(lab).evidence == "new.txt"


@pytest.mark.parametrize(
    ("setting", "mine", "theirs"),
    [
        ("core.ignorecase", "README", "Readme"),
        ("core.ignorecase", "a/Straße", "a/STRASSE"),
        ("core.ignorecase", "docs", "Docs/x"),
        ("core.ignorecase", "Docs/x", "docs"),
        ("core.precomposeunicode", "caf\u00e9", "cafe\u0301"),
    ],
)
@pytest.mark.parametrize("both_theirs", [False, True])
def test_files_that_the_file_system_takes_for_one_are_refused_before_it_starts(
    lab: Lab, setting: str, mine: str, theirs: str, both_theirs: bool
) -> None:
    if not both_theirs:
        lab.host.write(mine, "mine\n")
        lab.host.commit("mine")
    lab.start()
    if both_theirs:
        lab.agent.write(mine, "theirs, too\n")
    lab.agent.write(theirs, "theirs\n")
    lab.agent.commit("one")
    for there in ("core.ignorecase", "core.precomposeunicode"):
        lab.host.git("config", there, str(there == setting).lower())
    error = refused(lab)
    assert error.evidence == ", ".join(sorted([mine, theirs]))
    # Where no file is written both can be, and a rename in the session is enough.
    assert lab.plan(into="other").kind == planning.FAST_FORWARD
    lab.agent.git("mv", theirs, "another name")
    lab.agent.commit("renamed")
    assert lab.merge().kind == planning.FAST_FORWARD
    assert lab.host.read(mine) is not None and lab.host.read("another name") == "theirs\n"


def test_names_that_were_alike_before_refuse_nothing(lab: Lab) -> None:
    """It is only what would come that counts, and replaying counts as much."""
    lab.host.write("README", "a\n")
    lab.host.write("Readme", "b\n")
    lab.host.commit("both")
    lab.host.git("config", "core.ignorecase", "true")
    lab.start()
    lab.agent.commit("one", c="c\n")
    assert lab.merge().kind == planning.FAST_FORWARD
    lab.agent.commit("two", NEW="theirs\n")
    lab.host.commit("mine", new="mine\n")
    assert refused(lab).evidence == "NEW.txt, new.txt"


def test_a_file_may_change_the_case_of_its_name(lab: Lab) -> None:
    lab.host.git("config", "core.ignorecase", "true")
    lab.start()
    lab.agent.git("mv", "a.txt", "A.txt")
    lab.agent.commit("rename")
    assert lab.merge().kind == planning.FAST_FORWARD
    assert lab.host.git("ls-files").split() == ["A.txt", "b.txt"]


def test_the_hint_names_with_snapshot_where_it_would_do(lab: Lab) -> None:
    lab.host.write("a.txt", "a\nunstaged\n")
    lab.start(snapshot=True)
    lab.agent.commit("one", a="a\nunstaged\nagent\n")
    assert "--with-snapshot" in refused(lab).hint
    lab.host.write("a.txt", "a\nother\n")
    assert "--with-snapshot" not in refused(lab).hint


def test_with_snapshot_commits_the_work_and_fast_forwards(lab: Lab) -> None:
    lab.host.write("a.txt", "staged\n")
    lab.host.git("add", "a.txt")
    lab.host.write("a.txt", "unstaged\n")
    lab.host.write("new.txt", "untracked\n")
    before = state(lab)
    lab.start(snapshot=True)
    tip = lab.agent.commit("one", a="agent\n")
    outcome = lab.merge(with_snapshot=True)
    assert (outcome.new_ids, lab.host.id(), lab.host.status()) == (False, tip, "")
    assert len(lab.host.subjects()) == 3
    tip = lab.agent.commit("two", c="c\n")
    assert lab.merge().after == tip
    lab.undo()
    lab.undo()
    assert state(lab) == before
    assert subjects(lab.plan(with_snapshot=True).commits) == ["one", "two"]


def test_with_snapshot_is_refused_once_the_work_or_the_branch_is_another(lab: Lab) -> None:
    lab.host.write("a.txt", "unstaged\n")
    lab.start(snapshot=True)
    lab.agent.commit("one", c="c\n")
    lab.host.write("a.txt", "more\n")
    assert "no longer" in refused(lab, with_snapshot=True).evidence
    lab.host.git("checkout", "a.txt")
    lab.host.commit("mine", z="z\n")
    assert "no longer" in refused(lab, with_snapshot=True).evidence


def test_with_snapshot_is_refused_for_a_session_that_began_clean_or_for_a_part(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    assert "no uncommitted work" in refused(lab, with_snapshot=True).evidence


def test_with_snapshot_is_refused_for_a_part_of_the_session(lab: Lab) -> None:
    lab.host.write("a.txt", "unstaged\n")
    lab.start(snapshot=True)
    one = lab.agent.commit("one", c="c\n")
    lab.agent.commit("two", c="c2\n")
    refused(lab, with_snapshot=True, chosen=(one,))


def test_no_hook_runs(lab: Lab, tmp_path: Path) -> None:
    """Neither the user's own nor, where core.hooksPath says so, the session's."""
    lab.start()
    names = ("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit", "post-checkout")
    names += ("post-merge", "pre-merge-commit", "reference-transaction", "post-rewrite")
    for name in (*names, "post-index-change"):
        lab.agent.write(f".husky/{name}", f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\n")
        (lab.agent.folder / ".husky" / name).chmod(0o755)
        lab.host.write(f".git/hooks/{name}", f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\n")
        (lab.host.folder / ".git/hooks" / name).chmod(0o755)
    lab.agent.commit("hooks")
    lab.agent.commit("conflict", a="agent\n")
    lab.host.git("-c", "core.hooksPath=/dev/null", "branch", "other")
    lab.host.git("-c", "core.hooksPath=/dev/null", "commit", "--allow-empty", "-m", "mine")
    for path in (".husky", ".git/hooks"):
        lab.host.git("config", "core.hooksPath", path)
        for way in ({}, {"squash": True}, {"merge": True}):
            for into in ("main", "other", "made"):
                lab.merge(into=into, **way)
                lab.undo()
    assert list(tmp_path.glob("ran-*")) == []


def test_signing_applies(lab: Lab, tmp_path: Path) -> None:
    signer = tmp_path / "signer"
    signer.write_text('#!/bin/sh\ncat >/dev/null\necho "[GNUPG:] SIG_CREATED " >&2\necho signed\n')
    signer.chmod(0o755)
    lab.host.git("config", "gpg.program", str(signer))
    lab.host.git("config", "commit.gpgSign", "true")
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.git("commit", "--no-gpg-sign", "--allow-empty", "-m", "mine")
    lab.merge()
    assert "gpgsig" in lab.host.git("cat-file", "commit", "HEAD")


def test_signing_that_fails_puts_everything_back(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.commit("mine", b="mine\n")
    lab.host.git("config", "gpg.program", "/bin/false")
    lab.host.git("config", "commit.gpgSign", "true")
    assert "sign" in refused(lab).evidence
    lab.host.git("config", "commit.gpgSign", "false")
    assert lab.merge().finished


def test_settings_of_the_users_do_not_change_what_a_merge_is(lab: Lab) -> None:
    for name, value in {
        "merge.ff": "false",
        "branch.main.mergeOptions": "--squash --no-commit",
        "merge.autoStash": "true",
        "commit.cleanup": "strip",
        "submodule.recurse": "true",
        "core.editor": "false",
        "diff.noprefix": "true",
        "log.showSignature": "true",
        "core.quotePath": "false",
        "color.ui": "always",
        "status.showUntrackedFiles": "no",
        "diff.renames": "copies",
    }.items():
        lab.host.git("config", name, value)
    lab.start()
    tip = lab.agent.commit("one", c="c\n")
    assert (lab.merge().kind, lab.host.id()) == (planning.FAST_FORWARD, tip)
    lab.host.commit("mine", z="z\n")
    lab.agent.commit("two", d="d\n")
    assert lab.merge().finished and lab.host.subjects()[-1] == "two"
    lab.agent.commit("three", e="e\n")
    assert lab.merge(merge=True).finished and lab.host.status() == ""
    assert lab.host.subjects("-1") == ["Merge session work"]


def test_files_of_every_kind_arrive(lab: Lab) -> None:
    lab.host.write("crlf", "a\r\n")
    lab.host.write("old name", "".join(f"line {n}\n" for n in range(20)))
    lab.host.commit("kinds")
    lab.start()
    lab.agent.write("binary", bytes(range(256)))
    lab.agent.commit("binary")
    lab.agent.write("binary", bytes(range(255, -1, -1)))
    lab.agent.commit("binary again")
    (lab.agent.folder / "a.txt").chmod(0o755)
    (lab.agent.folder / "link").symlink_to("a.txt")
    lab.agent.write('ünï "quoted"\n\tname', "odd\n")
    lab.agent.git("mv", "old name", "new name")
    lab.agent.write("crlf", "b\r\n")
    lab.agent.write("empty", "")
    lab.agent.commit("kinds")
    lab.host.commit("mine", z="z\n")
    lab.merge()
    (lab.host.folder / "z.txt").unlink()
    lab.host.git("add", "--all")
    assert lab.host.git("write-tree") == lab.agent.git("rev-parse", "HEAD^{tree}")
    assert os.stat(lab.host.folder / "a.txt").st_mode & stat.S_IXUSR


@pytest.mark.parametrize("operation", ["merge", "cherry-pick", "revert", "rebase"])
def test_nothing_begins_while_git_is_at_something_else(lab: Lab, operation: str) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.git("branch", "side")
    lab.host.commit("mine", a="mine\n")
    lab.host.commit("more", a="more\n")
    lab.host.git("switch", "--quiet", "side")
    lab.host.commit("other", a="other\n")
    lab.host.git(operation, "main~1" if operation == "revert" else "main", check=False)
    error = refused(lab)
    assert operation in error.what and f"git {operation} --abort" in error.evidence
    lab.host.git("branch", "free", lab.base)
    assert lab.merge(into="free").finished


def test_a_bisect_is_no_hindrance(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.git("bisect", "start")
    assert lab.merge().finished


def test_a_detached_head_and_an_unborn_branch_are_refused(lab: Lab) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    lab.host.git("checkout", "--quiet", "--detach")
    assert "--into" in refused(lab).hint
    lab.host.git("symbolic-ref", "HEAD", "refs/heads/unborn")
    with pytest.raises(Refused, match="no commit yet"):
        lab.merge()


def test_a_session_that_is_not_of_this_repository_is_refused(lab: Lab) -> None:
    with pytest.raises(Refused, match="knows nothing"):
        planning.plan(lab.repository, "work")


@pytest.mark.parametrize(
    "options",
    [
        {"squash": True, "merge": True},
        {"merge": True, "ranges": ("HEAD",)},
        {"message": "words"},
        {"with_snapshot": True, "into": "main"},
        {"into": "-x"},
        {"into": "HEAD"},
        {"into": "a..b"},
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(lab: Lab, options: dict[str, object]) -> None:
    lab.start()
    lab.agent.commit("one", c="c\n")
    with pytest.raises(UsageError):
        lab.plan(**options)
