"""`cleanup`: everything of ours, with what each would lose, and one question."""

from __future__ import annotations

from collections.abc import Sequence
from time import time

import click

from claude_container import git
from claude_container.cli import delete, listed, looking, own, session, settings, table
from claude_container.cli.main import Call
from claude_container.cli.options import engine_option
from claude_container.engines.base import Engine, VolumeInUse
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.sessions import home, listing, remove
from claude_container.sessions.listing import (
    CONVERSATION,
    ORIGINAL,
    OVERLAY,
    SESSION,
    TOOLS,
    Entry,
)
from claude_container.sessions.remove import Losses

_KINDS = {
    SESSION: "session",
    OVERLAY: "overlay",
    CONVERSATION: "conversation",
    ORIGINAL: "original's",
    TOOLS: "tools",
}


@click.command("cleanup")
@click.option("--merged", is_flag=True, help="only sessions of which nothing would be lost")
@click.option("--older-than", metavar="AGE", help="only what was made before: 12h, 7d, 2w")
@click.option("--yes", "-y", is_flag=True, help="delete what is shown without asking")
@engine_option
@click.pass_obj
def command(
    call: Call, /, merged: bool, older_than: str | None, yes: bool, engine: str | None
) -> int:
    """Delete sessions, conversations and the original's volumes, after showing all of them.

    Looks at each session, and shows what would be lost with it. What runs stays. Volumes
    with claude for images that lack it go too: a launch makes them again. With --merged
    those stay; no conversation about a directory goes, and none of the original's
    volumes: of those nobody can say that nothing is lost. Of the original's volumes the
    age is not known, so --older-than leaves them too.
    """
    least = table.duration(older_than) if older_than else 0
    if not yes and not call.console.terminal:
        raise UsageError(
            "cleanup asks before it deletes, and there is no terminal",
            hint="claude-container list shows what there is; --merged --yes loses nothing",
        )
    runs_on = own.engine(engine)
    here = git.find(settings.working_directory())
    there = listed.find(call, runs_on)
    entries = [e for e in listing.entries(there) if _is_old(e, least)]
    tools = [] if merged else [e for e in listing.tools(there) if _is_old(e, least)]
    resting = [e for e in entries if not e.running and (e.work or not merged)]
    found = looking.losses(call, runs_on, resting, here)
    wanted = [(e, lost) for e, lost in zip(resting, found, strict=True) if not (merged and lost)]
    wanted += [(entry, Losses()) for entry in tools]
    for entry in entries:
        if entry.running:
            call.console.doing(f"{delete.in_words(entry)} is {entry.running}, and stays")
    if not wanted:
        call.console.done("there is nothing to clean up")
        return 0
    call.console.answer("\n".join(_shown(wanted)))
    if not yes and not call.console.confirm(_question(wanted)):
        return 1
    kept = [_kept(call, runs_on, entry, lost, here) for entry, lost in wanted]
    return int(any(kept))


def _is_old(entry: Entry, least: int) -> bool:
    return not least or (entry.created > 0 and time() - entry.created >= least)


def _shown(wanted: Sequence[tuple[Entry, Losses]]) -> list[str]:
    body = [
        [entry.name, _KINDS[entry.kind], table.since(entry.created), _lost(entry, losses)]
        for entry, losses in wanted
    ]
    return table.rows(["NAME", "KIND", "AGE", "WOULD BE LOST"], body, shrink=(0,), right=(2,))


def _lost(entry: Entry, losses: Losses) -> str:
    if entry.kind == CONVERSATION:
        return f"the conversation about {table.short_path(entry.directory)}"
    if entry.kind == ORIGINAL:
        return f"all in {', '.join(entry.volumes)}"
    parts = [
        "its repository is gone" if losses.gone else "",
        losses.unknown,
        table.many(losses.commits, "commit") if losses.commits else "",
        session.uncommitted(losses.uncommitted),
        "work in worktrees or submodules" if losses.elsewhere else "",
        delete.changed(losses.changed) if losses.changed else "",
        delete.nested(losses.nested) if losses.nested else "",
        f"{losses.unseen} more branches" if losses.unseen else "",
    ]
    return ", ".join(filter(None, parts)) or "-"


def _question(wanted: Sequence[tuple[Entry, Losses]]) -> str:
    losing = sum(bool(losses) or entry.kind in (CONVERSATION, ORIGINAL) for entry, losses in wanted)
    count = "this one" if len(wanted) == 1 else f"these {len(wanted)}"
    lost = f", and lose what {losing} of them hold" if losing and len(wanted) > 1 else ""
    return f"Delete {count}{lost}?"


def _kept(
    call: Call,
    engine: Engine,
    entry: Entry,
    shown: Losses,
    here: git.Repository | None,
) -> bool:
    """Delete an entry, unless it is no longer what was shown; tell whether it stays."""
    try:
        if entry.kind == TOOLS:
            engine.remove_volume(entry.name)
            call.console.done(f"deleted the volume {entry.name}")
            return False
        with remove.hold(engine, entry.name, entry.work):
            # Since it was looked at somebody may have worked in it: there was a question.
            if looking.losses(call, engine, [entry], here) != [shown]:
                call.console.warn(f"{delete.in_words(entry)} changed meanwhile, and stays")
                return True
            repository = home.find(entry.session, here) if entry.session else None
            remove.discard(engine, repository, entry.name, entry.volumes)
    except VolumeInUse as error:
        call.console.doing(f"{entry.name} stays: {error.what}")
        return False
    except ClaudeContainerError as error:
        call.console.warn(f"{delete.in_words(entry)} stays: {error.what}")
        return True
    call.console.done(f"deleted {delete.in_words(entry)}")
    return False
