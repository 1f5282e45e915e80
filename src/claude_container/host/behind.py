"""What is behind the engine's client: found out without asking it, since every launch does.

The client's own order (docker/cli, resolveContextName in cli/command/cli.go): DOCKER_HOST,
then the context that DOCKER_CONTEXT names, then `currentContext` of ~/.docker/config.json.
A context's address is in contexts/meta/DIGEST-OF-ITS-NAME/meta.json beside that file (seen
of the clients 20.10.24 and 28.2.2).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from claude_container.host import machine

DESKTOP, ORBSTACK, COLIMA = "Docker Desktop", "OrbStack", "Colima"
_DEFAULT_SOCKET = "/var/run/docker.sock"
# Those whose virtual machine is of consequence, by where each has its socket here:
# - Docker Desktop ~/.docker/run on macOS (github.com/orbstack/orbstack/issues/374) and
#   ~/.docker/desktop on Linux (docs.docker.com/desktop/setup/install/linux, "context");
# - OrbStack ~/.orbstack/run (github.com/orbstack/orbstack/issues/509);
# - Colima ~/.colima/PROFILE, before 0.4 ~/.colima (docs/FAQ.md of github.com/abiosoft/colima),
#   and below $XDG_CONFIG_HOME/colima where that is set.
_KINDS = (
    (DESKTOP, re.compile(r"/\.docker/(?:run|desktop)/docker\.sock$")),
    (ORBSTACK, re.compile(r"/\.orbstack/run/docker\.sock$")),
    (COLIMA, re.compile(r"/\.?colima/(?:(?P<profile>[^/]+)/)?docker\.sock$")),
)


@dataclass(frozen=True)
class Behind:
    """What answers the client.

    `kind` is one of the above, or "" where nothing tells. `machine` is the name of another
    machine that the engine is on, as its address has it; "" for this one, or one on it.
    """

    address: str
    kind: str = ""
    profile: str = ""  # of Colima
    machine: str = ""


def behind(
    environ: Mapping[str, str],
    engine: str = "docker",
    link: Callable[[str], str] = os.path.realpath,
) -> Behind:
    """What is behind an engine's client here. Reads two small files at most, and fails for none.

    `link` tells where docker's default socket leads: macOS has there what was installed last.
    Of podman only CONTAINER_HOST is known, its word for DOCKER_HOST (podman(1)).
    """
    if engine != "docker":
        address = environ.get("CONTAINER_HOST", "")
        return Behind(address, machine=_elsewhere(address))
    address = environ.get("DOCKER_HOST") or _of_context(environ)
    if address in ("", f"unix://{_DEFAULT_SOCKET}", "unix:///run/docker.sock"):
        address = f"unix://{link(_DEFAULT_SOCKET)}"
    for kind, pattern in _KINDS:
        if found := pattern.search(address):
            return Behind(address, kind, found.groupdict().get("profile") or "")
    return Behind(address, machine=_elsewhere(address))


def _of_context(environ: Mapping[str, str]) -> str:
    """The address of the context in use, "" for the default one or where it cannot be read."""
    home = machine.home()
    named = environ.get("DOCKER_CONFIG")
    if not named and home is None:
        return ""
    folder = Path(named) if named else Path(home or "", ".docker")
    name = environ.get("DOCKER_CONTEXT") or _read(folder / "config.json").get("currentContext")
    if not isinstance(name, str) or name in ("", "default"):
        return ""
    import hashlib  # 3 ms, and most have no context

    digest = hashlib.sha256(name.encode(errors="replace")).hexdigest()
    found: object = _read(folder / "contexts" / "meta" / digest / "meta.json")
    for key in ("Endpoints", "docker", "Host"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def _read(file: Path) -> dict[str, object]:
    try:
        content = json.loads(machine.read_regular(file))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _elsewhere(address: str) -> str:
    """The machine that an address names, unless it is this one.

    A port of this one may lead into a virtual machine, or through a tunnel: that cannot
    be told from here.
    """
    if not address or address.startswith("unix:"):
        return ""
    from urllib.parse import urlsplit  # 2 ms

    try:
        # The client takes what has no scheme for tcp.
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        name = parts.hostname or ""
    except ValueError:
        return ""
    if parts.scheme not in ("ssh", "tcp", "http", "https"):
        return ""
    here = name == "localhost" or name.startswith("127.") or name in ("::1", "0.0.0.0", "::")
    return "" if here else name
