"""git-remote-claude-container: makes `claude-container::[ENGINE:]NAME` an address for git.

git calls it with a remote's name and the address (gitremote-helpers(7), capability
`connect`), and from then on speaks its own protocol with the other side.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

from claude_container import config, engines, host
from claude_container.config import Settings
from claude_container.errors import ClaudeContainerError, Terminated, UsageError
from claude_container.sessions import known, model, transport
from claude_container.terminal import visible
from claude_container.wire.bounds import Limits

_USAGE = "git-remote-claude-container is for git to call: git fetch claude-container::NAME"


def main() -> int:
    """Serve git on stdin and stdout until it is done; return the exit code."""
    signal.signal(signal.SIGTERM, _end)
    try:
        if len(sys.argv) != 3:
            raise UsageError(_USAGE)
        _converse(sys.argv[2])
        return 0
    except ClaudeContainerError as error:
        _say(error)
        return error.exit_code
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130
    except Terminated as error:
        return error.exit_code


def _converse(address: str) -> None:
    engine_name, _, name = address.rpartition(":")
    while words := _line():
        if words == "capabilities":
            os.write(1, b"connect\n\n")
        elif words.removeprefix("connect ") in transport.SERVICES:
            _connect(engine_name, name, words.removeprefix("connect "))
            return
        else:
            raise UsageError(_USAGE, evidence=f"git asked for {words!r}")


def _connect(engine_name: str, name: str, service: str) -> None:
    engine = engines.get(engine_name or _settings().engine)
    model.check_name(name)
    # Our own look, which found the session and says within what limits it looks.
    looked = os.environ.get(transport.LOOK)
    if looked:
        most, silence = looked.split()
        limits = Limits(int(most), float(silence))
    else:
        limits = transport.limits_of(_settings())
        known.need(engine, name)
    os.write(1, b"\n")
    transport.serve(
        engine,
        name,
        service,
        _Progress(),
        stdin=0,
        stdout=1,
        look=looked is not None,
        # git itself sets no GIT_PROTOCOL for a helper, and understands version 2 (2.39).
        protocol=os.environ.get("GIT_PROTOCOL") or "version=2",
        kept=transport.bounds_of(service, limits),
    )


def _settings() -> Settings:
    """The user's own: git calls us in a repository that may be anybody's."""
    return config.of_user(os.environ, host.config_dir(os.environ))


def _line() -> str:
    """A line of git's, and not a byte more: what follows is for the other side."""
    line = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode(errors="replace")


def _say(error: ClaudeContainerError) -> None:
    parts = [f"✗ {error.what}", *(f"  {visible(line)}" for line in error.evidence.splitlines())]
    parts += [f"hint: {error.hint}"] if error.hint else []
    with contextlib.suppress(OSError):
        os.write(2, "".join(f"{part}\n" for part in parts).encode())


def _end(signum: int, frame: object) -> None:
    raise Terminated(signum)


class _Progress:
    """Plain lines among git's own."""

    @contextlib.contextmanager
    def task(self, text: str) -> Iterator[Callable[[str], None]]:
        os.write(2, f"→ {text}\n".encode())
        yield lambda line: None

    def warn(self, text: str) -> None:
        os.write(2, f"⚠ {text}\n".encode())
