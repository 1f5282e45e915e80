"""A container for a login: the default image, the network, and nothing of the user's in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from claude_container import images
from claude_container.archive import Entry, tar
from claude_container.engines.base import ContainerSpec, Engine, EngineError, ImageMissing
from claude_container.interrupts import held_back
from claude_container.sessions import model, pins


@dataclass(frozen=True)
class Place:
    """Where logins run, and how the vendor's hosts are reached from there.

    `env` has the proxies; `ca` is a PEM bundle, empty for none.
    """

    engine: Engine
    image: images.Choice
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    network: str | None = None
    ca: bytes = b""


@contextlib.contextmanager
def container(
    place: Place, command: tuple[str, ...], progress: images.Progress, *, tty: bool
) -> Iterator[str]:
    """A created container to attach to; yields its name, and removes it whatever happens.

    No workspace, no state, no mount, no capability; and the engine keeps no copy of what the
    program prints, which is a token. Raises EngineError.
    """
    name = model.throwaway_name(model.LOGIN_KIND)
    ca = {"NODE_EXTRA_CA_CERTS": pins.CA_IN_CONTAINER} if place.ca else {}
    spec = ContainerSpec(
        image=place.image.name,
        name=name,
        command=command,
        labels=model.at_work(model.LOGIN_KIND, place.image.name),
        env={**ca, **place.env, "DISABLE_AUTOUPDATER": "1", "TERM": "xterm-256color"},
        network=place.network,
        tty=tty,
        logged=False,
    )
    files: list[Entry] = [("run/claude-container/login", 0o755, images.script("login.sh").encode())]
    if place.ca:
        files.append((pins.CA_IN_CONTAINER.lstrip("/"), 0o644, place.ca))
    try:
        try:
            place.engine.create(spec)
        except ImageMissing:
            images.fetch(place.engine, place.image, progress)
            place.engine.create(spec)
        place.engine.copy_in(name, tar(files))
        yield name
    finally:
        # On an engine that is gone the next command does it.
        with held_back() as let_act, contextlib.suppress(EngineError):
            place.engine.remove(name)
        let_act()
