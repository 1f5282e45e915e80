"""How the command line speaks: answers to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

import click

from claude_container import host
from claude_container.errors import ClaudeContainerError
from claude_container.terminal import read_hidden, visible

# A step of docker's classic builder, one of BuildKit's, a layer that was pulled.
_STEP = re.compile(r"^Step \d|^#\d+ \[|: Pull complete")
_SPIN_AFTER = 0.5  # seconds until something slow is worth a spinner


def wants_color(stream: TextIO | Any, environ: Mapping[str, str]) -> bool:
    """CLICOLOR_FORCE, then NO_COLOR, then no colour in CI, then whether it is a terminal."""
    if environ.get("CLICOLOR_FORCE", "") not in ("", "0"):
        return True
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb" or host.in_ci(environ):
        return False
    return bool(stream.isatty())


class Console:
    """Messages: `→` doing, `✓` done, `⚠` careful, `✗` failed; spinners where one can be seen.

    Names in them may be an agent's or a stranger's: none of them can drive the terminal. For
    what is asked for (`answer`), which may be in colour, that is up to the caller.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self.terminal = (
            sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
        ) and not host.in_ci(self._environ)

    def doing(self, text: str) -> None:
        self._say("→", "blue", text)

    def done(self, text: str) -> None:
        self._say("✓", "green", text)

    def warn(self, text: str) -> None:
        self._say("⚠", "yellow", text)

    def error(self, error: ClaudeContainerError) -> None:
        self._say("✗", "red", error.what)
        if error.evidence:
            self._line("\n".join(f"  {visible(line)}" for line in error.evidence.splitlines()))
        if error.hint:
            self.hint(error.hint)

    def hint(self, text: str) -> None:
        self._line(f"{self._style('hint:', 'cyan')} {visible(text)}")

    def answer(self, text: str) -> None:
        """What was asked for, to stdout."""
        click.echo(text, color=wants_color(sys.stdout, self._environ))

    def confirm(self, question: str) -> bool:
        """A yes-or-no question, no by default. Only for a terminal."""
        try:
            return click.confirm(f"{self._style('?', 'yellow')} {visible(question)}", err=True)
        except click.Abort:
            self._line("")  # ^C stands behind the question
            raise

    def ask_hidden(
        self, question: str, seconds: float, given_up: Callable[[], bool] = lambda: False
    ) -> str | None:
        """Something secret, which the terminal does not show as it is typed or pasted.

        None when `seconds` are over or `given_up` says so. Only for a terminal.
        """
        sign = self._style("?", "yellow")
        click.echo(f"{sign} {question}: ", err=True, nl=False, color=self._color)
        try:
            return read_hidden(seconds, given_up)
        except EOFError:
            raise click.Abort from None
        finally:
            self._line("")  # neither Enter nor ^C shows

    def link(self, url: str) -> None:
        """An address on a line of its own; where it wraps, a terminal still opens it whole."""
        if self._color:
            url = f"\033]8;;{url}\033\\{url}\033]8;;\033\\"
        click.echo(url, err=True, color=self._color)

    @contextlib.contextmanager
    def task(
        self, text: str, *, quiet: bool = False, passing: bool = False
    ) -> Iterator[Callable[[str], None]]:
        """Something slow: a spinner with its last line on a terminal, else a plain line a step.

        `passing` says nothing of it afterwards, `quiet` nothing where there is no spinner, either.
        """
        begun = time.monotonic()
        if self.terminal and self._color:
            with _Spinner(text) as spinner:
                yield spinner.step
        else:
            if not quiet:
                self.doing(text)
            yield self._plain_step
        took = time.monotonic() - begun
        if not quiet and not passing:
            self.done(f"{text} ({took:.0f} s)" if took >= 1 else text)

    def _plain_step(self, line: str) -> None:
        """The lines of a build or pull that say how far it is."""
        if _STEP.search(line):
            self._line(f"  {visible(line[:200])}")

    def _say(self, sign: str, color: str, text: str) -> None:
        self._line(f"{self._style(sign, color)} {visible(text)}")

    def _style(self, text: str, color: str) -> str:
        return click.style(text, fg=color, bold=True)

    def _line(self, text: str) -> None:
        # With nobody left to read it, what was asked for still goes on.
        with contextlib.suppress(OSError):
            click.echo(text, err=True, color=self._color)

    @property
    def _color(self) -> bool:
        return wants_color(sys.stderr, self._environ)


class _Spinner:
    """A rich status line that shows up after half a second; rich is imported only then."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = ""
        self._status: Any = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(_SPIN_AFTER, self._show)
        self._timer.daemon = True
        self._begun = time.monotonic()

    def __enter__(self) -> _Spinner:
        self._timer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._timer.cancel()
        with self._lock:
            if self._status is not None:
                self._status.stop()
            self._status = False

    def step(self, line: str) -> None:
        self._line = line.strip() or self._line

    def _show(self) -> None:
        from rich.console import Console as RichConsole

        with self._lock:
            if self._status is None:
                console = RichConsole(stderr=True)
                # Rich calls __rich__ each time it draws, so the clock goes on by itself.
                self._status = console.status(self, spinner="dots")
                self._status.start()

    def __rich__(self) -> Any:
        from rich.text import Text

        parts = [self._text, f"{time.monotonic() - self._begun:.0f} s", self._line]
        return Text(" · ".join(filter(None, parts)), no_wrap=True, overflow="ellipsis")
