"""What an agent plants in its clone runs nowhere but in a container, and moves nothing here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_container import git
from claude_container.changes.figures import Figures
from claude_container.engines.docker import Docker
from claude_container.errors import ClaudeContainerError
from claude_container.remote_helper import _Progress
from claude_container.sessions import known, look, model
from claude_container.wire.bounds import Limits
from tests.attack import Agent, agent, picture
from tests.conftest import PROGRAM, Cli, Ran, clean_environment, sh
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


def fetch(attacker: Agent, *args: str) -> Ran:
    """Plain git, by a user who has our scripts on PATH."""
    done = subprocess.run(
        ["git", "fetch", "--no-tags", f"claude-container::{attacker.session.name}", *args],
        cwd=attacker.session.repository,
        env=_with_helper(),
        capture_output=True,
        timeout=60,
    )
    return Ran(done.returncode, _text(done.stdout), _text(done.stderr))


def _with_helper() -> dict[str, str]:
    environment = clean_environment(Path(os.environ["HOME"]))
    path = f"{Path(PROGRAM).parent}{os.pathsep}{environment['PATH']}"
    return {**environment, "PATH": path}


def see(attacker: Agent, limit: int = 20 << 20, silence: float = 60.0) -> Figures:
    """A look at the session as it is now, which brings at most so many bytes."""
    engine, repository = Docker(), git.find(attacker.session.repository)
    assert repository
    session = known.need(engine, attacker.session.name)
    return look.look(engine, repository, session, _Progress(), limits=Limits(limit, silence))


def fails(attacker: Agent, expected: str, silence: float = 60.0) -> str:
    """What a look fails with, by which all it says and hints at is matched."""
    with pytest.raises(ClaudeContainerError) as raised:
        see(attacker, silence=silence)
    error = raised.value
    said = "\n".join([error.what, error.evidence, error.hint])
    assert re.search(expected, said), said
    assert not _DRIVES.search(said), said
    assert error.evidence or error.hint, said
    return said


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
    ran = [cli("diff", name, *way, **here) for way in ((), ("--json",))]
    ran.append(cli("list", **here))
    refused = cli("merge", name, "--all", **here)
    pushed = cli("push", name, **here)
    check_quiet(*ran, refused, pushed)
    assert [each.code for each in ran] == [0] * 3, [each.stderr for each in ran]
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


_FINE = (
    "mv .git x; echo 'gitdir: /workspace/x' >.git; echo junk >x/index; echo ../x >x/commondir",
    "mv .git x; ln -s x .git; rm x/index; git config core.worktree /etc",
    # All of these together.
    "touch .git/index.lock; mkdir -p .git/objects/info;"
    " printf '/etc\\n../../objects\\n/proc/1/root\\n../../../.git/objects\\n'"
    " >.git/objects/info/alternates;"
    " id=$(git rev-parse HEAD);"
    " printf '%s refs/heads/c\\n%s refs/heads/c/d\\n' $id $id >>.git/packed-refs;"
    " printf '%s refs/heads/--upload-pack=x\\n%s --exec=x\\n' $id $id >>.git/packed-refs;"
    " printf '%040d refs/heads/gone\\n' 7 >>.git/packed-refs;"
    ' seq 200000 | sed "s#^#$id refs/heads/b#" >>.git/packed-refs;'
    " mkdir d; cd d; seq 50000 | xargs touch",
)
_BROKEN = {
    "no .git": ("rm -rf .git", "no repository"),
    "unborn": ("git symbolic-ref HEAD refs/heads/none", "no commit at its HEAD"),
    "no objects": ("rm -rf .git/objects; mkdir .git/objects", "cannot read the commit at HEAD"),
    "a ref out": (
        'echo "$(git rev-parse HEAD) refs/heads/../../heads/main" >>.git/packed-refs',
        "refs/heads/../../heads/main",
    ),
    "cut off": (
        "for n in 1 2; do git -c user.name=x -c user.email=x commit -q --allow-empty -m $n; done;"
        " git rev-parse HEAD >.git/shallow",
        "cut off",
    ),
    "a pipe for HEAD": ("rm .git/HEAD; mkfifo .git/HEAD", "nothing came for 2 s"),
    "a pipe for attributes": ("mkfifo .gitattributes", "nothing came for 2 s"),
}


def test_a_clone_that_is_bent_or_broken_is_looked_at_or_told_of(attacker: Agent) -> None:
    before = picture(attacker.session.repository)
    attacker.save()
    for plant in _FINE:
        attacker.sh(plant)
        assert see(attacker).head == attacker.session.git("rev-parse", "main")
        attacker.restore()
    refs = attacker.session.refs()
    for plant, told in _BROKEN.values():
        attacker.sh(plant)
        fails(attacker, told, silence=2)
        attacker.restore()
    assert attacker.session.refs() == refs
    assert picture(attacker.session.repository) == before


_REFUSED = {
    **dict.fromkeys(["DOTGIT", "dotgit-short"], "hasDotgit"),
    **{"slash": "fullPathname", "padded": "zeroPaddedFilemode", "no-name": "corrupt"},
    **{"modules-link": "gitmodulesSymlink", "twice": "duplicateEntries"},
    **{"module-url": "gitmodulesUrl", "bad-author": "missingSpaceBefore"},
    **{"zeros": "unpacks to more than 20971520 bytes(.|\n)*fetch_limit"},
}


def test_objects_that_git_would_not_make_do_not_come_in(attacker: Agent) -> None:
    attacker.plant("objects.py")
    head = attacker.sh("git rev-parse HEAD").strip()
    before, refs = picture(attacker.session.repository), attacker.session.refs()
    for what, check in _REFUSED.items():
        attacker.sh(f"python3 .git/objects.py {what}")
        fails(attacker, check)
        attacker.sh(f"git update-ref refs/heads/main {head}")
    # A look brings them in no more after git itself, which checks less, has fetched them.
    attacker.sh("python3 .git/objects.py dotgit")
    assert fetch(attacker, "HEAD").code == 0
    fails(attacker, "hasDotgit")
    (attacker.session.repository / ".git" / "FETCH_HEAD").unlink()
    assert attacker.session.refs() == refs
    assert picture(attacker.session.repository) == before


_LIES = {
    "garbage": "not git's protocol",
    "error": r"git there says: \\x1b]0;owned",
    "early": "a pack where git expects none",
    "pack": "no pack",
    "progress": "too many names or messages",
    "endless": "sent more than 20971520 bytes",
    "daemon": "Error response from daemon",
    "stderr": "nothing came for 2 s",
}


def test_a_liar_in_place_of_upload_pack_is_told_of_and_stopped(
    attacker: Agent,
) -> None:
    """A filter that a look's `git status` runs, beside the shell that starts upload-pack."""
    attacker.plant("liar.py")
    attacker.sh("echo '* filter=x' >.git/info/attributes; echo A >a.txt")
    before, refs = picture(attacker.session.repository), attacker.session.refs()
    for how, told in _LIES.items():
        attacker.sh(f"git config filter.x.clean 'python3 /workspace/.git/liar.py {how}'")
        fails(attacker, told, silence=2)
    assert attacker.session.refs() == refs
    assert picture(attacker.session.repository) == before
    assert transports(attacker) == []


def transports(attacker: Agent) -> list[str]:
    """The throw-away containers that there are for this session."""
    labels = [f"label={model.SESSION}={attacker.session.name}", f"label={model.KIND}=transport"]
    filters = [word for label in labels for word in ("--filter", label)]
    return sh("docker", "ps", "--all", "--quiet", *filters).split()


def within(seconds: float, true: object) -> None:
    deadline = time.monotonic() + seconds
    assert callable(true)
    while not true():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def test_a_fetch_has_nothing_to_abuse_and_ends_with_its_user(attacker: Agent) -> None:
    """No network, no privilege, nothing of the host's; ^C leaves nothing."""
    attacker.sh("rm .git/HEAD; mkfifo .git/HEAD")
    before, refs = picture(attacker.session.repository), attacker.session.refs()
    argv = ["git", "fetch", "--no-tags", f"claude-container::{attacker.session.name}"]
    with subprocess.Popen(
        argv,
        cwd=attacker.session.repository,
        env=_with_helper(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as fetching:
        within(20, lambda: "git" in _programs(attacker))
        (container,) = transports(attacker)
        shown = json.loads(sh("docker", "inspect", container))[0]
        status = sh("docker", "exec", container, "sh", "-c", "grep -H . /proc/[0-9]*/status")
        os.killpg(fetching.pid, signal.SIGINT)
        assert fetching.wait(10) != 0
    within(10, lambda: transports(attacker) == [])
    assert attacker.session.refs() == refs
    # Git empties it before it connects.
    (attacker.session.repository / ".git" / "FETCH_HEAD").unlink()
    assert picture(attacker.session.repository) == before

    assert shown["HostConfig"]["NetworkMode"] == "none"
    (mount,) = shown["Mounts"]
    assert (mount["Name"], mount["RW"]) == (model.session_volume(attacker.session.name), False)
    assert "TOKEN" not in json.dumps(shown["Config"]["Env"])
    rows = [line[6:].replace("/status:", ":", 1).split(":", 2) for line in status.splitlines()]
    by_process: dict[str, dict[str, str]] = {}
    for process, key, value in rows:
        by_process.setdefault(process, {})[key] = value.strip()
    of_git = next(each for each in by_process.values() if each["Name"] == "git")
    for set_of in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(of_git[set_of], 16) == 0
    assert of_git["NoNewPrivs"] == "1"


def _programs(attacker: Agent) -> str:
    for container in transports(attacker):
        done = subprocess.run(["docker", "top", container], capture_output=True, text=True)
        return done.stdout
    return ""


def test_an_interrupted_look_leaves_nothing(attacker: Agent) -> None:
    attacker.sh("rm .git/HEAD; mkfifo .git/HEAD")
    refs = attacker.session.refs()
    with subprocess.Popen(
        [PROGRAM, "diff", attacker.session.name],
        cwd=attacker.session.repository,
        stderr=subprocess.PIPE,
        text=True,
    ) as looking:
        within(20, lambda: "git" in _programs(attacker))
        looking.send_signal(signal.SIGINT)
        _, said = looking.communicate(timeout=20)
    assert (looking.returncode, said.strip()) == (130, "⚠ interrupted")
    within(10, lambda: transports(attacker) == [])
    assert attacker.session.refs() == refs


def test_two_looks_at_once(attacker: Agent) -> None:
    command = [PROGRAM, "diff", attacker.session.name, "--json"]
    where = {"cwd": attacker.session.repository, "stdout": subprocess.PIPE}
    attacker.sh("echo more >>a.txt")
    attacker.sh("git commit -qam More")
    looks = [subprocess.Popen(command, text=True, **where) for _ in range(3)]  # type: ignore[call-overload]
    said = [looking.communicate(timeout=60)[0] for looking in looks]
    assert [looking.returncode for looking in looks] == [0] * 3
    assert {json.loads(text)["head"] for text in said} == {attacker.session.refs()["head"]}
    assert not [ref for ref in attacker.session.refs() if ref.startswith("incoming")]
