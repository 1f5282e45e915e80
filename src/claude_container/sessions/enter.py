"""One launch: create the container, put the payload in, start it attached, leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from claude_container import __version__, git, host, images
from claude_container.devcontainer import DevContainer
from claude_container.engines.base import (
    Bind,
    ContainerSpec,
    Engine,
    EngineError,
    EngineNotRunning,
    ImageMissing,
    NameTaken,
    StoppedShort,
    Streams,
    VolumeMount,
)
from claude_container.interrupts import held_back
from claude_container.process import NOTHING
from claude_container.sessions import leftovers, model, overlay, pins, probe, tools
from claude_container.sessions.leftovers import SessionBusy
from claude_container.sessions.payload import LOADER, Continue, Payload
from claude_container.sessions.probe import Found
from claude_container.sessions.tools import Tools

# What the entrypoint needs as root, and the init process to pass a signal on (KILL).
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "SETPCAP", "KILL")
DEFAULT_PIDS = 4096
_CLAUDE = ("claude", "--dangerously-skip-permissions")
# What an engine's init ends with if it finds no program: docker's, podman's.
_NO_PROGRAM = (127, 1)


@dataclass(frozen=True)
class Launch:
    """All that one launch is made of, decided; nothing below asks or looks anything up.

    Claude works in `volume`, where one is named (a git session's), else in `directory`, or
    in an overlay of that, if it is said who lays it.
    `continue_` is "yes" to go on with the last conversation, "auto" only if there is one.
    """

    directory: Path
    session: str
    image: images.Choice
    claude_args: tuple[str, ...]
    token: str | None = field(repr=False)
    streams: Streams
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Bind | VolumeMount, ...] = ()
    publish: tuple[str, ...] = ()
    network: str | None = None
    memory: str | None = None
    cpus: str | None = None
    pids: int = DEFAULT_PIDS
    ca: bytes = b""
    agent: host.Agent | None = None
    identity: tuple[str, str] | None = None
    continue_: Continue = "no"
    volume: str | None = None
    overlay: str = ""
    rebuild: bool = False
    command: tuple[str, ...] = ()  # to run in place of claude
    dev: DevContainer | None = None  # whose user, variables and commands count


def enter(
    engine: Engine,
    launch: Launch,
    progress: images.Progress,
    before_start: Callable[[], None] = lambda: None,
) -> int:
    """Run claude in a container of its own until it ends; return its exit code.

    `before_start` is called when nothing but claude itself is left to come.
    Raises SessionBusy, EngineError, ImageLacks, and what images.fetch raises. Whatever
    happens, ^C and SIGTERM too, no container stays, and no volume that this
    launch made and claude never used.
    """
    id = os.urandom(16).hex()
    if launch.rebuild:
        images.fetch(engine, launch.image, progress, rebuild=True)
    # Our own image has all that a session needs, and is not even looked at.
    found = None if launch.image.ours else probe.need(engine, launch.image, progress)
    brought = tools.needed(engine, found, progress, ca=launch.ca) if found else None
    loader = _loader(launch, found or Found())
    spec = _spec(launch, id, brought, loader)
    attached = False
    try:
        # By id from here on: once it is removed, the name may be another launch's.
        container = _create(engine, launch, spec, progress)
        engine.copy_in(container, _payload(launch, brought, loader).archive())
        before_start()
        attached = True
        code = _attach(engine, container, launch.streams)
        if code in _NO_PROGRAM and launch.streams.tty:
            _check_shell(engine, spec)
        if code != 0:
            # A client that was cut off (a closed pipe, a lost connection) leaves it running.
            engine.remove(container, grace=leftovers.STOP_SECONDS)
        return code
    except SessionBusy:
        raise
    except _NeverRan as never:
        _clear(engine, id, started=False)
        if never.why is None:
            return 1
        raise never.why from None
    except BaseException:
        _clear(engine, id, started=attached)
        raise


class _NeverRan(Exception):
    """The container ended before claude ran; `why` is to be raised, None where it said so."""

    def __init__(self, why: BaseException | None) -> None:
        self.why = why


def _clear(engine: Engine, id: str, *, started: bool) -> None:
    """Leave nothing of a launch that was cut short, but for what claude used."""
    # An engine that is gone cannot be cleaned up on; the next command does it.
    with held_back(), contextlib.suppress(EngineError):
        leftovers.remove_launch(engine, id, started=started)


def _attach(engine: Engine, container: str, streams: Streams) -> int:
    """Start the container, and wait for claude's exit code.

    Raises _NeverRan; and EngineNotRunning, where claude may have run or not.
    """
    try:
        code = engine.attach(container, streams).code
    except EngineNotRunning:
        raise
    except StoppedShort:
        raise _NeverRan(KeyboardInterrupt()) from None
    except EngineError as error:
        raise _NeverRan(error) from error
    if code == model.INTERRUPTED:
        raise _NeverRan(KeyboardInterrupt())
    if code == model.FAILED:
        raise _NeverRan(None)
    return code


def _loader(launch: Launch, found: Found) -> dict[str, str]:
    """What the image or the user sets of LOADER: it is for claude, and not for root.

    What leads into the workspace or the state is not taken from an image: `$NAME:/opt/lib` of a
    variable that was empty means the current directory, too, and so an agent's or a stranger's
    library in claude, which has the token.
    """
    wanted = {
        name: launch.env[name] if name in launch.env else _elsewhere(getattr(found, name.lower()))
        for name in LOADER
    }
    return {name: value for name, value in wanted.items() if value}


def _elsewhere(value: str) -> str:
    """A list of the loader's (ld.so(8)), without what lies in the workspace or the state."""
    kept = []
    for entry in re.split("[:; ]", value):
        path = os.path.normpath(entry)
        inside = any(f"{path}/".startswith(f"{own}/") for own in (model.WORKSPACE, model.STATE))
        if entry.startswith("/") and not inside:
            kept.append(entry)
    return ":".join(kept)


def _check_shell(engine: Engine, spec: ContainerSpec) -> None:
    """Raise what is wrong with an image whose entrypoint, on a terminal, seems not to have run."""
    # Without the mount there may be no such workdir, which podman takes for a failure.
    bare = replace(spec, tty=False, mounts=(), publish=(), workdir=None)
    words = ("/bin/sh", "-c", ":")
    container = engine.create(replace(bare, name=model.throwaway_name("shell"), command=words))
    engine.attach(container, Streams(stdin=NOTHING, stdout=lambda _: None))


def _create(engine: Engine, launch: Launch, spec: ContainerSpec, progress: images.Progress) -> str:
    """Create the container, first getting a missing image, or clearing what holds its name."""
    try:
        return engine.create(spec)
    except ImageMissing:
        images.fetch(engine, launch.image, progress)
        return engine.create(spec)
    except NameTaken:
        if leftovers.holder_is_alive(engine, launch.session):
            first = "leave that one first, take another conversation with --session NAME"
            raise leftovers.in_use(engine, launch.session, first) from None
    try:
        return engine.create(spec)
    except NameTaken as error:
        raise SessionBusy(
            f"a container that is not ours has the name {spec.name}",
            evidence=error.evidence,
            hint="rename or remove that one, or take another conversation with --session NAME",
        ) from None


def _spec(
    launch: Launch, id: str, brought: Tools | None, loader: Mapping[str, str]
) -> ContainerSpec:
    labels = {
        model.SESSION: launch.session,
        model.DIRECTORY: str(launch.directory),
        model.CREATED: str(int(time.time())),
        model.VERSION: __version__,
        model.LAUNCH: id,
    }
    kind = model.WORKSPACE_KIND if launch.volume else model.DIRECT_KIND
    workspace: Bind | VolumeMount = Bind(str(launch.directory), model.WORKSPACE)
    lays: tuple[Bind | VolumeMount, ...] = ()
    if launch.overlay:
        kind = model.OVERLAY_KIND
        workspace = overlay.merged(launch.session)
    if launch.overlay == model.CONTAINER:
        lays = (overlay.lower(launch.directory), overlay.changes(launch.session))
    if launch.volume:
        # Made by this mount, it is none of a session's: that was deleted just now.
        stray = {model.KIND: model.STRAY_KIND, model.SESSION: launch.session}
        workspace = VolumeMount(launch.volume, model.WORKSPACE, stray)
    # Not read-only: rootless docker 20.10 then fails to `cp` if the socket lies in a nosuid
    # mount, which /run/user is.
    agent = (Bind(launch.agent.socket, model.AGENT),) if launch.agent else ()
    ours = (brought.mount(),) if brought else ()
    return ContainerSpec(
        image=launch.image.name,
        name=model.container_name(launch.session),
        command=(
            "/bin/sh",
            "/run/claude-container/entrypoint",
            *(("command", *launch.command) if launch.command else _CLAUDE + launch.claude_args),
        ),
        labels={**labels, model.KIND: kind, model.LAUNCHER: host.launcher_id()},
        env={
            **({"SSH_AUTH_SOCK": model.AGENT} if agent else {}),
            **launch.env,
            **dict.fromkeys(loader, ""),
        },
        mounts=(
            workspace,
            VolumeMount(
                model.state_volume(launch.session),
                model.STATE,
                {**labels, model.KIND: model.STATE_KIND},
            ),
            *lays,
            *ours,
            *agent,
            *launch.mounts,
        ),
        publish=launch.publish,
        capabilities=(*CAPABILITIES, *((overlay.MOUNTING,) if lays else ())),
        network=launch.network,
        memory=launch.memory,
        cpus=launch.cpus,
        pids=launch.pids,
        workdir=model.WORKSPACE,
        tty=launch.streams.tty,
        mounting=bool(lays),
    )


def _payload(launch: Launch, brought: Tools | None, loader: Mapping[str, str]) -> Payload:
    uid, gid = host.user_ids()
    return Payload(
        identity=launch.identity or git.CLAUDE,
        session=launch.session,
        uid=uid,
        gid=gid,
        token=launch.token,
        continue_=launch.continue_,
        git=bool(launch.volume),
        overlay=launch.overlay,
        ca=launch.ca,
        agent=launch.agent,
        dev=launch.dev,
        env=launch.env,
        managed_settings=pins.managed_settings(launch.env, ca=bool(launch.ca)),
        tools=brought,
        loader=loader,
    )
