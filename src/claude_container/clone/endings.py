"""Line endings: files that a checkout would write with other bytes than they have here."""

from __future__ import annotations

import filecmp
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from claude_container.git import Repository

# As git-ls-files(1) tells them with --eol: in the index, in the working tree, attributes.
_ROW = re.compile(rb"i/(\S*) +w/(\S*) +attr/(.*?) *\t(.*)", re.DOTALL)
_CONVERTING = re.compile(rb"\b(text|crlf|eol)\b")
# What git says of a file for which attributes name no filter.
NO_FILTER = (b"unspecified", b"unset")


def unlike(repository: Repository, env: Mapping[str, str | None] | None = None) -> list[str]:
    """Files of an index, the user's own unless `env` names one, that a checkout would change.

    With core.autocrlf=true, for example, a file that was committed with LF stays so in
    the working tree, and comes back with CRLF. Files of filters are not among them.
    """
    if not _converts(repository, env):
        return []
    autocrlf, eol = _setting(repository, "core.autocrlf"), _setting(repository, "core.eol")
    rows = repository.git("ls-files", "--eol", "-z", env=env).stdout.split(b"\0")
    doubtful = [
        found[4]
        for found in map(_ROW.fullmatch, rows)
        if found and found[2] and found[2] != _expected(found[1], found[3], autocrlf, eol)
    ]
    return _compared(repository, _unfiltered(repository, doubtful, env), env)


def _expected(stored: bytes, attributes: bytes, autocrlf: str, eol: str) -> bytes:
    """The endings that a checkout gives, b"?" where that is not easily told."""
    if stored == b"-text":
        return b"?" if attributes.split()[:1] == [b"text"] else stored
    own = autocrlf == "true" or (eol == "crlf" and autocrlf != "input" and attributes != b"")
    crlf = b"eol=crlf" in attributes or (own and b"eol=lf" not in attributes)
    if not crlf or attributes == b"-text":
        return stored
    return {b"lf": b"crlf", b"mixed": b"?"}.get(stored, stored)


def _converts(repository: Repository, env: Mapping[str, str | None] | None) -> bool:
    """Whether any setting or attribute may have git convert line endings."""
    if _setting(repository, "core.autocrlf") in ("true", "input"):
        return True
    named = repository.git("ls-files", "-z", "--", ".gitattributes", "**/.gitattributes", env=env)
    files = [repository.top / os.fsdecode(path) for path in named.stdout.split(b"\0") if path]
    files = [file for file in [*files, *attributes(repository)] if file.is_file()]
    return any(_CONVERTING.search(file.read_bytes()) for file in files)


def attributes(repository: Repository) -> tuple[Path, Path]:
    """The files, if they are there, with attributes that are no part of the tree.

    The user's own, which count less than the tree's, and the repository's, which count more.
    """
    named = os.path.expanduser(repository.setting("core.attributesfile"))
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    own = repository.top / named if named else Path(config, "git", "attributes")
    return own, repository.common / "info" / "attributes"


def _setting(repository: Repository, key: str) -> str:
    said = repository.setting(key).lower()
    return "true" if said in ("yes", "on", "1") else said


def _unfiltered(
    repository: Repository, paths: list[bytes], env: Mapping[str, str | None] | None
) -> list[bytes]:
    asked = filters(repository, b"".join(path + b"\0" for path in paths), env)
    return [path for path, name in asked if name in NO_FILTER]


def filters(
    repository: Repository, paths: bytes, env: Mapping[str, str | None] | None = None
) -> Iterator[tuple[bytes, bytes]]:
    """(path, the filter that attributes name for it) of files of an index, as unlike() takes it.

    Each of `paths` ends in a NUL. Raises ProcessError.
    """
    words = ("check-attr", "-z", "--cached", "--stdin", "filter")
    asked = repository.git(*words, input=paths, env=env).stdout.split(b"\0")
    return zip(asked[0::3], asked[2::3], strict=False)


def _compared(
    repository: Repository, paths: list[bytes], env: Mapping[str, str | None] | None
) -> list[str]:
    """Those of these files that differ, byte for byte, from a checkout that is made of them."""
    if not paths:
        return []
    with tempfile.TemporaryDirectory(prefix="claude-container-") as folder:
        repository.git(
            *("checkout-index", "--force", "-z", "--stdin", f"--prefix={folder}/"),
            input=b"".join(path + b"\0" for path in paths),
            env=env,
        )
        names = [os.fsdecode(path) for path in paths]
        return [
            name
            for name in names
            if not filecmp.cmp(repository.top / name, Path(folder, name), shallow=False)
        ]
