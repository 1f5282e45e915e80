"""How flags, environment and config files become one launch's settings."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from claude_container import config, engines, host
from claude_container.cli import brought
from claude_container.cli.brought import Brought
from claude_container.cli.console import Console
from claude_container.config import Settings
from claude_container.devcontainer import DevContainer
from claude_container.engines.base import Bind
from claude_container.errors import UsageError
from claude_container.terminal import visible

_PORT = re.compile(
    r"(?:(?P<ip>\d+(?:\.\d+){3}|\[[0-9a-f:]+\]):)?(?P<host>\d+)(?::(?P<inner>\d+))?(?P<proto>/(?:tcp|udp))?"
)
_OURS = ("CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR", "CLAUDE_CONFIG_DIR")


def from_flags(flags: dict[str, Any]) -> Settings:
    """The settings among a verb's flags, which have the same names."""
    known = {item.name for item in fields(Settings)}
    return Settings(**{name: value for name, value in flags.items() if name in known})


@dataclass(frozen=True)
class Resolved:
    """Settings with every layer in them, and the Dockerfile to build, if one was chosen.

    `dev` is the directory's development container, if that is where the image comes from.
    `include` is what the directory's own file says of that: it is no part of the settings.
    `untrusted` is what the directory brings and was left out, in words; `notes` what is not
    used of what it has, trusted or not. `digest` is of the Dockerfile as it was looked at,
    where the directory brings it.
    """

    settings: Settings
    dockerfile: Path | None
    image_source: str
    untrusted: tuple[str, ...] = ()
    dev: DevContainer | None = None
    notes: tuple[str, ...] = ()
    digest: str | None = None
    include: tuple[str, ...] = ()


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

    What the directory brings and needs trust is asked about once, on a terminal; with
    `ask` False, or where the image is settled without it, it is left out until trusted.
    Raises UsageError, and ClaudeContainerError where nobody can be asked.
    """
    if bool(dockerfile) + bool(flags.image) + bool(flags.variant) > 1:
        raise UsageError("--image, --variant and a Dockerfile exclude each other")
    user = config.from_user(host.config_dir(os.environ))
    project = _of_project(console, directory)
    include, project = project.include, replace(project, include=())
    environment = config.from_environment(os.environ)
    if flags.image or flags.variant:  # either answers which image
        environment = replace(environment, image=None, variant=None)
    here = flags.over(environment)
    settled = bool(dockerfile or here.image or here.variant)
    chosen = here.over(project).over(user).devcontainer
    try:
        found = brought.look(directory, project, chosen, settled=settled)
    except UsageError as error:
        if ask:
            raise
        # A verb that runs nothing here does not fail for it.
        found = Brought(notes=(error.what,))
    trusted = trust or brought.trusted(console, directory, found, ask=ask and not settled)
    if not trusted and found.in_words and ask:
        console.doing(f"not used, as {directory} is not trusted: {', '.join(found.in_words)}")
    used = found if trusted else Brought()
    file: Path | None = None
    instead: dict[str, Any] = {}
    if dockerfile:
        file, source = Path(dockerfile), "the command line"
    elif here.image:
        source = "--image" if flags.image else "CLAUDE_CONTAINER_IMAGE"
    elif here.variant:
        source, instead = "the default image", {"image": None}
    else:
        file, source, instead = _image_of(project, user, used, trusted=trusted)
    return Resolved(
        settings=replace(_merged(here, project, user, trusted=trusted), **instead),
        dockerfile=file,
        image_source=source,
        untrusted=() if trusted else found.in_words,
        dev=used.dev,
        notes=found.notes if trusted or not found.dev else (),
        digest=used.digest,
        include=include,
    )


def _merged(here: Settings, project: Settings, user: Settings, *, trusted: bool) -> Settings:
    if trusted:
        return here.over(project).over(user)
    # Not even a limit of the user's own is for a stranger to change.
    return here.over(user).over(project.only(config.PROJECT_MAY))


def _image_of(
    project: Settings, user: Settings, used: Brought, *, trusted: bool
) -> tuple[Path | None, str, dict[str, Any]]:
    """(Dockerfile, who says so, settings in place of the merged) where no flag and no variable do.

    `used` is what the directory brings and the user trusts.
    """
    if used.dockerfile:
        return used.dockerfile, str(used.dockerfile), {}
    if project.image and trusted:
        return None, config.PROJECT_FILE, {}
    if used.dev:
        return used.dev.dockerfile, str(used.dev.file), {"image": used.dev.image}
    if project.variant and (trusted or not (user.image or user.dockerfile or user.variant)):
        return None, config.PROJECT_FILE, {"image": None, "variant": project.variant}
    own = None if user.image or not user.dockerfile else host.expanded(user.dockerfile)
    return own, "your config file", {}


def brings(console: Console, directory: Path) -> tuple[Brought, tuple[str, ...]]:
    """What `trust` trusts: all that a launch without flags would ask about, and `include`.

    Raises UsageError.
    """
    project = _of_project(console, directory)
    chosen = project.over(config.from_user(host.config_dir(os.environ))).devcontainer
    return brought.look(directory, project, chosen, settled=False), project.include


def _of_project(console: Console, directory: Path) -> Settings:
    """What the directory's own file may say at all; its ports are this machine's alone."""
    theirs = config.from_file(directory / config.PROJECT_FILE, read=host.read_regular)
    may = config.PROJECT_MAY | config.PROJECT_MAY_IF_TRUSTED
    if refused := theirs.named() - may:
        console.warn(
            f"{config.PROJECT_FILE}: ignored {', '.join(sorted(refused))}, which may only come"
            " from your own config file or flags"
        )
    ports = tuple(publish(port, only_local=True) for port in theirs.publish)
    return replace(theirs.only(may), publish=ports)


def working_directory() -> Path:
    """The current directory, without symlinks. Raises UsageError where it cannot be used."""
    try:
        return mountable(Path.cwd())
    except FileNotFoundError:
        raise UsageError("the current directory does not exist any more") from None


def mountable(directory: Path) -> Path:
    """The directory, if an engine can be told of it. Raises UsageError."""
    try:
        str(directory).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the path of {visible(str(directory))} is not valid UTF-8",
            hint="no engine can mount it: rename it",
        ) from None
    return directory


def check_workspace(directory: Path) -> None:
    """Raise UsageError for a directory that an agent must not have: it would have our files."""
    cache = host.cache_dir()
    ours = [folder.resolve() for folder in (host.config_dir(os.environ), cache) if folder]
    if any(host.holds(directory, folder) for folder in ours) or (
        cache and host.holds(cache / "folders", directory)
    ):
        raise UsageError(
            f"{directory} holds claude-container's own settings, and may hold its token",
            hint="an agent must not have these: launch in a project's directory",
        )


def check_reachable(directory: Path, chosen: Settings) -> None:
    """Raise UsageError where the engine is known to be on a machine that has not this directory."""
    behind = host.behind(os.environ, engines.get(chosen.engine).name)
    if behind.machine:
        raise UsageError(
            f"the engine is on {behind.machine}, and would mount that machine's {directory}",
            evidence=f"its address is {behind.address}",
            hint="claude-container start NAME works there: a session's copy travels by git",
        )


def ssh_agent(console: Console, chosen: Settings) -> host.Agent | None:
    """The ssh agent, where it is to be lent and can be; a warning where it only is to be."""
    if not chosen.ssh:
        return None
    try:
        behind = host.behind(os.environ, engines.get(chosen.engine).name)
        return host.find_agent(os.environ, behind, host.platform())
    except host.NoAgent as error:
        console.warn(f"without ssh: {error.what}")
        if error.hint:
            console.hint(error.hint)
        return None


def environment(words: tuple[str, ...]) -> dict[str, str]:
    """What `--env NAME[=VALUE]` words set; a NAME alone takes the value it has here, if any.

    Raises UsageError.
    """
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


def mounts(words: tuple[str, ...], directory: Path) -> tuple[Bind, ...]:
    """What `--mount SRC:DST[:ro]` words mean; SRC may be relative to `directory`.

    Raises UsageError.
    """
    return tuple(_mount(word, directory) for word in words)


def _mount(word: str, directory: Path) -> Bind:
    found = host.split_mount(word, host.platform())
    if not found:
        raise UsageError(f"--mount {word!r} is not SRC:DST[:ro]", hint="DST is an absolute path")
    source = directory / host.expanded(found[0])
    if not os.path.exists(source):
        raise UsageError(f"--mount: there is no {source}")
    return Bind(str(source.resolve()), *found[1:])


def publish(word: str, *, only_local: bool = False) -> str:
    """A port in the engine's notation: on 127.0.0.1 unless an address is named.

    With `only_local` there whatever is named. Raises UsageError.
    """
    match = _PORT.fullmatch(word)
    if not match:
        raise UsageError(f"--publish {word!r} is not [IP:]HOST:PORT")
    ip = "127.0.0.1" if only_local or not match["ip"] else match["ip"]
    return f"{ip}:{match['host']}:{match['inner'] or match['host']}{match['proto'] or ''}"


def identity(said: str | None) -> tuple[str, str] | None:
    """(name, email) of a setting "Name <email>". Raises UsageError."""
    if said is None:
        return None
    match = re.fullmatch(r"\s*([^<>\n]+?)\s*<([^<>\s]+)>\s*", said)
    if not match:
        raise UsageError(f'identity = "{said}" is not "Name <email>"')
    return match[1], match[2]
