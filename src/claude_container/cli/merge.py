"""`merge`: bring a session's commits into a branch of yours, once you have seen them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import click

from claude_container import git
from claude_container.changes import foresee, merge, plan, risks, undo
from claude_container.changes.plan import NOTHING, Options, Plan
from claude_container.cli import merge_words as words
from claude_container.cli import merging, names, own, session, settings, table
from claude_container.cli.console import Console
from claude_container.cli.main import Call
from claude_container.cli.options import engine_option
from claude_container.cli.sweep import sweeping
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.git import Repository
from claude_container.sessions import large, look, model, overlay, remove, upkeep
from claude_container.sessions.known import NoSession
from claude_container.terminal import visible


@click.command("merge")
@click.argument("name", shell_complete=names.complete_work)
@click.option("--all", "--auto", "all_", is_flag=True, help="bring all that is new, unasked")
@click.option("--select", is_flag=True, help="choose commits from a checklist")
@click.option("--commits", "ranges", metavar="RANGE", multiple=True, help="these: A..B, or one id")
@click.option("--squash", is_flag=True, help="as one commit")
@click.option("--merge", "merge_", is_flag=True, help="as a merge commit; ids stay")
@click.option("-m", "--message", metavar="TEXT", help="the message for --squash and --merge")
@click.option("--into", metavar="BRANCH", help="another branch than this one; made if need be")
@click.option("--with-snapshot", is_flag=True, help="commit your work as the session got it, too")
@click.option("--commit-pending", is_flag=True, help="commit the session's uncommitted work first")
@click.option("--no-conflicts", is_flag=True, help="change nothing if there is a conflict")
@click.option("--accept-risks", is_flag=True, help="do not ask about what could run by itself")
@click.option("--dry-run", is_flag=True, help="only show what would happen")
@click.option("--undo", "undo_", is_flag=True, help="take the last merge back")
@click.option("--delete", is_flag=True, help="delete the session afterwards")
@click.option("--json", "as_json", is_flag=True, help="what happened as JSON")
@engine_option
@click.pass_obj
def command(call: Call, /, name: str, **flags: Any) -> int:
    """Bring the commits of session NAME into the branch that is checked out here.

    They are shown first. Where the branch did not move they keep their ids, else they are
    replayed on top. Your own uncommitted work stays as it is, and no hook runs.

    In a folder without git what changed is written into its files, three-way where you
    changed them, too; the session's uncommitted work is committed there first. A conflict
    changes nothing: push has Claude resolve it.
    """
    model.check_name(name)
    _check(call.console, flags)
    if flags["undo_"] and (here := git.find(settings.working_directory())):
        return _undo(call.console, here, name, as_json=flags["as_json"])
    engine = own.engine(flags["engine"])
    with sweeping(call.console, engine):
        return _merge(call, engine, name, flags)


def _merge(call: Call, engine: Engine, name: str, flags: dict[str, Any]) -> int:
    console = call.console
    try:
        repository, opened = session.opened(engine, name)
    except NoSession:
        if layered := overlay.find(engine, name):
            from claude_container.cli import merge_layers

            return merge_layers.merge(call, engine, layered, flags)
        raise
    if opened.of_folder:
        from claude_container.cli import merge_folder

        return merge_folder.merge(call, engine, repository, opened, flags)
    if flags["commit_pending"] and not flags["dry_run"]:
        upkeep.commit_pending(engine, opened, merging.MESSAGE, console)
    figures = session.look_now(call, engine, repository, opened, counted=False)
    if pending := session.uncommitted(figures.committable):
        console.warn(f"not part of this: {pending} in the session (--commit-pending commits it)")
    for row in figures.elsewhere:
        console.warn(f"not part of this: {row}")
    planned = plan.plan(repository, name, _options(flags))
    new = planned.commits
    if not flags["as_json"]:
        for line in words.plan(planned):
            console.answer(line)
    for warning in planned.warnings:
        console.warn(f"{visible(warning.path)} {warning.why}")
    if flags["dry_run"]:
        return _foretell(console, repository, planned, as_json=flags["as_json"])
    if planned.kind != NOTHING:
        agreed = _agreed(console, repository, planned, flags)
        if agreed is None:
            console.done("nothing was merged")
            return 0
        planned = agreed
    limits = session.limits()
    if planned.kind != NOTHING:
        since, head = planned.since, planned.head
        large.bring(engine, repository, name, since, head, console, limits=limits)
    outcome = merge.apply(repository, planned, no_conflicts=flags["no_conflicts"])
    if outcome.finished and outcome.commits == new and not flags["ranges"]:
        look.keep(repository, opened, replace(figures, ahead=0))
    elif outcome.finished:
        look.count(repository, opened, figures)
    code = _told(console, outcome, as_json=flags["as_json"])
    if code == 0 and flags["delete"]:
        lost = remove.losses(engine, repository, opened, console, limits=limits)
        merging.delete(console, name, lost, lambda: remove.remove(engine, repository, opened))
    return code


def _foretell(console: Console, repository: Repository, planned: Plan, *, as_json: bool) -> int:
    paths = foresee.conflicts(repository, planned)
    for row in risks.find(repository, planned.since, planned.head):
        console.warn(words.risk(row))
    if as_json:
        shown = {
            "kind": planned.kind,
            "branch": planned.branch,
            "created": planned.created,
            "commits": [asdict(commit) for commit in planned.commits],
            "conflicts": paths,
            "warnings": [asdict(warning) for warning in planned.warnings],
        }
        console.answer(json.dumps(shown, indent=2))
    elif planned.kind != NOTHING:
        for path in paths or ():
            console.warn(f"would conflict: {visible(path)}")
        if paths is None:
            console.hint("whether these conflict only shows when they are replayed")
    return 0


def _check(console: Console, flags: dict[str, Any]) -> None:
    """Raises UsageError for flags that do not go together, or need a terminal."""
    ways = [flag for flag in ("all_", "select", "ranges", "undo_") if flags[flag]]
    if len(ways) > 1:
        raise UsageError("--all, --select, --commits and --undo are four ways: choose one")
    if flags["undo_"] and flags["into"]:
        raise UsageError(
            "--undo takes the last merge back, whichever branch that went into",
            hint="leave --into out",
        )
    if flags["undo_"] or flags["dry_run"]:
        if flags["delete"]:
            raise UsageError("--delete is for a merge that happens")
    elif ways in ([], ["select"]) and not console.terminal:
        raise UsageError(
            "there is no terminal here to choose commits on",
            hint="--all brings all that is new, --commits A..B some, --dry-run shows them",
        )


def _options(flags: dict[str, Any], chosen: Iterable[str] | None = None) -> Options:
    return Options(
        into=flags["into"],
        squash=flags["squash"],
        merge=flags["merge_"],
        with_snapshot=flags["with_snapshot"],
        message=flags["message"],
        ranges=flags["ranges"],
        chosen=None if chosen is None else tuple(chosen),
    )


def _agreed(
    console: Console, repository: Repository, planned: Plan, flags: dict[str, Any]
) -> Plan | None:
    """The plan that was agreed to, or None for none."""
    asked = not flags["all_"] and not flags["ranges"]
    answer = "select" if flags["select"] else _ask(words.question(planned)) if asked else "y"
    if answer == "select":
        chosen = _checklist(planned)
        if not chosen:
            return None
        planned = plan.plan(repository, planned.session, _options(flags, chosen))
    if answer == "n":
        return None
    rows = risks.find(repository, planned.since, planned.head)
    return planned if merging.accepted(console, rows, flags) else None


def _ask(question: str) -> str:
    choice = click.Choice(["y", "n", "select"], case_sensitive=False)
    answer: str = click.prompt(question, type=choice, default="n", err=True)
    return answer


def _checklist(planned: Plan) -> list[str]:
    """The ids that are ticked; all are at first. Raises click.Abort on ^C."""
    import questionary

    rows = [
        questionary.Choice(words.commit(commit), value=commit.id, checked=True)
        for commit in planned.commits
    ]
    chosen: list[str] | None = questionary.checkbox("Commits to bring", choices=rows).ask()
    if chosen is None:
        raise click.Abort
    return chosen


def _told(console: Console, outcome: merge.Outcome, *, as_json: bool) -> int:
    """Say what became of it; the exit code is 1 after a conflict."""
    if as_json:
        console.answer(json.dumps(asdict(outcome), indent=2))
    if outcome.finished:
        console.done(words.outcome(outcome))
        return 0
    at = f": {words.commit(outcome.stopped)}" if outcome.stopped else ""
    left = f", {table.many(len(outcome.left), 'commit')} after it" if outcome.left else ""
    console.error(
        ClaudeContainerError(
            f"a conflict{at}{left}",
            evidence="\n".join(map(visible, outcome.conflicts)),
            hint=f"resolve it, git add, then one of: {' · '.join(outcome.commands)}",
        )
    )
    return 1


def _undo(console: Console, repository: Repository, name: str, *, as_json: bool) -> int:
    """Needs no engine: all that it knows is in the repository."""
    undone = undo.undo(repository, name)
    if as_json:
        console.answer(json.dumps(asdict(undone), indent=2))
    with contextlib.suppress(ClaudeContainerError):  # it is done, whatever `list` says of it
        undo.count_again(repository, name, undone.branch)
    branch = undone.branch.removeprefix("refs/heads/")
    console.done(f"{branch} is at {undone.tip[:10]} again" if undone.tip else f"{branch} is gone")
    return 0
