"""`diff`: what a session would bring."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace

import click

from claude_container import git
from claude_container.changes import review
from claude_container.changes.review import Review
from claude_container.cli import drawn, names, own, session, table
from claude_container.cli.main import Call
from claude_container.cli.options import engine_option
from claude_container.errors import UsageError
from claude_container.sessions import look, overlay
from claude_container.sessions.known import NoSession
from claude_container.terminal import visible


@click.command("diff")
@click.argument("name", metavar="NAME [-- PATHS]", shell_complete=names.complete_work)
@click.option("--stat", "shown", flag_value="stat", help="all files, with the lines they change")
@click.option("--name-only", "shown", flag_value="names", help="all paths, one a line")
@click.option("-z", "null", is_flag=True, help="with --name-only: a NUL after each path")
@click.option("-p", "--patch", "shown", flag_value="patch", help="as `git diff` shows it to you")
@click.option("--json", "shown", flag_value="json", help="all of it as JSON")
@engine_option
@click.pass_obj
def command(call: Call, /, name: str, shown: str | None, null: bool, engine: str | None) -> int:
    """Show what session NAME would bring: commits, files, uncommitted work, risks.

    Only what follows -- counts, if there is any: paths or git's pathspecs. Nothing changes
    here but refs of claude-container's own.

    --patch runs git in this repository, with your pager and diff settings; what less does
    not show as it is, `cat` for a pager would. --name-only writes paths as bytes, those
    with a control character, quote or backslash quoted as git does it; never with -z.
    """
    if null and shown != "names":
        raise UsageError("-z goes with --name-only")
    runs_on = own.engine(engine)
    try:
        repository, opened, figures = session.look_at(call, runs_on, name)
    except NoSession:
        if layered := overlay.find(runs_on, name):
            from claude_container.cli import diff_layers

            return diff_layers.diff(call, runs_on, layered, shown, null=null)
        raise
    top = opened.directory if opened.of_folder else repository.top
    paths = drawn.pathspecs(top, call.claude_args)
    folder = opened.directory if opened.of_folder else None
    found = review.review(repository, name, figures, paths, folder)
    if not paths:
        look.keep(repository, opened, replace(figures, ahead=len(found.new)))
    if shown == "patch":
        return git.show(*review.patch(repository, found, paths), cwd=repository.top).code
    if shown == "json":
        call.console.answer(json.dumps(asdict(found), indent=2))
    elif shown == "names":
        drawn.write_paths(found.files, null)
    elif shown == "stat":
        call.console.answer("\n".join([*drawn.files(found.files, None), _totals(found)]))
    else:
        call.console.answer("\n".join(_all(found, chosen=bool(paths), of_folder=opened.of_folder)))
        for hint in _hints(found, of_folder=opened.of_folder):
            call.console.hint(hint)
    return 0


def _all(found: Review, *, chosen: bool, of_folder: bool) -> Iterator[str]:
    with_work = " and your uncommitted work" if found.base != found.origin else ""
    branch = visible(found.branch) if found.branch else "a detached HEAD"
    yield drawn.cut(f"session {found.session}, on {branch}, at {found.head[:10]}")
    seen = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.time))
    began = "its folder has" if of_folder else "began with"
    yield f"  {began} {found.origin[:10]}{with_work}; looked at {seen}"
    if found.rewritten:
        yield f"{drawn.careful()} it rewrote what it began with"
    yield ""
    yield from _commits(found, chosen=chosen)
    if found.files:
        yield from ("", _totals(found), *drawn.files(found.files, drawn.LISTED))
    if found.pending_count:
        count = "" if found.pending_count < 0 else f": {table.many(found.pending_count, 'file')}"
        unknown = " (git there could not tell all of it)" if found.pending_count < 0 else ""
        yield from ("", f"uncommitted in the session{count}{unknown}")
        yield from drawn.some(
            [f"  {drawn.cut(visible(row), 2)}" for row in found.pending], found.pending_count
        )
    others = [other for other in found.others if other.ahead != 0]
    if others or found.unseen:
        yield from ("", "other branches, which a merge leaves there")
        rows = []
        for other in others:
            ahead = (
                "" if other.ahead is None else f"  {table.many(other.ahead, 'commit')} of its own"
            )
            rows.append(f"  {drawn.cut(visible(other.name), 30)}{ahead}")
        yield from drawn.some(rows, len(rows) + found.unseen)
    if found.risks:
        yield from ("", "worth a look")
        yield from drawn.risks(found.risks)


def _commits(found: Review, *, chosen: bool) -> Iterator[str]:
    new = found.new
    count = table.many(len(new), "new commit") if new else "no new commits"
    yield f"{count} in these paths" if chosen else count
    authors = min(20, max((len(visible(commit.author)) for commit in new), default=0))
    rows = []
    for commit in new:
        subject = drawn.cut(visible(commit.subject), 14 + authors)
        room = drawn.width() - 14 - authors
        author = drawn.cut(visible(commit.author), drawn.width() - authors)
        rows.append(f"  {commit.id[:8]}  {subject:<{room}}  {author}".rstrip())
    yield from drawn.some(rows, len(rows))
    if known := len(found.commits) - len(new):
        yield f"  and {known} that your branch has already"


def _totals(found: Review) -> str:
    summed = "" if found.left else " (summed by commit: what the host pushed is in conflict)"
    # The difference is a whole: it has what was taken before, too.
    since = "since it began: " if any(commit.known for commit in found.commits) else ""
    return f"{since}{table.many(len(found.files), 'file')}, +{found.added} -{found.removed}{summed}"


def _hints(found: Review, *, of_folder: bool) -> Iterator[str]:
    # What is in worktrees and submodules no merge commits.
    mine = found.pending_count - sum(row.startswith("-- ") for row in found.pending)
    if of_folder and mine and not found.new:
        yield f"claude-container merge {found.session} commits it there, and brings it"
        return
    if found.new:
        yield f"claude-container merge {found.session}"
        yield f"claude-container diff {found.session} --patch shows every line"
    if found.pending_count and not of_folder:
        yield f"what is uncommitted stays there: claude-container shell {found.session}"
