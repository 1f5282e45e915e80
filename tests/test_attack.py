"""What an agent plants in its clone runs nowhere but in a container, and moves nothing here."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack import Agent, agent, picture
from tests.conftest import PROGRAM, Cli, Ran, clean_environment
from tests.gitsession import git_session, make_repository, unique

pytestmark = pytest.mark.engine

# Every command that is planted touches a file in a folder that only the host has.
_DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\udc80-\udcff]")
_HOOKS = (
    "applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg"
    " commit-msg post-commit pre-rebase post-checkout post-merge pre-push pre-receive update"
    " proc-receive post-receive post-update reference-transaction push-to-checkout pre-auto-gc"
    " post-rewrite sendemail-validate fsmonitor-watchman post-index-change"
)
# What is committed, then what only stands in the clone; the configuration comes last, or
# the attacker would meet it as well.
_PLANT = r"""
touches() { echo "touch '$CANARY/$1'; cat"; }
section() { # a.b.c: a "b"
    case $1 in
        *.*.*) middle=${1#*.}; printf '%s "%s"' "${1%%.*}" "${middle%.*}" ;;
        *) echo "${1%%.*}" ;;
    esac
}
program() {
    printf '#!/bin/sh\ntouch "%s/%s"\n' "$CANARY" "${1##*/}" >"$1"
    chmod +x "$1"
}
mkdir -p .husky .git/hooks
for hook in $HOOKS; do program ".husky/$hook"; done
{
    echo '* filter=evil diff=evil merge=evil'
    echo '*.two filter=evil2'
    echo 'b.txt filter=hosts diff=hosts merge=hosts'
} >.gitattributes
printf '[submodule "a"]\n\tpath = a\n\turl = ./sub\n\tupdate = none\n' >.gitmodules
commit=$(git rev-parse HEAD)
git add --all
tree=$(git write-tree)
export GIT_AUTHOR_NAME="$(printf 'A\033[2J\233m')" GIT_AUTHOR_EMAIL="$(printf 'a\033]0;x\007@b')"
message='Clear\033[2J\033[31m \302\2332J \342\200\256txt'
new=$(printf "$message" | git commit-tree "$tree" -p "$commit")
git reset -q --hard "$new"
for ref in look other/1 other/1x/y host; do git update-ref "refs/claude-container/$ref" "$new"; done
git update-ref "refs/heads/$(printf '\342\200\256evil\302\233')" "$(git commit-tree "$tree" -m o)"
git replace --force "$commit" "$(git commit-tree "$commit^{tree}" -m replaced)"
echo "$commit" >.git/info/grafts
cp .gitattributes .git/info/attributes
printf 'x' >"$(printf 'name\n\033[31mred')"
printf 'C\n' >a.txt
printf '[core]\n\tfsmonitor = "touch %s/include"\n' "$CANARY" >more
git config receive.denyCurrentBranch updateInstead
git config uploadpack.allowAnySHA1InWant true
git config protocol.ext.allow always
git config remote.origin.url "ext::sh -c $(touches ext)"
git config remote.origin.promisor true
git config filter.evil.required true
for hook in $HOOKS; do program ".git/hooks/$hook"; done
for name in core.fsmonitor core.sshCommand core.pager core.editor core.askPass \
    core.alternateRefsCommand core.gitProxy sequence.editor diff.external diff.evil.command \
    diff.evil.textconv merge.evil.driver filter.evil.clean filter.evil.smudge \
    filter.evil2.process uploadpack.packObjectsHook gpg.program gpg.ssh.program \
    credential.helper remote.origin.uploadpack remote.origin.receivepack remote.origin.vcs \
    browser.x.cmd man.x.cmd trailer.x.command interactive.diffFilter pager.log alias.log \
    alias.rev-parse alias.upload-pack init.templateDir; do
    printf '[%s]\n\t%s = "%s"\n' "$(section "$name")" "${name##*.}" "$(touches "$name")"
done >>.git/config
printf '[include]\n\tpath = ../more\n[includeIf "gitdir:/"]\n\tpath = ../more\n' >>.git/config
printf '[core]\n\thooksPath = /workspace/.husky\n' >>.git/config
"""


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    folder = tmp_path / "canary"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(project: Path, canary: Path) -> Path:
    """One whose user has drivers and filters of their own, and hooks in the tree."""
    made = make_repository(project / "repo")
    for name in ("filter.hosts.clean", "filter.hosts.smudge", "diff.hosts.textconv"):
        _config(made, name, f"touch '{canary}/{name}'; cat")
    _config(made, "diff.hosts.command", f"touch '{canary}/diff'; true")
    _config(made, "merge.hosts.driver", f"touch '{canary}/merge'; true")
    _config(made, "core.hooksPath", ".husky")
    return made


def _config(repository: Path, name: str, value: str) -> None:
    subprocess.run(["git", "config", name, value], cwd=repository, check=True)


@pytest.fixture
def attacker(cli: Cli, repository: Path, image: str) -> Iterator[Agent]:
    with git_session(cli, repository, name=unique()) as session, agent(session) as attacker:
        yield attacker


def fetch(attacker: Agent, *args: str, **env: str) -> Ran:
    """Plain git, by a user who has our scripts on PATH."""
    environment = clean_environment(Path(os.environ["HOME"]))
    environment["PATH"] = f"{Path(PROGRAM).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["git", "fetch", "--no-tags", *args[:-1], f"claude-container::{attacker.session.name}"]
        + list(args[-1:]),
        cwd=attacker.session.repository,
        env={**environment, **env},
        capture_output=True,
        timeout=60,
    )
    return Ran(done.returncode, _text(done.stdout), _text(done.stderr))


def _text(written: bytes) -> str:
    return written.decode(errors="surrogateescape")


def check_quiet(*all_ran: Ran) -> None:
    """No defect of ours, and nothing that could drive a terminal."""
    for ran in all_ran:
        assert ran.code != 3, ran.stderr
        for text in (ran.stdout, ran.stderr):
            assert not _DRIVES.search(text), text


def test_what_is_planted_runs_nowhere_on_the_host(attacker: Agent, cli: Cli, canary: Path) -> None:
    repository = attacker.session.repository
    attacker.sh(f"CANARY='{canary}' HOOKS='{_HOOKS}'\n{_PLANT}")
    before = picture(repository)
    name = attacker.session.name
    here = {"cwd": repository}
    assert cli("diff", name, **here).code == 0
    ran = [cli("diff", name, *way, **here) for way in ((), ("--stat",), ("--name-only",))]
    ran += [cli("diff", name, "--json", **here), cli("list", **here)]
    refused = cli("merge", name, "--all", **here)
    pushed = cli("push", name, **here)
    check_quiet(*ran, refused, pushed)
    assert [each.code for each in ran] == [0] * 5, [each.stderr for each in ran]
    assert refused.code == 2, refused.stderr
    for risk in (".husky", ".gitattributes"):
        assert risk in refused.stderr
    assert picture(repository) == before
    fetched = fetch(attacker, "HEAD")
    check_quiet(fetched)
    assert fetched.code == 0, fetched.stderr
    after = picture(repository)
    assert after.pop(".git/FETCH_HEAD")
    assert after == before
    assert list(canary.iterdir()) == []
