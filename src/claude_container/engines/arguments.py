"""How a docker-like command line is told of a mount, an environment, a label to look for."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence

from claude_container.engines.base import Bind, VolumeMount
from claude_container.errors import UsageError

# What a client reads of its own environment, and must not see another value of.
_CLIENTS = re.compile(
    r"(DOCKER|CONTAINER|BUILDKIT|BUILDX|COMPOSE)_.*|HOME|PATH|PATHEXT|USERPROFILE|SYSTEMROOT"
    r"|(APP|LOCALAPP|PROGRAM)DATA|TE?MP|TMPDIR|(HTTPS?|NO|ALL)_PROXY|SSH_AUTH_SOCK|SSL_CERT_\w+",
    re.IGNORECASE,
)


def environment(
    env: Mapping[str, str], ours: Mapping[str, str], *, windows: bool
) -> tuple[list[str], bytes | None, dict[str, str | None]]:
    """What brings `env` into a container: flags, standard input, and changes for the client.

    No value is in an argv. What our own environment holds already goes by name alone; the
    rest goes through `--env-file /dev/stdin`, since the client itself reads variables such
    as PATH and DOCKER_HOST and must not see another value of them. Windows has no
    /dev/stdin: there the values go by name through the client's own environment, but for
    those of variables that the client itself reads, which show in its argv.
    Raises UsageError for a value with a line break, which an --env-file cannot hold.
    """
    named = [name for name, value in env.items() if ours.get(name) == value]
    rest = {name: value for name, value in env.items() if name not in named}
    flags = [f"--env={name}" for name in named]
    if windows:
        given = {name: value for name, value in rest.items() if not _CLIENTS.fullmatch(name)}
        flags += [f"--env={n}" if n in given else f"--env={n}={v}" for n, v in rest.items()]
        return flags, None, {**given}
    if broken := [name for name, value in rest.items() if "\n" in value or "\r" in value]:
        raise UsageError(
            f"the value of {broken[0]} holds a line break",
            hint=f"export {broken[0]}=… and pass it by name: --env {broken[0]}",
        )
    if not rest:
        return flags, None, {}
    lines = "".join(f"{name}={value}\n" for name, value in rest.items())
    return [*flags, "--env-file", "/dev/stdin"], os.fsencode(lines), {}


def mount(mount: Bind | VolumeMount) -> str:
    """A --mount value. It is read as a line of CSV, so any path can be written in it."""
    if isinstance(mount, Bind):
        fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    else:
        fields = ["type=volume", f"source={mount.name}", f"target={mount.target}"]
        fields += [f"volume-label={key}={value}" for key, value in mount.labels.items()]
        fields += ["volume-nocopy"] if mount.bare else []
    if mount.read_only:
        # podman 4.3 takes docker's other word for it, readonly, for a folder only.
        fields.append("ro")
    return csv_line(fields)


def csv_line(fields: Sequence[str]) -> str:
    """A line of CSV, without its end."""
    line = io.StringIO()
    # Until Python 3.13 a line break is quoted only if it is in the line's own end.
    csv.writer(line, lineterminator="\r\n").writerow(fields)
    return line.getvalue().removesuffix("\r\n")


def filters(having: Mapping[str, str | None]) -> list[str]:
    """Flags that list only what has these labels (None: any value)."""
    wanted = [key if value is None else f"{key}={value}" for key, value in having.items()]
    return [word for label in wanted for word in ("--filter", f"label={label}")]
