"""`delete`: sessions and all that belongs to them, if nothing is lost or one is told to."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import click

from claude_container import git, host
from claude_container.cli import listed, looking, names, own, session, settings, table
from claude_container.cli.main import Call
from claude_container.cli.options import engine_option
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.git import Repository
from claude_container.sessions import home, listing, model, remove
from claude_container.sessions.known import NoSession
from claude_container.sessions.leftovers import SessionBusy
from claude_container.sessions.listing import CONVERSATION, Entry
from claude_container.sessions.remove import Losses


@click.command("delete")
@click.argument("names", nargs=-1, required=True, shell_complete=names.complete_any)
@click.option("--force", "-f", is_flag=True, help="whatever is lost, running or not")
@click.option("--repo", metavar="PATH", help="where the session's repository was moved to")
@engine_option
@click.pass_obj
def command(
    call: Call, /, names: tuple[str, ...], force: bool, repo: str | None, engine: str | None
) -> int:
    """Delete sessions NAMES: their container, volumes, and refs in your repository.

    Refuses while a session runs, has uncommitted work, or has commits that no branch,
    remote or tag of your repository has and no merge has taken. Deletes all of the
    names, or none.
    """
    runs_on = own.engine(engine)
    elsewhere = _elsewhere(repo)
    entries = listing.entries(listed.find(call, runs_on))
    chosen_entries = [entry for entry in entries if entry.name in names]
    gone = [n for n in dict.fromkeys(names) if n not in {entry.name for entry in entries}]
    left = {name: _left_behind(elsewhere, name) for name in gone}
    if repo:
        _check_is_theirs(chosen_entries, elsewhere, repo)
    with contextlib.ExitStack() as held:
        busy = _hold(held, runs_on, chosen_entries, force=force)
        if not force:
            found = looking.losses(call, runs_on, chosen_entries, elsewhere)
            refused = [
                *_refused(call, chosen_entries, found, busy),
                *(_left_refusal(runs_on, name, losses) for name, losses in left.items()),
            ]
            if refused:
                _tell(call, refused, [*(e.name for e in chosen_entries), *left])
                return 1
        for entry in chosen_entries:
            repository = home.find(entry.session, elsewhere) if entry.session else None
            remove.discard(runs_on, repository, entry.name, entry.volumes)
            call.console.done(f"deleted {in_words(entry)}")
    for name in left:
        assert elsewhere is not None
        remove.forget(elsewhere, name)
        call.console.done(f"deleted what this repository still had of session {name}")
    return 0


def _elsewhere(repo: str | None) -> Repository | None:
    """The repository that --repo names, else the one we stand in."""
    if repo is None:
        return git.find(settings.working_directory())
    folder = host.expanded(repo)
    found = git.find(folder) if folder.is_dir() else None
    if found is None:
        raise UsageError(f"--repo {repo} is no git repository")
    return found


def _check_is_theirs(entries: Sequence[Entry], elsewhere: Repository | None, repo: str) -> None:
    for entry in entries:
        if entry.session and home.find(entry.session, elsewhere) is None:
            raise NoSession(
                f"session {entry.name} did not come from {repo}",
                evidence=f"it came from {entry.session.repository}",
            )


def _left_behind(repository: Repository | None, name: str) -> Losses:
    """What our refs hold of a session that is gone. Raises NoSession if there are none."""
    model.check_name(name)
    left = remove.left_behind(repository, name) if repository else None
    if left is None:
        raise NoSession(
            f"there is no session or conversation {name}", hint="claude-container list shows all"
        )
    return left


def _hold(
    held: contextlib.ExitStack, engine: Engine, entries: Sequence[Entry], *, force: bool
) -> dict[str, ClaudeContainerError]:
    """Keep launches out of all of these; return why that cannot be, by name."""
    busy: dict[str, ClaudeContainerError] = {}
    for entry in {model.container_name(entry.name): entry for entry in entries}.values():
        if force and entry.running:
            remove.stop(engine, entry.name)
        try:
            held.enter_context(remove.hold(engine, entry.name, entry.work))
        except SessionBusy as error:
            if force:
                raise
            busy[entry.name] = error
    return busy


def _refused(
    call: Call,
    entries: Sequence[Entry],
    found: Sequence[Losses],
    busy: dict[str, ClaudeContainerError],
) -> list[ClaudeContainerError]:
    """Why these are not to be deleted; of a conversation a user at a terminal is asked."""
    refused = []
    for entry, losses in zip(entries, found, strict=True):
        if entry.name in busy:
            running = f"session {entry.name} is running"
            what = running if entry.running == "running" else busy[entry.name].what
            refused.append(ClaudeContainerError(what, evidence="\n".join(evidence(losses))))
        elif losses:
            refused.append(_refusal(entry.name, losses))
        elif not entry.work and not _agreed(call, entry):
            refused.append(ClaudeContainerError(f"{in_words(entry)} would be lost"))
    return refused


def _agreed(call: Call, entry: Entry) -> bool:
    if not call.console.terminal:
        return False
    return call.console.confirm(f"{in_words(entry).capitalize()} would be lost. Delete it?")


def _refusal(name: str, losses: Losses) -> ClaudeContainerError:
    return ClaudeContainerError(
        f"session {name} holds what is nowhere else", evidence="\n".join(evidence(losses))
    )


def _left_refusal(engine: Engine, name: str, losses: Losses) -> ClaudeContainerError:
    # It may be on another engine, or context, and would then be lost to its repository.
    return ClaudeContainerError(
        f"{engine.name} has no session {name}, of which this repository still has refs",
        evidence="\n".join(evidence(losses)),
    )


def _tell(call: Call, refused: Sequence[ClaudeContainerError], names: Sequence[str]) -> None:
    for error in refused:
        call.console.error(error)
    words = " ".join(dict.fromkeys(names))
    call.console.hint(
        f"nothing was deleted; to delete it all the same: claude-container delete --force {words}"
    )


def in_words(entry: Entry) -> str:
    """What an entry is, with its name."""
    if entry.work:
        return f"session {entry.name}"
    if entry.kind == CONVERSATION:
        return f"conversation {entry.name} about {entry.directory or 'a directory'}"
    return f"{entry.name} of the original claude-container ({', '.join(entry.volumes)})"


def evidence(losses: Losses) -> list[str]:
    """What would be lost, a line for each thing."""
    lines = []
    if losses.gone:
        lines.append(f"its repository is gone ({losses.gone}; moved? --repo PATH), and with it")
        lines.append("  perhaps all of the history that it began with")
    if losses.unknown:
        lines.append(f"it cannot be looked at: {losses.unknown}")
    if losses.commits:
        lines.append(f"{table.many(losses.commits, 'commit')}:")
        lines += [f"  {named}" for named in losses.named]
        if (more := losses.commits - len(losses.named)) > 0:
            lines.append(f"  … and {more} more")
    if losses.changed:
        lines.append(f"{changed(losses.changed)}:")
        lines += [f"  {named}" for named in losses.named]
        if (more := losses.changed - len(losses.named)) > 0:
            lines.append(f"  … and {more} more")
    if losses.uncommitted:
        lines.append(session.uncommitted(losses.uncommitted))
    if losses.elsewhere:
        lines.append("in linked worktrees and submodules:")
        lines += [f"  {row}" for row in losses.elsewhere[: remove.SHOWN]]
    if losses.nested:
        lines.append(f"{nested(losses.nested)}:")
        lines += [f"  {path}" for path in losses.nested[: remove.SHOWN]]
    if losses.unseen:
        lines.append(f"{losses.unseen} more branches, which were not looked at")
    return lines


def nested(paths: Sequence[str]) -> str:
    """Repositories inside of a session that would go with it, by count."""
    if len(paths) == 1:
        return "1 repository in it, at a commit that is nowhere else"
    return f"{len(paths)} repositories in it, at commits that are nowhere else"


def changed(count: int) -> str:
    """What a session of --dir changed and would go with it, by count."""
    return f"{table.many(count, 'change')} that its folder does not have"
