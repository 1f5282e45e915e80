"""`merge` for a session of a folder without git: files, where there are no commits to bring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from claude_container.changes import figures, folder, risks
from claude_container.changes.folder import Plan, Row, record
from claude_container.changes.taken import lines
from claude_container.cli import merge_words as words
from claude_container.cli import merging, session, table
from claude_container.cli.console import Console
from claude_container.cli.main import Call
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.git import Repository
from claude_container.sessions import look, remove, upkeep
from claude_container.sessions.known import Session
from claude_container.terminal import visible

_SHOWN = 50  # files
# Flags about commits and branches, of which a folder has none.
_SENSELESS = {
    "select": "--select chooses commits",
    "ranges": "--commits chooses commits",
    "squash": "--squash makes one commit",
    "merge_": "--merge makes a commit",
    "message": "--message is for a commit",
    "into": "--into names a branch",
    "with_snapshot": "--with-snapshot makes a commit",
}


def merge(
    call: Call, engine: Engine, repository: Repository, opened: Session, flags: dict[str, Any]
) -> int:
    """Show what would be written into the folder, and once it is agreed to, write it."""
    console = call.console
    check(flags, opened.directory)
    if flags["undo_"]:
        return _undo(console, repository, opened, flags)
    seen = session.look_now(call, engine, repository, opened, counted=False)
    if pending := session.uncommitted(seen.committable):
        if flags["dry_run"]:
            console.warn(f"not in here: {pending} in the session, which a merge commits first")
        else:
            console.doing(f"committing {pending} in the session first")
            upkeep.commit_pending(engine, opened, merging.MESSAGE, console)
            seen = session.look_now(call, engine, repository, opened, counted=False)
    for row in seen.elsewhere:
        console.warn(f"not part of this: {row}")
    planned = record.since_last(repository, opened.name, opened.directory)
    resolving = f"claude-container push {opened.name} brings your files in there, for Claude to"
    can = shown(console, planned, flags, f"{resolving} resolve it")
    is_agreed = can and agreed(console, planned, flags)
    if is_agreed and not flags["dry_run"]:
        if planned.rows:
            folder.carry_out(planned, lambda: record.begin(repository, opened.name, planned))
        record.finish(repository, opened.name, planned.head)
        console.done(outcome(planned))
    look.count(repository, opened, seen)
    if flags["as_json"]:
        write_json(console, planned, written=is_agreed and not flags["dry_run"])
    if planned.conflicts and not flags["dry_run"]:
        return 1
    if is_agreed and flags["delete"]:
        lost = remove.losses(engine, repository, opened, console, limits=session.limits())
        merging.delete(
            console, opened.name, lost, lambda: remove.remove(engine, repository, opened)
        )
    return 0


def check(flags: dict[str, Any], directory: Path) -> None:
    """Raise UsageError for a flag that is about commits."""
    for flag, why in _SENSELESS.items():
        if flags[flag]:
            raise UsageError(
                f"{why}, and {directory} is no git repository",
                hint="its files change as a whole: --dry-run shows how",
            )


def shown(console: Console, planned: Plan, flags: dict[str, Any], hint: str) -> bool:
    """Show a plan; tell whether it can be carried out. `hint` is for a conflict."""
    if not flags["as_json"]:
        for line in _lines(planned):
            console.answer(line)
    for path in planned.left:
        console.warn(f"{visible(path)} is a git repository of its own in the session, and stays")
    if not planned.conflicts:
        return True
    rows = lines(f"{visible(each.path)}: {visible(each.why)}" for each in planned.conflicts)
    if flags["dry_run"]:
        for row in rows.splitlines():
            console.warn(f"would conflict: {row}")
        return False
    console.error(ClaudeContainerError("a conflict: nothing was written", evidence=rows, hint=hint))
    return False


def agreed(console: Console, planned: Plan, flags: dict[str, Any]) -> bool:
    """Whether it is to be written: a question on a terminal, and one more for what is risky."""
    if not planned.rows:
        return True
    rows = risks.find(planned.repository, planned.base, planned.head, planned.folder)
    if flags["dry_run"]:
        for row in rows:
            console.warn(words.risk(row))
        return True
    asked = not flags["all_"]
    if asked and not console.confirm(f"Write this into {table.short_path(str(planned.folder))}?"):
        console.done("nothing was written")
        return False
    return merging.accepted(console, rows, flags)


def _undo(console: Console, repository: Repository, opened: Session, flags: dict[str, Any]) -> int:
    planned = record.undoing(repository, opened.name, opened.directory)
    hint = "you changed these since; have them be as the merge left them, or leave it at that"
    can = shown(console, planned, flags, hint)
    if flags["dry_run"] or not can:
        return int(not can and not flags["dry_run"])
    folder.carry_out(planned)
    record.undone(repository, opened.name)
    if seen := figures.read(repository, opened.name):
        look.count(repository, opened, seen)
    if flags["as_json"]:
        write_json(console, planned, written=True)
    console.done(f"the last merge into {table.short_path(str(planned.folder))} is taken back")
    return 0


def _lines(planned: Plan) -> Iterator[str]:
    where = table.short_path(str(planned.folder))
    if planned.rows:
        yield f"{table.many(len(planned.rows), 'file')} in {where}:"
        for row in planned.rows[:_SHOWN]:
            yield f"  {_how(row):<8} {visible(row.path)}"
        if (more := len(planned.rows) - _SHOWN) > 0:
            yield f"  … and {more} more: --json has all"
    elif not planned.conflicts:
        yield f"nothing new for {where}"
    if planned.already:
        yield f"there already: {table.many(planned.already, 'file')}"


def _how(row: Row) -> str:
    return "merged" if row.merged else row.how


def outcome(planned: Plan) -> str:
    """What was written, by count."""
    where = table.short_path(str(planned.folder))
    if not planned.rows:
        return f"{where} stays as it is"
    counted = {how: sum(_how(row) == how for row in planned.rows) for how in _ORDER}
    told = ", ".join(f"{count} {how}" for how, count in counted.items() if count)
    return f"{where}: {told}"


_ORDER = ("added", "changed", "merged", "mode", "deleted")


def write_json(console: Console, planned: Plan, *, written: bool) -> None:
    """The plan, and whether it was carried out."""
    answer = {
        "folder": str(planned.folder),
        "written": written and bool(planned.rows),
        "files": [{"path": row.path, "how": _how(row)} for row in planned.rows],
        "conflicts": [{"path": each.path, "why": each.why} for each in planned.conflicts],
        "already": planned.already,
        "left": list(planned.left),
    }
    console.answer(json.dumps(answer, indent=2))
