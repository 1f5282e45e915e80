"""What of all that a session needs is in an image: one look, remembered by the image's id."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields

from claude_container import images, stock
from claude_container.engines.base import (
    ContainerSpec,
    Engine,
    EngineError,
    Image,
    NoShell,
    Streams,
)
from claude_container.errors import ClaudeContainerError
from claude_container.interrupts import held_back
from claude_container.process import NOTHING
from claude_container.sessions import model, remembered

_OLDEST_GLIBC = [2, 26]
_LONGEST = 64 << 10
# The package that a program is in, where that is not coreutils.
_PACKAGES = {"find": "findutils", "grep": "grep", "sed": "sed"}


class ImageLacks(ClaudeContainerError):
    """A session cannot run in the image, and what it lacks is not for us to bring."""


@dataclass(frozen=True)
class Found:
    """Where a thing is in an image, "" for nowhere. See recipes/look.sh.

    `libc` is glibc, musl or neither; `lacks` names the programs that the entrypoint
    would miss.
    """

    claude: str = ""
    version: str = ""  # of claude, where the image is our own
    bash: str = ""
    ps: str = ""
    setpriv: str = ""
    git: str = ""
    certificates: str = ""
    libc: str = ""
    glibc: str = ""  # its version
    lacks: str = ""
    ld_library_path: str = ""  # as the image's environment has it
    ld_preload: str = ""
    ld_audit: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing that a tool volume has is missing."""
        return bool(self.claude and self.bash and self.ps and self.setpriv)

    def check(self, image: str) -> None:
        """Raise ImageLacks for what nobody but the image's owner can add."""
        if self.lacks:
            missing = self.lacks.split()
            packages = dict.fromkeys(_PACKAGES.get(name, "coreutils") for name in missing)
            raise ImageLacks(
                f"the image {image} lacks {_listed(missing)}",
                hint=f"add {_listed([*packages])}, or busybox with its links, to its Dockerfile",
            )
        # A version that cannot be read is taken for new.
        glibc = stock.version_key(self.glibc)
        if not self.claude and self.libc == "glibc" and glibc and glibc < _OLDEST_GLIBC:
            raise ImageLacks(
                f"the glibc of {image} is {self.glibc}, and claude needs 2.26 or newer",
                hint="take a newer base image: Debian 10, Ubuntu 18.04, RHEL 8 and later have it",
            )

    def missing(self) -> Iterator[tuple[str, str]]:
        """What claude may miss in the image, and what to add for it."""
        if not self.git:
            yield "no git, so Claude cannot commit", "git"
        if not self.certificates:
            yield "no CA certificates, so git and curl trust no host", "ca-certificates"


def need(engine: Engine, image: images.Choice, progress: images.Progress) -> Found:
    """What is in an image, which is fetched first where it is missing, if a session can run in it.

    What claude may miss in it is told the first time that the image is looked at. Raises
    ImageLacks, EngineError, and what images.fetch raises.
    """
    there = engine.image(image.name)
    if there is None:
        images.fetch(engine, image, progress)
        there = engine.image(image.name)
        if there is None:
            raise EngineError(f"the image {image.name} is gone again", hint="try again")
    found, new = look(engine, image, there)
    found.check(image.name)
    if new and not image.ours:
        for missing, add in found.missing():
            progress.warn(f"{image.name} has {missing}: add {add}")
    return found


def look(engine: Engine, image: images.Choice, there: Image) -> tuple[Found, bool]:
    """What is in an image that is there, and whether that was not known before.

    Raises ImageLacks where it has no shell, and EngineError.
    """
    script = images.script("look.sh")
    # What another version of the script had not looked for is not known.
    whose = "ours" if image.ours else "another"
    key = f"{hashlib.sha256(script.encode()).hexdigest()[:12]} {whose} {there.id}"
    known = remembered.recall(key)
    if known is not None and known.keys() <= _NAMES:
        return Found(**known), False
    found = _look(engine, image, script, whose)
    remembered.remember(key, asdict(found))
    return found, True


_NAMES = {field.name for field in fields(Found)}


def _look(engine: Engine, image: images.Choice, script: str, whose: str) -> Found:
    said = bytearray()
    spec = ContainerSpec(
        image=image.name,
        name=model.throwaway_name(model.PROBE_KIND),
        command=("/bin/sh", "-c", script, "look", whose),
        labels=model.at_work(model.PROBE_KIND, image.name),
        network="none",
        pids=64,
        logged=False,
    )

    def take(chunk: bytes) -> None:
        said.extend(chunk[: _LONGEST - len(said)])

    container = engine.create(spec)
    try:
        engine.attach(container, Streams(stdin=NOTHING, stdout=take, stderr=lambda _: None))
    except BaseException as error:
        with held_back(), contextlib.suppress(EngineError):
            engine.remove(container)
        if not isinstance(error, NoShell):
            raise
        raise ImageLacks(
            f"the image {image.name} has no shell (/bin/sh)",
            evidence=error.evidence,
            hint="build it FROM one that has, such as debian:bookworm-slim or alpine",
        ) from error
    rows = [line.partition("=") for line in said.decode(errors="replace").splitlines()]
    return Found(**{name: value.strip() for name, _, value in rows if name in _NAMES})


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
