"""What `list` shows of sessions and conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claude_container.cli import sweep, table
from claude_container.cli.main import Call
from claude_container.engines.base import Engine
from claude_container.sessions import asking, leftovers
from claude_container.sessions.asking import Listed
from claude_container.sessions.listing import CONVERSATION, ORIGINAL, OVERLAY, SESSION, Entry

_HEADINGS = {
    OVERLAY: "Layers over a directory (claude-container --dir PATH --session NAME):",
    CONVERSATION: "Conversations about a directory (claude-container --session NAME):",
    ORIGINAL: "Of the original claude-container, which says no more of them:",
}


def swept(call: Call, engine: Engine, answer: Listed) -> Listed:
    """What the engine has of ours, after clearing what dead commands left of it."""
    gone = leftovers.sweep(engine, answer.containers)
    sweep.tell(call.console, gone)
    return asking.listed(engine) if gone else answer


def find(call: Call, engine: Engine) -> Listed:
    """All that there is of ours, for listing.entries."""
    return swept(call, engine, asking.listed(engine))


def tables(entries: Sequence[Entry], *, sizes: bool = False) -> list[str]:
    """The lines of the tables, one for each kind."""
    lines: list[str] = []
    for kind in (SESSION, OVERLAY, CONVERSATION, ORIGINAL):
        some = [entry for entry in entries if entry.kind == kind]
        if some and kind in _HEADINGS:
            lines += [*([""] if lines else []), _HEADINGS[kind]]
        if some:
            lines += _sessions(some, sizes) if kind == SESSION else _TABLES[kind](some)
    return lines


def _sessions(entries: Sequence[Entry], sizes: bool) -> list[str]:
    head = ["NAME", "REPOSITORY", "BRANCH", "AGE", "RUNNING", "COMMITS", "UNCOMMITTED", "SEEN"]
    body = [_session(entry) for entry in entries]
    if sizes:
        head.append("SIZE")
        body = [[*row, _size(entry)] for row, entry in zip(body, entries, strict=True)]
    return table.rows(head, body, shrink=(1, 0, 2), right=(3, 5, 6, 7, 8))


def _session(entry: Entry) -> list[str]:
    assert entry.session is not None
    seen = entry.figures
    began = entry.session
    where = table.short_path(str(began.directory if began.of_folder else began.repository))
    return [
        entry.name,
        f"{where} (gone)" if entry.gone else where,
        "(folder)" if began.of_folder else began.branch or "(detached)",
        table.since(entry.created),
        entry.running or "-",
        str(seen.ahead) if seen and seen.ahead is not None else "?",
        str(seen.pending_count) if seen and seen.pending_count >= 0 else "?",
        table.since(seen.time) if seen else "never",
    ]


def _conversations(entries: Sequence[Entry]) -> list[str]:
    body = [
        [e.name, table.short_path(e.directory), table.since(e.created), e.running or "-"]
        for e in entries
    ]
    return table.rows(["NAME", "DIRECTORY", "AGE", "RUNNING"], body, shrink=(1, 0), right=(2,))


def _originals(entries: Sequence[Entry]) -> list[str]:
    body = [[entry.name, ", ".join(entry.volumes)] for entry in entries]
    return table.rows(["NAME", "VOLUMES"], body, shrink=(1, 0), right=())


_TABLES = {
    OVERLAY: _conversations,
    CONVERSATION: _conversations,
    ORIGINAL: _originals,
}


def _size(entry: Entry) -> str:
    return "?" if entry.size is None else table.size(entry.size)


def as_json(entries: Sequence[Entry]) -> str:
    """The rows for scripts."""
    import json

    return json.dumps([_data(entry) for entry in entries], indent=2)


def _data(entry: Entry) -> dict[str, Any]:
    # What is not known is null.
    seen = entry.figures
    began = entry.session
    return {
        "name": entry.name,
        "kind": entry.kind,
        "repository": str(began.repository) if began and not began.of_folder else None,
        "directory": entry.directory or None,
        "branch": began.branch or None if began and not began.of_folder else None,
        "created": entry.created or None,
        "running": None if entry.kind == ORIGINAL else entry.running in ("running", "paused"),
        "commits": seen.ahead if seen else None,
        "uncommitted": seen.pending_count if seen and seen.pending_count >= 0 else None,
        "seen": seen.time if seen else None,
        "repository_gone": entry.gone,
        "failed": entry.failed or None,
        "size": entry.size,
        "volumes": list(entry.volumes),
    }
