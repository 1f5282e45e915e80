"""What a launch is made of, decided from flags, settings, the directory and the token."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from claude_container import credentials, engines, git, host, images
from claude_container.cli import settings
from claude_container.cli.console import Console
from claude_container.cli.main import VERBS, Call
from claude_container.cli.settings import Resolved
from claude_container.config import Settings
from claude_container.credentials import AnotherToken, NoToken, Token
from claude_container.devcontainer import DevContainer
from claude_container.engines.base import Engine, Streams
from claude_container.errors import UsageError
from claude_container.sessions.enter import DEFAULT_PIDS, Launch

# Ways for claude to authenticate that a user may choose with --env instead.
_OTHER_LOGINS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
)
_VISIBLE = {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"}
_TERMINAL_VARIABLES = ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "TZ")


def resolve(
    call: Call,
    directory: Path,
    flags: dict[str, Any],
    dockerfile: str | None = None,
    *,
    ask: bool = True,
) -> Resolved:
    """The settings of a launch with these flags, as settings.resolve finds and raises."""
    resolved = settings.resolve(
        call.console,
        directory,
        settings.from_flags(flags),
        dockerfile=dockerfile,
        trust=flags["trust"],
        ask=ask,
    )
    if dockerfile and not os.path.lexists(dockerfile):
        import difflib

        close = difflib.get_close_matches(dockerfile, VERBS, 1)
        hint = f"did you mean the verb {close[0]}?" if close else "verbs: " + ", ".join(VERBS)
        raise UsageError(f"there is no file (and no verb) {dockerfile}", hint=hint)
    return resolved


def plan(
    call: Call,
    directory: Path,
    session: str,
    flags: dict[str, Any],
    resolved: Resolved,
    *,
    in_place: bool = False,
    token: bool = True,
) -> tuple[Launch, Engine]:
    """Decide everything about a launch; the engine is asked nothing, but for a login.

    `in_place` mounts the directory itself. Without `token` there is none in it: a command of
    the user's own needs no login. Raises UsageError, TokenError, and what a login raises.
    """
    chosen = resolved.settings
    for note in resolved.notes:
        call.console.warn(note)
    if in_place:
        settings.check_reachable(directory, chosen)
    env = settings.environment(chosen.env)
    for name in _VISIBLE & set(env):
        call.console.warn(f"{name} shows in the engine's inspect, and to all that claude runs")
    launch = Launch(
        directory=directory,
        session=session,
        image=choose_image(directory, resolved, ca := images.certificate(chosen.ca_file)),
        claude_args=call.claude_args,
        token=None,
        streams=Streams.own(interactive=not host.in_ci(os.environ)),
        env={**_ambient(), **env},
        mounts=settings.mounts(chosen.mount, directory),
        publish=(
            *map(settings.publish, chosen.publish),
            *_forwarded(call.console, resolved.dev, chosen),
        ),
        network=chosen.network,
        memory=None if chosen.memory is None else str(chosen.memory),
        cpus=None if chosen.cpus is None else str(chosen.cpus),
        pids=DEFAULT_PIDS if chosen.pids_limit is None else chosen.pids_limit,
        ca=ca,
        agent=settings.ssh_agent(call.console, chosen),
        identity=settings.identity(chosen.identity) or git.identity(),
        continue_="yes" if flags.get("continue_") else "no",
        dev=_without(resolved.dev, env),
        rebuild=flags.get("build", False),
    )
    engine = engines.get(chosen.engine)
    # Last: nobody signs in for a launch that is refused for something else.
    if token and (found := _token(call.console, env, chosen)):
        launch = replace(launch, token=found.value)
    return launch, engine


def choose_image(directory: Path, resolved: Resolved, ca: bytes) -> images.Choice:
    """The image that the settings name, build, or leave to us. Raises ClaudeContainerError."""
    proxies, dev = host.proxies(os.environ), resolved.dev
    if resolved.dockerfile:
        return images.project(
            directory,
            resolved.dockerfile,
            proxies,
            context=dev.context if dev else None,
            arguments=dev.args if dev else None,
            target=dev.target if dev else None,
            trusted=resolved.digest,
        )
    if resolved.settings.image:
        return images.named(resolved.settings.image, resolved.image_source)
    return images.default(proxies, ca, resolved.settings.variant)


def _without(dev: DevContainer | None, env: Mapping[str, str]) -> DevContainer | None:
    """A development container without the variables that the user sets themselves."""
    if dev is None:
        return None
    return replace(dev, env={name: it for name, it in dev.env.items() if name not in env})


def _forwarded(console: Console, dev: DevContainer | None, chosen: Settings) -> tuple[str, ...]:
    """The development container's ports on this machine, but for those that are taken.

    A second session of the same repository is no reason to fail.
    """
    own = [settings.publish(port).partition("/")[0].split(":")[-2] for port in chosen.publish]
    ports = [port for port in (dev.ports if dev else ()) if str(port) not in own]
    network = chosen.network
    # An engine refuses ports where the network is not the container's own.
    if network and (network in ("host", "none") or network.startswith(("container:", "ns:"))):
        return ()
    free = tuple(port for port in ports if host.port_is_free(port))
    if taken := [str(port) for port in ports if port not in free]:
        console.warn(f"not forwarded, as it is in use here: port {', '.join(taken)}")
    return tuple(settings.publish(str(port)) for port in free)


def other_login(env: Mapping[str, str]) -> str | None:
    """The variable of `env` by which claude logs in without our token, if there is one."""
    return next((name for name in _OTHER_LOGINS if env.get(name)), None)


def find_token(env: Mapping[str, str], chosen: Settings) -> Token | None:
    """The token, or None where `env` has another way to log in. Raises TokenError."""
    if other_login(env):
        return None
    store = credentials.store(chosen.token_store, host.config_dir(os.environ))
    token = credentials.find(os.environ, store)
    if token is None:
        ci = host.in_ci(os.environ)
        raise credentials.missing(ci=ci, place=store.place, environ=os.environ)
    return token


def _token(console: Console, env: Mapping[str, str], chosen: Settings) -> Token | None:
    """As find_token; where there is none and somebody can be asked, they log in first."""
    try:
        return find_token(env, chosen)
    except NoToken:
        if not console.terminal:
            raise
        console.doing("no token found: logging in, once for a year")
        if os.environ.get("ANTHROPIC_API_KEY"):
            console.hint(credentials.API_KEY)

    from claude_container.cli import dialogue

    store = dialogue.kept(chosen)
    token = dialogue.sign_in(console, dialogue.place(chosen), store, open_browser=True)
    try:
        dialogue.keep(console, token, store)
    except AnotherToken as error:  # of another login, meanwhile
        console.warn(f"{error.what}; the new one is not saved, and is used this once")
    return Token(token, "this login")


def _ambient() -> dict[str, str]:
    """What the container takes over from here unasked: the terminal's kind, and proxies."""
    terminal = {name: os.environ[name] for name in _TERMINAL_VARIABLES if os.environ.get(name)}
    return {**terminal, **host.proxies(os.environ), "DISABLE_AUTOUPDATER": "1"}
