"""What a folder has of its session: refs in the repository of ours, none of them an agent's.

`base` is the session's head that was merged last, so that merging again brings only what is
new; `undo` is what the last merge found and left. Without that repository all counts as new
that came since the session began: what the folder has already is then found by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from claude_container.changes import own
from claude_container.changes.commits import Commit, log
from claude_container.changes.folder.plan import Plan, plan
from claude_container.changes.taken import Refused
from claude_container.clone import index, plain
from claude_container.clone.opened import SUBMODULE, Blocked, Entry, Opened
from claude_container.errors import ClaudeContainerError
from claude_container.git import OURS, Repository
from claude_container.refs import our_ref


def since_last(repository: Repository, session: str, folder: Path) -> Plan:
    """The plan to bring what is new in a session, as the last look found it. Raises Refused."""
    where = own.refs(repository, session)
    left = own.left(repository, where) or where.base
    if undo := _cut_short(repository, session):
        left = _put_already(repository, undo, folder, left)
    return plan(folder, repository, left, where.head)


def _cut_short(repository: Repository, session: str) -> str | None:
    """The record of a merge that did not come to its end."""
    refs = repository.refs(our_ref(session, "").rstrip("/"))
    undo = refs.get(our_ref(session, "undo"))
    begun_from = _told(repository, undo)["base"] if undo else None
    return undo if begun_from == refs[our_ref(session, "base")] else None


def _put_already(repository: Repository, undo: str, folder: Path, left: str) -> str:
    """A tree with what such a merge has put in place: the session's own work, not the user's."""
    old, new = _entries(repository, undo), _entries(repository, f"{undo}^1")
    theirs = _entries(repository, _told(repository, undo)["head"])
    put: dict[str, Entry | None] = {}
    with Opened(folder) as place:
        for path in old.keys() | new.keys():
            with contextlib.suppress(Blocked):
                if place.entry(path) == new.get(path) != old.get(path):
                    put[path] = theirs.get(path)
    return index.tree(repository, put, left)


def begin(repository: Repository, session: str, planned: Plan) -> None:
    """Note what the folder has, before a plan is carried out.

    One that did not come to its end and what completes it are one merge.
    """
    base = repository.commit(our_ref(session, "base")) or ""
    old = {row.path: row.old for row in planned.rows}
    new = {row.path: row.new for row in planned.rows}
    if undo := _cut_short(repository, session):
        first, then = _entries(repository, undo), _entries(repository, f"{undo}^1")
        new = {**dict.fromkeys(first), **then, **new}
        old = {**old, **dict.fromkeys(then), **first}
    told = json.dumps({"base": base, "head": planned.head})
    left = repository.commit_tree(index.tree(repository, new), told, OURS)
    pins = dict.fromkeys([left, base, planned.head])
    made = repository.commit_tree(index.tree(repository, old), told, OURS, *pins)
    repository.update_refs({our_ref(session, "undo"): made})


def current(repository: Repository, session: str, folder: Path, who: tuple[str, str]) -> str | None:
    """A commit of the folder as it is, to be pushed; None where the session has all of it.

    What it has of the session stays in it, whatever a .gitignore says.
    """
    found = repository.refs(our_ref(session, "").rstrip("/"))
    base, pushed = found[our_ref(session, "base")], found.get(our_ref(session, "pushed"))
    held = _entries(repository, plain.take(repository, folder).tree)
    known = _entries(repository, base)
    with Opened(folder) as place:
        for path in known.keys() - held.keys():
            try:
                # A repository made in there has nothing to do with what is here.
                mine = known[path].mode != SUBMODULE
                entry = place.entry(path) if mine else known[path]
                if entry and entry != known[path]:
                    repository.write_blob(place.content(path))
            except Blocked:
                entry = known[path]
            if entry:
                held[path] = entry
    tree = index.tree(repository, held)
    last = pushed if pushed and not repository.is_ancestor(pushed, base) else base
    if tree == repository.git("rev-parse", f"{last}^{{tree}}").text:
        return None
    on = dict.fromkeys(filter(None, (base, pushed)))
    return repository.commit_tree(tree, f"{folder.name}, as it is now", who, *on)


def finish(repository: Repository, session: str, head: str) -> None:
    """Note that the folder has all of a session up to this commit."""
    repository.update_refs({our_ref(session, name): head for name in ("base", "origin")})


def undoing(repository: Repository, session: str, folder: Path) -> Plan:
    """The plan that takes the last merge back. Raises Refused if none is known."""
    undo = repository.commit(our_ref(session, "undo"))
    if undo is None:
        raise Refused(f"no merge of session {session} is known that could be undone")
    return plan(folder, repository, f"{undo}^1", undo)


def undone(repository: Repository, session: str) -> None:
    """Note that the last merge was taken back."""
    undo = our_ref(session, "undo")
    base = _told(repository, undo)["base"]
    repository.update_refs({our_ref(session, "base"): base, our_ref(session, "origin"): base})
    repository.update_refs({undo: None})


def remaining(
    repository: Repository, session: str, folder: Path, tips: Sequence[str] = ()
) -> list[Commit]:
    """Commits of the session's head (and tips) that would be lost with it, parents first.

    Those of its head only where a merge would still change anything.
    """
    where = own.refs(repository, session)
    others = [tip for tip in tips if tip != where.head]
    try:
        planned = since_last(repository, session, folder)
        merged = not planned.rows and not planned.conflicts
    except (ClaudeContainerError, OSError):
        merged = False
    if merged:
        return log(repository, *others, f"^{where.head}", *where.theirs) if others else []
    return log(repository, where.head, *others, *where.theirs)


def _told(repository: Repository, commit: str) -> dict[str, str]:
    shown = repository.git("cat-file", "commit", commit).stdout.decode()
    told: dict[str, str] = json.loads(shown.split("\n\n", 1)[1])
    return told


def _entries(repository: Repository, tree: str) -> dict[str, Entry]:
    listed = repository.git("ls-tree", "-r", "-z", "--full-tree", tree, timeout=None).stdout
    rows = [row.split("\t", 1) for row in os.fsdecode(listed).split("\0") if row]
    return {path: Entry(head.split(" ")[0], head.split(" ")[2]) for head, path in rows}
