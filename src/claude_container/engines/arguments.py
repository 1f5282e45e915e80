"""How a docker-like command line is told of a mount, an environment, a label to look for."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence

from claude_container import process
from claude_container.engines.base import Bind, VolumeMount
from claude_container.errors import UsageError


def mount(mount: Bind | VolumeMount) -> str:
    """A --mount value. It is read as a line of CSV, so any path can be written in it."""
    if isinstance(mount, Bind):
        fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    else:
        fields = ["type=volume", f"source={mount.name}", f"target={mount.target}"]
        fields += [f"volume-label={key}={value}" for key, value in mount.labels.items()]
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


def environment(env: Mapping[str, str]) -> tuple[list[str], bytes | None]:
    """Flags and standard input that bring `env` in with no value in any argv.

    What our own environment holds already goes by name alone; the rest goes
    through `--env-file /dev/stdin`, since the client itself reads variables
    such as PATH and DOCKER_HOST and must not see another value of them.
    """
    ours = process.environment()
    named = [name for name, value in env.items() if ours.get(name) == value]
    lines = [f"{name}={value}" for name, value in env.items() if name not in named]
    if broken := [line.split("=")[0] for line in lines if "\n" in line or "\r" in line]:
        raise UsageError(
            f"the value of {broken[0]} holds a line break",
            hint=f"export {broken[0]}=… and pass it by name: --env {broken[0]}",
        )
    flags = [f"--env={name}" for name in named]
    if not lines:
        return flags, None
    return [*flags, "--env-file", "/dev/stdin"], os.fsencode("\n".join([*lines, ""]))


def filters(having: Mapping[str, str | None]) -> list[str]:
    """Flags that list only what has these labels (None: any value)."""
    wanted = [key if value is None else f"{key}={value}" for key, value in having.items()]
    return [word for label in wanted for word in ("--filter", f"label={label}")]
