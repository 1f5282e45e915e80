"""A client's own words: what they mean, and which are a program's that shares its output.

Seen of docker clients 20.10.24 and 28.2.2 and of podman 4.3.1 (tests/recorded/).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from claude_container.engines.base import (
    EngineError,
    EngineUsage,
    ImageInUse,
    ImageMissing,
    NameTaken,
    NoShell,
    VolumeInUse,
)


class Meaning(NamedTuple):
    """The error that a client's words stand for: its class, what failed, and what to do.

    {engine} in `hint` is the client's name.
    """

    kind: type[EngineError]
    what: str
    hint: str = ""


# What every engine says in words of its own.
IMAGE_MISSING = Meaning(ImageMissing, "the engine does not have the image")
IMAGE_IN_USE = Meaning(ImageInUse, "the image is in use")
VOLUME_IN_USE = Meaning(VolumeInUse, "the volume is in use")
NAME_TAKEN = Meaning(NameTaken, "the name is taken")
VALUE_REFUSED = Meaning(EngineUsage, "the engine does not accept a value it was given")
NO_NETWORK = Meaning(
    EngineError,
    "the engine has no network of that name",
    "`{engine} network ls` lists those it has",
)
DISK_FULL = Meaning(
    EngineError, "the engine's disk is full", "`{engine} system df` shows what takes the room"
)
NO_SHELL = Meaning(
    NoShell,
    "the image has no shell (/bin/sh), and the entrypoint needs one",
    "use an image with a shell, such as one built FROM debian:bookworm-slim",
)
NOT_SEEN = Meaning(
    EngineError,
    "the engine cannot see a folder that was to be mounted",
    "a remote engine, or a virtual machine that shares only some folders, has files of"
    " its own: share this folder in its settings",
)
PORT_IN_USE = Meaning(
    EngineError,
    "a port to publish is in use on this machine",
    "choose another with --publish HOST:CONTAINER",
)

_ABSENT = re.compile(r"no such (container|object|volume|image)|image not known", re.IGNORECASE)
# A container that never ran said nothing before; only the client's own log may have.
# `--init` is docker's tini or podman's catatonit: they tell of a program that is not in
# the image. Of podman whole phrases, since many a program's words begin with "Error: ".
_NEVER_RAN = re.compile(
    r"\A((WARNING: |time=).*\n)*(Error response from daemon|Error: No such container"
    r"|Cannot connect to the Docker daemon|error during connect"
    r"|(Got )?permission denied while trying to connect|\[FATAL tini \(\d+\)\] exec "
    r"|Error: (unable to start container [0-9a-f]{64}|no container with name or ID"
    r"|can only create exec sessions on running containers|failed to connect: )"
    r"|Cannot connect to Podman|ERROR \(catatonit:\d+\): failed to exec )"
)
# A connection that is lost is told last.
_LOST = re.compile(
    r"^(error during connect|Cannot connect to the Docker daemon|.*error waiting for container)"
    r".*\Z",
    re.MULTILINE,
)
# podman's remote client (4.3) ends with 0 then, as if all were well.
_LOST_REMOTE = re.compile(r'level=error msg="Failed to check if [0-9a-f]{64} should restart: .*\Z')
# The last line where a step's own command failed: of the classic builder, of BuildKit in
# engine 20.10, of later ones, and of podman. It quotes that command, so nothing else is read in it.
_STEP_FAILED = re.compile(
    r"returned a non-zero code: \d+$|\]: exit code: \d+$|did not complete successfully: "
    r"|^Error: building at STEP "
)


def says(pattern: str) -> re.Pattern[str]:
    """A pattern of a client's words, whatever the case."""
    return re.compile(pattern, re.IGNORECASE)


def absent(text: str) -> bool:
    """What was named is not there."""
    return bool(_ABSENT.search(text))


def never_ran(text: str) -> bool:
    """The stderr is that of a container, or command, that did not run at all."""
    return bool(_NEVER_RAN.search(text))


def lost(text: str, code: int) -> bool:
    """The stderr ends with the loss of the engine, whatever a program wrote before."""
    return bool(_LOST_REMOTE.search(text) or (code != 0 and _LOST.search(text)))


def verdict(text: str) -> str:
    """The last line of output, where the client says how it ended; a failed step's says nothing."""
    last = text.rpartition("\n")[2]
    return "a step failed" if _STEP_FAILED.search(last) else last


def evidence(text: str, lines: int = 12) -> str:
    """What is worth showing of an output: its last lines, without how to call the client."""
    said = re.split(r"\n\s*\n(?:Usage:|Run ')|\nSee 'podman ", text)[0]
    return "\n".join([line for line in said.splitlines() if line.strip()][-lines:])
