"""What a merge would bring that deserves a look, with real git and hostile names."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from claude_container.changes import risks
from claude_container.changes.risks import Risk
from claude_container.git import Repository, find

pytestmark = pytest.mark.git

FILE, PROGRAM, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
# A path to a text, or to (mode, text).
Tree = Mapping[str, "str | tuple[str, str]"]


class Host:
    """The user's repository. Trees are written without a working tree, as an agent could."""

    def __init__(self, top: Path) -> None:
        self.top = top
        top.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *args: str, input: bytes | None = None) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.top, input=input, check=True, capture_output=True
        )
        return os.fsdecode(done.stdout).strip()

    def tree(self, files: Tree) -> str:
        """The id of a tree with these files, in an index that is new each time."""
        entries = [entry if isinstance(entry, tuple) else (FILE, entry) for entry in files.values()]
        rows = []
        ids: dict[str, str] = {}
        for _, text in entries:
            if text not in ids:
                blob = ["hash-object", "-w", "--stdin"]
                ids[text] = self.git(*blob, input=os.fsencode(text))
        for path, (mode, text) in zip(files, entries, strict=True):
            id = text if mode == SUBMODULE else ids[text]
            rows.append(f"{mode} {id}\t".encode() + os.fsencode(path) + b"\0")
        index = self.top / ".git" / "made-up-index"
        index.unlink(missing_ok=True)
        env = {**os.environ, "GIT_INDEX_FILE": str(index)}
        add = ["git", "update-index", "-z", "--index-info"]
        subprocess.run(add, cwd=self.top, env=env, input=b"".join(rows), check=True)
        write = ["git", "write-tree"]
        done = subprocess.run(write, cwd=self.top, env=env, check=True, capture_output=True)
        return done.stdout.decode().strip()

    @property
    def repository(self) -> Repository:
        found = find(self.top)
        assert found
        return found

    def risks(self, new: Tree, old: Tree | None = None) -> list[Risk]:
        return risks.find(self.repository, self.tree(old or {}), self.tree(new))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "my repository, ünï:code")


def rows(found: list[Risk]) -> list[tuple[str, str, bool]]:
    return [(risk.kind, risk.path, risk.confirm) for risk in found]


BARE = {"x/HEAD": "ref: refs/heads/main", "x/config": "[core]\n\tfsmonitor = evil\n"}


@pytest.mark.parametrize("held", ["in the tree", "here, in no tree"])
def test_what_makes_a_bare_repository_needs_a_yes(host: Host, held: str) -> None:
    """Its config names programs, which git in that folder runs."""
    rest = {"x/objects/a": "", "x/refs/a": ""}
    hooks = ("hooks", "x", True)
    assert hooks not in rows(host.risks(BARE))
    if held == "in the tree":
        assert hooks in rows(host.risks({**BARE, **rest}, old=rest))
    else:  # ignored, or of an earlier merge
        for path in rest:
            (host.top / path).parent.mkdir(parents=True)
        assert hooks in rows(host.risks(BARE))
        (host.top / "x" / "HEAD").touch()
        assert hooks in rows(host.risks({"x/config": "new"}))


def test_plain_work_has_no_risk(host: Host) -> None:
    files = {"README.md": "x", "src/a b.py": "", "Makefile": "all:", "src/hooks/useNap.ts": "x"}
    files |= {"node/package.json": '{"scripts": {"test": "x"}}', "файл.py": "x", "日本.md": "x"}
    assert host.risks(files) == []
    tree = host.tree(files)
    assert risks.find(host.repository, tree, tree) == []


@pytest.mark.parametrize(
    "path",
    [
        *(
            ".husky/pre-commit",
            ".husky/_/husky.sh",
            "sub/.githooks/x",
            "hooks/pre-push",
            ".Husky/x",
        ),
        *("scripts/post-checkout.sh", ".pre-commit-config.yaml", "lefthook.yml", ".lefthook.toml"),
        *(".claude/settings.json", ".claude/settings.local.json", "a/.claude/hooks/x.sh"),
        *(".mcp.json", "sub/.mcp.json", ".CLAUDE/Settings.json", ".lfsconfig"),
        ".hu\u200csky/pre-commit",  # HFS+ omits what does not show
    ],
)
def test_what_runs_by_itself_needs_a_yes_and_its_removal_none(host: Host, path: str) -> None:
    assert any(risk.confirm and risk.path == path for risk in host.risks({path: "x"}))
    assert any(risk.confirm for risk in host.risks({path: "y"}, old={path: "x"}))
    removed = host.risks({"a": "x"}, old={"a": "x", path: "x"})
    assert [(risk.path, risk.confirm) for risk in removed] == [(path, False)]
    assert removed[0].why.startswith("removed; ")


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("ci", ".github/workflows/ci.yml"),
        ("ci", ".gitlab-ci.yml"),
        ("ci", ".circleci/config.yml"),
        ("ci", "Jenkinsfile"),
        ("ci", "ci/azure-pipelines.yml"),
        ("ci", ".github/CODEOWNERS"),
        ("claude", ".claude/commands/fix.md"),
        ("claude", "CLAUDE.md"),
        ("claude", "AGENTS.md"),
        ("container", "Dockerfile"),
        ("container", "docker/Dockerfile.dev"),
        ("container", ".devcontainer/devcontainer.json"),
        ("container", "compose.yaml"),
        ("session", ".claude-container.toml"),
        ("session", ".worktreeinclude"),
        ("editor", ".vscode/tasks.json"),
        ("editor", ".vscode/settings.json"),
        ("editor", ".idea/workspace.xml"),
        ("editor", "sub/.envrc"),
        ("install", ".npmrc"),
        ("attributes", "sub/.gitattributes"),
        ("hooks", "hooks/useNap.ts"),
    ],
)
def test_what_others_act_on_is_shown(host: Host, kind: str, path: str) -> None:
    assert rows(host.risks({path: "x"})) == [(kind, path, False)]


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("core.hooksPath", "tools/git", "tools/git/pre-commit"),
        ("core.hooksPath", "./tools/git/", "tools/git/lib/common.sh"),
        ("core.hooksPath", "tools/git", "tools/git"),  # a link there now
        ("core.hooksPath", "tools/git", "tools"),
        ("core.hooksPath", "{top}/tools/git", "tools/git/pre-commit"),
        ("core.hooksPath", "tools/git", "TOOLS/git/pre-commit"),
        ("filter.x.clean", "sh tools/clean.sh %f", "tools/clean.sh"),
        ("filter.x.smudge", "python3 clean.py", "clean.py"),
        ("filter.x.process", "'tools/x' --go", "tools/x"),
        ("diff.x.textconv", "{top}/tools/show", "tools/show"),
        ("diff.x.command", "./show", "show"),
        ("merge.x.driver", "tools/merge %O %A %B", "tools/merge"),
        ("core.fsmonitor", ".git-tools/watch", ".git-tools/watch"),
        ("core.sshCommand", "ssh -F conf/ssh", "conf/ssh"),
        ("core.editor", "tools/edit", "tools/edit"),
        ("gpg.program", "./sign", "sign"),
        ("credential.helper", "!tools/secret get", "tools/secret"),
        ("alias.lint", "!sh tools/lint.sh", "tools/lint.sh"),
        ("alias.top", '!"$(git rev-parse --show-toplevel)/tools/x"', "tools/x"),
        ("include.path", "../.gitconfig", ".gitconfig"),
        ("includeIf.gitdir:/x/.path", "../conf/git", "conf/git"),
        ("blame.ignoreRevsFile", "revs", "revs"),
        ("submodule.x.update", "!tools/update", "tools/update"),
    ],
)
def test_what_the_users_configuration_names_needs_a_yes(
    host: Host, key: str, value: str, path: str
) -> None:
    before = host.risks({path: "x"})
    assert "config" not in {risk.kind for risk in before}
    host.git("config", key, value.format(top=host.top))
    found = host.risks({path: "y"}, old={path: "x"})
    assert ("config", path, True) in rows(found)
    assert found[0].why.lower() == f"your {key.lower()} names it"
    elsewhere = host.risks({"other": "x", "tools.md": "x", "tool": "x", "update": "x"})
    assert elsewhere == []


def test_words_that_are_no_paths_name_no_file(host: Host, home: Path) -> None:
    (home / ".gitconfig").write_text(
        "[user]\n name = docs main\n[core]\n editor = vim\n[alias]\n st = status x\n"
        "[init]\n defaultBranch = main\n[empty]\n key\n"
    )
    words = {"docs": "x", "main": "x", "vim": "x", "status": "x", "x": "x", "true": "x"}
    assert host.risks(words) == []


def test_the_users_home_and_links_are_followed(host: Host, home: Path) -> None:
    """~/.gitconfig may name a file by a path that only a link brings into the tree."""
    (home / "bin").symlink_to(host.top / "tools")
    (home / ".gitconfig").write_text("[diff]\n external = ~/bin/show\n")
    assert ("config", "tools/show", True) in rows(host.risks({"tools/show": "x"}))


def test_a_hooks_folder_behind_a_link_counts(host: Host) -> None:
    (host.top / "scripts").mkdir()
    (host.top / ".hk").symlink_to("scripts")
    host.git("config", "core.hooksPath", ".hk")
    assert ("config", "scripts/lib.sh", True) in rows(host.risks({"scripts/lib.sh": "x"}))


def test_an_installed_hook_names_what_it_runs(host: Host) -> None:
    hooks = host.top / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-commit").symlink_to("../../scripts/check")
    (hooks / "pre-push").write_text("#!/bin/sh\nexec ./tools/test.sh --all src/\n")
    (hooks / "post-merge.sample").write_text("tools/sample.sh\n")
    os.mkfifo(hooks / "post-commit")
    files = {"scripts/check": "x", "tools/test.sh": "x", "tools/sample.sh": "x", "src/a.py": "x"}
    found = host.risks(files)
    assert rows(found) == [("config", "scripts/check", True), ("config", "tools/test.sh", True)]
    assert [risk.why for risk in found] == [
        "your hook pre-commit names it",
        "your hook pre-push names it",
    ]


def test_a_linked_worktree_counts_like_the_main_one(host: Host, tmp_path: Path, home: Path) -> None:
    (home / ".gitconfig").write_text("[user]\n name = A\n email = a@b\n")
    host.git("commit", "--quiet", "--allow-empty", "-m", "x")
    host.git("worktree", "add", "--quiet", str(tmp_path / "linked"))
    host.git("config", "core.editor", f"{host.top}/tools/edit")
    new = host.tree({"tools/edit": "x"})
    linked = find(tmp_path / "linked")
    assert linked
    assert rows(risks.find(linked, host.tree({}), new)) == [("config", "tools/edit", True)]


def test_attributes_that_name_the_users_own_drivers_need_a_yes(host: Host) -> None:
    path = ".gitattributes"
    assert not any(risk.confirm for risk in host.risks({path: "*.x filter=own diff=own\n"}))
    host.git("config", "filter.own.clean", "clean-it")
    host.git("config", "diff.seen.textconv", "show-it")
    host.git("config", "merge.mine.driver", "merge-it")

    def confirmed(new: str, old: str = "") -> bool:
        return any(risk.confirm for risk in host.risks({path: new}, {path: old, "a": "x"}))

    assert confirmed("*.x filter=own\n") and confirmed("* merge=mine") and confirmed("* diff=seen")
    assert confirmed("[attr]hide filter=own\n")
    # Who takes a filter away, git-crypt's say, makes the next commit hold plain text.
    assert confirmed("", old="secret filter=own\n") and confirmed("secret -filter\n")
    assert confirmed("secret !filter\n", old="x\n")
    assert not confirmed("*.x filter=other diff=own\n* text=auto\n*.py diff=python\n")
    assert not confirmed("*.x filter=own\n* text\n", old="*.x filter=own\n")


def test_what_is_too_large_to_look_into_needs_a_yes(host: Host) -> None:
    found = host.risks({".gitattributes": "# " + "x" * (1 << 20)})
    assert rows(found) == [("attributes", ".gitattributes", True)]


def test_submodules(host: Host) -> None:
    one, two = "1" * 40, "2" * 40
    modules = '[submodule "lib"]\n path = lib\n url = https://example.com/lib\n'
    found = host.risks({".gitmodules": modules, "lib": (SUBMODULE, one)})
    assert ("submodule", "lib", False) in rows(found)
    urls = [risk.why for risk in found if risk.confirm]
    assert urls == ["submodule.lib.url = https://example.com/lib"]
    old: Tree = {".gitmodules": modules, "lib": (SUBMODULE, one)}
    moved = host.risks({".gitmodules": modules, "lib": (SUBMODULE, two)}, old)
    assert [risk.why for risk in moved] == ["moved to 222222222222"]
    evil = modules.replace("https://example.com/lib", "ext::sh -c touch%20/tmp/x") + " update=!x\n"
    found = host.risks({".gitmodules": evil, "lib": (SUBMODULE, one)}, old)
    assert [risk.confirm for risk in found] == [True, True]
    assert host.risks({".gitmodules": "[include\n"})[0].confirm
    # What it includes is not read.
    (host.top / "more").write_text('[submodule "x"]\n url = y\n')
    assert host.risks({".gitmodules": f"[include]\n path = {host.top}/more\n"}) == []
    gone = host.risks({"a": "x"}, {"a": "x", **old})
    assert rows(gone) == [("submodule", "lib", False), ("submodule", ".gitmodules", False)]


@pytest.mark.parametrize(
    ("path", "target", "left"),
    [
        ("a", "b", False),
        ("a/b/c", "../../d", False),
        ("a/b", "./../c/", False),
        ("a", "..", True),
        ("a/b/c", "../../../d", True),
        ("a", "/etc/passwd", True),
        ("a", "//x", True),
        ("a", "b/../../c", True),
        ("a", "b/../c", True),  # depends on what b is
        ("a", ".git/hooks/pre-commit", True),
        ("a/b", "../.GIT/config", True),
        ("a", "git~1/config", True),
        ("a", ".g\u200cit/config", True),
        ("a", "C:\\Windows", True),
        ("a", "..\\x", True),
        ("a", ".gitignore", False),
        ("a", "", False),
        ("a\nb/c", "../x\x1b]0;y", False),
    ],
)
def test_links_that_leave_the_tree(host: Host, path: str, target: str, left: bool) -> None:
    if target:
        found = host.risks({path: (LINK, target)})
        assert any(risk.kind == "symlink" and risk.confirm for risk in found) == left
    assert bool(risks.leaves(path, target)) == left


def test_links_that_change_what_they_are(host: Host) -> None:
    found = host.risks({"a": (LINK, "b"), "c": "x", "d": (LINK, "e")}, {"a": "x", "c": (LINK, "x")})
    assert rows(found) == [("symlink", "a", False), ("symlink", "c", False)]
    # A folder of hooks that turns into a link.
    host.git("config", "core.hooksPath", "tools/hk")
    found = host.risks({"tools": (LINK, "evil")}, {"tools/hk/pre-commit": "x"})
    assert ("config", "tools", True) in rows(found)


@pytest.mark.parametrize("at", ["", "x/", "x/y/"])
@pytest.mark.parametrize("last", ["HEAD", "config", "head", "Config"])
def test_a_folder_that_git_takes_for_a_repository_needs_a_yes(
    host: Host, at: str, last: str
) -> None:
    names = {"head": "HEAD", "config": "config", "objects/x": "objects/x", "refs/x": "refs/x"}
    names[last.lower()] = last
    whole = {f"{at}{name}": "x" for name in names.values()}
    last_of_all = {path: text for path, text in whole.items() if path != f"{at}{last}"}
    assert (
        "hooks",
        at.rstrip("/") or ".",
        True,
    ) in rows(host.risks(whole, last_of_all))
    # As it was before is no risk, and neither is a part of one.
    assert rows(host.risks({**whole, "other": "x"}, whole)) == []
    assert host.risks({path: text for path, text in whole.items() if "refs" not in path}) == []


def test_new_programs(host: Host) -> None:
    old: Tree = {"a": "x", "b": (PROGRAM, "x"), "c": (PROGRAM, "x")}
    new: Tree = {"a": (PROGRAM, "x"), "b": (PROGRAM, "y"), "c": "x", "d": (PROGRAM, "x")}
    assert rows(host.risks(new, old)) == [("executable", "a", False), ("executable", "d", False)]


@pytest.mark.parametrize(
    ("path", "confirm"),
    [
        ("x\x1b[2Jy", False),
        ("a\nb", False),
        ("re\u202egnp.exe", False),
        ("zero\u200bwidth", False),
        ("half\udcffname", False),
        ("dot.", False),
        ("blank /x", False),
        ("aux.c", False),
        ("src/CON", False),
        ("com1", False),
        ("a:b", False),
        ('quo"te', False),
        ("back\\slash", False),
        ("p\u0430ypal.py", False),  # a Cyrillic a
        ("x/.g\u200cit", True),
    ],
)
def test_names_that_are_not_what_they_seem(host: Host, path: str, confirm: bool) -> None:
    assert rows(host.risks({path: "x"})) == [("name", path, confirm)]
    assert json.loads(json.dumps(path)) == path  # half a character too
    # The user has it already.
    assert host.risks({path: "y"}, old={path: "x"}) == []


def test_names_that_differ_only_in_case(host: Host) -> None:
    old: Tree = {"README.md": "x", "Src/a": "x", "stra\u00dfe": "x", "e\u0301": "x"}
    new: Tree = {**old, "readme.md": "x", "src/b": "x", "STRASSE": "x", "\u00e9": "x", "new": "x"}
    found = {risk.path: risk.why for risk in host.risks(new, old)}
    assert set(found) == {"readme.md", "src", "STRASSE", "\u00e9"}
    assert found["src"] == "some systems take it for Src"
    assert {risk.path for risk in host.risks({"A": "x", "a": "x"})} == {"A"}


def test_install_scripts_count_when_they_change(host: Host) -> None:
    def package(**scripts: object) -> str:
        return json.dumps({"name": "x", "scripts": scripts})

    path = "web/package.json"
    assert rows(host.risks({path: package(postinstall="x")})) == [("install", path, False)]
    old = {path: package(prepare="husky", test="x")}
    assert host.risks({path: package(prepare="husky", test="y")}, old) == []
    found = host.risks({path: package(prepare="evil", install="y")}, old)
    assert [risk.why for risk in found] == ["runs at installation: install, prepare"]
    for broken in ("[" * 100_000, "{", '{"scripts": [1]}', '"x"', "\udcff"):
        assert host.risks({path: broken}) == []


def test_nothing_of_the_tree_or_of_its_attributes_runs(host: Host, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for key in ("diff.own.textconv", "diff.own.command", "diff.external", "filter.own.clean"):
        host.git("config", key, f"touch '{ran}' #")
    host.git("config", "filter.own.smudge", f"touch '{ran}' #")
    (host.top / ".gitattributes").write_text("* diff=own filter=own\n")
    host.risks(
        {".gitattributes": "* diff=own filter=own\n", "a": "y", "b": (LINK, "a")}, {"a": "x"}
    )
    assert not ran.exists()


def test_many_rows_are_cut_with_their_number_and_the_confirmed_come_first(host: Host) -> None:
    many: dict[str, str | tuple[str, str]] = {f"bin/{n}": (PROGRAM, "x") for n in range(20_000)}
    many |= {f"out/{n}": (LINK, "/x") for n in range(1000)}
    many["zzz/.mcp.json"] = "x"
    found = host.risks(many)
    assert len(found) == 51 + 51 + 1
    more = [risk for risk in found if not risk.path]
    assert more == [
        Risk("symlink", "", "950 more", True),
        Risk("executable", "", "19 950 more", False),
    ]
    assert [risk.confirm for risk in found] == [True] * 52 + [False] * 51
    assert ("claude", "zzz/.mcp.json", True) in rows(found)


def test_links_too_many_to_look_into_need_a_yes(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risks, "_BLOBS", 2)
    links: Tree = {name: (LINK, f"to-{name}") for name in "abc"}
    assert rows(host.risks(links)) == [("symlink", "c", True)]
