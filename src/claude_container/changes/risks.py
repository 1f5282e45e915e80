"""What a merge would bring that deserves a look: a row each.

Only objects are read, with git in the user's own repository. Nothing of the tree
runs: no textconv, no external diff, no filter.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from claude_container import git
from claude_container.changes import named, risk_rules, trees
from claude_container.changes.paths import fold, folders, is_of_git
from claude_container.changes.trees import Change
from claude_container.clone.opened import LINK, SUBMODULE
from claude_container.git import Repository

_ROWS = 50  # of one kind; the next says how many more
_BLOBS = 5000  # whose content is looked at
_BYTES = 1 << 20  # of one of them
_BARE = ("HEAD", "objects", "refs")  # by which git knows a bare repository
# What a package manager runs on its own.
_SCRIPTS = (
    *("preinstall", "install", "postinstall", "prepublish", "dependencies"),
    *("preprepare", "prepare", "postprepare"),
)
_DRIVEN = re.compile(r"(?:^|\s)([-!]?)(filter|diff|merge)(?:=(\S+))?(?=\s|$)")


@dataclass(frozen=True)
class Risk:
    """One row. `path` and `why` may hold an agent's text: show them through visible().

    `path` is "" in the row for what is too much to list. `confirm`: it would run by
    itself, or reach outside of the tree, so that a merge needs a yes to it.
    """

    kind: str
    path: str
    why: str
    confirm: bool


def find(repository: Repository, old: str, new: str, folder: Path | None = None) -> list[Risk]:
    """The risks in the difference of two commits or trees, what needs a yes first.

    `folder` is where they are to go, if that is not the repository's own working tree.
    """
    changes = list(trees.changes(repository, old, new))
    if not changes:
        return []
    mine = named.find(replace(git.find(folder) or repository, top=folder) if folder else repository)
    rows = [row for change in changes for row in _of_change(change, mine)]
    rows += _of_contents(repository, changes, mine)
    if added := [change.path for change in changes if change.added]:
        rows += _twins(repository, new, added)
    rows += _repositories(repository, new, changes, folder or repository.top)
    return _bounded(rows)


def _of_change(change: Change, mine: named.Named) -> Iterator[Risk]:
    """What the names and modes of one path tell."""
    path, old_mode, new_mode, _, new = change
    folded = fold(path)
    gone = change.gone
    if who := mine.by(folded):
        why = f"{who} names it"
        yield Risk("config", path, f"removed; {why}" if gone else why, not gone)
    if rule := risk_rules.of_path(folded):
        kind, why, confirm = rule
        yield Risk(kind, path, f"removed; {why}" if gone else why, confirm and not gone)
    if SUBMODULE in (old_mode, new_mode) and old_mode != new_mode:
        yield Risk("submodule", path, "removed" if gone else f"new, at {new[:12]}", False)
    elif new_mode == SUBMODULE:
        yield Risk("submodule", path, f"moved to {new[:12]}", False)
    if gone:
        return
    if new_mode == "100755" != old_mode:
        yield Risk("executable", path, "can be run as a program now", False)
    if change.added:
        if strange := risk_rules.odd(path):
            yield Risk("name", path, *strange)
    elif old_mode[:3] != new_mode[:3] and LINK in (old_mode, new_mode):
        why = "a link now, was none" if new_mode == LINK else "was a link, is none now"
        yield Risk("symlink", path, why, False)


def _of_contents(repository: Repository, changes: list[Change], mine: named.Named) -> list[Risk]:
    """What only the files' contents tell. Few kinds, and bounded: see _BLOBS and _BYTES."""
    looked = [(kind, change) for change in changes if (kind := _content(change))]
    # Links last: a million of them shall not hide the others.
    looked.sort(key=lambda pair: pair[0] == "symlink")
    wanted = [
        id for kind, change in looked for id in (change.new, change.old)[: 2 - (kind == "symlink")]
    ]
    blobs = _read(repository, dict.fromkeys(wanted))
    rows: list[Risk] = []
    for kind, change in looked:
        old, new = (blobs.get(id) for id in (change.old, change.new))
        if new is None or (old is None and kind != "symlink"):
            rows.append(Risk(kind, change.path, "too large, or too many, to look into", True))
        elif kind == "symlink":
            if why := leaves(change.path, os.fsdecode(new)):
                rows.append(Risk(kind, change.path, why, True))
        elif kind == "attributes":
            rows.append(_attributes(change.path, old or b"", new, mine))
        elif kind == "install":
            rows += _scripts(change.path, old or b"", new)
        else:
            rows += _submodules(repository, change)
    return rows


def _content(change: Change) -> str | None:
    """As what the content of a changed file is looked at, if it is."""
    if change.new_mode == LINK:
        return "symlink"
    if change.new_mode == SUBMODULE:
        return None
    name = fold(change.path.rpartition("/")[2])
    if name == ".gitattributes":
        return "attributes"
    if name == "package.json" and not change.gone:
        return "install"
    return "submodule" if fold(change.path) == ".gitmodules" else None


def _read(repository: Repository, ids: Iterable[str]) -> dict[str, bytes]:
    """The blobs, without those that are too large or too many; nothing for the null id."""
    wanted = [id for id in ids if id.strip("0")][:_BLOBS]
    found = {"0" * 40: b"", "0" * 64: b""}
    if not wanted:
        return found
    listed = repository.git("cat-file", "--batch-check", input="\n".join(wanted).encode())
    left, small = 64 * _BYTES, []
    for line in listed.stdout.decode().splitlines():
        id, kind, *rest = line.split(" ")
        if kind == "blob" and (size := int(rest[0])) <= min(left, _BYTES):
            small.append(id)
            left -= size
    contents = trees.objects(repository, "\n".join(small).encode())
    return found | {header.split()[0].decode(): content for header, content in contents}


def leaves(path: str, target: str) -> str | None:
    """Why a link at this path leaves the tree or goes into .git, or None if it stays.

    Links that each stay, by their text alone, stay when they are followed one through
    the other; only `name/..` would depend on what the name is.
    """
    shown = target if len(target) <= 100 else target[:100] + "…"
    for spelled in {target, target.replace("\\", "/")}:
        if spelled.startswith("/") or re.match(r"[A-Za-z]:", spelled):
            return f"a link that leaves the tree: {shown}"
        parts = [part for part in spelled.split("/") if part not in ("", ".")]
        up = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
        if up > path.count("/") or ".." in parts[up:]:
            return f"a link that leaves the tree: {shown}"
        whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), *parts))
        if is_of_git(whole):
            return f"a link into git's own folder: {shown}"
    return None


def _attributes(path: str, old: bytes, new: bytes, mine: named.Named) -> Risk:
    """Lines that come or go and name one of the user's own drivers, which would run, or not."""
    lines = set(old.splitlines()) ^ set(new.splitlines())
    names = set()
    for sign, attribute, driver in _DRIVEN.findall(os.fsdecode(b"\n".join(lines))):
        off = sign and any(known == attribute for known, _ in mine.drivers)
        if off or (attribute, driver) in mine.drivers:
            names.add(f"{sign}{attribute}={driver}" if driver else f"{sign}{attribute}")
    if not names:
        return Risk("attributes", path, "changes how git treats files", False)
    listed = ", ".join(sorted(names)[:5])
    return Risk("attributes", path, f"changes where your own program runs: {listed}", True)


def _scripts(path: str, old: bytes, new: bytes) -> Iterator[Risk]:
    before, after = _npm(old), _npm(new)
    if changed := [name for name in _SCRIPTS if after.get(name) not in (None, before.get(name))]:
        yield Risk("install", path, f"runs at installation: {', '.join(changed)}", False)


def _npm(blob: bytes) -> dict[str, object]:
    try:
        scripts = json.loads(blob)["scripts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return scripts if isinstance(scripts, dict) else {}


def _submodules(repository: Repository, change: Change) -> Iterator[Risk]:
    """What is new in .gitmodules.

    git reads it, and without being told not to also what it includes (seen with 2.39).
    """
    before, after = (_config(repository, id) for id in (change.old, change.new))
    if before is None or after is None:
        yield Risk("submodule", change.path, "git cannot read it", True)
        return
    for key, value in after.items():
        what = key.rpartition(".")[2]
        if before.get(key) != value and what in ("url", "path", "update", "branch"):
            shown = value if len(value) <= 100 else value[:100] + "…"
            yield Risk("submodule", change.path, f"{key} = {shown}", what in ("url", "update"))
    if gone := len(before.keys() - after.keys()):
        yield Risk("submodule", change.path, f"removes {gone} settings", False)


def _config(repository: Repository, blob: str) -> dict[str, str] | None:
    if not blob.strip("0"):
        return {}
    listed = repository.git(
        "config", f"--blob={blob}", "--no-includes", "--list", "-z", check=False
    )
    if listed.code != 0:
        return None
    entries = os.fsdecode(listed.stdout).split("\0")[:-1]
    pairs = (entry.partition("\n") for entry in entries)
    return {key: value for key, _, value in pairs if key.startswith("submodule.")}


def _twins(repository: Repository, new: str, added: list[str]) -> Iterator[Risk]:
    """New names that a file system which ignores case would take for another of the tree."""
    mine: dict[str, str] = {}
    for path in added:
        for part in (path, *folders(path)):
            mine.setdefault(fold(part), part)
    seen = set()
    for path in trees.paths(repository, new):
        for part in (path, *folders(path)):
            if part in seen:
                break
            seen.add(part)
            if (twin := mine.get(fold(part), part)) != part:
                yield Risk("name", twin, f"some systems take it for {part}", False)


def _repositories(
    repository: Repository, new: str, changes: list[Change], top: Path
) -> Iterator[Risk]:
    """Folders that git itself would take for a bare repository, whose config names programs."""
    held: dict[str, set[str]] = {}
    for change in changes:
        at, _, name = change.path.rpartition("/")
        if not change.gone and fold(name) in ("head", "config"):
            # With what lies there already, ignored or from before, it can be whole, too.
            here = {part for part in _BARE if os.path.lexists(top / at / part)}
            held.setdefault(fold(at), set()).update(map(fold, here))
    if not held:
        return
    for path in trees.paths(repository, new):
        for part in (fold(path), *folders(fold(path))):
            at, _, name = part.rpartition("/")
            if at in held:
                held[at].add(name)
    for at, names in held.items():
        if names.issuperset(map(fold, _BARE)):
            yield Risk(
                "hooks", at or ".", "git takes it for a repository, and runs its config", True
            )


def _bounded(rows: list[Risk]) -> list[Risk]:
    """The rows, those to confirm first; of each kind the first, and how many more."""
    rows = sorted(dict.fromkeys(rows), key=lambda row: not row.confirm)
    kinds: dict[str, list[Risk]] = {}
    for row in rows:
        kinds.setdefault(row.kind, []).append(row)
    shown: list[Risk] = []
    for kind, all_of_it in kinds.items():
        shown += all_of_it[:_ROWS]
        if rest := all_of_it[_ROWS:]:
            confirm = any(row.confirm for row in rest)
            shown.append(Risk(kind, "", f"{len(rest):,} more".replace(",", " "), confirm))
    return sorted(shown, key=lambda row: not row.confirm)
