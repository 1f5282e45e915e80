"""`claude setup-token`, driven through pipes on a terminal that the container has for itself.

The engine's client is given no terminal of ours, so nothing of claude's screen is seen here,
and it works the same on Windows. Facts about the program are of 2.1.330.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator

from claude_container import images
from claude_container.engines.base import Engine, EngineError, Streams
from claude_container.errors import ClaudeContainerError
from claude_container.login.container import Place, container
from claude_container.login.screen import COLUMNS, ROWS, Screen
from claude_container.process import redact
from claude_container.terminal import visible

HOSTS = ("platform.claude.com", "api.anthropic.com")
_UNREACHABLE = 97  # recipes/login.sh
_QUIET = 0.4  # seconds without a byte after which a screen is whole (measured: less than 0.1)
_START_SECONDS = 90.0  # two hosts asked, at most 20 s each, and claude's start
_SHOWN_SECONDS = 15.0  # until Enter follows a code that does not show: another version's may not
_ANSWER_SECONDS = 120.0
# Alone, some keys are commands: c copies the address.
_CODE = re.compile(r"[\x21-\x7e]{8,2000}")


class LoginError(ClaudeContainerError):
    """The login cannot go on."""


class Unreadable(LoginError):
    """This claude shows something else than the one that this was written for."""


class CodeRefused(ClaudeContainerError):
    """The code was not accepted; another may be."""


@contextlib.contextmanager
def setup(place: Place, progress: images.Progress) -> Iterator[Setup]:
    """`claude setup-token` in a container, which is removed on leaving. Raises EngineError."""
    command = ("/bin/sh", "/run/claude-container/login", str(COLUMNS), str(ROWS), *HOSTS)
    with container(place, command, progress, tty=True) as name:
        running = Setup(place.engine, name)
        try:
            yield running
        finally:
            running.close()


class Setup:
    """The running program: what it shows, and what is typed at it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._screen = Screen()
        self._changed = threading.Condition()
        self._last_byte = time.monotonic()
        self._code: int | None = None
        self._failure: EngineError | None = None
        self.ended = False
        self._reading, self._writing = os.pipe()
        threading.Thread(target=self._run, daemon=True).start()

    def url(self) -> str:
        """Where the user is to sign in. Raises LoginError, Unreadable, EngineError."""
        self._wait(lambda: self._screen.url is not None, _START_SECONDS)
        self._check_running()
        found = self._screen.url
        if found is None:
            raise Unreadable("could not read where to sign in")
        return found

    def again(self) -> str:
        """After a refusal: the URL for another try, as a rule a new one. Raises as `url` does."""
        if self._screen.wants_enter:
            self._type(b"\r")
            self._wait(lambda: not self._screen.wants_enter, _START_SECONDS)
        return self.url()

    def enter(self, code: str) -> str:
        """Enter the code that the user was given; return the token.

        Raises CodeRefused with claude's words, and what `url` raises.
        """
        code = re.sub(r"\s", "", code)  # of a copy over two lines
        if not _CODE.fullmatch(code):
            raise CodeRefused("that is no code; copy all of it, including the # in the middle")
        # Code and Enter in one go would count as a paste of both. So Enter waits until the code
        # shows, which also takes an earlier refusal off the screen.
        before = self._screen.lines
        self._type(code.encode())
        self._wait(
            lambda: self._screen.lines != before and self._screen.refusal is None, _SHOWN_SECONDS
        )
        self._type(b"\r")
        self._wait(lambda: self._screen.refusal is not None, _ANSWER_SECONDS)
        if (said := self._screen.refusal) is not None and not self.ended:
            raise CodeRefused(visible(redact(said.replace(code, "…"))))
        self._check_running(well=0)
        if not self.ended:
            raise LoginError(f"claude gave no answer to the code within {_ANSWER_SECONDS:.0f} s")
        token = self._screen.token
        if token is None:
            raise Unreadable("could not read the token")
        return token

    def close(self) -> None:
        """Let go of the program's terminal; the container is for others to remove."""
        with contextlib.suppress(OSError):
            os.close(self._writing)

    def _run(self) -> None:
        streams = Streams(
            tty=True, stdin=self._reading, stdout=self._feed, stderr=lambda written: None
        )
        try:
            self._code = self._engine.attach(self._name, streams).code
        except EngineError as error:
            self._failure = error
        finally:
            os.close(self._reading)
            with self._changed:
                self.ended = True
                self._changed.notify()

    def _feed(self, written: bytes) -> None:
        with self._changed:
            self._screen.feed(written)
            self._last_byte = time.monotonic()
            self._changed.notify()

    def _type(self, keys: bytes) -> None:
        with self._changed:
            self._last_byte = time.monotonic()  # what it shows in answer is still to come
        with contextlib.suppress(BrokenPipeError):  # what ended it is told by _check_running
            os.write(self._writing, keys)

    def _wait(self, shown: Callable[[], bool], seconds: float) -> None:
        """Wait until something is shown and the screen is quiet, the end, or `seconds` are over."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self.ended and (now := time.monotonic()) < until:
                quiet_at = self._last_byte + _QUIET
                if shown():
                    if now >= quiet_at:
                        return
                    self._changed.wait(quiet_at - now)
                else:
                    self._changed.wait(until - now)

    def _check_running(self, well: int | None = None) -> None:
        """Raise why the program ended, if it did, and not with the code `well`."""
        if not self.ended or (self._failure is None and self._code == well):
            return
        if self._failure is not None:
            raise self._failure
        said = [visible(redact(line)) for line in self._screen.lines if line]
        if self._code == _UNREACHABLE:
            host = said[-1] if said else "the vendor's hosts"
            raise LoginError(
                f"cannot reach {host}",
                evidence="".join(said[:-1][:1]),  # curl goes on with general advice
                hint="is this machine online? HTTPS_PROXY names a company's proxy,"
                " --ca-file its certificate",
            )
        raise LoginError(
            f"claude setup-token ended with exit code {self._code}", evidence="\n".join(said[-4:])
        )
