"""`demo`: the whole loop, offline, with the real Claude Code against a scripted model."""

from __future__ import annotations

import shutil
import textwrap
import time

import click

from claude_container import engines, images
from claude_container.cli import own
from claude_container.cli.console import Console
from claude_container.cli.main import Call
from claude_container.cli.options import engine_option
from claude_container.cli.sweep import sweeping
from claude_container.config import Settings
from claude_container.demo import play

_WIDTH = min(shutil.get_terminal_size().columns, 80) - 4
_NEXT = """
That was the real Claude Code, in a container without a network; only the
model's answers came from a script. Now with your own repository:

  claude-container login               # once a year, in your browser
  cd your/project && claude-container start fix
"""


@click.command("demo")
@engine_option
@click.option("--ca-file", metavar="PEM", help="a company's certificate, for the image's build")
@click.pass_obj
def command(call: Call, /, engine: str | None, ca_file: str | None) -> None:
    """See the whole loop here and now: no account, and no network for claude.

    The real Claude Code finds a bug in a little repository, fixes and commits it. The
    default image stays, nothing else does.
    """
    console = call.console
    chosen = own.settings(Settings(engine=engine, ca_file=ca_file))
    image = images.slim(images.certificate(chosen.ca_file))
    with sweeping(console, runs_on := engines.get(chosen.engine)):
        if runs_on.image(image.name) is None:
            images.fetch(runs_on, image, console)
        console.doing(f"asking claude, in a container: “{play.PROMPT}”")
        begun = time.monotonic()
        delay = 0.03 if console.terminal else 0.0
        commit = play.play(runs_on, image, console, Transcript(console).show, delay=delay)
    console.done(f"claude is done ({time.monotonic() - begun:.0f} s), and committed this:")
    for line in commit.splitlines():
        console.answer("  " + _diff_color(line))
    console.answer(_NEXT.rstrip())


class Transcript:
    """Claude's stream-json events (2.1.330) as lines a person reads."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: play.Event) -> None:
        """One event: what claude said, what it did, how that went; all others are skipped."""
        if event.get("type") not in ("assistant", "user"):
            return
        for block in event["message"]["content"]:
            if block["type"] == "text":
                for line in textwrap.wrap(block["text"], _WIDTH):
                    self._console.answer(f"  {line}")
            elif block["type"] == "tool_use":
                given = block["input"]
                what = given.get("file_path") or given.get("command") or ""
                name = click.style(block["name"], bold=True)
                self._console.answer(f"  {click.style('●', fg='blue')} {name} {_short(what)}")
            elif block["type"] == "tool_result" and (said := _result(block)):
                color = "red" if block.get("is_error") else "green"
                self._console.answer(click.style(f"    {_short(said)}", fg=color))


def _result(block: play.Event) -> str:
    """The last line of what a command printed; nothing for tools that only read or edit."""
    if "is_error" not in block:
        return ""
    lines = str(block.get("content", "")).strip().splitlines()
    return lines[-1] if lines else ""


def _short(text: str, width: int = _WIDTH - 12) -> str:
    line = str(text).replace("/workspace/", "").splitlines()[0] if text else ""
    return line if len(line) <= width else line[: width - 1] + "…"


def _diff_color(line: str) -> str:
    color = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=color) if color else line
