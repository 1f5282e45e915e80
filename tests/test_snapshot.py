"""Uncommitted work as one commit, and the rest of what goes into a session: no engine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from claude_container import git as our_git
from claude_container.clone import endings, luggage, packing, snapshot, submodules
from claude_container.clone.packing import Wanted
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from tests.gitsession import git, make_repository
from tests.trees import FILE, PROGRAM, Content, held, untouched, write

pytestmark = pytest.mark.git


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "my repo, ünï")


def found(folder: Path) -> Repository:
    repository = our_git.find(folder)
    assert repository is not None
    return repository


def stored(repo: Path, tree: str) -> Content:
    content = {}
    rows = subprocess.check_output(["git", "-C", str(repo), "ls-tree", "-r", "-z", tree])
    for row in filter(None, rows.split(b"\0")):
        what, path = row.split(b"\t", 1)
        mode, kind, id = what.decode().split()
        show = ["git", "-C", str(repo), "cat-file", kind, id]
        content[os.fsdecode(path)] = (
            mode,
            subprocess.check_output(show) if kind == "blob" else id.encode(),
        )
    return content


def snapshot_of(repo: Path) -> Content:
    """Take a snapshot, see that nothing of the user's changed, and read it."""
    repository = found(repo)
    with untouched(repo):
        work = snapshot.uncommitted(repository)
        tree = snapshot.take(repository, work.nested)
    return stored(repo, tree.id)


# The working tree as it is


def staged_and_unstaged(repo: Path) -> None:
    write(repo, {"a.txt": "staged\n", "new": "new\n"})
    git(repo, "add", "a.txt", "new")
    write(repo, {"a.txt": "and on\n", "b.txt": "b2\n", "untracked": "u\n"})


def intent_to_add(repo: Path) -> None:
    write(repo, {"meant": "later\n"})
    git(repo, "add", "--intent-to-add", "meant")


def deleted(repo: Path) -> None:
    (repo / "a.txt").unlink()
    git(repo, "rm", "-q", "b.txt")
    write(repo, {"c": "c"})


def deleted_in_the_index_alone(repo: Path) -> None:
    git(repo, "rm", "-q", "--cached", "a.txt")


def other_modes(repo: Path) -> None:
    (repo / "a.txt").chmod(0o755)
    (repo / "run").write_text("#!/bin/sh\n")
    (repo / "run").chmod(0o700)


def renamed(repo: Path) -> None:
    git(repo, "mv", "a.txt", "z.txt")
    (repo / "b.txt").rename(repo / "y.txt")


def a_file_became_a_folder(repo: Path) -> None:
    (repo / "a.txt").unlink()
    write(repo, {"a.txt/inside/deep": "d\n"})


def a_folder_became_a_file(repo: Path) -> None:
    write(repo, {"dir/one": "1", "dir/two": "2"})
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "A folder")
    subprocess.check_call(["rm", "-r", str(repo / "dir")])
    write(repo, {"dir": "now a file\n"})


def a_file_became_a_link(repo: Path) -> None:
    (repo / "a.txt").unlink()
    (repo / "a.txt").symlink_to("nowhere at all")
    (repo / "to a folder").symlink_to("/etc")


def unmerged(repo: Path) -> None:
    git(repo, "switch", "-qc", "side")
    write(repo, {"a.txt": "side\n"})
    git(repo, "commit", "-qam", "Side")
    git(repo, "switch", "-q", "main")
    write(repo, {"a.txt": "main\n"})
    git(repo, "commit", "-qam", "Main")
    assert subprocess.call(["git", "-C", str(repo), "merge", "-q", "side"], stdout=-3) == 1


def pipes_and_sockets(repo: Path) -> None:
    os.mkfifo(repo / "pipe")
    # A path of a socket is short.
    here = Path.cwd()
    os.chdir(repo)
    try:
        socket.socket(socket.AF_UNIX).bind("socket")
    finally:
        os.chdir(here)
    write(repo, {"beside": "x"})


def stashed(repo: Path) -> None:
    write(repo, {"a.txt": "stashed\n"})
    git(repo, "stash", "-q")
    write(repo, {"a.txt": "after\n"})


def locked(repo: Path) -> None:
    """Another git is at work, or died."""
    (repo / ".git" / "index.lock").touch()
    write(repo, {"a.txt": "locked\n"})


def split_index(repo: Path) -> None:
    git(repo, "config", "core.splitIndex", "true")
    git(repo, "update-index", "--split-index")
    write(repo, {"a.txt": "split\n", "new": "n"})
    git(repo, "add", "new")


def caches(repo: Path) -> None:
    git(repo, "config", "core.untrackedCache", "true")
    git(repo, "config", "core.fsmonitor", "touch fsmonitor-ran; false")
    git(repo, "config", "feature.manyFiles", "true")
    git(repo, "-c", "core.fsmonitor=false", "update-index", "--untracked-cache")
    git(repo, "-c", "core.fsmonitor=false", "status")
    write(repo, {"x/new": "n"})


def own_ways(repo: Path) -> None:
    """Settings that would have git refuse, sign, or see nothing."""
    for key, value in {
        "core.safecrlf": "true",
        "core.autocrlf": "input",
        "status.showUntrackedFiles": "no",
        "status.relativePaths": "false",
        "commit.gpgSign": "true",
        "core.logAllRefUpdates": "always",
        "add.ignoreErrors": "true",
    }.items():
        git(repo, "config", key, value)
    write(repo, {"new": "n\n"})


def hooks(repo: Path) -> None:
    for name in ("pre-commit", "post-index-change", "reference-transaction", "post-commit"):
        hook = repo / ".git" / "hooks" / name
        hook.write_text("#!/bin/sh\ntouch hook-ran\n")
        hook.chmod(0o755)
    write(repo, {"new": "n\n"})


def odd_names(repo: Path) -> None:
    names = [" blank ", "-rf", "--help", "a\nb", "tab\there", 'quote"d', "it's", "ü", "u\u0308"]
    names += [":(top)x", "*", "[a]", "\\back", "#hash", "!not", "~", "é" * 100, "\udcff-raw"]
    write(repo, {f"odd/{name}": name.encode(errors="replace").decode() for name in names})
    write(repo, {"/".join(["deep"] * 60): "d"})


CASES: list[Callable[[Path], None]] = [
    staged_and_unstaged,
    intent_to_add,
    deleted,
    deleted_in_the_index_alone,
    other_modes,
    renamed,
    a_file_became_a_folder,
    a_folder_became_a_file,
    a_file_became_a_link,
    unmerged,
    pipes_and_sockets,
    stashed,
    locked,
    split_index,
    caches,
    own_ways,
    hooks,
    odd_names,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_snapshot_holds_the_tree_as_it_is(case: Callable[[Path], None], repo: Path) -> None:
    case(repo)
    assert snapshot_of(repo) == held(repo)


def test_the_snapshot_is_one_commit_on_head_by_the_sessions_author(repo: Path) -> None:
    write(repo, {"a.txt": "changed\n"})
    repository = found(repo)
    tree = snapshot.take(repository)
    commit = snapshot.commit(repository, "fix", tree.id, ("C. Laude", "c@example.com"))
    shown = git(repo, "show", "-s", "--format=%P|%an|%ae|%cn|%ce|%s", commit)
    head = git(repo, "rev-parse", "HEAD")
    who = "C. Laude|c@example.com"
    assert shown == f"{head}|{who}|{who}|Uncommitted work, as it came into session fix"


def test_repositories_inside_stay_and_are_named(repo: Path) -> None:
    make_repository(repo / "vendor" / "ïnner: *")
    git(repo, "init", "-q", "empty one")
    write(repo, {"vendor/beside": "b"})
    work = snapshot.uncommitted(found(repo))
    assert work == snapshot.Uncommitted(0, 1, ("empty one/", "vendor/ïnner: */"), ())
    assert set(snapshot_of(repo)) == {"a.txt", "b.txt", "vendor/beside"}


def test_nothing_but_a_repository_inside_makes_no_snapshot(repo: Path) -> None:
    make_repository(repo / "inner")
    planned = packing.plan(found(repo), "fix", Wanted())
    assert not planned.created.snapshot
    assert planned.git.commit == git(repo, "rev-parse", "HEAD")


def test_ignored_work_stays_and_is_counted_by_file_and_whole_folder(repo: Path) -> None:
    write(repo, {".gitignore": "*.log\nbuild/\n", "x.log": "", "d/y.log": "", "build/a/b": ""})
    work = snapshot.uncommitted(found(repo))
    assert (work.changed, work.new) == (0, 1)
    assert set(work.ignored) == {"x.log", "d/y.log", "build/"}
    assert set(snapshot_of(repo)) == {"a.txt", "b.txt", ".gitignore"}


def test_what_git_was_told_to_overlook_stays_as_committed(repo: Path) -> None:
    git(repo, "update-index", "--assume-unchanged", "a.txt")
    git(repo, "update-index", "--skip-worktree", "b.txt")
    write(repo, {"a.txt": "mine\n", "b.txt": "mine\n", "new": "n"})
    seen = snapshot_of(repo)
    assert (seen["a.txt"][1], seen["b.txt"][1], seen["new"][1]) == (b"a\n", b"b\n", b"n")


@pytest.mark.parametrize("kind", ["--cone", "--no-cone", "--sparse-index"])
def test_a_sparse_checkout_loses_nothing(kind: str, repo: Path) -> None:
    write(repo, {"in/x": "x\n", "out/y": "y\n", "out/deep/z": "z\n"})
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "More")
    full = held(repo)
    flags = ["--cone", "--sparse-index"] if kind == "--sparse-index" else [kind]
    git(repo, "sparse-checkout", "set", *flags, "/in/" if kind == "--no-cone" else "in")
    assert not (repo / "out").exists()
    write(repo, {"in/x": "changed\n", "out/new": "outside\n"})
    expected = {**full, **held(repo)}
    assert snapshot_of(repo) == expected


def test_without_file_modes_the_index_has_them(repo: Path) -> None:
    git(repo, "update-index", "--chmod=+x", "a.txt")
    git(repo, "commit", "-qm", "A program")
    git(repo, "config", "core.fileMode", "false")
    (repo / "a.txt").chmod(0o644)
    (repo / "b.txt").chmod(0o755)
    write(repo, {"new": "n"})
    modes = {path: mode for path, (mode, _) in snapshot_of(repo).items()}
    assert modes == {"a.txt": PROGRAM, "b.txt": FILE, "new": FILE}


def test_a_linked_worktree_has_its_own_index(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "extensions.worktreeConfig", "true")
    git(repo, "worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    linked = tmp_path / "linked"
    git(linked, "config", "--worktree", "core.autocrlf", "false")
    write(repo, {"a.txt": "not this\n"})
    write(linked, {"b.txt": "this\n", "new": "n"})
    with untouched(repo):
        assert snapshot_of(linked) == held(linked)


@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_a_hook_that_calls_us_has_no_say(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "-b", "main", f"--object-format={form}", "r")
    repo = tmp_path / "r"
    write(repo, {"a": "a"})
    git(repo, "add", "a")
    git(repo, "commit", "-qm", "Begin")
    other = make_repository(tmp_path / "other")
    write(repo, {"new": "n"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    repository = found(repo)
    with untouched(other):
        tree = snapshot.take(repository)
    monkeypatch.undo()
    assert stored(repo, tree.id) == held(repo)


_AS_USER = """
import os, sys
from pathlib import Path
from claude_container import git
from claude_container.clone import luggage, snapshot
from claude_container.terminal import visible
os.setgroups([]); os.setgid(1000); os.setuid(1000)
try:
    repository = git.find(Path(sys.argv[1]))
    snapshot.take(repository)
    print(list(luggage.files(repository, luggage.included(repository, ["*.key"]))))
except Exception as error:
    print(error.what, error.evidence, error.hint, sep="\\n")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user takes root")
@pytest.mark.parametrize(
    ("path", "mode", "words"),
    [
        ("secret", 0o600, ["unable to index file 'secret'", "--clean"]),
        ("dir/x", 0o700, ["could not open directory 'dir/'", "--clean"]),
        ("ignored.key", 0o600, ["cannot read", "ignored.key", ".worktreeinclude"]),
        ("", 0o755, ["dubious ownership", "safe.directory"]),
    ],
)
def test_what_the_user_cannot_read_is_named(path: str, mode: int, words: list[str]) -> None:
    # /tmp, because another user may not get into the folder of the tests.
    with _open_folder() as outer:
        repo = make_repository(outer / "r", {"a": "a", ".gitignore": "*.key\n"})
        if path:
            write(repo, {path: "s"})
            subprocess.check_call(["chown", "-R", "1000:1000", str(repo)])
            unreadable = repo / path.split("/")[0]
            os.chown(unreadable, 0, 0)
            unreadable.chmod(mode)
        argv = [sys.executable, "-c", _AS_USER, str(repo)]
        env = {**os.environ, "HOME": str(outer)}
        said = subprocess.run(argv, env=env, capture_output=True, text=True, cwd=outer).stdout
    for word in words:
        assert word in said


@contextmanager
def _open_folder() -> Iterator[Path]:
    made = subprocess.check_output(["mktemp", "-d", "/tmp/cctest-XXXXXX"], text=True)
    folder = Path(made.strip())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        subprocess.check_call(["rm", "-r", str(folder)])


def test_a_tracked_file_that_became_a_pipe_is_named(repo: Path) -> None:
    (repo / "a.txt").unlink()
    os.mkfifo(repo / "a.txt")
    with pytest.raises(ClaudeContainerError, match="cannot read all") as caught:
        snapshot_of(repo)
    assert "a.txt" in caught.value.evidence
    assert "--clean" in caught.value.hint


# Line endings


def test_files_that_a_checkout_would_change_are_known(repo: Path) -> None:
    """For every setting: what is not named is what a checkout really gives."""
    attributes = ["*.t text", "*.c eol=crlf", "*.l eol=lf", "*.b -text", "*.x text=auto"]
    write(repo, {".gitattributes": "\n".join([*attributes, ""])})
    bodies = {"lf": b"a\nb\n", "crlf": b"a\r\nb\r\n", "mixed": b"a\r\nb\n", "bin": b"\0\r\n\n"}
    for kind in ("t", "c", "l", "b", "x", "plain"):
        for name, body in bodies.items():
            (repo / f"{name}.{kind}").write_bytes(body)
    # Committed before anything converted them, these have CRLF in the repository.
    for name, body in bodies.items():
        (repo / f"old-{name}").write_bytes(body)
    git(repo, "-c", "core.autocrlf=false", "add", "old-*")
    git(repo, "commit", "-qm", "Old")
    tried = 0
    for autocrlf in ("true", "input", "false"):
        for eol in ("lf", "crlf", "native"):
            git(repo, "config", "core.autocrlf", autocrlf)
            git(repo, "config", "core.eol", eol)
            tree = snapshot.take(found(repo))
            copy = repo.parent / f"{autocrlf}-{eol}"
            git(repo, "clone", "-q", "--no-checkout", ".", str(copy))
            git(copy, "config", "core.autocrlf", autocrlf)
            git(copy, "config", "core.eol", eol)
            git(copy, "read-tree", "-u", "--reset", tree.id)
            there, here = held(copy), held(repo)
            assert set(tree.unlike) == {path for path in here if there[path] != here[path]}
            tried += len(tree.unlike)
            # Brought as they are, they are no changes.
            for path in tree.unlike:
                (copy / path).write_bytes(here[path][1])
            git(copy, "add", "--all")
            assert git(copy, "write-tree") == tree.id
    assert tried > 20


def test_unchanged_files_are_compared_as_well(repo: Path) -> None:
    git(repo, "config", "core.autocrlf", "true")
    assert endings.unlike(found(repo)) == ["a.txt", "b.txt"]
    git(repo, "config", "core.autocrlf", "false")
    assert endings.unlike(found(repo)) == []


def test_attributes_beside_the_tree_count(repo: Path, home: Path) -> None:
    own = home / ".config" / "git" / "attributes"
    own.parent.mkdir(parents=True)
    own.write_text("a.txt eol=crlf\n")
    assert endings.unlike(found(repo)) == ["a.txt"]
    (repo / ".git" / "info" / "attributes").write_text("b.txt eol=crlf\n")
    assert endings.unlike(found(repo)) == ["a.txt", "b.txt"]
    (repo / "elsewhere").write_text("")
    git(repo, "config", "core.attributesFile", str(repo / "elsewhere"))
    assert endings.unlike(found(repo)) == ["b.txt"]


# Ignored files that are named


def included(repo: Path, *patterns: str) -> list[str]:
    return sorted(luggage.included(found(repo), patterns))


def test_ignored_files_come_when_they_are_named(repo: Path) -> None:
    write(repo, {".gitignore": "*.key\n.env*\n/build/\n/link\n", "not-ignored": "n"})
    files = [".env", ".env.local", "build/a", "build/b/c", "x.key", "d/y.key", "d/z.key"]
    write(repo, dict.fromkeys(files, "x"))
    (repo / "link").symlink_to("/nowhere")
    assert included(repo) == []
    assert included(repo, "build/") == ["build/a", "build/b/c"]
    assert included(repo, "*.key", "!z.key", "not-ignored") == ["d/y.key", "x.key"]
    assert included(repo, "/link") == ["link"]
    assert included(repo, "# these", ".env*", "!.env.local", "/x.key") == [".env", "x.key"]


def test_an_ignored_repository_comes_whole(repo: Path) -> None:
    write(repo, {".gitignore": "vendor/\n"})
    inner = make_repository(repo / "vendor" / "inner")
    os.mkfifo(inner / "pipe")
    names = included(repo, "vendor/")
    came = {name for name, _, _ in luggage.files(found(repo), names)}
    assert {"vendor/inner/a.txt", "vendor/inner/.git/HEAD"} < came
    assert "vendor/inner/pipe" not in came


def test_only_what_came_whole_or_in_part_counts_as_come(repo: Path) -> None:
    write(repo, {".gitignore": "*.key\nnode_modules/\nsecrets/\n"})
    write(repo, dict.fromkeys(["a.key", "node_modules/x", "secrets/1", "secrets/2"], "x"))
    created = packing.plan(found(repo), "fix", Wanted(include=("secrets/",))).created
    assert (created.included, created.left) == (2, 2)


# Filters


def filters(repo: Path, commit: str = "HEAD") -> dict[str, list[str]]:
    return luggage.filters(found(repo), commit)


def test_files_of_filters_are_known_by_their_names(repo: Path, home: Path) -> None:
    assert filters(repo) == {}
    write(repo, {"sub/.gitattributes": "[attr]hidden filter=crypt\n*.k filter=crypt\nx -filter\n"})
    write(repo, {".gitattributes": "[attr]hidden filter=crypt\n*.s hidden\n"})
    write(repo, {"sub/x": "", "sub/ü.k": "", "a.s": "", "sub/b.s": ""})
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "Filtered")
    assert filters(repo) == {"crypt": ["a.s", "sub/b.s", "sub/ü.k"]}
    own = home / ".config" / "git" / "attributes"
    own.parent.mkdir(parents=True)
    own.write_text("a.txt filter=mine\n")
    assert filters(repo)["mine"] == ["a.txt"]
    assert filters(repo, "HEAD~") == {"mine": ["a.txt"]}


@pytest.mark.parametrize("key", ["clean", "smudge", "process"])
def test_a_filter_of_the_hosts_is_refused_by_name(key: str, repo: Path) -> None:
    write(repo, {".gitattributes": "a.* filter=crypt\nnew* filter=crypt\n", "new\x1b[31m": "n"})
    repository = found(repo)
    packing.plan(repository, "fix", Wanted())  # no such filter here: nothing lacks
    git(repo, "config", f"filter.crypt.{key}", "cat")
    with pytest.raises(luggage.FilterMissing) as caught:
        packing.plan(repository, "fix", Wanted())
    assert caught.value.evidence == "crypt: a.txt, new\\x1b[31m"
    assert "--as-stored" in caught.value.hint
    # Without the uncommitted attributes no file is filtered.
    packing.plan(repository, "fix", Wanted(clean=True))
    if key != "process":  # cat speaks no such protocol
        packing.plan(repository, "fix", Wanted(as_stored=True))


def test_another_branchs_filters_are_its_own(repo: Path) -> None:
    git(repo, "config", "filter.crypt.smudge", "cat")
    git(repo, "branch", "plain")
    write(repo, {".gitattributes": "a.* filter=crypt\n"})
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "Filtered")
    packing.plan(found(repo), "fix", Wanted(branch="plain"))
    git(repo, "switch", "-q", "plain")
    with pytest.raises(luggage.FilterMissing):
        packing.plan(found(repo), "fix", Wanted(branch="main"))


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4\n"


def test_large_files_are_found_where_git_lfs_keeps_them(repo: Path) -> None:
    here, missing = "a" * 64, "b" * 64
    write(repo, {".gitattributes": "*.big filter=lfs diff=lfs merge=lfs -text\n"})
    write(repo, {"x y.big": POINTER.format(here), "sub/z.big": POINTER.format(missing)})
    write(repo, {"copy.big": POINTER.format(here), "not.txt": POINTER.format("c" * 64)})
    write(repo, {"raw.big": "never a pointer\n"})
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "Large")
    for storage in ("", "store", str(repo / "elsewhere")):
        if storage:
            git(repo, "config", "lfs.storage", storage)
        folder = repo / ".git" / (storage or "lfs")
        write(repo, {str(folder / "objects" / "aa" / "aa" / here): "data"})
        found_here, count = luggage.large_files(found(repo), "HEAD", filters(repo)["lfs"])
        assert [path.read_text() for path in found_here] == ["data"]
        assert count == 1
        subprocess.check_call(["rm", "-r", str(folder)])


# Submodules


def test_a_submodule_comes_at_the_commit_that_is_named(repo: Path, tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner", {"i": "1"})
    allow = ("-c", "protocol.file.allow=always")
    git(repo, *allow, "submodule", "add", "-q", "--name", "other name", str(inner), "lib/sub")
    git(repo, "commit", "-qm", "A submodule")
    named = git(repo / "lib" / "sub", "rev-parse", "HEAD")
    git(repo / "lib" / "sub", "commit", "-q", "--allow-empty", "-m", "Further")
    further = git(repo / "lib" / "sub", "rev-parse", "HEAD")
    repository = found(repo)
    (module,) = submodules.checked_out(repository, "HEAD")
    assert (module.path, module.commit, module.branch) == ("lib/sub", named, "")
    (module,) = packing.plan(repository, "fix", Wanted()).created.submodules
    assert (module.commit, module.branch, module.dirty) == (further, "main", False)
    (module,) = packing.plan(repository, "fix", Wanted(clean=True)).created.submodules
    assert module.commit == named
    git(repo, "submodule", "deinit", "-q", "--force", "--all")
    assert list(submodules.checked_out(repository, "HEAD")) == []


# What history


def test_odd_names_of_branches_are_no_revisions(repo: Path) -> None:
    git(repo, "tag", "v1")
    git(repo, "commit", "-q", "--allow-empty", "-m", "Second")
    for name in ("main~1", "main^{tree}", "v1", "nowhere", "", "-x", "*", "refs/heads/main"):
        with pytest.raises(ClaudeContainerError, match="no branch"):
            packing.plan(found(repo), "fix", Wanted(branch=name))
    odd = "ünï/@-x#'\"$(id)"
    git(repo, "branch", odd, "v1")
    planned = packing.plan(found(repo), "fix", Wanted(branch=odd))
    assert (planned.git.branch, planned.git.commit) == (odd, git(repo, "rev-parse", "v1"))


def boundary(repo: Path, depth: int | None) -> set[str]:
    ids = luggage.boundary(found(repo), git(repo, "rev-parse", "HEAD"), depth)
    return {git(repo, "show", "-s", "--format=%s", id) for id in ids}


def test_a_depth_cuts_history_as_a_shallow_clone_does(repo: Path) -> None:
    git(repo, "switch", "-qc", "side")
    for name in ("s1", "s2", "s3"):
        git(repo, "commit", "-q", "--allow-empty", "-m", name)
    git(repo, "switch", "-q", "main")
    git(repo, "commit", "-q", "--allow-empty", "-m", "m1")
    git(repo, "merge", "-q", "--no-ff", "-m", "M", "side")
    for depth in range(1, 7):
        copy = repo.parent / f"depth {depth}"
        git(repo, "clone", "-q", "--depth", str(depth), f"file://{repo}", str(copy))
        cut = copy / ".git" / "shallow"
        ids = cut.read_text().split() if cut.exists() else []
        shown = {git(repo, "show", "-s", "--format=%s", id) for id in ids}
        # git also lists the first commit, which has no parents to leave out.
        assert boundary(repo, depth) == shown - {"Begin"}
        assert boundary(copy, None) == shown
    assert boundary(repo, None) == set()


def test_a_snapshot_does_not_count_in_the_depth(repo: Path) -> None:
    git(repo, "commit", "-q", "--allow-empty", "-m", "Second")
    write(repo, {"new": "n"})
    planned = packing.plan(found(repo), "fix", Wanted(depth=1))
    assert planned.git.shallow == (git(repo, "rev-parse", "HEAD"),)


def test_another_branch_leaves_uncommitted_work_and_says_so(repo: Path) -> None:
    git(repo, "branch", "side")
    write(repo, {"a.txt": "changed\n", "new": "n"})
    created = packing.plan(found(repo), "fix", Wanted(branch="side")).created
    assert not created.snapshot
    assert (created.uncommitted.changed, created.uncommitted.new) == (1, 1)
