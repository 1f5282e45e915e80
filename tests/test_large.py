"""git-lfs files that a session made come with the merge; the host needs no git-lfs for that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.gitsession import GitSession, git, git_session, make_repository

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("image")]
CONTENT = "".join(f"line {number}\n" for number in range(20000)).encode()
ID = hashlib.sha256(CONTENT).hexdigest()
OBJECT = f".git/lfs/objects/{ID[:2]}/{ID[2:4]}/{ID}"


@pytest.fixture
def session(cli: Cli, tmp_path: Path) -> Iterator[GitSession]:
    """One in which a large file was committed."""
    with git_session(cli, make_repository(tmp_path / "repo")) as made:
        made.inside(
            "git lfs track '*.bin' >/dev/null;"
            """ python3 -c 'for n in range(20000): print("line", n)' >large.bin;"""
            " git add --all; git commit -qm 'Add a large file'"
        )
        yield made


def test_content_comes_with_the_commits(cli: Cli, session: GitSession) -> None:
    done = cli("merge", session.name, "--all", cwd=session.repository)
    assert done.code == 0, done.stderr
    assert (session.repository / OBJECT).read_bytes() == CONTENT
    assert git(session.repository, "show", "HEAD:large.bin").splitlines()[1] == f"oid sha256:{ID}"
    # A further merge has nothing to fetch, and nothing else was left behind.
    assert cli("merge", session.name, "--all", cwd=session.repository).code == 0
    folder = session.repository / ".git" / "lfs" / "objects"
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [ID]


@pytest.mark.parametrize(
    ("done_to_it", "said"),
    [
        ("chmod +w FILE; echo other >FILE", "is not what it claims"),
        ("rm -f FILE", "1 git-lfs files are not in session"),
        ("rm -f FILE; truncate -s 3G FILE", "has 3.2 GB"),
        ("rm -f FILE; mkfifo FILE", "1 git-lfs files are not in session"),
        ("rm -f FILE; ln -s /etc/passwd FILE", "is not what it claims"),
    ],
)
def test_what_is_not_that_content_is_refused_before_anything(
    done_to_it: str, said: str, cli: Cli, session: GitSession
) -> None:
    before = git(session.repository, "rev-parse", "HEAD")
    session.inside(done_to_it.replace("FILE", OBJECT))
    done = cli("merge", session.name, "--all", cwd=session.repository)
    assert done.code == 1
    assert said in done.stderr
    assert git(session.repository, "rev-parse", "HEAD") == before
    assert not (session.repository / OBJECT).exists()
    assert git(session.repository, "status", "--short") == ""
