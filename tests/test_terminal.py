"""The real claude on a real terminal, read as a person reads it: off the screen."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pyte
import pytest

from tests.conftest import PROGRAM, TOKEN, Cli, StartModel, sh
from tests.running import bash

pytestmark = pytest.mark.engine


class _Screen(pyte.Screen):
    """A screen that answers what it is asked, as claude waits for it (2.1.330)."""

    answer: Callable[[str], object]

    def write_process_input(self, data: str) -> None:
        self.answer(data)


class Terminal:
    """A command on a terminal of its own, and what its screen shows."""

    def __init__(self, argv: list[str], cwd: Path, rows: int = 24, columns: int = 80) -> None:
        self._screen = _Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        environ = {**os.environ, "CLAUDE_CODE_OAUTH_TOKEN": TOKEN}
        self.child = pexpect.spawn(
            argv[0], argv[1:], cwd=str(cwd), dimensions=(rows, columns), env=environ
        )
        self._screen.answer = self.child.send

    def read(self, seconds: float = 0.1) -> str:
        """The screen, after whatever came within so many seconds."""
        try:
            chunk = self.child.read_nonblocking(65536, timeout=seconds)
            self.raw += chunk
            # pyte 0.8 shows these, with which claude asks for the keyboard's and terminal's kind.
            self._stream.feed(re.sub(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]", b"", chunk))
        except (pexpect.TIMEOUT, pexpect.EOF):
            pass
        return "\n".join(self._screen.display).replace("\xa0", " ")

    def until(self, seen: Callable[[str], object], seconds: float = 40) -> str:
        deadline = time.monotonic() + seconds
        while not seen(screen := self.read()):
            assert time.monotonic() < deadline, f"not seen; the screen:\n{screen}"
        return screen

    def until_text(self, text: str) -> str:
        return self.until(lambda screen: text in screen)

    def resize(self, rows: int, columns: int) -> None:
        self._screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def type(self, text: str) -> None:
        self.child.send(text)

    def wait(self) -> int:
        while self.child.isalive():
            self.read()
        return int(self.child.exitstatus)


Open = Callable[..., Terminal]


@pytest.fixture
def launch(session: str, project: Path) -> Iterator[Open]:
    """Start a launch on a terminal, with the session's name and the flags given."""
    opened: list[Terminal] = []

    def start(*args: str, columns: int = 80) -> Terminal:
        argv = [PROGRAM, "-s", session, *args]
        opened.append(Terminal(argv, project, columns=columns))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.child.close(force=True)


def ask(terminal: Terminal, text: str) -> None:
    """Type a prompt and send it, once it stands on the screen."""
    terminal.type(text)
    terminal.until_text(f"❯ {text}")
    terminal.type("\r")


def leave(terminal: Terminal) -> int:
    terminal.type("\x03")
    terminal.until_text("Press Ctrl-C again to exit")
    terminal.type("\x03")
    return terminal.wait()


def test_a_conversation_without_any_dialog(launch: Open, start_model: StartModel) -> None:
    terminal = launch(*start_model({"turns": [], "echo": True}).flags)
    first = terminal.until_text("bypass permissions on")
    for question in ("trust", "theme", "Yes", "accept"):
        assert question not in first
    ask(terminal, "hello there")
    terminal.until_text("● echo: hello there")
    assert re.search(rb"Claude Code.*\x1b\[3[0-9]m", terminal.raw, re.DOTALL)  # claude's colours
    assert leave(terminal) == 0
    assert "to go on with it: claude-container -s" in terminal.read()


def test_what_began_without_a_terminal_goes_on_on_one(
    cli: Cli, session: str, launch: Open, start_model: StartModel
) -> None:
    """The last of two conversations, though claude's own --continue would not take it."""
    flags = start_model({"turns": [], "echo": True}).flags
    for word in ("earlier", "hello there"):
        ran = cli("-s", session, *flags, "--", "-p", word, CLAUDE_CODE_OAUTH_TOKEN=TOKEN)
        assert ran.code == 0, ran.stderr
    terminal = launch("--continue", *flags)
    screen = terminal.until_text("bypass permissions on")
    assert "● echo: hello there" in screen and "earlier" not in screen
    ask(terminal, "and now")
    terminal.until_text("● echo: and now")
    assert leave(terminal) == 0


def test_the_terminals_size_follows(launch: Open, start_model: StartModel) -> None:
    terminal = launch(*start_model({"turns": [], "echo": True}).flags, columns=60)
    terminal.until(lambda screen: "─" * 60 in screen.split("\n"))
    terminal.resize(30, 90)
    terminal.until(lambda screen: "─" * 90 in screen.split("\n"))
    assert leave(terminal) == 0


def test_control_p_reaches_claude(launch: Open, start_model: StartModel) -> None:
    terminal = launch(*start_model({"turns": [], "echo": True}).flags)
    terminal.until_text("bypass permissions on")
    ask(terminal, "said before")
    terminal.until_text("● echo: said before")
    before = terminal.read(1).count("❯ said before")
    terminal.type("\x10")
    terminal.until(lambda screen: screen.count("❯ said before") == before + 1)


def test_control_z_does_not_leave_a_dead_terminal(launch: Open, start_model: StartModel) -> None:
    terminal = launch(*start_model({"turns": [], "echo": True}).flags)
    terminal.until_text("bypass permissions on")
    terminal.type("\x1a")
    terminal.until_text("is suspended")
    ask(terminal, "still there")
    terminal.until_text("● echo: still there")
    assert leave(terminal) == 0


@pytest.mark.parametrize(
    "config",
    [
        '{"numStartups": 3, "hasCompletedOnboarding": false, "projects": {"/x": {}}}',
        '{"hasCompletedOnboarding": true, "projects": {"/x": {"hasTrustDialogAccepted": true}}}',
        '{"projects": {"/workspace": {"hasTrustDialogAccepted": false}}}',
    ],
)
def test_a_copied_configuration_asks_nothing_either(
    config: str, launch: Open, session: str, start_model: StartModel, image: str
) -> None:
    """A ~/.claude.json from elsewhere: onboarded or not, and this directory never trusted."""
    write = ["sh", "-c", f"echo '{config}' >/s/.claude.json"]
    sh("docker", "run", "--rm", "-v", f"claude-state-{session}:/s", image, *write)
    terminal = launch(*start_model({"turns": [], "echo": True}).flags)
    terminal.until_text("bypass permissions on")
    ask(terminal, "hello")
    terminal.until_text("● echo: hello")
    assert leave(terminal) == 0


def test_control_c_ends_a_headless_run(
    launch: Open, session: str, start_model: StartModel, project: Path
) -> None:
    flags = start_model([bash("touch ready; sleep 600")]).flags
    terminal = launch(*flags, "--", "-p", "wait")
    terminal.until(lambda _: (project / "ready").exists())
    terminal.type("\x03")
    terminal.wait()  # the code is claude's own: 2.1.330 says 0 where a tool was running
    assert session not in sh("docker", "ps", "--all", "--format", "{{.Names}}")


def test_control_c_at_the_start_leaves_nothing(launch: Open, session: str) -> None:
    """At whatever moment: on the way to the container, in its entrypoint, or in claude."""
    for delay in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6):
        terminal = launch("--network", "none", "--", "-p", "hello")
        time.sleep(delay)  # not a wait: the moment is what is tested
        terminal.type("\x03")
        code, screen = terminal.wait(), terminal.read()
        # claude itself, once it listens, may call it an ordinary end
        assert code == 0 or (code == 130 and "interrupted" in screen), screen
        assert "Error response" not in screen
        assert session not in sh("docker", "ps", "--all", "--format", "{{.Names}}")


def test_in_ci_there_is_no_terminal_and_no_colour(
    launch: Open, start_model: StartModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    terminal = launch(
        *start_model([bash("[ -t 0 ] && exit 1 || exit 0")]).flags, "--", "-p", "look"
    )
    assert terminal.wait() == 0
    assert "Done." in terminal.read()
    assert b"\x1b[" not in terminal.raw
