"""`diff` for a session of --dir: what is otherwise than in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from claude_container import git
from claude_container.changes import review, risks
from claude_container.changes.review import File
from claude_container.cli import drawn, session, table
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.engines.base import Engine
from claude_container.sessions import layered
from claude_container.sessions.layered import Layered, Left
from claude_container.sessions.overlay import Overlay
from claude_container.terminal import visible

_PATHS = 5  # of each kind of what stays
_STAYS = {
    "git": "of git, and stays there",
    "unreadable": "not readable, and stays there",
    "special": "no file, folder or link, and stays there",
    "empty": "an empty folder, and stays there",
    "modes": "with other permissions, which stay there",
}


def diff(call: Call, engine: Engine, found: Overlay, shown: str | None, *, null: bool) -> int:
    """Show what the session changed."""
    paths = drawn.pathspecs(found.directory, call.claude_args)
    with (
        sweeping(call.console, engine),
        layered.look(engine, found, call.console, limits=session.limits()) as seen,
    ):
        if shown == "patch":
            words = ("diff", seen.now, seen.head, "--", *paths)
            return git.show(*words, cwd=seen.repository.top).code
        files = review.net(seen.repository, seen.now, seen.head, paths)
        if shown == "names":
            drawn.write_paths(files, null)
        elif shown == "json":
            call.console.answer(json.dumps(_data(found, seen, files), indent=2))
        elif shown == "stat":
            rows = drawn.files(files, None)
            call.console.answer("\n".join([*rows, _totals(files)]))
        else:
            call.console.answer("\n".join(_all(found, seen, files)))
            tell_left(call, seen.left)
            if files:
                call.console.hint(f"claude-container merge {found.name}")
                patch = f"claude-container diff {found.name} --patch"
                call.console.hint(f"{patch} shows every line")
    return 0


def _all(found: Overlay, seen: Layered, files: Sequence[File]) -> Iterator[str]:
    yield f"session {found.name}, over {visible(table.short_path(str(found.directory)))}"
    yield _totals(files) if files else "nothing that its folder does not have"
    yield from drawn.files(files, drawn.LISTED)
    for path in seen.moved_on[: drawn.LISTED]:
        yield f"⚠ changed in the folder since, too: {visible(path)}"
    if rows := risks.find(seen.repository, seen.now, seen.head, found.directory):
        yield from ("", "worth a look")
        yield from drawn.risks(rows)


def tell_left(call: Call, left: Mapping[str, Left]) -> None:
    """Say what no merge brings."""
    for kind, what in left.items():
        named = ", ".join(visible(path) for path in what.paths[:_PATHS])
        more = f" and {what.count - _PATHS} more" if what.count > _PATHS else ""
        call.console.warn(f"{_STAYS[kind]}: {named}{more}")


def _totals(files: Sequence[File]) -> str:
    added, removed = sum(f.added or 0 for f in files), sum(f.removed or 0 for f in files)
    return f"{table.many(len(files), 'file')}, +{added} -{removed}"


def _data(found: Overlay, seen: Layered, files: Sequence[File]) -> dict[str, object]:
    return {
        "session": found.name,
        "directory": str(found.directory),
        "files": [asdict(file) for file in files],
        "changed_in_folder": list(seen.moved_on),
        "left": {kind: asdict(what) for kind, what in seen.left.items()},
        "risks": [
            asdict(risk)
            for risk in risks.find(seen.repository, seen.now, seen.head, found.directory)
        ],
    }
