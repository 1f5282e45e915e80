"""`list`: the sessions and conversations that there are, and what they held when last seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from claude_container.cli import session, sweep, table
from claude_container.cli.main import Call
from claude_container.engines.base import Engine
from claude_container.sessions import leftovers, listing
from claude_container.sessions.listing import CONVERSATION, ORIGINAL, SESSION, Entry

_HEADINGS = {
    CONVERSATION: "Conversations about a directory (claude-container --session NAME):",
    ORIGINAL: "Of the original claude-container, which says no more of them:",
}


@click.command("list")
@click.option("--refresh", is_flag=True, help="look at each session anew, which takes a moment")
@click.option("--size", is_flag=True, help="and how large the workspaces are")
@click.option("--json", "as_json", is_flag=True, help="the rows as JSON")
@click.option("--quiet", "-q", is_flag=True, help="the names only")
@session.engine_option
@click.pass_obj
def command(
    call: Call, /, refresh: bool, size: bool, as_json: bool, quiet: bool, engine: str
) -> int:
    """Show sessions: where they came from, whether they run, and what they hold.

    COMMITS and UNCOMMITTED are what the last look at a session found (diff, merge,
    leaving it, list --refresh), SEEN is how long ago that was.
    """
    runs_on, chosen = session.chosen(call, engine)
    entries = found(call, runs_on)
    if not quiet:
        entries = listing.with_figures(entries)
    if refresh:
        from claude_container.cli import looking

        entries = looking.refreshed(call, runs_on, entries, chosen)
    if size:
        from claude_container.cli import looking

        entries = looking.measured(call, runs_on, entries)
    if as_json:
        call.console.answer(json.dumps([_data(entry) for entry in entries], indent=2))
    elif quiet:
        for entry in entries:
            call.console.answer(entry.name)
    elif not entries:
        call.console.hint("there are no sessions: claude-container start NAME makes one")
    else:
        call.console.answer("\n".join(shown(entries, sizes=size)))
        for entry in entries:
            if entry.failed:
                call.console.warn(f"{entry.name}: {entry.failed}")
    return int(any(entry.failed for entry in entries))


def found(call: Call, engine: Engine) -> list[Entry]:
    """All that there is of ours, after clearing what dead commands left of it."""
    listed = listing.ask(engine)
    swept = leftovers.sweep(engine, listed.containers)
    sweep.tell(call.console, swept)
    return (listing.ask(engine) if swept else listed).entries()


def shown(entries: Sequence[Entry], *, sizes: bool = False) -> list[str]:
    """The lines of the tables, one for each kind."""
    lines: list[str] = []
    for kind in (SESSION, CONVERSATION, ORIGINAL):
        some = [entry for entry in entries if entry.kind == kind]
        if some and kind in _HEADINGS:
            lines += [*([""] if lines else []), _HEADINGS[kind]]
        if some:
            lines += _TABLES[kind](some, sizes)
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
    where = table.short_path(str(entry.session.repository))
    return [
        entry.name,
        f"{where} (gone)" if entry.gone else where,
        entry.session.branch or "(detached)",
        table.since(entry.created),
        entry.running or "-",
        str(seen.ahead) if seen else "?",
        str(seen.pending_count) if seen and seen.pending_count >= 0 else "?",
        table.since(seen.time) if seen else "never",
    ]


def _conversations(entries: Sequence[Entry], sizes: bool) -> list[str]:
    body = [
        [e.name, table.short_path(e.directory), table.since(e.created), e.running or "-"]
        for e in entries
    ]
    return table.rows(["NAME", "DIRECTORY", "AGE", "RUNNING"], body, shrink=(1, 0), right=(2,))


def _originals(entries: Sequence[Entry], sizes: bool) -> list[str]:
    body = [[entry.name, ", ".join(entry.volumes)] for entry in entries]
    return table.rows(["NAME", "VOLUMES"], body, shrink=(1, 0), right=())


_TABLES = {SESSION: _sessions, CONVERSATION: _conversations, ORIGINAL: _originals}


def _size(entry: Entry) -> str:
    return "?" if entry.size is None else table.size(entry.size)


def _data(entry: Entry) -> dict[str, Any]:
    """A row for scripts: what is not known is null."""
    seen = entry.figures
    began = entry.session
    return {
        "name": entry.name,
        "kind": entry.kind,
        "repository": str(began.repository) if began else None,
        "directory": entry.directory or None,
        "branch": began.branch or None if began else None,
        "created": entry.created or None,
        "running": None if entry.kind == ORIGINAL else bool(entry.running),
        "commits": seen.ahead if seen else None,
        "uncommitted": seen.pending_count if seen and seen.pending_count >= 0 else None,
        "seen": seen.time if seen else None,
        "repository_gone": entry.gone,
        "failed": entry.failed or None,
        "size": entry.size,
        "volumes": list(entry.volumes),
    }
