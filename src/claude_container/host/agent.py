"""The user's ssh agent, and how a container can be lent it on each platform."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from claude_container import process
from claude_container.errors import ClaudeContainerError
from claude_container.host import machine
from claude_container.host.behind import COLIMA, DESKTOP, ORBSTACK, Behind

# Where Docker Desktop has the agent in its virtual machine, on macOS and Linux
# (docs.docker.com/desktop/features/networking/networking-how-tos, "SSH agent forwarding");
# OrbStack has the same (docs.orbstack.dev/docker, github.com/orbstack/orbstack/issues/741).
_IN_VM = "/run/host-services/ssh-auth.sock"
_ANSWER = 2.0  # seconds that an agent has to take a connection


class NoAgent(ClaudeContainerError):
    """There is no ssh agent that a container could be lent, for this reason."""


@dataclass(frozen=True)
class Agent:
    """An agent's socket, a path on the engine's machine, and the hosts that the user knows.

    `in_vm`: it is the virtual machine's own and root's there, so that a container's root
    has to give it to the session's user. Any other is the user's already.
    """

    socket: str
    in_vm: bool = False
    known_hosts: bytes = field(default=b"", repr=False)


def find_agent(environ: Mapping[str, str], behind: Behind, system: str) -> Agent:
    """The agent to lend to a container on the engine behind the client. Raises NoAgent."""
    if behind.machine:
        raise NoAgent(
            f"the engine is on {behind.machine}, where this machine's ssh agent is not",
            hint="bring the commits here (claude-container merge NAME), and push them yourself",
        )
    if system == "windows":
        raise NoAgent(
            "the ssh agent of Windows is a named pipe, which no Linux container can use",
            hint="run claude-container in WSL 2, with an ssh agent there",
        )
    known_hosts = _known_hosts()
    if behind.kind in (DESKTOP, ORBSTACK):
        return Agent(_IN_VM, in_vm=True, known_hosts=known_hosts)
    if behind.kind == COLIMA:
        return Agent(_of_colima(behind.profile), known_hosts=known_hosts)
    if system == "macos":
        raise NoAgent(
            "it is not known how this engine's virtual machine reaches the ssh agent of macOS",
            hint="it is of Docker Desktop, OrbStack and Colima: see `docker context ls`",
        )
    return Agent(_own(environ.get("SSH_AUTH_SOCK", "")), known_hosts=known_hosts)


def _own(path: str) -> str:
    """The socket that SSH_AUTH_SOCK names, if an agent answers and the user may use it."""
    import socket

    start = 'start one: eval "$(ssh-agent)" && ssh-add'
    if not path:
        raise NoAgent("no ssh agent is running here (SSH_AUTH_SOCK is not set)", hint=start)
    path = os.path.realpath(path)
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(_ANSWER)
            asking.connect(path)
    except PermissionError:
        pass  # as below
    except OSError as error:
        raise NoAgent(f"no ssh agent answers at {path}", evidence=str(error), hint=start) from None
    # Root gets in here, but not in the container, where it has none of its powers.
    if not machine.can_write(Path(path)):
        raise NoAgent(
            f"the ssh agent at {path} is another user's",
            hint="launch as that user (without sudo), or start one of your own",
        )
    return path


def _of_colima(profile: str) -> str:
    """The agent's socket in Colima's virtual machine, which the user has there under the same uid.

    It is there after `colima start --ssh-agent`, at another place after each start
    (github.com/abiosoft/colima/issues/127 and /1330).
    """
    argv = ["colima", "ssh", *(["--profile", profile] if profile else [])]
    try:
        asked = process.run([*argv, "--", "printenv", "SSH_AUTH_SOCK"], check=False, timeout=20)
    except process.ProcessError as error:
        raise NoAgent("cannot ask Colima for the ssh agent", evidence=error.what) from error
    if not re.fullmatch(r"/[^\s:]+", asked.text):
        raise NoAgent(
            "Colima does not pass the ssh agent on",
            evidence=asked.error_text,
            hint="colima stop, then: colima start --ssh-agent",
        )
    return asked.text


def _known_hosts() -> bytes:
    """The user's known_hosts, so that ssh need not ask in a container who is who; b"" for none."""
    home = machine.home()
    try:
        return machine.read_regular(home / ".ssh" / "known_hosts", 16 << 20) if home else b""
    except OSError:
        return b""
