"""Build the wheel and the sdist of HEAD into dist/, and refuse what must not be published.

It tags and pushes nothing: it says what to type. docs/releasing.md has the whole way.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from datetime import date
from pathlib import Path
from typing import NoReturn

from packaging.errors import ExceptionGroup
from packaging.metadata import Metadata

ROOT = Path(__file__).parents[1]
PACKAGE = "src/claude_container"
# What the sdist has beside the package and its own PKG-INFO; hatchling heeds .gitignore.
BESIDE = ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", ".gitignore")
ENTRY_POINTS = """\
[console_scripts]
claude-container = claude_container.start:main
git-remote-claude-container = claude_container.remote_helper:main
"""

Files = dict[str, tuple[bytes, bool]]  # path → content, executable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", help="check that this tag is the version's, and at HEAD")
    parser.add_argument("--notes", type=Path, help="write the changelog's section to this file")
    options = parser.parse_args()
    version = read_version()
    notes = changes(version)
    check_tree()
    check_tag(version, options.tag)
    if options.notes:
        options.notes.write_text(notes, encoding="utf-8")
    say(f"→ building {version}, twice")
    with tempfile.TemporaryDirectory() as scratch:
        for made in build(Path(scratch), version):
            (ROOT / "dist").mkdir(exist_ok=True)
            shutil.copy(made, ROOT / "dist")
            say(f"✓ dist/{made.name}")
    if not options.tag:
        say("→ what publishes it, once this commit is on main and its tests have passed:")
        say(f"  git tag --sign v{version} --message 'Version {version}'")
        say(f"  git push origin v{version}")


def say(text: str) -> None:
    print(text, file=sys.stderr)


def refuse(what: str, hint: str, evidence: str = "") -> NoReturn:
    say("\n".join([f"✗ {what}", *(f"  {line}" for line in evidence.splitlines())]))
    say(f"hint: {hint}")
    sys.exit(1)


def git(*words: str) -> str:
    # An archive has the files' bytes as they are, whatever the user's own checkouts get.
    argv = ["git", "-c", "core.autocrlf=false", *words]
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    ran = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True)
    if ran.returncode:
        hint = "this needs a clone of the repository, whose remote is origin"
        refuse(f"git {words[0]} failed", hint, ran.stderr)
    return ran.stdout.rstrip()


def read_version() -> str:
    """The version, from its one place, without importing what is to be checked."""
    text = (ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(\d+\.\d+\.\d+)"$', text, re.M)
    if not found:
        refuse(f"no version in {PACKAGE}/__init__.py", 'it needs a line __version__ = "1.2.3"')
    return found[1]


def changes(version: str) -> str:
    """The changelog's section about this version. Refuses one that is not finished."""
    parts = re.split(r"^## (.+)\n", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    # Definitions of links, which may follow the last section, are no change.
    texts = [re.sub(r"^\[[^]]+\]: .*$", "", text, flags=re.M).strip() for text in parts[2::2]]
    sections = dict(zip(parts[1::2], texts, strict=True))
    hint = f"CHANGELOG.md needs a section '## [{version}] - {date.today()}'"
    if sections.get("[Unreleased]"):
        refuse("CHANGELOG.md has changes under [Unreleased]", hint)
    title = next((title for title in sections if title.startswith(f"[{version}]")), None)
    if title is None:
        refuse(f"CHANGELOG.md says nothing about {version}", hint)
    try:
        date.fromisoformat(title.removeprefix(f"[{version}] - "))
    except ValueError:
        refuse(f"version {version} has no date in CHANGELOG.md", hint, f"## {title}")
    if not re.search(r"^[^#\s]", sections[title], re.M):
        refuse(f"the section about {version} in CHANGELOG.md is empty", "say what changed")
    return f"{sections[title]}\n"


def check_tree() -> None:
    """What is built is HEAD, so nothing may differ from it."""
    if changed := git("status", "--porcelain", "--untracked-files=normal"):
        refuse("the tree is not clean", "commit, or put it aside: git stash -u", changed)


def check_tag(version: str, wanted: str | None) -> None:
    """A version is released once: its tag is nowhere yet, or at HEAD already."""
    tag, head = f"v{version}", git("rev-parse", "HEAD")
    hint = f"a new version needs a new number, in {PACKAGE}/__init__.py"
    if wanted and wanted != tag:
        refuse(f"the tag is {wanted}, but the version {version}", hint)
    # An annotated tag has an object of its own, and its commit's comes last.
    ref = f"refs/tags/{tag}"
    here = git("for-each-ref", "--format=%(objectname) %(*objectname)", ref).split()
    there = [] if wanted else git("ls-remote", "origin", ref, f"{ref}^{{}}").split()[::2]
    for place, found in (("here", here), ("on origin", there)):
        if found and found[-1] != head:
            evidence = f"{tag}: {found[-1]}\nHEAD: {head}"
            refuse(f"tag {tag} is {place} already, at another commit", hint, evidence)
    if wanted and not here:
        refuse(f"there is no tag {tag} here", f"git fetch origin tag {tag}")


def build(scratch: Path, version: str) -> tuple[Path, Path]:
    """The sdist and the wheel of HEAD, checked, each made twice.

    Once of what git has, so that no ignored file gets in; and once of the sdist, in another
    place with other modes, which shows that it is whole and that nothing of here is in it.
    """
    head = scratch / "head.tar"
    git("archive", f"--output={head}", "HEAD")
    first = make(head, scratch / "first" / "tree", umask=0o022)
    check_contents(files_of_tar(head), *first, version)
    second = make(first[0], scratch / "second" / "another tree", umask=0o077)
    for one, other in zip(first, second, strict=True):
        if one.read_bytes() != other.read_bytes():
            refuse(f"{one.name} is another one when built again", "compare them: diffoscope")
    return first


def make(source: Path, folder: Path, umask: int) -> tuple[Path, Path]:
    """Unpack an archive into this folder and build what is in it: (sdist, wheel)."""
    folder.mkdir(parents=True)
    with tarfile.open(source) as tar:
        tar.extractall(folder, filter="data")
    tree = next(folder.glob("*/PKG-INFO"), folder / "here").parent  # an sdist has a top folder
    out = folder.parent / "dist"
    ran = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out)],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": git("show", "-s", "--format=%ct", "HEAD")},
        umask=umask,
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        refuse("cannot build", "by hand: .venv/bin/hatchling build", ran.stdout + ran.stderr)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def check_contents(head: Files, sdist: Path, wheel: Path, version: str) -> None:
    """Exactly the package's files as git has them, bytes and modes, and metadata that holds."""
    name = f"claude_container-{version}"
    packed, unpacked = files_of_tar(sdist, f"{name}/"), files_of_wheel(wheel)
    package = {path: file for path, file in head.items() if path.startswith(f"{PACKAGE}/")}
    beside = {path: head[path] for path in BESIDE}
    prefix = f"{name}.dist-info/"
    metadata = [path for path in unpacked if path.startswith(prefix)]
    info = {path.removeprefix(prefix): unpacked.pop(path)[0] for path in metadata}
    own, _ = packed.pop("PKG-INFO", (b"", False))
    for archive, found, expected in (
        (wheel, {f"src/{path}": file for path, file in unpacked.items()}, package),
        (sdist, packed, package | beside),
    ):
        if wrong := {path for path, _ in found.items() ^ expected.items()}:
            hint = "see [tool.hatch] in pyproject.toml"
            refuse(f"{archive.name} is not what git has", hint, "\n".join(sorted(wrong)))
    if set(info) != {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}:
        refuse(f"{wheel.name} has other metadata", "see pyproject.toml", "\n".join(info))
    if info["licenses/LICENSE"] != head["LICENSE"][0] or info["METADATA"] != own:
        refuse(f"license or metadata differ in {wheel.name} and {sdist.name}", "see pyproject.toml")
    if info["entry_points.txt"].decode() != ENTRY_POINTS:
        refuse(f"{wheel.name} has other programs", "see [project.scripts] in pyproject.toml")
    check_metadata(own)


def check_metadata(content: bytes) -> None:
    """What an index checks at an upload, and that the description reads well there."""
    try:
        metadata = Metadata.from_email(content, validate=True)
    except ExceptionGroup as group:
        wrong = "\n".join(map(str, group.exceptions))
        refuse("an index would refuse the metadata", "see pyproject.toml", wrong)
    text = metadata.description or ""
    if metadata.description_content_type != "text/markdown" or not text.strip():
        refuse("no description in Markdown", "see fancy-pypi-readme in pyproject.toml")
    if relative := re.findall(r"\]\((?!https?:|#)[^)]*\)", text):
        refuse("links that lead nowhere on an index", "see pyproject.toml", "\n".join(relative))


def files_of_wheel(path: Path) -> Files:
    with zipfile.ZipFile(path) as wheel:
        return {
            entry.filename: (wheel.read(entry), bool(entry.external_attr >> 16 & stat.S_IXUSR))
            for entry in wheel.infolist()
        }


def files_of_tar(path: Path, top: str = "") -> Files:
    with tarfile.open(path) as tar:
        return {
            entry.name.removeprefix(top): (content.read(), bool(entry.mode & stat.S_IXUSR))
            for entry in tar
            if (content := tar.extractfile(entry))
        }


if __name__ == "__main__":
    main()
