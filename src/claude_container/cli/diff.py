"""`diff`: what a session would bring."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from claude_container import git
from claude_container.changes import review
from claude_container.changes.review import File, Review
from claude_container.changes.risks import Risk
from claude_container.cli import names, own, session, table
from claude_container.cli.main import Call
from claude_container.cli.options import engine_option
from claude_container.errors import UsageError
from claude_container.sessions import look, overlay
from claude_container.sessions.known import NoSession
from claude_container.terminal import visible

LISTED = 30  # of everything that can be long
_MODES = {"100644": "a file", "100755": "a program", "120000": "a link", "160000": "a submodule"}
_QUOTED = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


@click.command("diff")
@click.argument("name", shell_complete=names.complete_work)
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
    paths = pathspecs(top, call.claude_args)
    folder = opened.directory if opened.of_folder else None
    found = review.review(repository, name, figures, paths, folder)
    if not paths:
        look.keep(repository, opened, replace(figures, ahead=len(found.new)))
    if shown == "patch":
        return git.show(*review.patch(repository, found, paths), cwd=repository.top).code
    if shown == "json":
        call.console.answer(json.dumps(asdict(found), indent=2))
    elif shown == "names":
        write_names(found.files, null)
    elif shown == "stat":
        call.console.answer("\n".join([*files_in_rows(found.files, None), _totals(found)]))
    else:
        call.console.answer("\n".join(_all(found, chosen=bool(paths), of_folder=opened.of_folder)))
        for hint in _hints(found, of_folder=opened.of_folder):
            call.console.hint(hint)
    return 0


def pathspecs(top: Path, words: Sequence[str]) -> tuple[str, ...]:
    """Paths as typed where the user stands, seen from the root of the tree, where git runs."""
    here = os.path.relpath(os.path.realpath(os.curdir), os.path.realpath(top))
    if here.split(os.sep)[0] in (os.curdir, os.pardir):
        return tuple(words)
    return tuple(word if word.startswith(":") else os.path.join(here, word) for word in words)


def _all(found: Review, *, chosen: bool, of_folder: bool) -> Iterator[str]:
    with_work = " and your uncommitted work" if found.base != found.origin else ""
    branch = visible(found.branch) if found.branch else "a detached HEAD"
    yield _cut(f"session {found.session}, on {branch}, at {found.head[:10]}")
    seen = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.time))
    began = "its folder has" if of_folder else "began with"
    yield f"  {began} {found.origin[:10]}{with_work}; looked at {seen}"
    if found.rewritten:
        yield f"{_careful()} it rewrote what it began with"
    yield ""
    yield from _commits(found, chosen=chosen)
    if found.files:
        yield from ("", _totals(found), *files_in_rows(found.files, LISTED))
    if found.pending_count:
        count = "" if found.pending_count < 0 else f": {table.many(found.pending_count, 'file')}"
        unknown = " (git there could not tell all of it)" if found.pending_count < 0 else ""
        yield from ("", f"uncommitted in the session{count}{unknown}")
        yield from _some(
            [f"  {_cut(visible(row), 2)}" for row in found.pending], found.pending_count
        )
    others = [other for other in found.others if other.ahead != 0]
    if others or found.unseen:
        yield from ("", "other branches, which a merge leaves there")
        rows = []
        for other in others:
            ahead = (
                "" if other.ahead is None else f"  {table.many(other.ahead, 'commit')} of its own"
            )
            rows.append(f"  {_cut(visible(other.name), 30)}{ahead}")
        yield from _some(rows, len(rows) + found.unseen)
    if found.risks:
        yield from ("", "worth a look")
        yield from risks_in_rows(found.risks)


def _commits(found: Review, *, chosen: bool) -> Iterator[str]:
    new = found.new
    count = table.many(len(new), "new commit") if new else "no new commits"
    yield f"{count} in these paths" if chosen else count
    authors = min(20, max((len(visible(commit.author)) for commit in new), default=0))
    rows = []
    for commit in new:
        subject = _cut(visible(commit.subject), 14 + authors)
        room = _width() - 14 - authors
        author = _cut(visible(commit.author), _width() - authors)
        rows.append(f"  {commit.id[:8]}  {subject:<{room}}  {author}".rstrip())
    yield from _some(rows, len(rows))
    if known := len(found.commits) - len(new):
        yield f"  and {known} that your branch has already"


def files_in_rows(files: Sequence[File], limit: int | None) -> Iterator[str]:
    """A line for each file, and one for those beyond the limit."""
    names = [_name(file) for file in files[:limit]]
    lines = [_lines(file) for file in files[:limit]]
    room = max(20, _width() - 5 - max((len(click.unstyle(line)) for line in lines), default=0))
    room = min(room, max(map(len, names), default=0))
    for file, name, line in zip(files, names, lines, strict=False):
        # The end of a path tells more than its beginning.
        name = name if len(name) <= room else "…" + name[1 - room :]
        sign = click.style(file.status, fg="cyan")
        yield f"{sign}  {name:<{room}}  {line}".rstrip()
    if limit is not None and len(files) > limit:
        yield f"… and {len(files) - limit} more: --stat shows them"


def _name(file: File) -> str:
    return visible(file.path if file.old is None else f"{file.old} → {file.path}")


def _lines(file: File) -> str:
    if file.added is None:
        told = "binary"
    else:
        added = click.style(f"+{file.added}", fg="green") if file.added else ""
        removed = click.style(f"-{file.removed}", fg="red") if file.removed else ""
        told = " ".join(filter(None, (added, removed)))
    if file.old_mode != file.new_mode and file.status not in "AD":
        told += f"  now {_MODES.get(file.new_mode, file.new_mode)}"
    elif file.status == "A" and file.new_mode != "100644":
        told += f"  {_MODES.get(file.new_mode, file.new_mode)}"
    return told.strip()


def _totals(found: Review) -> str:
    summed = "" if found.left else " (summed by commit: what the host pushed is in conflict)"
    # The difference is a whole: it has what was taken before, too.
    since = "since it began: " if any(commit.known for commit in found.commits) else ""
    return f"{since}{table.many(len(found.files), 'file')}, +{found.added} -{found.removed}{summed}"


def risks_in_rows(risks: Sequence[Risk]) -> Iterator[str]:
    """A line or two for each risk."""
    for risk in risks:
        sign = _careful() if risk.confirm else "·"
        row = f"{risk.kind:<10}  {visible(risk.path)}".rstrip()
        why = visible(risk.why)
        if len(row) + len(why) + 6 <= _width():
            yield f"{sign} {row}  {why}"
        else:
            yield from (f"{sign} {row}", f"{'':<14}{why}")


def _hints(found: Review, *, of_folder: bool) -> Iterator[str]:
    if of_folder and found.pending_count and not found.new:
        yield f"claude-container merge {found.session} commits it there, and brings it"
        return
    if found.new:
        yield f"claude-container merge {found.session}"
        yield f"claude-container diff {found.session} --patch shows every line"
    if found.pending_count and not of_folder:
        yield f"what is uncommitted stays there: claude-container shell {found.session}"


def write_names(files: Sequence[File], null: bool) -> None:
    """Write the paths, one a line, or with `null` as they are with a NUL after each.

    On a terminal nothing can hide in them; elsewhere those that could be misread are quoted.
    """
    if null:
        rows = [os.fsencode(file.path) + b"\0" for file in files]
    elif sys.stdout.isatty():
        rows = [visible(file.path).encode() + b"\n" for file in files]
    else:
        rows = [os.fsencode(_quoted(file.path)) + b"\n" for file in files]
    click.echo(b"".join(rows), nl=False)


def _quoted(path: str) -> str:
    """A path that could be taken for two, or for a quoted one, in quotes as git makes them."""
    if not any(letter < " " or letter in '\x7f"\\' for letter in path):
        return path
    escaped = (
        _QUOTED.get(letter)
        or (f"\\{ord(letter):03o}" if letter < " " or letter == "\x7f" else letter)
        for letter in path
    )
    return f'"{"".join(escaped)}"'


def _some(rows: Sequence[str], count: int) -> Iterator[str]:
    """The first rows, and how many of `count` are not among them."""
    yield from rows[:LISTED]
    if count > (shown := len(rows[:LISTED])):
        yield f"  … and {count - shown} more: --json shows what is known of them"


def _careful() -> str:
    return click.style("⚠", fg="yellow", bold=True)


def _width() -> int:
    return max(60, shutil.get_terminal_size((80, 24)).columns)


def _cut(text: str, taken: int = 0) -> str:
    """Text that fits into a line of which so many columns are taken."""
    room = _width() - taken
    return text if len(text) <= room else text[: room - 1] + "…"
