"""`push`: the host's commits into a session, merged there as its user; on the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.gitsession import GitSession, git, git_session, make_repository

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("image")]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "my repo")


def commit(repo: Path, path: str, content: str, message: str = "Host") -> str:
    (repo / path).write_text(content)
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", message)
    return git(repo, "rev-parse", "HEAD")


def log(session: GitSession) -> list[str]:
    return session.inside("git log --first-parent --format=%s").splitlines()


def test_a_session_without_work_of_its_own_is_fast_forwarded(cli: Cli, repo: Path) -> None:
    with git_session(cli, repo) as session:
        tip = commit(repo, "host.txt", "host\n")
        done = cli("push", session.name, cwd=repo)
        assert (done.code, done.stdout) == (0, "")
        assert f"session {session.name} is now at main, {tip[:7]}" in done.stderr
        assert session.inside("git rev-parse HEAD; cat host.txt; git status --short") == (
            f"{tip}\nhost\n"
        )
        again = cli("push", session.name, cwd=repo)
        assert "has all of main already" in again.stderr
        assert session.refs()["pushed"] == tip


def test_work_on_both_sides_is_merged_there_and_comes_back_by_fast_forward(
    cli: Cli, repo: Path
) -> None:
    with git_session(cli, repo) as session:
        session.commit("session.txt", "session\n", "Session")
        tip = commit(repo, "host.txt", "host\n")
        done = cli("push", session.name, cwd=repo)
        assert done.code == 0 and "merged into its work" in done.stderr
        assert log(session) == ["Merge main of the host", "Session", "Begin"]
        said = session.inside("git log -1 --format='%an <%ae>%n%P'").splitlines()
        assert said[0] == "Claude <claude@container>" and said[1].endswith(tip)
        shown = cli("diff", session.name, "--name-only", cwd=repo)
        assert shown.stdout == "session.txt\n"
        assert cli("merge", session.name, "--all", cwd=repo).code == 0
        assert git(repo, "rev-parse", "HEAD") == session.inside("git rev-parse HEAD").strip()
        assert git(repo, "status", "--short") == ""
        later = cli("diff", session.name, cwd=repo).stdout
        assert "no new commits" in later and "since it began: 1 file, +1 -0" in later


def test_a_snapshot_never_comes_back_by_way_of_a_push(cli: Cli, repo: Path) -> None:
    (repo / "a.txt").write_text("uncommitted\n")
    with git_session(cli, repo) as session:
        session.commit("session.txt", "session\n", "Session")
        commit(repo, "host.txt", "host\n", "Host, and the uncommitted work")
        assert cli("push", session.name, cwd=repo).code == 0
        done = cli("merge", session.name, "--all", cwd=repo)
        assert done.code == 0, done.stderr
        subjects = git(repo, "log", "--format=%s").splitlines()
        assert subjects == ["Session", "Host, and the uncommitted work", "Begin"]


def test_a_conflict_stays_in_the_session_with_words_for_claude(cli: Cli, repo: Path) -> None:
    with git_session(cli, repo) as session:
        session.commit("a.txt", "session\n", "Session")
        commit(repo, "a.txt", "host\n")
        done = cli("push", session.name, cwd=repo)
        assert done.code == 1
        assert "⚠ conflict in a.txt" in done.stderr
        assert "A merge of main is in conflict" in done.stderr
        assert session.inside("git status --short; grep -c '<<<<' a.txt") == "UU a.txt\n1\n"
        # Its markers are not work to be committed and brought.
        refused = cli("merge", session.name, "--all", "--commit-pending", cwd=repo)
        assert refused.code == 1 and "in conflict" in refused.stderr
        assert session.inside("git status --short") == "UU a.txt\n"
        # Another push in the middle of it changes nothing.
        again = cli("push", session.name, cwd=repo)
        assert again.code == 1 and "⚠ conflict in a.txt" in again.stderr
        session.inside("echo both >a.txt; git commit -qam Resolved")
        assert cli("push", session.name, cwd=repo).code == 0


def test_to_commit_what_is_pending_needs_nothing_pending(cli: Cli, repo: Path) -> None:
    with git_session(cli, repo) as session:
        session.commit("session.txt", "session\n", "Session")
        done = cli("merge", session.name, "--all", "--commit-pending", cwd=repo)
        assert done.code == 0, done.stderr
        assert git(repo, "log", "--format=%s").splitlines() == ["Session", "Begin"]
        # A merge that is resolved, to no change at all, is something to commit.
        commit(repo, "a.txt", "host\n", "Host")
        session.commit("a.txt", "host, too\n", "Other")
        assert cli("push", session.name, cwd=repo).code == 1
        session.inside("git checkout -q --ours a.txt && git add a.txt && git diff --cached --quiet")
        done = cli("merge", session.name, "--dry-run", "--merge", "--commit-pending", cwd=repo)
        assert done.code == 0
        done = cli("merge", session.name, "--all", "--merge", "--commit-pending", cwd=repo)
        assert done.code == 0, done.stderr
        assert session.inside("test -e .git/MERGE_HEAD || echo done") == "done\n"
        assert git(repo, "show", "HEAD:a.txt") == "host, too"


def test_uncommitted_work_there_is_not_overwritten(cli: Cli, repo: Path) -> None:
    with git_session(cli, repo) as session:
        session.inside("echo uncommitted >a.txt")
        commit(repo, "a.txt", "host\n")
        done = cli("push", session.name, cwd=repo)
        assert done.code == 1
        assert "refuses to merge main" in done.stderr and "a.txt" in done.stderr
        assert "--commit-pending" in done.stderr
        assert session.inside("cat a.txt; git log --format=%s") == "uncommitted\nBegin\n"
        assert "pushed" not in session.refs()


def test_another_branch_a_detached_head_and_a_shallow_host(
    cli: Cli, repo: Path, tmp_path: Path
) -> None:
    commit(repo, "b.txt", "2\n")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repo}", str(shallow))
    with git_session(cli, shallow) as session:
        git(shallow, "switch", "-qc", "topic")
        tip = commit(shallow, "topic.txt", "topic\n")
        git(shallow, "checkout", "-q", "--detach", "main")
        assert cli("push", session.name, cwd=shallow).code == 2
        assert cli("push", session.name, "--from", "nowhere", cwd=shallow).code == 1
        done = cli("push", session.name, "--from", "topic", cwd=shallow)
        assert done.code == 0, done.stderr
        assert session.inside("git rev-parse HEAD").strip() == tip


def test_hooks_of_either_side_do_not_run(cli: Cli, repo: Path, tmp_path: Path) -> None:
    canary = tmp_path / "ran"
    for name in ("pre-push", "reference-transaction"):
        hook = repo / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch '{canary}'\nexit 1\n")
        hook.chmod(0o755)
    with git_session(cli, repo) as session:
        session.inside(
            "mkdir .git/hooks;"
            " for h in pre-receive update post-merge pre-merge-commit commit-msg; do"
            " printf '#!/bin/sh\\necho ran >>/workspace/hooks-ran; exit 1\\n' >.git/hooks/$h;"
            " chmod +x .git/hooks/$h; done"
        )
        (repo / "host.txt").write_text("host\n")
        git(repo, "-c", "core.hooksPath=/dev/null", "add", "--all")
        git(repo, "-c", "core.hooksPath=/dev/null", "commit", "-qm", "Host")
        done = cli("push", session.name, cwd=repo)
        assert done.code == 0, done.stderr
        assert session.inside("ls hooks-ran 2>/dev/null || echo none") == "none\n"
        assert not canary.exists()
