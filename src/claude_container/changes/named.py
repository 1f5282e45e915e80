"""Which files of a tree the user's own git would run or read: by configuration, or by a hook."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from claude_container.changes.paths import fold, folders
from claude_container.git import Repository

# Values that are one path, which may hold blanks and may be a folder.
_PATHS = re.compile(r"(path|file|template|dir|cainfo|capath|cert|key|keyring)$")
# Values that name nothing to run or read.
_INERT = re.compile(r"(user|author|committer|branch|color|advice|init\.defaultbranch)(\.|$)")
_DRIVER = re.compile(r"(filter|diff|merge)\.(.+)\.(clean|smudge|process|command|textconv|driver)")
_WORDS = re.compile(r"""[\s"'`;|&()<>,=:]+""")
_TOP = re.compile(r"""\$\(git rev-parse --show-toplevel\)|\$\{?(GIT_WORK_TREE|PWD)\}?""")
_MOST = 1 << 16  # bytes that are read of a hook, and hooks that are read


@dataclass(frozen=True)
class Named:
    """Paths in the tree, folded (paths.fold), and what of the user's names each.

    `drivers` are the (attribute, name) that the user's configuration gives a
    program, such as ("filter", "lfs").
    """

    files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    above: dict[str, str] = field(default_factory=dict)  # a link there would lead elsewhere
    drivers: set[tuple[str, str]] = field(default_factory=set)

    def by(self, path: str) -> str | None:
        """What names this path (folded), a folder it is in, or something below it."""
        found = self.files.get(path) or self.folders.get(path) or self.above.get(path)
        if found or not self.folders:
            return found
        return next((self.folders[up] for up in folders(path) if up in self.folders), None)

    def add(self, path: str, who: str, *, folder: bool) -> None:
        """Note that `who` names a path, and with `folder` all that is in it."""
        path = fold(path)
        self.files.setdefault(path, who)
        if folder:
            self.folders.setdefault(path, who)
        for up in folders(path):
            self.above.setdefault(up, who)


def find(repository: Repository) -> Named:
    """All that the user's configuration and installed hooks name. Runs nothing of the tree."""
    named = Named()
    top = str(repository.top)
    # A linked worktree's configuration may name a file by its path in the main one.
    roots = {top, os.path.realpath(top), str(repository.common.parent)}
    hooks = str(repository.common / "hooks")
    for origin, key, value in _configured(repository):
        if driver := _DRIVER.fullmatch(key):
            named.drivers.add((driver[1], driver[2]))
        if _INERT.match(key) or (key.startswith("alias.") and not value.startswith("!")):
            continue
        value = os.path.expandvars(value)
        base = os.path.dirname(os.path.join(top, origin)) if key.startswith("include") else top
        if _PATHS.search(key):
            path = os.path.expanduser(value)
            if key == "core.hookspath":
                hooks = os.path.join(top, path)
            for inside in _inside(path, base, roots):
                named.add(inside, f"your {key}", folder=True)
        # What is called without a slash is looked for on PATH, not here.
        for at, word in enumerate(_words(value.lstrip("!"), roots)):
            if at or "/" in word:
                for inside in _inside(os.path.expanduser(word), base, roots):
                    named.add(inside, f"your {key}", folder=False)
    for word, who in _installed(hooks, roots):
        for inside in _inside(word, top, roots):
            named.add(inside, who, folder=False)
    return named


def _configured(repository: Repository) -> Iterator[tuple[str, str, str]]:
    """(file, key, value) of the user's configuration, without what we add to each call."""
    listed = repository.git("config", "--list", "-z", "--show-scope", "--show-origin")
    fields = os.fsdecode(listed.stdout).split("\0")
    for scope, origin, entry in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        key, _, value = entry.partition("\n")
        if scope != "command":
            yield origin.removeprefix("file:"), key, value


def _words(text: str, roots: set[str]) -> list[str]:
    """The words of a command line or script; the path of the tree, which may hold blanks, as `.`"""
    for root in roots:
        text = text.replace(root + os.sep, "./")
    return [word for word in _WORDS.split(_TOP.sub(".", text)) if word]


def _inside(path: str, base: str, roots: set[str]) -> Iterator[str]:
    """The path seen from the root of the tree, if it is in it: as written, and with links followed.

    The root itself gives nothing: "" would be above every path.
    """
    if not path or "\0" in path:
        return
    whole = os.path.normpath(os.path.join(base, path))
    for spelled in {whole, os.path.realpath(whole)}:
        for root in roots:
            if spelled.startswith(root + os.sep):
                yield os.path.relpath(spelled, root).replace(os.sep, "/")


def _installed(folder: str, roots: set[str]) -> Iterator[tuple[str, str]]:
    """(path, hook) of what the installed hooks are links to, and of words in them like paths."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in [name for name in names if not name.endswith(".sample")][:_MOST]:
        path = os.path.join(folder, name)
        yield path, f"your hook {name}"
        if not os.path.isfile(path):  # a pipe would never end
            continue
        try:
            with open(path, "rb") as script:
                text = os.fsdecode(script.read(_MOST))
        except OSError:
            continue
        for word in set(_words(text, roots)):
            if "/" in word or "." in word:
                yield word, f"your hook {name}"
