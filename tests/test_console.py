"""How the command line speaks, on a terminal and without one."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte
import pytest

from claude_container.cli.console import Console, wants_color
from claude_container.errors import ClaudeContainerError
from tests.conftest import Cli, clean_environment

COLOR = "\x1b["
SPINNER = re.compile("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "on_terminal", "else_"),
    [
        ({}, True, False),
        ({"TERM": "xterm"}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),  # no-color.org: when it is not an empty string
        ({"TERM": "dumb"}, False, False),
        ({"CI": "true"}, False, False),
        ({"GITHUB_ACTIONS": "true"}, False, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR_FORCE": ""}, True, False),
        ({"CLICOLOR_FORCE": "1", "CI": "true"}, True, True),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, True, True),
    ],
)
def test_colours_are_for_terminals_unless_asked_for(
    environ: dict[str, str], on_terminal: bool, else_: bool
) -> None:
    assert wants_color(Terminal(), environ) is on_terminal
    assert wants_color(io.StringIO(), environ) is else_


def test_no_name_in_a_message_drives_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "x\x1b[2K\r✓ nothing here needs trust\x1b[8m\x9b\u202e"
    console = Console({"NO_COLOR": "1"})
    for say in (console.doing, console.done, console.warn, console.hint):
        say(name)
    console.error(ClaudeContainerError(name, evidence=f"{name}\n{name}", hint=name))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert console.confirm(name)
    with console.task("build", passing=True) as step:
        step(f"Step 1: {name}")
    said = capfd.readouterr().err
    # Evidence has a line for each of its own.
    assert said.count(r"x\x1b[2K\r✓ nothing here needs trust\x1b[8m\x9b\u202e") == 8
    assert all(character.isprintable() or character == "\n" for character in said)


@pytest.mark.parametrize(
    ("environ", "colored"), [({}, False), ({"CLICOLOR_FORCE": "1"}, True), ({"CI": "1"}, False)]
)
def test_an_error_through_a_pipe_is_plain_unless_asked_for(
    cli: Cli, environ: dict[str, str], colored: bool
) -> None:
    ran = cli("-s", "../x", **environ)
    assert (COLOR in ran.stderr, ran.stdout) == (colored, "")
    assert "✗" in ran.stderr and "hint:" in ran.stderr


Screen = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def on_terminal(home: Path, project: Path) -> Screen:
    """Run Python with a Console() named console on a terminal: what it wrote, and the screen.

    `await_text` is waited for; then a line is typed, which the code may read.
    """

    def run(code: str, await_text: str = "", *, columns: int = 80) -> tuple[str, list[str]]:
        program = "from claude_container.cli.console import Console\nconsole = Console()\n"
        program += textwrap.dedent(code)
        terminal = pexpect.spawn(
            sys.executable,
            ["-c", program],
            cwd=str(project),
            env=clean_environment(home),
            dimensions=(40, columns),
            encoding="utf-8",
            timeout=20,
            echo=False,
        )
        written = io.StringIO()
        terminal.logfile_read = written
        if await_text:
            terminal.expect(await_text)
        terminal.delaybeforesend = terminal.delayafterclose = 0
        terminal.sendline("")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 0, written.getvalue()
        screen = pyte.Screen(columns, 40)
        pyte.Stream(screen).feed(written.getvalue())
        return written.getvalue(), [line.rstrip() for line in screen.display if line.strip()]

    return run


ENVIRONS = """
    for environ in {}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "1"}, {"GITLAB_CI": "1"}:
        console = Console(environ)
"""


def test_messages_are_coloured_on_a_terminal_unless_nobody_wants_it(on_terminal: Screen) -> None:
    written, lines = on_terminal(f"""{ENVIRONS}
        console.doing("doing")
        console.done("done")
        console.warn("warn")
        console.hint("hint")
        console.answer("answer")
    """)
    assert lines == ["→ doing", "✓ done", "⚠ warn", "hint: hint", "answer"] * 5
    assert [COLOR in line for line in written.splitlines()] == [True] * 4 + [False] * 21


def test_an_error_shows_what_failed_then_the_evidence_then_the_hint(on_terminal: Screen) -> None:
    _, lines = on_terminal("""
        from claude_container.errors import UsageError
        console.error(UsageError("what failed", evidence="two\\nlines", hint="do this"))
        console.error(UsageError("nothing but this"))
    """)
    assert lines == ["✗ what failed", "  two", "  lines", "hint: do this", "✗ nothing but this"]


# Spinners


# Steps until a line was typed.
SLOW = """
    import select, sys
    with console.task("working") as step:
        while not select.select([sys.stdin], [], [], 0.02)[0]:
            step("line [red] of many words " * 8)
"""


def test_something_quick_shows_no_spinner_and_imports_nothing_to_draw(on_terminal: Screen) -> None:
    written, lines = on_terminal("""
        import sys
        with console.task("working") as step:
            step("one")
        console.answer(str("rich" in sys.modules))
    """)
    assert not SPINNER.search(written)
    assert lines == ["✓ working", "False"]


def test_something_slow_gets_a_spinner_in_one_line_that_leaves_nothing_behind(
    on_terminal: Screen,
) -> None:
    written, lines = on_terminal(SLOW, r"working · \d s · line \[red\]", columns=40)
    assert SPINNER.search(written)
    # The cursor goes up once, at the end; for what needs two lines it does with every frame.
    assert written.count("\x1b[1A") == 1
    assert len(lines) == 1 and lines[0].startswith("✓ working")


def test_the_spinner_comes_only_after_half_a_second(on_terminal: Screen) -> None:
    written, _ = on_terminal(
        """
        import sys, time
        begun = time.monotonic()
        write, first = sys.stderr.write, []
        def watch(text):
            first.append(time.monotonic() - begun)
            return write(text)
        sys.stderr.write = watch
        with console.task("working"):
            input()
        print(f"after {first[0]:.2f}")
        """,
        SPINNER.pattern,
    )
    after = re.search(r"after ([\d.]+)", written)
    assert after and float(after[1]) >= 0.5


def test_a_failure_ends_the_spinner_and_is_not_called_done(on_terminal: Screen) -> None:
    _, lines = on_terminal(
        """
        try:
            with console.task("working"):
                input()
                raise ValueError
        except ValueError:
            console.warn("it failed")
        """,
        SPINNER.pattern,
    )
    assert lines == ["⚠ it failed"]


def test_there_are_plain_lines_where_no_control_codes_are_wanted(on_terminal: Screen) -> None:
    written, lines = on_terminal(f"""{ENVIRONS}
        with console.task("working") as step:
            step("Step 1/2 : FROM base")
            step("noise")
    """)
    plain = ["→ working", "  Step 1/2 : FROM base", "✓ working"]
    assert lines == ["✓ working", *plain * 4]
    assert [COLOR in line for line in written.splitlines()] == [True] + [False] * 12


def test_there_are_plain_lines_without_a_terminal() -> None:
    code = """
        from claude_container.cli.console import Console
        with Console({}).task("working") as step:
            step("abc: Pull complete")
            step("abc: Downloading")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "→ working\n  abc: Pull complete\n✓ working\n")
