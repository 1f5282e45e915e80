"""What `make release` builds and what it refuses, and that the version has one place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from claude_container import __version__
from tests import actions
from tests.actions import ROOT

PYTHONS = re.findall(
    r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text()
)
TAG = f"v{__version__}"
NOTES = "### Added\n\n- A thing, and what\n  it is for.\n\n### Fixed\n\n- Another.\n"
CHANGELOG = f"""# Changelog

## [Unreleased]

## [{__version__}] - 2026-02-28

{NOTES}
## [0.0.1] - 2026-01-01

- The first.

[0.0.1]: https://example.com
"""


def git(folder: Path, *words: str) -> str:
    author = ("-c", "user.name=T", "-c", "user.email=t@example.com")
    argv = ["git", *author, *words]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout


def tracked() -> list[Path]:
    """The files of this checkout that git has, or would have after `git add`."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [Path(path) for path in listed.split("\0") if path and (ROOT / path).is_file()]


@dataclass(frozen=True)
class Clone:
    """A repository with this checkout's files, a finished changelog, and an origin."""

    folder: Path

    def write(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text)
        git(self.folder, "add", path)
        git(self.folder, "commit", "-q", "-m", f"Change {path}")

    def release(self, *args: str, **env: str) -> tuple[int, str]:
        """How `make release` ends, and what it says."""
        argv = [sys.executable, "scripts/release.py", *args]
        environ = {**os.environ, **env}
        ran = subprocess.run(argv, cwd=self.folder, env=environ, capture_output=True, text=True)
        assert ran.stdout == ""
        return ran.returncode, ran.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    folder = tmp_path / "clone"
    for path in tracked():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((ROOT / path).read_bytes())
        (folder / path).chmod((ROOT / path).stat().st_mode)
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(tmp_path, "init", "-q", "clone")
    git(folder, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "All of it")
    return Clone(folder)


@pytest.mark.git
def test_it_builds_what_git_has_and_tells_how_to_publish(clone: Clone) -> None:
    # Ignored, so git says nothing of it; and no such file may travel.
    (clone.folder / "src/claude_container/left.pyc").write_bytes(b"\0")
    git(clone.folder, "config", "core.autocrlf", "true")
    notes = clone.folder.parent / "notes.md"
    code, said = clone.release("--notes", str(notes))
    assert code == 0, said
    assert f"git tag --sign {TAG}" in said and f"git push origin {TAG}" in said
    assert git(clone.folder, "tag") + git(clone.folder, "ls-remote", "origin") == ""
    assert notes.read_text() == NOTES

    name = f"claude_container-{__version__}"
    package = {str(path)[4:] for path in tracked() if path.is_relative_to("src/claude_container")}
    assert {"claude_container/recipes/entrypoint.sh", "claude_container/demo/script.json"} < package
    with zipfile.ZipFile(clone.folder / "dist" / f"{name}-py3-none-any.whl") as wheel:
        inside = set(wheel.namelist())
        assert b"\r" not in wheel.read("claude_container/recipes/entrypoint.sh")
        text = wheel.read(f"{name}.dist-info/METADATA").decode()
    info = {path for path in inside if path.startswith(f"{name}.dist-info/")}
    assert inside - info == package
    assert f"{name}.dist-info/licenses/LICENSE" in info
    with tarfile.open(clone.folder / "dist" / f"{name}.tar.gz") as sdist:
        files = {entry.name.removeprefix(f"{name}/") for entry in sdist}
    beside = {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"}
    assert files == {f"src/{path}" for path in package} | beside

    header, _, description = text.partition("\n\n")
    assert f"\nVersion: {__version__}\n" in header
    links = re.findall(r"\]\(([^)#][^)]*)\)", description)
    assert links and [link for link in links if not link.startswith("https://")] == []
    assert any(f"/{TAG}/docs/" in link for link in links)


def unreleased(clone: Clone) -> None:
    clone.write("CHANGELOG.md", CHANGELOG.replace("sed]\n", "sed]\n\n- New.\n", 1))


def unknown(clone: Clone) -> None:
    clone.write("CHANGELOG.md", CHANGELOG.replace(f"[{__version__}]", f"[{__version__}0]"))


def undated(clone: Clone) -> None:
    clone.write("CHANGELOG.md", CHANGELOG.replace(" - 2026-02-28", ""))


def misdated(clone: Clone) -> None:
    clone.write("CHANGELOG.md", CHANGELOG.replace("02-28", "02-30"))


def empty(clone: Clone) -> None:
    clone.write("CHANGELOG.md", CHANGELOG.replace(NOTES, "### Added\n"))


def dirty(clone: Clone) -> None:
    (clone.folder / "README.md").write_text("changed")


def untracked(clone: Clone) -> None:
    (clone.folder / "new.py").write_text("")
    git(clone.folder, "config", "status.showUntrackedFiles", "no")


def tagged_before(clone: Clone) -> None:
    git(clone.folder, "tag", TAG)
    clone.write("new.py", "")


def tagged_on_origin(clone: Clone) -> None:
    git(clone.folder, "tag", "-a", "-m", "x", TAG)
    git(clone.folder, "push", "-q", "origin", TAG)
    git(clone.folder, "tag", "-d", TAG)
    clone.write("new.py", "")


def no_origin(clone: Clone) -> None:
    git(clone.folder, "remote", "remove", "origin")


def no_version(clone: Clone) -> None:
    clone.write("src/claude_container/__init__.py", '__version__ = "1.0.dev1"\n')


def file_left_out(clone: Clone) -> None:
    toml = (clone.folder / "pyproject.toml").read_text()
    line = "[tool.hatch.build.targets.wheel]\n"
    clone.write("pyproject.toml", toml.replace(line, f'{line}exclude = ["*.sh"]\n'))


def file_too_many(clone: Clone) -> None:
    toml = (clone.folder / "pyproject.toml").read_text()
    clone.write("pyproject.toml", toml.replace('include = ["/src", ', 'include = ["/src", "/ci", '))


def no_program(clone: Clone) -> None:
    toml = (clone.folder / "pyproject.toml").read_text()
    clone.write("pyproject.toml", re.sub("(?m)^git-remote-.*\n", "", toml))


def bad_classifier(clone: Clone) -> None:
    toml = (clone.folder / "pyproject.toml").read_text()
    clone.write("pyproject.toml", toml.replace('"Environment :: Console"', '"Environment :: No"'))


def description_gone(clone: Clone) -> None:
    clone.write("README.md", "\n")


@pytest.mark.git
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (unreleased, "CHANGELOG.md has changes under [Unreleased]"),
        (unknown, f"CHANGELOG.md says nothing about {__version__}"),
        (undated, f"version {__version__} has no date in CHANGELOG.md"),
        (misdated, f"version {__version__} has no date in CHANGELOG.md"),
        (empty, f"the section about {__version__} in CHANGELOG.md is empty"),
        (dirty, "the tree is not clean\n   M README.md"),
        (untracked, "the tree is not clean\n  ?? new.py"),
        (tagged_before, f"tag {TAG} is here already, at another commit"),
        (tagged_on_origin, f"tag {TAG} is on origin already, at another commit"),
        (no_origin, "git ls-remote failed"),
        (no_version, "no version in src/claude_container/__init__.py"),
        (file_left_out, "is not what git has\n  src/claude_container/recipes/as_owner.sh"),
        (file_too_many, "is not what git has\n  ci/__main__.py"),
        (no_program, "has other programs"),
        (bad_classifier, "cannot build"),
        (description_gone, "no description in Markdown"),
    ],
)
def test_it_refuses(spoil: Callable[[Clone], None], said: str, clone: Clone) -> None:
    spoil(clone)
    code, message = clone.release()
    assert (code, said in message) == (1, True), message
    refusal = message.removeprefix(f"→ building {__version__}, twice\n")
    assert refusal.startswith("✗ ") and "\nhint: " in refusal
    assert not (clone.folder / "dist").exists()


@pytest.mark.git
def test_it_refuses_what_depends_on_where_it_is_built(clone: Clone, tmp_path: Path) -> None:
    code = "import os\nos.environ['SOURCE_DATE_EPOCH'] = f'17000{len(os.getcwd()):05}'\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    code, message = clone.release(PYTHONPATH=str(tmp_path))
    assert (code, "is another one when built again" in message) == (1, True), message


@pytest.mark.git
def test_a_tag_that_is_pushed_must_be_the_versions(clone: Clone) -> None:
    assert f"there is no tag {TAG} here" in clone.release("--tag", TAG)[1]
    git(clone.folder, "tag", "-a", "-m", "x", TAG)
    git(clone.folder, "tag", "v99.0.0")
    assert "the tag is v99.0.0, but the version" in clone.release("--tag", "v99.0.0")[1]
    code, said = clone.release("--tag", TAG)
    assert (code, "git push" in said) == (0, False), said
    clone.write("new.py", "")
    assert "is here already, at another commit" in clone.release("--tag", TAG)[1]


# One place


def test_nothing_else_names_the_version() -> None:
    number = re.compile(rf"(?<![\d.]){re.escape(__version__)}(?![\d.])")
    # Other projects' versions, what was recorded once, and the history. Pages that are written
    # by a script follow the version, and tests hold them current.
    pins = re.compile(r"^[\w.-]+==.*|uses: .*", re.M)
    named = [
        str(path)
        for path in tracked()
        if str(path) not in ("CHANGELOG.md", "docs/commands.md", "docs/configuration.md")
        if not path.is_relative_to("tests/recorded")
        if number.search(pins.sub("", (ROOT / path).read_bytes().decode(errors="replace")))
    ]
    assert named == ["src/claude_container/__init__.py"]


@pytest.mark.parametrize(
    ("name", "job"), [("test", "fast"), ("test", "docker"), ("release", "try")]
)
def test_the_pythons_that_are_promised_are_tested(name: str, job: str) -> None:
    work = actions.load(ROOT / ".github" / "workflows" / f"{name}.yml")["jobs"][job]
    steps = [step for step in work["steps"] if "setup-python" in step.get("uses", "")]
    set_up = steps[0]["with"]["python-version"]
    if set_up == "${{ matrix.python }}":
        set_up = "\n".join(work["strategy"]["matrix"]["python"])
    assert set(set_up.split()) == set(PYTHONS)


def test_the_oldest_python_is_required() -> None:
    assert f'requires-python = ">={PYTHONS[0]}"' in (ROOT / "pyproject.toml").read_text()
