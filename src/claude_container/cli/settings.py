"""The flags that config files know too, and how the layers become one launch's settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from claude_container import config, host, images
from claude_container.cli.console import Console
from claude_container.config import Settings
from claude_container.engines.base import Bind
from claude_container.errors import ClaudeContainerError, UsageError

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--image", metavar="IMAGE", help="run in this image, as it is"),
    click.option("--engine", metavar="NAME", help="docker (the default)"),
    click.option("--env", multiple=True, metavar="NAME[=VALUE]", help="a variable for claude"),
    click.option("--mount", multiple=True, metavar="SRC:DST[:ro]", help="a folder to mount"),
    click.option("--publish", multiple=True, metavar="[IP:]HOST:PORT", help="a port, on 127.0.0.1"),
    click.option("--network", metavar="NAME", help="the engine's network; none cuts it off"),
    click.option("--memory", metavar="SIZE", help="at most this much memory, such as 4g"),
    click.option("--cpus", metavar="N", help="at most this many processors, such as 1.5"),
    click.option("--ca-file", metavar="PEM", help="a company's certificate, for build and run"),
)
_PORT = re.compile(
    r"(?:(?P<ip>\d+(?:\.\d+){3}|\[[0-9a-f:]+\]):)?(?P<host>\d+)(?::(?P<inner>\d+))?(?P<proto>/(?:tcp|udp))?"
)
_MOUNT = re.compile(r"(?P<source>.+?):(?P<target>/[^:]*)(?::(?P<mode>ro|rw))?")
_OURS = ("CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR", "CLAUDE_CONFIG_DIR")


def options(command: F) -> F:
    """Add the flags that have the names and meanings of Settings."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def from_flags(flags: dict[str, Any]) -> Settings:
    known = {item.name for item in fields(Settings)}
    return Settings(**{name: value for name, value in flags.items() if name in known})


@dataclass(frozen=True)
class Resolved:
    """Settings with every layer in them, and the Dockerfile to build, if one was chosen."""

    settings: Settings
    dockerfile: Path | None
    image_source: str


def resolve(
    console: Console,
    directory: Path,
    flags: Settings,
    *,
    dockerfile: str | None = None,
    trust: bool = False,
    ask: bool = True,
) -> Resolved:
    """One launch's settings: flags > environment > the directory's own > the user's file.

    What the directory brings and needs trust is asked about once, on a terminal;
    with `ask` False, or where the image is settled without it, what nobody trusted
    yet is left out. Raises UsageError, and ClaudeContainerError where nobody can be asked.
    """
    if dockerfile and flags.image:
        raise UsageError("--image and a Dockerfile exclude each other")
    folder = host.config_dir(os.environ)
    user = config.from_file(folder / config.USER_FILE) if folder else Settings()
    theirs = config.from_file(directory / config.PROJECT_FILE)
    upper = flags.over(config.from_environment(os.environ))
    refused = theirs.named() - config.PROJECT_MAY - config.PROJECT_MAY_IF_TRUSTED
    if refused:
        console.warn(
            f"{config.PROJECT_FILE}: ignored {', '.join(sorted(refused))}, which may only come"
            " from your own config file or flags"
        )
    settled = bool(dockerfile or upper.image)
    if settled:
        theirs = theirs.only(config.PROJECT_MAY | {"publish"})
    named = directory / theirs.dockerfile if theirs.dockerfile else None
    found = named or (None if settled or theirs.image else images.find_dockerfile(directory))
    wants = sorted(theirs.named() & config.PROJECT_MAY_IF_TRUSTED)
    if found and "dockerfile" not in wants:
        wants = [*wants, str(found.relative_to(directory))]
    if wants and not _trusted(console, directory, wants, trust=trust, ask=ask and not settled):
        console.doing(
            f"not using this directory's {', '.join(wants)}: not trusted (claude-container trust)"
        )
        wants, found = [], None
    allowed = theirs if wants else theirs.only(config.PROJECT_MAY)
    merged = _over(upper, allowed, user)
    if dockerfile:
        return Resolved(merged, Path(dockerfile), "the command line")
    if upper.image:
        return Resolved(merged, None, "--image" if flags.image else "CLAUDE_CONTAINER_IMAGE")
    if found:
        return Resolved(merged, found, str(found))
    if allowed.image:
        return Resolved(merged, None, config.PROJECT_FILE)
    if user.dockerfile and not user.image:
        return Resolved(merged, _expanded(user.dockerfile), "your config file")
    return Resolved(merged, None, "your config file")


def _over(upper: Settings, theirs: Settings, user: Settings) -> Settings:
    allowed = theirs.only(config.PROJECT_MAY | config.PROJECT_MAY_IF_TRUSTED)
    # A port that a repository asks for is this machine's alone.
    ports = tuple(publish(port, only_local=True) for port in allowed.publish)
    return upper.over(
        Settings(publish=ports).over(allowed.only(config.PROJECT_MAY | {"image"})).over(user)
    )


def _trusted(
    console: Console, directory: Path, wants: list[str], *, trust: bool, ask: bool
) -> bool:
    if trust:
        return True
    root = trust_root(directory)
    store = config.TrustStore(host.config_dir(os.environ))
    said = store.answer(root)
    if said is not None or not ask:
        return bool(said)
    if not console.terminal:
        raise ClaudeContainerError(
            f"{root} is not trusted yet, and it brings {', '.join(wants)}",
            hint="look at it, then: claude-container trust (for this once: --trust;"
            " to do without: --image IMAGE)",
        )
    console.warn(f"{root} brings {', '.join(wants)}")
    console.hint("a Dockerfile runs commands as root in a container while it is built")
    answer = console.confirm("Trust this directory, now and later?")
    store.remember(root, answer)
    return answer


def trust_root(directory: Path) -> Path:
    try:
        home: Path | None = Path.home().resolve()
    except RuntimeError:
        home = None
    return config.trust_root(directory, home)


def working_directory() -> Path:
    """The current directory, without symlinks. Raises UsageError where it cannot be used."""
    try:
        directory = Path.cwd()
        str(directory).encode()
    except FileNotFoundError:
        raise UsageError("the current directory does not exist any more") from None
    except UnicodeEncodeError:
        raise UsageError(
            "the path of this directory is not valid UTF-8",
            hint="no engine can mount it: rename it",
        ) from None
    return directory


def environment(words: tuple[str, ...]) -> dict[str, str]:
    """What `--env NAME[=VALUE]` words set; a NAME alone takes the value it has here, if any."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(f"--env {name!r} is not the name of a variable")
        if name in _OURS:
            raise UsageError(
                f"--env {name} is not needed", hint="the launcher brings it in by itself, unseen"
            )
        if equals:
            values[name] = value
        elif name in os.environ:
            values[name] = os.environ[name]
    return values


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"cannot tell where {path} is", evidence=str(error)) from error


def mounts(words: tuple[str, ...], directory: Path) -> tuple[Bind, ...]:
    """What `--mount SRC:DST[:ro]` words mean; SRC may be relative to `directory`."""
    return tuple(_mount(word, directory) for word in words)


def _mount(word: str, directory: Path) -> Bind:
    match = _MOUNT.fullmatch(word)
    if not match:
        raise UsageError(f"--mount {word!r} is not SRC:DST[:ro]", hint="DST is an absolute path")
    source = directory / _expanded(match["source"])
    if not os.path.exists(source):
        raise UsageError(f"--mount: there is no {source}")
    return Bind(str(source.resolve()), match["target"], match["mode"] == "ro")


def publish(word: str, *, only_local: bool = False) -> str:
    """A port in the engine's notation: on 127.0.0.1 unless an address is named."""
    match = _PORT.fullmatch(word)
    if not match:
        raise UsageError(f"--publish {word!r} is not [IP:]HOST:PORT")
    ip = "127.0.0.1" if only_local or not match["ip"] else match["ip"]
    return f"{ip}:{match['host']}:{match['inner'] or match['host']}{match['proto'] or ''}"


def certificate(path: str | None) -> bytes:
    """The company's certificates: the file that was set, else one that variables name.

    Raises UsageError for a file that was set and holds none; a variable's file
    that is missing is no error, since other programs get by with that too.
    """
    named = None if path else host.ca_file(os.environ)
    if not path and not named:
        return b""
    file = _expanded(path) if path else Path(named[0] if named else "")
    try:
        content = file.read_bytes()
    except OSError as error:
        if not path:
            return b""
        raise UsageError(f"cannot read the ca_file {file}", evidence=str(error)) from error
    if b"-----BEGIN " not in content:
        if not path:
            return b""
        raise UsageError(f"{file} holds no certificate", hint="ca_file is a PEM file")
    return content
