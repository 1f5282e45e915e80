"""`list`: the sessions and conversations that there are, and what they held when last seen."""

from __future__ import annotations

import click

from claude_container.cli import own
from claude_container.cli.main import Call
from claude_container.cli.options import engine_option
from claude_container.sessions import asking


@click.command("list")
@click.option("--refresh", is_flag=True, help="look at each session anew, which takes a moment")
@click.option("--size", is_flag=True, help="and how large the workspaces are")
@click.option("--json", "as_json", is_flag=True, help="the rows as JSON")
@click.option("--quiet", "-q", is_flag=True, help="the names only")
@engine_option
@click.pass_obj
def command(
    call: Call, /, refresh: bool, size: bool, as_json: bool, quiet: bool, engine: str | None
) -> int:
    """Show sessions: where they came from, whether they run, and what they hold.

    COMMITS and UNCOMMITTED are what the last look at a session found (diff, merge,
    leaving it, list --refresh), SEEN is how long ago that was.
    """
    runs_on = own.engine(engine)
    answer = asking.begin(runs_on)
    from claude_container.cli import listed
    from claude_container.sessions import listing

    entries = listing.entries(listed.swept(call, runs_on, answer()))
    if not quiet:
        entries = listing.with_figures(entries)
    if refresh or size:
        # What it takes to look would cost every other call its time, too.
        from claude_container.cli import looking

        if refresh:
            entries = looking.refreshed(call, runs_on, entries)
        if size:
            entries = looking.measured(call, runs_on, entries)
    if as_json:
        call.console.answer(listed.as_json(entries))
    elif quiet:
        for entry in entries:
            call.console.answer(entry.name)
    elif not entries:
        call.console.hint("there are no sessions: claude-container start NAME makes one")
    else:
        call.console.answer("\n".join(listed.tables(entries, sizes=size)))
        for entry in entries:
            if entry.failed:
                call.console.warn(f"{entry.name}: {entry.failed}")
    return int(any(entry.failed for entry in entries))
