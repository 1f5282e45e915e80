"""Deleting sessions: what would be lost is said and kept, and what goes goes whole."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from claude_container import host, images
from claude_container.engines.base import ContainerSpec, EngineError, VolumeMount
from claude_container.engines.docker import Docker
from claude_container.refs import our_ref
from claude_container.sessions import leftovers, model, remove
from claude_container.sessions.leftovers import SessionBusy
from tests.conftest import PROGRAM, Cli, clean_environment, sh
from tests.gitsession import GitSession, git, git_session, make_repository, unique
from tests.memory import Fault, Memory
from tests.memory_container import MemoryImage

engine_test = pytest.mark.engine


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "my repo")


@pytest.fixture
def session(cli: Cli, repository: Path, image: str) -> Iterator[GitSession]:
    with git_session(cli, repository) as made:
        yield made


# The last stash alone is a ref.
STASHES = " && ".join(f"echo x >a.txt && git stash -q -m {n}" for n in ("First", "Second"))
# Ignored, as what agents make of themselves is.
WORKTREE = "echo wt >>.git/info/exclude && git worktree add -q --detach wt"


def gone(session: GitSession) -> bool:
    return not session.volumes() and not session.refs()


def make_state(name: str, **labels: str) -> str:
    """A state volume, as a launch makes it; without labels: as the original did."""
    words = [f"--label=claude-container.{key}={value}" for key, value in labels.items()]
    return sh("docker", "volume", "create", *words, model.state_volume(name)).strip()


# What refuses


@engine_test
def test_a_session_that_holds_nothing_goes_whole(cli: Cli, session: GitSession) -> None:
    make_state(session.name)
    done = cli("delete", session.name, cwd=session.repository)
    assert (done.code, done.stderr) == (0, f"✓ deleted session {session.name}\n")
    assert gone(session)


@engine_test
def test_commits_that_are_nowhere_else_are_named(cli: Cli, session: GitSession) -> None:
    ids = [session.commit(f"{n}.txt", "x", f"Change {n}\x1b[2J") for n in range(12)]
    done = cli("delete", session.name)  # from anywhere
    assert done.code == 1
    assert "12 commits" in done.stderr and "… and 2 more" in done.stderr
    assert f"{ids[11][:7]} Change 11\\x1b[2J" in done.stderr
    assert ids[1][:7] not in done.stderr
    assert f"claude-container delete --force {session.name}" in done.stderr
    assert not gone(session)

    assert cli("delete", "--force", session.name).code == 0
    assert gone(session)


@engine_test
def test_a_repository_made_inside_keeps_a_session_that_is_merged(
    cli: Cli, repository: Path
) -> None:
    with git_session(cli, repository) as session:
        session.inside(
            "git init -q nested && cd nested && echo hours >work && git add work"
            " && git -c user.name=a -c user.email=a@b commit -qm Work && cd .. && git add nested"
            " && git -c user.name=a -c user.email=a@b commit -qm Link"
        )
        assert cli("merge", session.name, "--auto", cwd=repository).code == 0
        refused = cli("delete", session.name, cwd=repository)
        assert refused.code == 1 and session.volumes()
        assert "1 repository in it, at a commit that is nowhere else:\n    nested" in refused.stderr


ON_A_BRANCH = (
    "git checkout -q -b own && git commit -q --allow-empty -m Deep && git checkout -q --detach main"
)


@engine_test
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("cd sub/refs && echo x >new.txt", "1 uncommitted file"),
        ("cd sub/refs && git commit -q --allow-empty -m Deep", "1 uncommitted file"),
        (f"cd sub/refs && {ON_A_BRANCH}", "sub/refs: 1 commits on other branches"),
        # Its folder is gone from the tree, and with it the place that git would look at it from.
        (
            f"(cd sub/refs && {ON_A_BRANCH}) && git checkout -q -b without && git rm -qf sub/refs"
            " && git commit -qm Without && git checkout -q main && rm -rf sub"
            " && git update-index --skip-worktree sub/refs",
            "sub/refs: 1 commits on other branches",
        ),
        # What was only fetched is somebody else's.
        ("cd sub/refs && git update-ref refs/remotes/o/x $(git commit-tree -m X HEAD^{tree})", ""),
    ],
)
def test_work_in_a_submodule_is_found_whatever_is_to_be_ignored(
    cli: Cli, tmp_path: Path, image: str, script: str, said: str
) -> None:
    inner, repository = (make_repository(tmp_path / name) for name in ("inner", "my repo"))
    add = ("-c", "protocol.file.allow=always", "submodule", "add", "-q")
    git(repository, *add, str(inner), "sub/refs")
    git(repository, "config", "-f", ".gitmodules", "submodule.sub/refs.ignore", "all")
    git(repository, "add", "--all")
    git(repository, "commit", "-qm", "Sub")
    with git_session(cli, repository) as session:
        who = "git config --global user.name a && git config --global user.email a@b"
        session.inside(f"{who} && git -C sub/refs checkout -q -B main && {script}")
        ended = cli("delete", session.name, cwd=repository)
        assert (ended.code, said in ended.stderr) == (1 if said else 0, True), ended.stderr


@engine_test
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo x >new.txt", "1 uncommitted file"),
        ("echo x >a.txt; git add a.txt", "1 uncommitted file"),
        ("git checkout -q -b x; git commit -q --allow-empty -m Side; git checkout -q -", "Side"),
        ("echo x >a.txt; git stash -q", "WIP on main"),
        (STASHES, "First"),
        (f"{WORKTREE}; cd wt; git commit -q --allow-empty -m Elsewhere", "Elsewhere"),
        (f"{WORKTREE}; echo x >wt/new.txt", "/workspace/wt: 1 uncommitted"),
        (f"{WORKTREE}; echo junk >.git/worktrees/wt/index", "/workspace/wt: unknown uncommitted"),
        ("git checkout -q --detach; git commit -q --allow-empty -m Detached", "Detached"),
        ("git checkout -q --orphan other; git commit -qm Orphan", "Orphan"),
        ("rm -rf .git", "cannot be looked at"),
        ("git update-ref -d HEAD", "cannot be looked at"),
    ],
)  # fmt: skip
def test_work_of_any_kind_is_found(cli: Cli, session: GitSession, script: str, said: str) -> None:
    session.inside(script)
    done = cli("delete", session.name)
    assert (done.code, said in done.stderr) == (1, True), done.stderr
    assert session.volumes()


@engine_test
@pytest.mark.parametrize(
    "keep",
    [
        ("branch", "kept", "{head}"),
        ("tag", "kept", "{head}"),
        ("update-ref", "refs/remotes/origin/x", "{head}"),
        ("merge", "-q", "{head}"),
    ],
)
def test_what_a_ref_of_the_users_reaches_is_kept(
    cli: Cli, session: GitSession, keep: tuple[str, ...]
) -> None:
    head = session.commit("new.txt", "x", "New")
    assert cli("delete", session.name).code == 1  # which brought it: our refs do not count
    session.git(*(word.format(head=head) for word in keep))
    assert cli("delete", session.name).code == 0
    assert gone(session)
    assert session.git("cat-file", "-t", head) == "commit"


@engine_test
def test_a_cherry_picked_change_is_kept(cli: Cli, session: GitSession) -> None:
    head = session.commit("new.txt", "x", "New")
    assert cli("delete", session.name).code == 1
    session.git("commit", "-q", "--allow-empty", "-m", "Mine")
    session.git("cherry-pick", head)
    assert cli("delete", session.name).code == 0


@engine_test
def test_the_snapshot_is_no_work_of_the_sessions(cli: Cli, repository: Path, image: str) -> None:
    (repository / "a.txt").write_text("mine")
    with git_session(cli, repository) as session:
        assert session.refs()["base"] != session.refs()["origin"]
        assert cli("delete", session.name).code == 0
        assert gone(session)
    assert (repository / "a.txt").read_text() == "mine"


@engine_test
def test_all_of_several_are_checked_before_any_goes(
    cli: Cli, repository: Path, session: GitSession
) -> None:
    with git_session(cli, repository) as other:
        other.inside("echo x >new.txt")
        done = cli("delete", session.name, other.name)
        assert done.code == 1
        assert session.volumes() and session.refs()
        assert cli("delete", session.name, "no-such-session").code == 1
        assert session.volumes()
        other.inside("rm new.txt")
        assert cli("delete", session.name, other.name, session.name).code == 0
        assert gone(session) and gone(other)


# A repository that is gone, moved, or another one


@engine_test
def test_where_the_repository_is_gone_nothing_counts_as_kept(
    cli: Cli, session: GitSession, tmp_path: Path
) -> None:
    session.commit("new.txt", "x", "New")
    session.inside("echo y >more.txt")
    moved = session.repository.rename(tmp_path / "moved")
    done = cli("delete", session.name)
    assert done.code == 1
    for said in ("is gone", "1 commit:", "New", "1 uncommitted file"):
        assert said in done.stderr
    session.inside("rm more.txt")

    git(moved, "branch", "unrelated")
    done = cli("delete", session.name, "--repo", str(moved))
    assert (done.code, "1 commit:" in done.stderr, "gone" in done.stderr) == (1, True, False)
    git(moved, "branch", "kept", our_ref(session.name, "head"))
    assert cli("delete", session.name, "--repo", str(moved)).code == 0
    assert not session.volumes()
    assert our_ref(session.name, "") not in git(moved, "for-each-ref")


@engine_test
def test_another_repository_in_its_place_keeps_nothing(cli: Cli, session: GitSession) -> None:
    shutil.rmtree(session.repository)
    make_repository(session.repository, {"z.txt": "another"})
    done = cli("delete", session.name)
    assert (done.code, "is gone" in done.stderr) == (1, True)
    done = cli("delete", session.name, "--repo", str(session.repository))
    assert (done.code, "did not come from" in done.stderr) == (1, True)
    assert cli("delete", session.name, "--force").code == 0
    assert not session.volumes()


@engine_test
def test_a_worktree_that_is_gone_leaves_the_repository(
    cli: Cli, repository: Path, tmp_path: Path, image: str
) -> None:
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    with git_session(cli, tmp_path / "tree") as session:
        git(repository, "worktree", "remove", str(tmp_path / "tree"))
        done = cli("delete", session.name)
        assert (done.code, done.stderr) == (0, f"✓ deleted session {session.name}\n")
        assert our_ref(session.name, "") not in git(repository, "for-each-ref")


# Conversations, and what the original left


@engine_test
@pytest.mark.parametrize("labels", [{}, {"kind": "state", "directory": "/some/where"}])
def test_a_conversation_goes_only_if_one_says_so(
    cli: Cli, image: str, home: Path, labels: dict[str, str]
) -> None:
    name = unique()
    volume = make_state(name, **(labels and {**labels, "session": name}))
    try:
        done = cli("delete", name)
        words = "about /some/where" if labels else "of the original claude-container"
        assert (done.code, words in done.stderr) == (1, True)

        for answer, code in (("n", 1), ("y", 0)):
            env = {**clean_environment(home)}
            with pexpect.spawn(PROGRAM, ["delete", name], env=env, encoding="utf-8") as child:
                child.expect("would be lost. Delete it?")
                child.sendline(answer)
                child.expect(pexpect.EOF)
                child.wait()
            assert child.exitstatus == code
            assert bool(sh("docker", "volume", "ls", "-q", "-f", f"name={volume}")) == (code == 1)
    finally:
        subprocess.run(["docker", "volume", "rm", volume], capture_output=True)


# Cut short, and two at once


@engine_test
@pytest.mark.parametrize("merged", [True, False])
def test_refs_of_a_session_that_this_engine_does_not_have_stay_unless_it_is_told_to(
    cli: Cli, session: GitSession, merged: bool
) -> None:
    """It may be on another engine, where they are what it is known by."""
    session.commit("new.txt", "x", "New")
    cli("list", "--refresh")
    if merged:
        assert cli("merge", session.name, "--auto", cwd=session.repository).code == 0
    sh("docker", "volume", "rm", model.session_volume(session.name))
    done = cli("delete", session.name, cwd=session.repository)
    assert (done.code, "New" in done.stderr) == (1, not merged)
    assert f"docker has no session {session.name}, of which this repository" in done.stderr
    assert cli("delete", session.name, cwd=session.repository.parent).code == 1
    assert cli("delete", "--force", session.name, cwd=session.repository).code == 0
    assert gone(session)


_KILLER = """#!/bin/sh
# The docker client, but the caller is killed after its N-th removal of something.
{docker} "$@"
code=$?
case "$1 $2" in
"volume rm" | "rm --force")
    echo x >>{count}
    [ "$(wc -l <{count})" != "$N" ] || kill -KILL $PPID
    ;;
esac
exit $code
"""


@engine_test
@pytest.mark.parametrize("removals", [1, 2, 3])
def test_after_a_kill_a_second_delete_finishes(
    cli: Cli, session: GitSession, tmp_path: Path, removals: int
) -> None:
    """Killed after the workspace, after the conversation, and when all was done."""
    make_state(session.name)
    session.commit("new.txt", "x", "New")
    wrapper = tmp_path / "bin" / "docker"
    wrapper.parent.mkdir()
    docker = shutil.which("docker")
    wrapper.write_text(_KILLER.format(docker=docker, count=tmp_path / "count"))
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{clean_environment(tmp_path)['PATH']}"
    killed = cli("delete", "--force", session.name, PATH=path, N=str(removals))
    assert killed.code == -signal.SIGKILL

    second = cli("delete", "--force", session.name, cwd=session.repository)
    assert second.code == (1 if removals == 3 else 0), second.stderr
    assert gone(session)
    label = f"label={model.SESSION}={session.name}"
    assert sh("docker", "ps", "-aq", "-f", label) == ""


@engine_test
def test_a_running_session_is_not_deleted_but_with_force(cli: Cli, session: GitSession) -> None:
    session.run()
    done = cli("delete", session.name)
    assert (done.code, "is running" in done.stderr) == (1, True)
    assert session.volumes()
    assert cli("delete", "--force", session.name).code == 0
    assert gone(session)


@engine_test
def test_two_deletes_at_once_end_in_order_or_say_why_not(cli: Cli, session: GitSession) -> None:
    ended = []
    both = [
        threading.Thread(target=lambda: ended.append(cli("delete", session.name))) for _ in "12"
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert gone(session)
    assert sorted(done.code for done in ended)[0] == 0
    for done in ended:
        assert done.code == 0 or re.search("in use|there is no session", done.stderr), done.stderr
        assert "defect" not in done.stderr


@engine_test
def test_no_launch_gets_in_while_a_session_is_being_deleted(cli: Cli, session: GitSession) -> None:
    with remove.hold(Docker(), session.name):
        token = {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-made-up"}
        done = cli("start", session.name, "--", "-p", "hi", cwd=session.repository, **token)
        assert (done.code, "in use" in done.stderr) == (1, True)
        done = cli("delete", "--force", session.name)
        assert (done.code, "by another command" in done.stderr) == (1, True)
    assert session.volumes()


@engine_test
def test_a_look_at_a_session_that_is_gone_leaves_no_volume(cli: Cli, session: GitSession) -> None:
    """The engine makes a volume that is missing, and a delete may have come in between."""
    sh("docker", "volume", "rm", model.session_volume(session.name))
    env = {**clean_environment(session.repository), "CLAUDE_CONTAINER_LOOK": "1000000"}
    env["PATH"] = f"{Path(PROGRAM).parent}:{env['PATH']}"
    address = f"claude-container::{session.name}"
    asked = subprocess.run(["git", "ls-remote", address], env=env, capture_output=True)
    assert asked.returncode != 0
    assert session.volumes() == []


# On an engine in memory


@pytest.fixture
def memory() -> Memory:
    program: Callable[..., int] = lambda inside: 0  # noqa: E731
    return Memory({images.DEFAULT: MemoryImage(programs={"/bin/true": program})})


def fill(memory: Memory, name: str) -> None:
    """A session's two volumes."""
    for volume, kind in (
        (model.session_volume(name), "session"),
        (model.state_volume(name), "state"),
    ):
        mount = VolumeMount(volume, "/x", {model.KIND: kind, model.SESSION: name})
        memory.remove(
            memory.create(ContainerSpec(images.DEFAULT, "x", ("/bin/true",), mounts=(mount,)))
        )


def volumes(memory: Memory) -> list[str]:
    return sorted(volume.name for volume in memory.volumes({}, ()))


def discard(memory: Memory) -> None:
    names = [model.session_volume("fix"), model.state_volume("fix")]
    with remove.hold(memory, "fix", names[0]):
        remove.discard(memory, None, "fix", names)


@pytest.mark.parametrize("error", [EngineError("lost"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [2, 3])
def test_what_cuts_a_deletion_short_leaves_all_of_it_or_nothing(
    memory: Memory, call: int, after: bool, error: BaseException
) -> None:
    fill(memory, "fix")
    memory.calls.clear()
    memory.fault = Fault(call, error, after)
    with pytest.raises(type(error)):
        discard(memory)
    everything = [model.session_volume("fix"), model.state_volume("fix")]
    assert volumes(memory) == (everything if (call, after) == (2, False) else [])
    assert memory.containers({}, ()) == []
    discard(memory)
    assert volumes(memory) == []


def test_the_next_command_ends_a_deletion_whose_process_was_killed(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(memory, "fix")
    held = remove.hold(memory, "fix", model.session_volume("fix"))
    held.__enter__()
    memory.remove_volume(model.session_volume("fix"))
    monkeypatch.setattr(host, "launcher_is_gone", lambda launcher: True)
    assert leftovers.sweep(memory) == [leftovers.Swept("delete", "fix", finished=True)]
    assert (volumes(memory), memory.containers({}, ())) == ([], [])


def test_a_deletion_that_was_killed_before_it_began_takes_nothing(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(memory, "fix")
    held = remove.hold(memory, "fix", model.session_volume("fix"))
    held.__enter__()
    monkeypatch.setattr(host, "launcher_is_gone", lambda launcher: True)
    assert leftovers.sweep(memory) == [leftovers.Swept("delete", "fix")]
    assert len(volumes(memory)) == 2


def test_a_held_session_is_held_whatever_its_case(memory: Memory) -> None:
    with remove.hold(memory, "Fix"), pytest.raises(SessionBusy), remove.hold(memory, "fix"):
        pass
