"""What a session made, as Markdown in which an agent's text is text and nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claude_container.process import redact
from claude_container.terminal import visible

_LISTED = 100  # rows of one kind; GitHub takes 1 MiB from a step
_WORDS = 20_000  # characters of claude's last words


@dataclass
class Made:
    """What there is to say at the end. `words` and `review` are an agent's, `problem` is ours."""

    session: str
    code: int = 0  # what `claude-container start` ended with: claude's own, where it ran
    words: str = ""
    review: Mapping[str, Any] | None = None  # of `claude-container diff --json`
    branch: str = ""
    commits: int = 0
    problem: str = ""


def markdown(made: Made) -> str:
    """The summary: blocks of HTML without an empty line in them, where Markdown would go on."""
    parts = [f"### Session {html.escape(made.session)}"]
    if made.problem:
        parts.append(f"<p>✗ {html.escape(made.problem)}</p>")
    if made.code:
        parts.append(f"<p>✗ It ended with exit code {made.code}.</p>")
    if made.branch:
        count = "1 new commit" if made.commits == 1 else f"{made.commits} new commits"
        parts.append(f"<p>{count} on branch {code(made.branch)}</p>")
    elif made.review and not made.problem:
        parts.append("<p>It made no commits.</p>")
    if made.review:
        parts += _of_review(made.review)
    if made.words:
        cut = redact(made.words).expandtabs(4)[:_WORDS]
        text = "\n".join(html.escape(visible(line)) for line in cut.splitlines())
        # By itself: inside of another block an empty line would end it.
        parts += ["<p>Claude's last words</p>", f"<pre>{text}</pre>"]
    return "\n\n".join(parts) + "\n"


def code(text: str) -> str:
    """Text on one line, in which neither HTML nor Markdown nor a mention works."""
    return f"<code>{html.escape(visible(redact(text)))}</code>"


def _of_review(found: Mapping[str, Any]) -> Iterator[str]:
    commits = [f"{c['id'][:10]} {c['subject']} ({c['author']})" for c in found["commits"]]
    yield from _list("Commits, the newest first", list(map(code, commits)))
    risks = [
        f"{'⚠ ' if risk['confirm'] else ''}{code(risk['kind'])} {code(risk['path'])}"
        f" {code(risk['why'])}"
        for risk in found["risks"]
    ]
    yield from _list("Worth a look", risks)
    files = [f"{f['status']} {code(f['path'])} {_lines(f)}" for f in found["files"]]
    yield from _list(f"Files, +{found['added']} -{found['removed']}", files)
    yield from _list("Not committed, and not brought", list(map(code, found["pending"])))


def _list(title: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        more = len(items) - _LISTED
        last = f"<li>… and {more} more</li>" if more > 0 else ""
        shown = "".join(f"<li>{item}</li>" for item in items[:_LISTED])
        yield f"<p>{title}</p><ul>{shown}{last}</ul>"


def _lines(file: Mapping[str, Any]) -> str:
    return "binary" if file["added"] is None else f"+{file['added']} -{file['removed']}"
