"""Settings: flags > environment > project file > user file. And who is trusted.

A project file comes with a repository, which may be hostile. It may set limits;
image, Dockerfile, ports and ignored files that it wants along count once the user
trusted the directory; what reaches the host counts only from the user's own file or flags.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from claude_container.errors import ClaudeContainerError, UsageError

PROJECT_FILE = ".claude-container.toml"
USER_FILE = "config.toml"
_TRUST_FILE = "trusted.json"
# The default images: build targets of recipes/Dockerfile.base, in its order.
VARIANTS = ("slim", "python", "full", "rust")
# A variant is of our own recipe: all it can do is take room and time, as a limit does.
PROJECT_MAY = frozenset({"memory", "cpus", "pids_limit", "variant"})
PROJECT_MAY_IF_TRUSTED = frozenset({"image", "dockerfile", "devcontainer", "publish", "include"})
# CLAUDE_CONTAINER_IMAGE and so on.
_VARIABLES = frozenset(
    {"image", "variant", "default_image", "engine", "network", "memory", "cpus", "ca_file"}
    | {"fetch_limit", "fetch_timeout"}
)


@dataclass(frozen=True)
class Settings:
    """What a launch can be told, by a flag or under the same name in a file.

    Tuples add up over the layers, of anything else the highest layer's counts.
    """

    # What stands below a setting is what docs/configuration.md says of it.
    image: str | None = None
    """Run in this image, as it is. Without it: a Dockerfile that is found, else the default."""
    dockerfile: str | None = None
    """Build and use this Dockerfile: in your file `~` is your home, in a project's file the
    path is within the project."""
    devcontainer: str | None = None
    """The development container of this name, of several; `none` does without any (see
    [devcontainer.json](devcontainer.md))."""
    variant: str | None = None
    """The variant of the default image: `slim`, `python`, `full` or `rust` (see
    [images](images.md)). In a project's file it comes before a Dockerfile that is found there."""
    default_image: str | None = None
    """Where default images of all variants come from: a name without a tag, such as
    `localhost:5000/claude-container`. What git does in a session runs in these, too."""
    engine: str | None = None
    """The program that runs containers: `docker` or `podman`."""
    env: tuple[str, ...] = ()
    """Variables for claude: `NAME=VALUE`, or `NAME` for the value that it has here. They show
    in the engine's `inspect`."""
    mount: tuple[str, ...] = ()
    """Folders to mount: `SRC:DST`, or `SRC:DST:ro` for reading only."""
    publish: tuple[str, ...] = ()
    """Ports to publish: `PORT`, `HOST:PORT` or `IP:HOST:PORT`; on 127.0.0.1 where no IP is
    named, and always where a project's file names them."""
    network: str | None = None
    """The engine's network; `none` cuts it off, and claude with it."""
    memory: str | int | None = None
    """At most this much memory, such as `4g`."""
    cpus: str | int | float | None = None
    """At most this many processors, such as `1.5`."""
    pids_limit: int | None = None
    """At most this many processes and threads."""
    ca_file: str | None = None
    """A PEM file with a company's certificate, for containers and for the default image's
    build. Without it: what `NODE_EXTRA_CA_CERTS`, `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`,
    `CURL_CA_BUNDLE` or `GIT_SSL_CAINFO` names."""
    identity: str | None = None
    """Who commits: `Name <email>`. Without it: in a session `Claude <claude@container>`, in a
    directory itself the name and email of your own git configuration."""
    include: tuple[str, ...] = ()
    """Ignored files that come along into a new session of a repository, as patterns of
    .gitignore. Those of its own `.worktreeinclude` or file count, too, once you let them, which
    is a question of its own; a no to the directory answers it."""
    token_store: Literal["file", "keyring"] | None = None
    """Where `login` keeps the token, and a launch looks for it."""
    ssh: bool | None = None
    """Lend your ssh agent and known_hosts to every session."""
    fetch_limit: str | int | None = None
    """The most that one fetch from a session may bring, packed or unpacked, such as `20g`."""
    fetch_timeout: str | int | None = None
    """How many seconds a session may say nothing until a fetch is given up."""

    def over(self, lower: Settings) -> Settings:
        """These settings, and where they say nothing the lower ones."""
        merged: dict[str, Any] = {}
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(lower, item.name)
            if isinstance(mine, tuple):
                merged[item.name] = (*theirs, *mine)
            else:
                merged[item.name] = theirs if mine is None else mine
        return Settings(**merged)

    def only(self, names: Iterable[str]) -> Settings:
        """These settings without all that `names` does not name."""
        return replace(Settings(), **{name: getattr(self, name) for name in names})

    def named(self) -> set[str]:
        """The names of the settings that say something."""
        return {item.name for item in fields(self) if getattr(self, item.name) not in (None, ())}


def from_environment(environ: Mapping[str, str]) -> Settings:
    """The settings in CLAUDE_CONTAINER_… variables; an empty one says nothing."""
    set_here: dict[str, Any] = {
        name: environ.get(f"CLAUDE_CONTAINER_{name.upper()}") or None for name in _VARIABLES
    }
    return Settings(**set_here)


def from_file(path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> Settings:
    """The settings in a TOML file; none where there is no file. Raises UsageError."""
    try:
        raw = read(path)
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    except OSError as error:
        raise UsageError(f"cannot read {path}", evidence=str(error)) from error

    # Only where there is a file to read: they cost a launch 20 ms.
    import difflib

    import msgspec

    try:
        data = msgspec.toml.decode(raw)
    # Not UTF-8, a number of 5000 digits, 5000 brackets: msgspec passes these on as they are.
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML", evidence=str(error)) from error
    known = [item.name for item in fields(Settings)]
    for key in data:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"settings: {', '.join(known)}"
            raise UsageError(f"{path}: there is no setting {key!r}", hint=hint)
    if b"\\u0000" in msgspec.json.encode(data):
        raise UsageError(f"{path} holds a NUL character")
    try:
        settings = msgspec.convert(data, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error
    if settings.pids_limit is not None and settings.pids_limit < 1:
        raise UsageError(f"{path}: pids_limit is at least 1")
    return settings


def of_user(environ: Mapping[str, str], folder: Path | None) -> Settings:
    """What the user alone says, whatever a directory brings: environment > their own file.

    `folder` is host.config_dir's. Raises UsageError.
    """
    return from_environment(environ).over(from_user(folder))


def from_user(folder: Path | None) -> Settings:
    """The settings in the user's own file, in the folder of our own. Raises UsageError."""
    return from_file(folder / USER_FILE) if folder else Settings()


def size(said: str | int | None, default: int) -> int:
    """Bytes of a setting such as "20g" or "500m". Raises UsageError."""
    if said is None:
        return default
    match = re.fullmatch(r"(\d+)([kmgt]?)b?", str(said).lower())
    if not match or int(match[1]) == 0:
        raise UsageError(f"{said!r} is no size", hint='such as "500m" or "20g"')
    return int(match[1]) << (10 * " kmgt".index(match[2] or " "))


def seconds(said: str | int | None, default: float) -> float:
    """A setting in seconds, at least one. Raises UsageError."""
    if said is None:
        return default
    if not str(said).isdecimal() or int(said) == 0:
        raise UsageError(f"{said!r} is no number of seconds", hint="such as 60")
    return float(said)


class TrustStore:
    """What the user trusts of which directory, in one small file.

    Of a directory that is trusted the things that were looked at are kept, by name and
    digest; False stands for one that was said no to, whatever it brings later.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / _TRUST_FILE if folder else None

    def said(self, directory: Path) -> Mapping[str, object] | bool | None:
        """The answer for this directory, False, or None if nobody asked yet."""
        said = self._read().get(str(directory))
        return said if isinstance(said, dict) or said is False else None

    def answer(self, directory: Path, things: Mapping[str, str]) -> bool | None:
        """Whether all of these are as the user trusted them; None if that has to be asked."""
        said = self.said(directory)
        if isinstance(said, Mapping):
            return True if things.items() <= said.items() else None
        return said

    def remember(self, directory: Path, answer: Mapping[str, str] | Literal[False] | None) -> None:
        """Trust these things too, or no; None forgets. Written whole or not at all."""
        if self._path is None:
            raise ClaudeContainerError(
                "there is no home directory to remember this in", hint="set HOME, or use --trust"
            )
        import tempfile

        known = self._read()
        before = known.pop(str(directory), None)
        if answer is False:
            known[str(directory)] = False
        elif answer is not None:
            known[str(directory)] = {**(before if isinstance(before, dict) else {}), **answer}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=f".{_TRUST_FILE}.")
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump(known, file, indent=1, sort_keys=True)
                os.replace(temporary, self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise ClaudeContainerError(f"cannot write {self._path}", evidence=str(error)) from error

    def _read(self) -> dict[str, object]:
        if self._path is None:
            return {}
        try:
            known = json.loads(self._path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise ClaudeContainerError(
                f"cannot read {self._path}",
                evidence=str(error),
                hint="remove the file; you will be asked again",
            ) from error
        return known if isinstance(known, dict) else {}
