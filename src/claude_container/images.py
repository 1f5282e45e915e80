"""Which image a launch runs in, and how it gets onto the engine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from claude_container import __version__, config, host
from claude_container.archive import tar
from claude_container.config import VARIANTS
from claude_container.engines.base import Build, Builder, Engine, EngineError, ImageInUse
from claude_container.errors import ClaudeContainerError, UsageError

RECIPES = Path(__file__).parent / "recipes"
DEFAULT_REPOSITORY = "ghcr.io/hypermemetic/claude-container"
SLIM = VARIANTS[0]
DEFAULT = f"{DEFAULT_REPOSITORY}:{__version__}"  # slim's, unless default_image is set
# What the recipe says of the images made of it, and all that are made of those.
CLAUDE_LABEL = "claude-container.claude"
VARIANT_LABEL = "claude-container.variant"
DOCKERFILE_LABEL = "claude-container.dockerfile"
_CANDIDATES = ("Dockerfile", ".devcontainer/Dockerfile", "docker/Dockerfile")
# An image's name without its tag: of another docker says only that it is invalid.
_REPOSITORY = re.compile(
    r"([A-Za-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
)
# In these a Dockerfile is about the project around it: COPY means the project's files.
_FOLDERS_OF_A_PROJECT = (".devcontainer", "docker")


class Progress(Protocol):
    """What telling the user about something slow takes; the command line has one."""

    def task(self, text: str) -> AbstractContextManager[Callable[[str], None]]:
        """Something that takes a while. What it yields is called with each line of it."""

    def warn(self, text: str) -> None:
        """Something the user should know and that stops nothing."""


def script(*names: str) -> str:
    """Recipes that are scripts, as one, in this order. They run in containers, by /bin/sh."""
    return "".join((RECIPES / name).read_text(encoding="utf-8") for name in names)


@dataclass(frozen=True)
class Choice:
    """An image, why it was chosen (for the user), and how to get it where it is missing.

    One that is `ours` has all that a session needs, so nobody has to look.
    """

    name: str
    source: str
    pull: bool = False
    build: Build | None = None
    ours: bool = False


def find_dockerfile(directory: Path) -> Path | None:
    """The Dockerfile that a launch in `directory` uses when none is named."""
    return next(
        (directory / name for name in _CANDIDATES if os.path.isfile(directory / name)), None
    )


def named(name: str, source: str) -> Choice:
    """An image by its name: used as it is, pulled where it is missing. Raises UsageError."""
    if not name or name.startswith("-") or any(c.isspace() for c in name):
        raise UsageError(f"{name!r} ({source}) cannot be an image")
    return Choice(name, source, pull=True)


def tag(variant: str, version: str = __version__) -> str:
    """The tag of a default image: VERSION is slim, VERSION-full is full."""
    return version if variant == SLIM else f"{version}-{variant}"


def repository() -> str:
    """Where default images come from: what the user's environment or own file says, else ours.

    Never what a directory says: git's own containers are of these images, too. Raises UsageError.
    """
    said = config.of_user(os.environ, host.config_dir(os.environ)).default_image
    if said is not None and not _REPOSITORY.fullmatch(said):
        raise UsageError(
            f"default_image = {said!r} cannot be an image's name",
            hint="such as localhost:5000/claude-container, and no tag: that is the version's",
        )
    return said or DEFAULT_REPOSITORY


def default_name(variant: str = SLIM) -> str:
    """The default image of a variant. Raises UsageError for one that there is not."""
    if variant not in VARIANTS:
        raise UsageError(
            f"there is no variant {variant!r}", hint=f"choose one of: {', '.join(VARIANTS)}"
        )
    return f"{repository()}:{tag(variant)}"


def default(environ_proxies: Mapping[str, str], ca: bytes, variant: str | None = None) -> Choice:
    """A default image: from the registry, or from the recipe in this package.

    Raises UsageError.
    """
    name = default_name(variant or SLIM)
    build = recipe(name, variant or SLIM, environ_proxies, ca)
    source = "the default image" if variant in (None, SLIM) else f"the default image, {variant}"
    return Choice(name, source, pull=True, build=build, ours=True)


def slim(ca: bytes | None = None) -> Choice:
    """The slim default image, in which git works on what a session has.

    For its build with the certificates `ca`; None stands for those of the user's own settings.
    Raises UsageError.
    """
    if ca is None:
        ca = certificate(config.of_user(os.environ, host.config_dir(os.environ)).ca_file)
    return default(host.proxies(os.environ), ca)


def certificate(path: str | None) -> bytes:
    """The company's certificates: the file that was set, else one that variables name.

    Raises UsageError for a file that was set and holds none; a variable's file
    that is missing is no error, since other programs get by with that too.
    """
    named = None if path else host.ca_file(os.environ)
    if not path and not named:
        return b""
    file = host.expanded(path) if path else Path(named[0] if named else "")
    try:
        content = host.read_regular(file, limit=16 << 20)
    except OSError as error:
        if not path:
            return b""
        raise UsageError(f"cannot read the ca_file {file}", evidence=str(error)) from error
    if b"-----BEGIN " not in content:
        if not path:
            return b""
        raise UsageError(f"{file} holds no certificate", hint="ca_file is a PEM file")
    return content


def recipe(name: str, target: str, environ_proxies: Mapping[str, str], ca: bytes) -> Build:
    """How a stage of our own recipe is built."""
    content = (RECIPES / "Dockerfile.base").read_bytes()
    return Build(
        tag=name,
        context=tar([("Dockerfile.base", 0o644, content), ("ca.crt", 0o644, ca)]),
        dockerfile="Dockerfile.base",
        arguments=dict.fromkeys(environ_proxies),
        target=target,
    )


def with_musl(default: Choice, version: str) -> Choice:
    """As the default image, but with the claude for musl in it, which only musl can run.

    No session runs in it: the tool volume is made from it.
    """
    assert default.build is not None
    arguments = {**default.build.arguments, "LIBC": "-musl", "CLAUDE_VERSION": version}
    tag = f"claude-tools:{version}-musl"
    return Choice(tag, "the recipe", build=replace(default.build, tag=tag, arguments=arguments))


def project(
    directory: Path,
    dockerfile: Path,
    environ_proxies: Mapping[str, str],
    *,
    context: Path | None = None,
    arguments: Mapping[str, str] | None = None,
    target: str | None = None,
    trusted: str | None = None,
) -> Choice:
    """The image of a project's own Dockerfile, built anew when that file changed.

    Its tag holds a digest of the file, its place and how it is to be built, so an image
    of that name is up to date, and asking for it is all there is to check. Unless one
    is named, the context is the file's folder; of one in .devcontainer/ or docker/ the
    folder above, unless the launch's own directory happens to have that name: what lies
    beside that is not the project's. `trusted` is the digest of what the user looked at, of
    a file that the directory brought. Raises UsageError for a path that is no file, and
    ClaudeContainerError where that file is another by now.
    """
    if os.path.isdir(dockerfile):
        raise UsageError(
            f"{dockerfile} is a folder", hint=f"name the file in it: {dockerfile / 'Dockerfile'}"
        )
    try:
        content = host.read_regular(dockerfile)
    except OSError as error:
        raise UsageError(f"cannot read {dockerfile}", evidence=error.strerror or "") from error
    if trusted is not None and hashlib.sha256(content).hexdigest() != trusted:
        raise ClaudeContainerError(
            f"{dockerfile} changed since it was looked at", hint="look at it again, and try again"
        )
    # A link stays a link: the context is where it stands, as for docker.
    path = Path(os.path.abspath(dockerfile))
    above = path.parent.name in _FOLDERS_OF_A_PROJECT and path.parent != directory
    around = path.parent.parent if above else path.parent
    outside = not around.resolve().is_relative_to(directory.resolve())
    if trusted is not None and context is None and outside:
        raise UsageError(f"{dockerfile}: its context is outside of {directory}")
    decides = os.fsencode(path) + b"\0" + content
    if context or arguments or target:
        said = [str(context or ""), sorted((arguments or {}).items()), target]
        decides += b"\0" + json.dumps(said).encode()
    digest = hashlib.sha256(decides).hexdigest()[:12]
    # Cut short: docker refuses a repository name of more than 255 characters.
    words = re.findall(r"[a-z0-9]+", around.name.lower()[:100])
    readable = "-".join(words) or "project"
    build = Build(
        tag=f"claude-dev-{readable}:{digest}",
        context=str(context or around),
        dockerfile=str(path),
        arguments={**(arguments or {}), **dict.fromkeys(environ_proxies)},
        labels={DOCKERFILE_LABEL: str(path)},
        target=target,
    )
    return Choice(build.tag, str(dockerfile), build=build)


def fetch(engine: Engine, choice: Choice, progress: Progress, *, rebuild: bool = False) -> None:
    """Get a missing image onto the engine: pull it, else build it; `rebuild` builds at once.

    Raises EngineError with the end of the engine's output.
    """
    if not isinstance(engine, Builder):
        raise ClaudeContainerError(
            f"{engine.name} cannot pull or build {choice.name}",
            hint="name an image it has: --image",
        )
    if choice.pull and not (rebuild and choice.build):
        try:
            pull(engine, choice.name, progress)
            return
        except EngineError as error:
            if not choice.build:
                raise EngineError(
                    f"cannot get the image {choice.name}",
                    evidence=error.evidence,
                    hint=error.hint
                    or "is its name right, and this machine online and logged in"
                    f" ({engine.name} login)?",
                ) from error
            reason = (error.evidence.splitlines() or [error.what])[-1]
            progress.warn(f"cannot pull it ({reason}); building it from the recipe instead")
    assert choice.build is not None
    build(engine, choice.build, _origin(choice), progress)
    if own := choice.build.labels.get(DOCKERFILE_LABEL):
        # An image that somebody built on it has the label, too, and another name.
        ours = choice.name.rpartition(":")[0]
        for old in engine.images({DOCKERFILE_LABEL: own}):
            for name in old.names:
                if name != choice.name and name.rpartition(":")[0] == ours:
                    with contextlib.suppress(ImageInUse):
                        engine.remove_image(name)


def pull(engine: Builder, name: str, progress: Progress) -> None:
    """Get an image from its registry, telling of it. Raises EngineError."""
    with progress.task(f"pulling {name}") as line:
        engine.pull(name, line)


def build(engine: Builder, plan: Build, origin: str, progress: Progress) -> None:
    """Build an image, telling from what (`origin`). Raises EngineError."""
    try:
        with progress.task(f"building {plan.tag} from {origin}") as line:
            engine.build(plan, line)
    except EngineError as error:
        raise type(error)(
            f"cannot build the image from {origin}",
            evidence=error.evidence,
            hint=error.hint or "the last lines of the build are above; --image takes another image",
        ) from error


def _origin(choice: Choice) -> str:
    return "the recipe" if choice.pull else choice.source
