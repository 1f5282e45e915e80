"""What arrives in a session, byte for byte: a real engine, and real git on both sides."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.gitsession import GitSession, git, git_session, make_repository, remove, unique
from tests.trees import held, untouched, workspace, write

pytestmark = pytest.mark.engine

ALLOW = ("-c", "protocol.file.allow=always")
ENDINGS = {"lf": b"a\nb\n", "crlf": b"a\r\nb\r\n", "mixed": b"a\r\nb\n", "bin": b"\0\r\n\xff\n"}
ATTRIBUTES = """\
*.t text
*.c text eol=crlf
*.l text eol=lf
*.x text=auto
*.b -text
*.w text working-tree-encoding=UTF-16LE-BOM
*.missing filter=no-such-filter
"""
NAMES = [" blank ", "-rf", "--", "a\nb", "tab\t", 'quote"d', "it's", "$(id)", ":(top)x", "*"]
NAMES += ["\\back\\", "#hash", "!not", "~", "é" * 100, "con", "日本", "\u202e", "\udcff-raw"]
NAMES += [unicodedata.normalize(form, "ñandú") for form in ("NFC", "NFD")]


def fill(repo: Path, salt: str) -> None:
    """Files of every kind, for each of these calls others."""
    for kind in ("t", "c", "l", "x", "b", "plain"):
        for name, body in ENDINGS.items():
            path = repo / salt / f"{name}.{kind}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(body + salt.encode())
    (repo / salt / "utf16.w").write_text(f"{salt} ünï\n", encoding="utf-16")
    write(repo, {f"{salt}/names/{name}": salt for name in NAMES})
    write(repo, {f"{salt}/{'deep/' * 100}file": salt, f"{salt}/x.missing": "as it is"})
    write(repo, {f"{salt}/many/{n % 7}/{n}": f"{salt} {n}\n" for n in range(600)})
    (repo / salt / "empty").touch()
    (repo / salt / "run me").write_bytes(b"#!/bin/sh\r\n")
    (repo / salt / "run me").chmod(0o755)
    for name, to in {"dangling": "no/where", "absolute": "/etc/passwd", "up": "../../.."}.items():
        (repo / salt / name).symlink_to(to)
    (repo / salt / "binary").write_bytes(os.urandom(100_000))


@pytest.mark.parametrize("autocrlf", ["true", "input", "false"])
def test_every_file_arrives_as_it_is(autocrlf: str, cli: Cli, image: str, tmp_path: Path) -> None:
    repo = make_repository(tmp_path / "r", {".gitattributes": ATTRIBUTES})
    git(repo, "config", "core.autocrlf", autocrlf)
    (repo / ".git" / "info" / "attributes").write_text("*.plain text\n")
    fill(repo, "committed")
    write(repo, {"to-folder": "f", "to-file/x": "x", "gone": "g", "mode": "m"})
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "All kinds")
    fill(repo, "uncommitted")
    (repo / "to-folder").unlink()
    write(repo, {"to-folder/inside": "i", "to-file/x": ""})
    (repo / "to-file" / "x").unlink()
    (repo / "to-file").rmdir()
    write(repo, {"to-file": "now one"})
    (repo / "gone").unlink()
    (repo / "mode").chmod(0o755)
    expected = held(repo)
    with untouched(repo), git_session(cli, repo) as session:
        assert workspace(session.name) == expected
        assert session.inside("git status --porcelain; git remote; git stash list") == ""
        assert session.inside("git rev-list --count HEAD") == "3\n"
        assert session.inside("git fsck --full --strict 2>&1 | grep -v '^dangling' || :") == ""


def test_what_git_for_windows_sets_comes_along(cli: Cli, image: str, tmp_path: Path) -> None:
    """In the system's configuration, and of a new repository; what its installer has chosen.

    gitforwindows.org's /etc/gitconfig: core.autocrlf=true, core.symlinks=false; and
    git-init(1) there sets core.filemode=false and core.ignorecase=true.
    """
    system = tmp_path / "gitconfig"
    system.write_text("[core]\n\tautocrlf = true\n\tsymlinks = false\n\tfscache = true\n")
    repo = make_repository(tmp_path / "r", {"lf": "a\nb\n", "run": "#!/bin/sh\n"})
    (repo / "link").symlink_to("lf")
    (repo / "run").chmod(0o755)
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "More")
    git(repo, "config", "core.filemode", "false")
    git(repo, "config", "core.ignorecase", "true")
    # As its checkout makes them.
    (repo / "lf").write_bytes(b"a\r\nb\r\n")
    (repo / "run").write_bytes(b"#!/bin/sh\r\n")
    (repo / "run").chmod(0o644)
    (repo / "link").unlink()
    (repo / "link").write_bytes(b"lf")
    (repo / "new").write_bytes(b"n\r\n")
    on_windows = functools.partial(cli, GIT_CONFIG_SYSTEM=str(system))
    with git_session(on_windows, repo) as session:
        assert session.inside("git status --porcelain; git config core.autocrlf") == "true\n"
        shown = session.inside(r"readlink link; test -x run && cat lf run new | tr '\r' '%'")
        assert shown == "lf\na%\nb%\n#!/bin/sh%\nn%\n"
        assert session.inside("git show --stat --format= HEAD").split()[0] == "new"
        assert session.inside("git show HEAD:new | wc -c").strip() == "2"


def test_a_large_file_arrives_in_little_memory(cli: Cli, image: str, tmp_path: Path) -> None:
    repo = make_repository(tmp_path / "r")
    block = os.urandom(1_000_000)
    with open(repo / "large", "wb") as file:
        for number in range(200):
            file.write(block[number:] + block[:number])
    name = unique()
    try:
        argv = [sys.executable, "-c", _MEASURED, "start", name, "--no-enter"]
        used = int(subprocess.check_output(argv, cwd=repo)) / 1024
        shown = GitSession(name, repo).inside("sha256sum large")
    finally:
        remove(name)
    assert shown.split()[0] == _sha256(repo / "large")
    assert used < 100


# What our own process takes at most (KB); git's own are not counted. getrusage(2) would tell
# of the process that began it, too, which is pytest's.
_MEASURED = """
import re, sys
from claude_container.cli.main import main
assert main(sys.argv[1:]) == 0
print(re.search("VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def test_ignored_files_that_are_named_arrive_with_their_modes(
    cli: Cli, image: str, tmp_path: Path, home: Path
) -> None:
    write(home, {".config/claude-container/config.toml": 'include = ["*.key", "!other.key"]\n'})
    files = {".gitignore": "conf/\n*.key\nnode_modules/\n", ".worktreeinclude": "/conf/\n"}
    repo = make_repository(tmp_path / "r", {**files, "sub/a": "a"})
    names = {"conf/a": 0o664, "conf/deep/b": 0o777, "x.key": 0o600, "sub/ü y.key": 0o444}
    write(repo, {**dict.fromkeys(names, "secret"), "other.key": "", "node_modules/x": "n"})
    for name, mode in names.items():
        (repo / name).chmod(mode)
    (repo / "conf" / "link").symlink_to("/nowhere")
    # From a folder inside: the same.
    with git_session(cli, repo / "conf" / "deep", "--trust") as session:
        came = session.inside("find . -path ./.git -prune -o ! -type d -printf '%P %m\\n' | sort")
        assert session.inside("git status --porcelain") == ""
    rows = dict(row.rpartition(" ")[::2] for row in came.splitlines())
    assert rows.pop("conf/link") == "777"
    tracked = {".gitignore", ".worktreeinclude", "sub/a"}
    assert {n: int(mode, 8) for n, mode in rows.items() if n not in tracked} == names


def test_large_files_come_along_as_their_content(cli: Cli, image: str, tmp_path: Path) -> None:
    """Pointers and objects made by hand: the host has no git-lfs."""
    here, missing = b"the content\0\r\n", b"never fetched"
    ids = [hashlib.sha256(content).hexdigest() for content in (here, missing)]
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
    inner = make_repository(tmp_path / "inner", {".gitattributes": "*.big filter=lfs -text\n"})
    repo = make_repository(tmp_path / "r", {".gitattributes": "*.big filter=lfs -text\n"})
    for folder in (repo, inner):
        write(folder, {"in/ü a.big": pointer.format(ids[0], len(here))})
        git(folder, "add", "--all")
        git(folder, "commit", "-qm", "Large")
    write(repo, {"b.big": pointer.format(ids[1], len(missing))})
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "Missing")
    git(repo, *ALLOW, "submodule", "add", "-q", str(inner), "sub")
    git(repo, "commit", "-qm", "A submodule")
    for folder in (".git", ".git/modules/sub"):
        store = repo / folder / "lfs" / "objects" / ids[0][:2] / ids[0][2:4]
        store.mkdir(parents=True)
        (store / ids[0]).write_bytes(here)
    name = unique()
    try:
        done = cli("start", name, "--no-enter", cwd=repo)
        came = workspace(name)
        status = GitSession(name, repo).inside("git status --porcelain; git -C sub status -s")
    finally:
        remove(name)
    assert "2 git-lfs objects" in done.stderr
    assert "1 git-lfs file is not here, and stays a pointer" in done.stderr
    assert came["in/ü a.big"][1] == came["sub/in/ü a.big"][1] == here
    assert came["b.big"][1] == (repo / "b.big").read_bytes()
    assert status == ""


def test_submodules_come_along_with_their_commits(cli: Cli, image: str, tmp_path: Path) -> None:
    deep = make_repository(tmp_path / "deep", {"d": "1"})
    inner = make_repository(tmp_path / "inner", {"i": "1"})
    repo = make_repository(tmp_path / "r")
    git(inner, *ALLOW, "submodule", "add", "-q", "--name", "otherwise", str(deep), "in ü/deep")
    git(inner, "commit", "-qm", "Nested")
    for path in ("one", "lib/two", "absent", "dirty"):
        git(repo, *ALLOW, "submodule", "add", "-q", "--name", f"x {path}", str(inner), path)
    git(repo, "commit", "-qm", "Submodules")
    git(repo, *ALLOW, "submodule", "update", "-q", "--init", "--recursive", "one", "lib/two")
    git(repo, "submodule", "deinit", "-q", "--force", "absent")
    git(repo / "lib/two", "commit", "-q", "--allow-empty", "-m", "Only here")
    git(repo / "one", "config", "core.autocrlf", "true")
    write(repo / "dirty", {"i": "changed", "new": "n"})
    name = unique()
    try:
        done = cli("start", name, "--no-enter", cwd=repo)
        session = GitSession(name, repo)
        came = workspace(name)
        status = session.inside(
            "git status --porcelain; for m in one lib/two dirty one/in*/deep;"
            ' do git -C "$m" status --porcelain; git -C "$m" remote; done'
        )
        log = session.inside('for m in lib/two one/in*/deep; do git -C "$m" log --format=%s; done')
        known = session.inside("git submodule status --recursive")
    finally:
        remove(name)
    assert "5 submodules" in done.stderr
    assert "uncommitted work in the submodule dirty stayed here" in done.stderr
    assert status == ""
    assert log.split() == ["Only", "here", "Nested", "Begin", "Begin"]
    assert [row[0] for row in known.splitlines()] == list("- -    ")
    expected = held(repo)
    assert came.pop("dirty/i")[1] == b"1"
    del expected["dirty/i"], expected["dirty/new"]
    assert came == expected


def test_filters_that_the_host_has_are_refused_or_files_come_as_stored(
    cli: Cli, image: str, tmp_path: Path
) -> None:
    repo = make_repository(tmp_path / "r", {".gitattributes": "*.k filter=crypt\n"})
    for key in ("clean", "smudge"):
        git(repo, "config", f"filter.crypt.{key}", "tr a-z n-za-m")
    write(repo, {"a.k": "secret\n"})
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "Filtered")
    write(repo, {"b.k": "new\n"})
    name = unique()
    try:
        refused = cli("start", name, "--no-enter", cwd=repo)
        nothing = GitSession(name, repo).volumes()
        done = cli("start", name, "--no-enter", "--as-stored", cwd=repo)
        came = workspace(name)
    finally:
        remove(name)
    assert (refused.code, nothing) == (1, [])
    assert "crypt: a.k, b.k" in refused.stderr
    assert "--as-stored" in refused.stderr
    assert done.code == 0
    assert (came["a.k"][1], came["b.k"][1]) == (b"frperg\n", b"arj\n")
