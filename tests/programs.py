"""The programs of the contract suite, twice: for the in-memory engine, and as shell scripts."""

from __future__ import annotations

import time

from tests.memory_container import TERM, File, Inside, MemoryImage, Program


def args(inside: Inside) -> int:
    inside.stdout += b"".join(f"{word}\0".encode() for word in inside.argv[1:])
    return 0


def await_file(inside: Inside) -> int:
    while cat(inside) != 0:
        time.sleep(0.001)
    return 0


def cat(inside: Inside) -> int:
    try:
        files = [inside.read(path).content for path in inside.argv[1:]]
    except OSError:
        return 1
    inside.stdout += b"".join(files) if files else inside.stdin
    return 0


def env(inside: Inside) -> int:
    inside.stdout += "".join(f"{name}={value}\n" for name, value in inside.env.items()).encode()
    return 0


def exit_with(inside: Inside) -> int:
    return int(inside.argv[1])


def fail(inside: Inside) -> int:
    inside.stderr += f"{inside.argv[1]}\n".encode()
    return 1


def mode(inside: Inside) -> int:
    file = inside.read(inside.argv[1])
    inside.stdout += f"{file.uid}:{file.gid} {file.mode:o}\n".encode()
    return 0


def stay(inside: Inside) -> int:
    """Be there until a signal comes; `$1/ready` tells that it is, `$1/ended` that TERM came."""
    inside.write(f"{inside.argv[1]}/ready", b"")
    signal = inside.wait()
    if signal == TERM:
        inside.write(f"{inside.argv[1]}/ended", b"TERM")
    return 128 + signal


def whoami(inside: Inside) -> int:
    inside.stdout += f"{inside.user}\n".encode()
    return 0


def write(inside: Inside) -> int:
    try:
        inside.write(inside.argv[1], inside.argv[2].encode())
    except OSError:
        return 1
    return 0


PROGRAMS: dict[str, tuple[Program, str]] = {
    "args": (args, r"""printf '%s\0' "$@" """),
    "await": (await_file, 'until [ -e "$1" ]; do sleep 0.01; done'),
    "cat": (cat, 'exec /bin/cat "$@"'),
    "env": (env, "exec /usr/bin/env"),
    "exit": (exit_with, 'exit "$1"'),
    "fail": (fail, 'echo "$1" >&2; exit 1'),
    "mode": (mode, 'stat -c "%u:%g %a" "$1"'),
    "stay": (
        stay,
        """trap 'printf TERM >"$1/ended"; exit 143' TERM; : >"$1/ready"; sleep 600 & wait""",
    ),
    "whoami": (whoami, "id -u"),
    "write": (write, """printf %s "$2" >"$1" """),
}
IN_MEMORY = MemoryImage(
    {name: function for name, (function, _) in PROGRAMS.items()},
    labels={"cctest.lab": "tiny"},
    files={"/etc/hostname": File(b"memory\n")},
)
SCRIPTS = {name: f"#!/bin/sh\n{script}\n".encode() for name, (_, script) in PROGRAMS.items()}
