"""`start`: sessions are made, resumed and refused; repositories of every kind; a real engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_container.refs import our_ref
from claude_container.sessions import model
from tests.conftest import PROGRAM, TOKEN, Cli, StartModel, sh
from tests.gitsession import GitSession, git, git_session, make_repository, remove, unique
from tests.running import bash, wait_until
from tests.trees import everything, held, untouched, workspace, write

pytestmark = pytest.mark.engine

BIN = str(Path(PROGRAM).parent)


@pytest.fixture
def repo(tmp_path: Path, image: str) -> Path:
    return make_repository(tmp_path / "my repo, ünï:code")


@pytest.fixture
def name() -> Iterator[str]:
    """A session's name; what there is of it goes when the test ends."""
    chosen = unique()
    yield chosen
    remove(chosen)


def commits(repo: Path, *subjects: str) -> None:
    for subject in subjects:
        git(repo, "commit", "-q", "--allow-empty", "-m", subject)


# Where it starts, and where it goes on


def test_a_session_is_the_branch_with_its_history_and_no_remote(cli: Cli, repo: Path) -> None:
    commits(repo, "Second", "Third")
    git(repo, "switch", "-qc", "topic/ünï")
    git(repo, "remote", "add", "origin", "https://example.invalid/x")
    git(repo, "tag", "v1")
    (repo / "sub").mkdir()
    with git_session(cli, repo / "sub") as session:
        assert session.inside("git log --format=%H") == git(repo, "log", "--format=%H") + "\n"
        assert session.inside("git remote; git config --get-regexp ^remote || :") == ""
        assert session.inside("git branch --show-current") == "topic/ünï\n"
        assert session.inside("git config user.name; git config user.email") == (
            "Claude\nclaude@container\n"
        )
        assert session.volumes() == [model.session_volume(session.name)]
        head = git(repo, "rev-parse", "HEAD")
        assert session.refs() == {"base": head, "origin": head}


def test_the_identity_is_the_configured_one(cli: Cli, repo: Path, home: Path) -> None:
    write(home, {".config/claude-container/config.toml": 'identity = "A \\"B\\" Ç <a@b.example>"'})
    with git_session(cli, repo) as session:
        session.commit("c", "c", "By the agent")
        who = 'A "B" Ç <a@b.example>'
        shown = session.inside("git log -1 --format='%an <%ae>|%cn <%ce>'")
        assert shown == f"{who}|{who}\n"


def test_it_starts_in_a_linked_worktree_and_goes_on_from_anywhere(
    cli: Cli, repo: Path, tmp_path: Path, name: str
) -> None:
    linked = tmp_path / "linked"
    git(repo, "config", "extensions.worktreeConfig", "true")
    git(repo, "worktree", "add", "-q", "-b", "side", str(linked))
    write(linked, {"new": "n"})
    made = cli("start", name, "--no-enter", cwd=linked)
    assert made.code == 0, made.stderr
    assert f"side at {git(linked, 'rev-parse', '--short=7', 'HEAD')}, with 1 new" in made.stderr
    assert "new" in workspace(name)
    (repo / "sub").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    for folder in (linked, repo, repo / "sub", outside):
        again = cli("start", name, "--no-enter", cwd=folder)
        elsewhere = f"→ session {name} is of {linked}\n" if folder == outside else ""
        assert again.code == 0
        assert again.stderr == f"{elsewhere}✓ session {name} is there already\n"
    git(repo, "worktree", "remove", "--force", str(linked))
    assert cli("start", name, "--no-enter", cwd=repo).code == 0
    gone = cli("start", name, "--no-enter", cwd=outside)
    assert (gone.code, f"belongs to {linked}, which is gone" in gone.stderr) == (2, True)


def test_another_repository_is_refused_and_told_where_to_go(
    cli: Cli, repo: Path, tmp_path: Path, name: str
) -> None:
    assert cli("start", name, "--no-enter", cwd=repo).code == 0
    other = make_repository(tmp_path / "other")
    refused = cli("start", name, cwd=other, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    assert refused.code == 1
    assert f"session {name} belongs to {repo}, and this is another repository" in refused.stderr
    assert f"hint: cd {repo}" in refused.stderr
    # A copy is another one, too, as long as the first is there; moved, it is the same.
    moved = tmp_path / "moved"
    shutil.copytree(repo, moved, symlinks=True)
    assert cli("start", name, "--no-enter", cwd=moved).code == 1
    shutil.rmtree(repo)
    assert cli("start", name, "--no-enter", cwd=moved).code == 0
    assert "belongs to" in cli("start", name, "--no-enter", cwd=other).stderr


@pytest.mark.parametrize("kind", ["bare", "git folder", "unborn", "broken"])
def test_where_there_is_nothing_to_start_from_it_says_what_to_do(
    kind: str, cli: Cli, repo: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    words = {
        "bare": ["without a working tree", "hint: go to a clone", "git worktree add"],
        "git folder": ["without a working tree"],
        "unborn": ["no commit yet", "git commit --allow-empty"],
        "broken": ["git finds no repository there", "hint: git status says why"],
    }
    if kind == "bare":
        git(folder, "init", "-q", "--bare")
    elif kind == "git folder":
        folder = repo / ".git" / "refs"
    elif kind == "unborn":
        git(folder, "init", "-q")
        write(folder, {"x": "x"})
    elif kind == "broken":
        (folder / ".git").mkdir()
    failed = cli("start", name, "--no-enter", cwd=folder)
    assert failed.code in (1, 2)
    for word in words[kind]:
        assert word in failed.stderr
    assert "Traceback" not in failed.stderr
    assert GitSession(name, folder).volumes() == []


def test_a_name_is_taken_whatever_the_case_and_whoever_has_it(
    cli: Cli, repo: Path, name: str
) -> None:
    assert cli("start", name, "--no-enter", cwd=repo).code == 0
    upper = cli("start", name.upper(), "--no-enter", cwd=repo)
    assert (upper.code, f"there is a session {name}" in upper.stderr) == (2, True)
    for bad in ("a/b", "..", "-x", "a" * 64, "ä", "a b", ""):
        failed = cli("start", "--no-enter", "--", bad, cwd=repo)
        assert failed.code == 2, bad
    assert "cannot be the name" in cli("start", "a/b", cwd=repo).stderr

    talk = unique()
    try:
        said = cli("-s", talk, "--", "--version", cwd=repo, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        assert said.code == 0, said.stderr
        taken = cli("start", talk, cwd=repo, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        assert (taken.code, f"{talk} is a conversation about {repo}" in taken.stderr) == (2, True)
        assert f"claude-container --session {talk}" in taken.stderr
    finally:
        remove(talk)


def test_a_volume_of_somebody_elses_is_left_alone(cli: Cli, repo: Path, name: str) -> None:
    """The bash original's, for example: it has no labels."""
    sh("docker", "volume", "create", model.session_volume(name))
    failed = cli("start", name, "--no-enter", cwd=repo)
    assert failed.code == 1
    assert f"there is a volume {model.session_volume(name)}" in failed.stderr
    assert GitSession(name, repo).volumes() == [model.session_volume(name)]
    assert GitSession(name, repo).refs() == {}


def test_a_folder_that_holds_our_own_token_is_no_repository_to_take(
    cli: Cli, home: Path, image: str, name: str
) -> None:
    make_repository(home / "x", {"a": "a"})
    (home / "x" / ".git").rename(home / ".git")
    write(home, {".config/claude-container/token": TOKEN})
    refused = cli("start", name, "--no-enter", cwd=home)
    assert (refused.code, "may hold its token" in refused.stderr) == (2, True)
    # Nor one that names it, though what is committed alone may come.
    write(home, {".gitignore": ".config\n", ".worktreeinclude": ".config/claude-container/token\n"})
    named = cli("start", name, "--no-enter", "--clean", "--trust", cwd=home)
    assert (named.code, "may hold its token" in named.stderr) == (2, True)
    assert GitSession(name, home).volumes() == []


def test_commits_of_an_earlier_session_are_not_dropped_for_a_new_one(
    cli: Cli, repo: Path, name: str
) -> None:
    assert cli("start", name, "--no-enter", cwd=repo).code == 0
    session = GitSession(name, repo)
    work = session.commit("c", "c", "Hours of work")
    git(repo, "-c", "core.quotePath=false", "config", "x.y", "z")
    assert cli("diff", name, cwd=repo).code == 0
    remove(name)
    refused = cli("start", name, "--no-enter", cwd=repo)
    assert refused.code == 1
    assert "Hours of work" in refused.stderr
    assert session.refs()["head"] == work
    git(repo, "branch", "kept", our_ref(name, "head"))
    assert cli("start", name, "--no-enter", cwd=repo).code == 0
    assert set(session.refs()) == {"base", "origin"}


# What comes along


def test_uncommitted_work_is_one_commit_and_nothing_here_changes(cli: Cli, repo: Path) -> None:
    write(repo, {"a.txt": "changed\n", "staged": "s"})
    git(repo, "add", "staged")
    git(repo, "stash", "-q")
    git(repo, "stash", "apply", "-q", "--index")
    write(repo, {".gitignore": "*.log\n", "x.log": "", "b.txt": "b2\n", "new/one": "1"})
    make_repository(repo / "inner")
    head = git(repo, "rev-parse", "HEAD")
    with untouched(repo), git_session(cli, repo) as session:
        assert session.inside("git rev-list HEAD").split()[1:] == [head]
        assert session.inside("git show -s --format='%an <%ae>: %s'") == (
            f"Claude <claude@container>: Uncommitted work, as it came into session {session.name}\n"
        )
        refs = session.refs()
        assert refs == {"origin": head, "base": session.inside("git rev-parse HEAD").strip()}
        expected = held(repo)
        del expected["x.log"], expected["inner/a.txt"], expected["inner/b.txt"]
        assert workspace(session.name) == expected


def test_one_line_says_what_came_and_what_did_not(cli: Cli, repo: Path, name: str) -> None:
    write(repo, {".gitignore": "*.log\n.env\n", "x.log": "", "y.log": "", ".env": ""})
    write(repo, {"a.txt": "changed\n", ".worktreeinclude": ".env\n"})
    make_repository(repo / "inner")
    made = cli("start", name, "--no-enter", "--trust", cwd=repo).stderr
    at = f"main at {git(repo, 'rev-parse', '--short=7', 'HEAD')}"
    assert made == (
        f"✓ session {name}: {at}, with 1 changed and 2 new as a snapshot,"
        " 1 ignored file by name, 2 ignored and 1 repository inside stayed here\n"
    )


def test_clean_leaves_uncommitted_work_and_says_so(cli: Cli, repo: Path, name: str) -> None:
    write(repo, {"a.txt": "changed\n", "new": "n"})
    made = cli("start", name, "--no-enter", "--clean", cwd=repo)
    assert "without 1 changed and 1 new" in made.stderr
    assert {path: body for path, (_, body) in workspace(name).items()} == {
        "a.txt": b"a\n",
        "b.txt": b"b\n",
    }


def test_another_branch_on_request(cli: Cli, repo: Path, name: str) -> None:
    git(repo, "branch", "side")
    commits(repo, "Only on main")
    git(repo, "tag", "v1")
    write(repo, {"new": "n"})
    for wrong in ("v1", "main~1", "nowhere"):
        failed = cli("start", name, "--no-enter", "--branch", wrong, cwd=repo)
        assert (failed.code, f"no branch {wrong!r}" in failed.stderr) == (2, True)
    made = cli("start", name, "--no-enter", "--branch", "side", cwd=repo)
    assert "side at" in made.stderr
    assert "without 1 new" in made.stderr
    session = GitSession(name, repo)
    assert session.inside("git log --format=%s; git branch --show-current") == "Begin\nside\n"
    assert "new" not in workspace(name)


def test_a_depth_on_request(cli: Cli, repo: Path) -> None:
    commits(repo, "Second", "Third")
    write(repo, {"new": "n"})
    for depth, subjects in ((1, ["Third"]), (2, ["Third", "Second"]), (9, None)):
        with git_session(cli, repo, "--depth", str(depth)) as session:
            log = session.inside("git log --format=%s; git fsck 2>&1").splitlines()
            assert log[1:] == (subjects or ["Third", "Second", "Begin"])
            fetched = session.commit("c", "c", "In the session")
            git_fetch(repo, f"claude-container::{session.name}")
            assert git(repo, "rev-parse", "FETCH_HEAD") == fetched
            assert git(repo, "log", "--format=%s", "FETCH_HEAD").splitlines()[2] == "Third"


# Repositories of every kind


def git_fetch(repo: Path, *args: str, verb: str = "fetch") -> str:
    """Plain git of the user's, with our helper on PATH."""
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["git", "-C", str(repo), verb, *args],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def detached(repo: Path) -> Path:
    commits(repo, "Second")
    git(repo, "checkout", "-q", "HEAD~")
    return repo


def shallow(repo: Path) -> Path:
    """As CI checks out."""
    commits(repo, "Second", "Third")
    copy = repo.with_name("copy")
    git(repo, "clone", "-q", "--depth", "2", f"file://{repo}", str(copy))
    return copy


def shallow_and_detached(repo: Path) -> Path:
    copy = shallow(repo)
    git(copy, "checkout", "-q", "--detach")
    git(copy, "branch", "-qD", "main")
    return copy


def partial(repo: Path) -> Path:
    """Old blobs are not here, and are got from the remote."""
    write(repo, {"a.txt": "second\n"})
    git(repo, "commit", "-qam", "Second")
    git(repo, "config", "uploadpack.allowFilter", "true")
    copy = repo.with_name("copy")
    git(repo, "clone", "-q", "--filter=blob:none", f"file://{repo}", str(copy))
    return copy


def sha256(repo: Path) -> Path:
    folder = repo.with_name("sha256")
    git(repo.parent, "init", "-q", "-b", "main", "--object-format=sha256", str(folder))
    write(folder, {"a.txt": "a\n"})
    git(folder, "add", "--all")
    commits(folder, "Begin", "Second")
    return folder


def borrowing(repo: Path) -> Path:
    commits(repo, "Second")
    copy = repo.with_name("copy")
    git(repo, "clone", "-q", "--shared", str(repo), str(copy))
    return copy


def replaced(repo: Path) -> Path:
    """Replace refs and grafts are the user's own view; what is sent is what is stored."""
    commits(repo, "Second", "Third")
    git(repo, "replace", "--graft", "HEAD", "HEAD~2")
    (repo / ".git" / "info" / "grafts").write_text(f"{git(repo, 'rev-parse', 'HEAD~')}\n")
    return repo


def ten_thousand_refs(repo: Path) -> Path:
    head = git(repo, "rev-parse", "HEAD")
    rows = "".join(f"{head} refs/tags/t{n}\n" for n in range(10_000))
    (repo / ".git" / "packed-refs").write_text(rows)
    return repo


def sparse(repo: Path) -> Path:
    write(repo, {"in/x": "x\n", "out/y": "y\n"})
    git(repo, "add", "--all")
    commits(repo, "Folders")
    git(repo, "sparse-checkout", "set", "--sparse-index", "in")
    write(repo, {"in/x": "changed\n", "out/new": "n"})
    return repo


KINDS = [detached, shallow, shallow_and_detached, partial, sha256, borrowing, replaced]
KINDS += [ten_thousand_refs, sparse]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_repositories_of_every_kind_work(kind, cli: Cli, repo: Path) -> None:  # type: ignore[no-untyped-def]
    folder = kind(repo)
    write(folder, {"b.txt": "uncommitted\n"})
    log = subprocess.check_output(
        ["git", "--no-replace-objects", "-C", folder, "log", "--format=%H"],
        env={**os.environ, "GIT_GRAFT_FILE": os.devnull},
        text=True,
    )
    before = everything(folder)
    with git_session(cli, folder) as session:
        assert everything(folder) == before
        seen = workspace(session.name)
        assert {**seen, **held(folder)} == seen
        assert session.inside("git log --format=%H").splitlines()[1:] == log.splitlines()
        assert session.inside("git status --porcelain") == ""
        assert session.inside("git fsck --full --strict 2>&1 | grep -v ^dangling || :") == ""
        made = session.commit("c", "c", "In the session")
        git_fetch(folder, f"claude-container::{session.name}")
        assert git(folder, "rev-parse", "FETCH_HEAD") == made


def test_a_partial_clone_without_its_remote_says_what_is_missing(
    cli: Cli, repo: Path, name: str
) -> None:
    copy = partial(repo)
    repo.rename(repo.with_name("moved away"))
    failed = cli("start", name, "--no-enter", cwd=copy)
    assert failed.code == 1
    assert "partial clone" in failed.stderr
    assert "hint: " in failed.stderr
    assert GitSession(name, copy).volumes() == []
    assert GitSession(name, copy).refs() == {}


def test_a_hook_of_the_users_that_calls_us_is_not_in_the_way(
    cli: Cli, repo: Path, name: str, tmp_path: Path
) -> None:
    other = make_repository(tmp_path / "other", {"other": "o"})
    variables = {"GIT_DIR": f"{other}/.git", "GIT_INDEX_FILE": f"{other}/.git/index"}
    done = cli("start", name, "--no-enter", cwd=repo, GIT_PREFIX="x/", **variables)
    assert done.code == 0, done.stderr
    assert set(workspace(name)) == {"a.txt", "b.txt"}


# The other side of the remote


def test_git_fetches_logs_and_pushes_as_with_any_remote(cli: Cli, repo: Path) -> None:
    with git_session(cli, repo) as session:
        work = session.commit("c", "c", "In the session")
        address = f"claude-container::{session.name}"
        assert git_fetch(repo, address) == ""
        assert git(repo, "log", "-1", "--format=%s", "FETCH_HEAD") == "In the session"
        assert git(repo, "diff", "--name-only", "HEAD", "FETCH_HEAD") == "c"
        git(repo, "remote", "add", "s", f"claude-container::docker:{session.name}")
        git_fetch(repo, "s")
        assert git(repo, "rev-parse", "s/main") == work
        assert git_fetch(repo, address, verb="ls-remote").splitlines() == [
            f"{work}\tHEAD",
            f"{work}\trefs/heads/main",
        ]
        commits(repo, "On the host")
        git_fetch(repo, address, "HEAD:refs/heads/x", verb="push")
        assert session.inside("git log -1 --format=%s x") == "On the host\n"
        # What is checked out there is claude's.
        with pytest.raises(subprocess.CalledProcessError) as refused:
            git_fetch(repo, address, "HEAD:refs/heads/main", verb="push")
        assert "rejected" in refused.value.stderr


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("no-such-session-x", "there is no git session no-such-session-x"),
        ("no/name", "'no/name' cannot be the name of a session"),
        ("nowhere:name", "nowhere"),
    ],
)
def test_an_address_that_leads_nowhere_says_so(address: str, words: str, repo: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        git_fetch(repo, f"claude-container::{address}")
    assert words in failed.value.stderr
    assert "Traceback" not in failed.value.stderr


# With claude in it


def start_and_say(
    cli: Cli, repo: Path, name: str, *args: str, flags: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    words = ["start", name, *flags, "--", "-p", *args]
    ran = cli(*words, cwd=repo, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
    return ran.code, ran.stdout, ran.stderr


def test_claude_commits_in_the_session_and_the_host_stays_as_it_was(
    cli: Cli, repo: Path, name: str, start_model: StartModel
) -> None:
    write(repo, {"mine": "uncommitted"})
    step = "(pwd; git status -s; cat mine) >d; echo c >c; git add c; git commit -qm 'By claude'"
    model_ = start_model([bash(step), {"text": "done"}])
    with untouched(repo):
        flags = tuple(model_.flags)
        code, out, err = start_and_say(cli, repo, name, "work", flags=flags)
    assert (code, out) == (0, "done\n"), err
    assert f"✓ left session {name}: 1 commit, 1 uncommitted file" in err
    assert f"claude-container diff {name}" in err
    session = GitSession(name, repo)
    assert session.inside("git log -1 --format='%an %s'; cat d") == (
        "Claude By claude\n/workspace\n?? d\nuncommitted"
    )
    assert session.volumes() == [model.session_volume(name), model.state_volume(name)]
    assert git(repo, "show", f"{our_ref(name, 'head')}:c") == "c"


def test_a_second_start_goes_on_with_work_and_conversation(
    cli: Cli, repo: Path, name: str, start_model: StartModel, tmp_path: Path
) -> None:
    echo = start_model({"turns": [], "echo": True})
    flags = tuple(echo.flags)
    said = {}
    nothing = start_and_say(cli, repo, name, "on", flags=("--continue", *flags))
    assert nothing[0] == 1
    assert f"nothing to continue in session {name}" in nothing[2]
    for word, more in (("first", ()), ("second", ("--continue",)), ("third", ())):
        code, out, err = start_and_say(cli, tmp_path, name, word, flags=(*more, *flags))
        assert (code, out) == (0, f"echo: {word}\n"), err
        said[word] = echo.requests()[-1]["messages"]
        GitSession(name, repo).inside(f"echo {word} >>log")
    assert said["second"] > said["first"] == said["third"]
    assert workspace(name)["log"][1] == b"first\nsecond\nthird\n"
    assert "1 uncommitted file" in err


def test_a_resumed_session_goes_on_with_its_conversation_unasked(
    cli: Cli, repo: Path, name: str, start_model: StartModel
) -> None:
    echo = start_model({"turns": [], "echo": True})
    counts = []
    for word in ("first", "second"):
        words = ["start", name, *echo.flags]
        ran = cli(*words, cwd=repo, input=word, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        assert (ran.code, ran.stdout) == (0, f"echo: {word}\n"), ran.stderr
        counts.append(echo.requests()[-1]["messages"])
    assert counts[1] > counts[0]


def test_git_looks_on_while_claude_works(
    cli: Cli, repo: Path, name: str, start_model: StartModel
) -> None:
    wait = "touch ready; until [ -e go ]; do sleep 0.1; done"
    step = f"git commit -qm 'On the way' --allow-empty; {wait}"
    flags = start_model([bash(step), {"text": "went on"}]).flags
    session = GitSession(name, repo)
    with subprocess.Popen(
        [PROGRAM, "start", name, *flags, "--", "-p", "wait"],
        cwd=repo,
        env={**os.environ, "CLAUDE_CODE_OAUTH_TOKEN": TOKEN},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        container = model.container_name(name)
        there = ["docker", "exec", container, "test", "-e", "/workspace/ready"]
        wait_until(lambda: subprocess.run(there, capture_output=True).returncode == 0, launcher)
        git_fetch(repo, f"claude-container::{name}")
        assert git(repo, "log", "-1", "--format=%s", "FETCH_HEAD") == "On the way"
        second = cli("start", name, "--", "-p", "x", cwd=repo, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        assert (second.code, "in use by another command" in second.stderr) == (1, True)
        session.inside("touch go")
        assert launcher.communicate(timeout=60)[0] == "went on\n"


def test_settings_of_the_repository_count_from_any_folder(cli: Cli, repo: Path, name: str) -> None:
    write(repo, {".claude-container.toml": 'include = ["*.key"]\n', ".gitignore": "*.key\n"})
    write(repo, {"x.key": "k", "sub/y": "y"})
    assert cli("start", name, "--no-enter", "--trust", cwd=repo / "sub").code == 0
    assert "x.key" in workspace(name)
