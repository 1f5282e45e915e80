"""The only place that spawns. Two doors: `run` captures, `attach` shares the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from claude_container.errors import ClaudeContainerError
from claude_container.interrupts import held_back
from claude_container.passing import Errors, own_stderr, pump
from claude_container.terminal import terminal_restored

# No child of ours inherits these: its environ would show them (the token's way: payload.py).
SECRET_VARIABLES = ("CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
NOTHING = subprocess.DEVNULL
_TOKEN = re.compile(r"sk-ant-[A-Za-z0-9_-]{4,}")


@dataclass(frozen=True)
class Completed:
    """A finished command: exit code (negative: killed by that signal) and output."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace").strip()

    @property
    def error_text(self) -> str:
        return redact(self.stderr.decode(errors="replace")).strip()


class ProcessError(ClaudeContainerError):
    """A command failed, was not there (code None) or ran out of time (code None)."""

    def __init__(
        self,
        what: str,
        *,
        command: Sequence[str],
        code: int | None = None,
        stdout: str = "",
        stderr: str = "",
        hint: str = "",
    ) -> None:
        self.command = tuple(redact(word) for word in command)
        self.code = code
        self.stdout = redact(stdout)
        self.stderr = redact(stderr)
        super().__init__(redact(what), evidence=self.stderr or self.stdout, hint=hint)


class ProgramMissing(ProcessError):
    """The program is not on PATH, or what is there may not be run."""


class ProcessTimeout(ProcessError):
    """The command did not end in the time it was given."""


def redact(text: str) -> str:
    """Blank every token in `text`: by shape, and the secret variables' values by content."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= 8:
            text = text.replace(value, "[token]")
    return _TOKEN.sub("[token]", text)


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment of a child: ours without the secrets, then `changes` (None: unset)."""
    wanted = {**os.environ, **dict.fromkeys(SECRET_VARIABLES), **(changes or {})}
    return {name: value for name, value in wanted.items() if value is not None}


def run(
    argv: Sequence[str],
    *,
    input: bytes | None = None,
    env: Mapping[str, str | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout: float | None = 120.0,
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
    finish: float = 5.0,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run a command, capture what it prints, and return it.

    With `on_line` stdout and stderr are read as one stream and each line is
    handed on as it comes. The command keeps `pass_fds` (not on Windows), and gets a
    session of its own, so that ^C on the terminal reaches only us: an engine may carry
    out a call that is cut short, so after ^C it has `finish` seconds to end.

    Raises ProgramMissing, ProcessTimeout, and with `check` ProcessError.
    """
    try:
        with held_back() as let_act:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if on_line is None else subprocess.STDOUT,
                env=environment(env),
                cwd=cwd,
                start_new_session=True,
                pass_fds=pass_fds,
            )
    except (FileNotFoundError, PermissionError) as error:
        if cwd is not None and not os.path.isdir(cwd):
            raise
        raise ProgramMissing(f"{argv[0]} is not installed", command=argv) from error
    try:
        let_act()
        if on_line is None:
            stdout, stderr = child.communicate(input, timeout=timeout)
        else:
            stdout, stderr = _read_lines(child, input, timeout, on_line), b""
    except subprocess.TimeoutExpired as error:
        _end(child)
        what = f"{' '.join(argv[:2])} gave no answer in {timeout:.0f} s"
        raise ProcessTimeout(what, command=argv) from error
    except BaseException:
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            if child.stdin:
                child.stdin.close()  # it may wait for input that does not come any more
            child.wait(finish)
        _end(child)
        raise
    done = Completed(tuple(argv), child.returncode, stdout, stderr)
    if check and done.code != 0:
        raise ProcessError(
            f"{' '.join(argv[:2])} failed (exit {done.code})",
            command=argv,
            code=done.code,
            stdout=stdout.decode(errors="replace"),
            stderr=stderr.decode(errors="replace"),
        )
    return done


def _read_lines(
    child: subprocess.Popen[bytes],
    input: bytes | None,
    timeout: float | None,
    on_line: Callable[[str], None],
) -> bytes:
    assert child.stdout is not None
    threading.Thread(target=_feed, args=(child.stdin, input), daemon=True).start()
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        child.kill()

    timer = threading.Timer(timeout or threading.TIMEOUT_MAX, expire)
    timer.daemon = True
    timer.start()
    try:
        lines = []
        for line in child.stdout:
            lines.append(line)
            on_line(line.decode(errors="replace").rstrip())
        child.wait()
    finally:
        timer.cancel()
    if expired.is_set():
        raise subprocess.TimeoutExpired(child.args, timeout or 0)
    return b"".join(lines)


def _feed(stdin: IO[bytes] | None, data: bytes | None) -> None:
    if stdin is not None:
        with contextlib.suppress(BrokenPipeError), stdin:
            stdin.write(data or b"")


def _end(child: subprocess.Popen[bytes]) -> None:
    for stop in (child.terminate, child.kill):
        if child.poll() is None:
            stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(2)


@dataclass(frozen=True)
class Attached:
    """How an attached command ended: its exit code, and the end of its stderr (4 KiB)."""

    code: int
    error_text: str


def attach(
    argv: Sequence[str],
    *,
    stdin: int | None = None,
    stdout: Callable[[bytes], None] | None = None,
    stderr: Callable[[bytes], None] | None = None,
    hold_back: bytes = b"",
    env: Mapping[str, str | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Attached:
    """Run a command that shares our terminal, and return how it ended.

    stdin and stdout are our own unless given (`stdin` a file descriptor or
    NOTHING, `stdout` and `stderr` callbacks for what is written). stderr is passed
    on and its end kept; lines that begin with `hold_back` are only kept, since what an
    engine's client says of itself is for us to say. ^C goes to the whole
    foreground group, so the client passes it on and we wait for it; TERM and HUP
    end the client. The modes of a terminal that it was given are put back whatever happens.
    """
    with terminal_restored() if stdin is None else contextlib.nullcontext():
        try:
            with held_back() as let_act:
                child = subprocess.Popen(
                    argv,
                    stdin=stdin,
                    stdout=subprocess.PIPE if stdout else None,
                    stderr=subprocess.PIPE,
                    env=environment(env),
                    cwd=cwd,
                )
        except (FileNotFoundError, PermissionError) as error:
            raise ProgramMissing(f"{argv[0]} is not installed", command=argv) from error
        errors = Errors(hold_back, stderr or own_stderr)
        pumps = [pump(child.stderr, errors.feed)]
        if stdout:
            pumps.append(pump(child.stdout, stdout))
        try:
            let_act()
            child.wait()
        except KeyboardInterrupt:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
            raise
        finally:
            _end(child)
            for thread in pumps:
                thread.join(2)
            errors.finish()
        return Attached(child.returncode, redact(errors.tail.decode(errors="replace")).strip())
