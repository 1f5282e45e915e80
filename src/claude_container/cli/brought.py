"""What a directory brings that counts only once it is trusted, and whether it is."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from claude_container import config, devcontainer, host, images
from claude_container.cli.console import Console
from claude_container.config import Settings
from claude_container.devcontainer import DevContainer
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.sessions import model
from claude_container.terminal import visible


@dataclass(frozen=True)
class Brought:
    """A directory's own image, by one of these at most, and all that takes trust.

    `things` are that by name, with a digest of what was looked at: a file that changed is
    asked about again. `in_words` has the same for the user, `notes` what is left out anyway.
    `digest` is that of the Dockerfile, if one was looked at.
    """

    dockerfile: Path | None = None
    dev: DevContainer | None = None
    things: Mapping[str, str] = field(default_factory=dict)
    in_words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str | None = None


def look(directory: Path, theirs: Settings, chosen: str | None, *, settled: bool) -> Brought:
    """What there is; `settled` where the image is chosen without it.

    `chosen` names the development container to take of several, if the user named one.
    Raises UsageError.
    """
    things, words, digest = {}, [], None
    dockerfile, dev, notes = (None, None, ()) if settled else _image(directory, theirs, chosen)
    if dev:
        name = dev.file.relative_to(directory).as_posix()
        things[name] = dev.digest
        words.append(f"{name} ({dev.in_words()})" if dev.in_words() else name)
    if file := dockerfile or (dev and dev.dockerfile):
        name = file.relative_to(directory).as_posix()
        things[name] = digest = _digest(file)
        words.append(visible(name))
    if theirs.image and not settled:
        words.append(visible(f"image {theirs.image}"))
        things[words[-1]] = ""
    for port in theirs.publish:
        words.append(f"port {port}")
        things[words[-1]] = ""
    return Brought(dockerfile, dev, things, tuple(words), notes, digest)


def _image(
    directory: Path, theirs: Settings, chosen: str | None
) -> tuple[Path | None, DevContainer | None, tuple[str, ...]]:
    """The Dockerfile or the development container that the directory brings, and notes."""
    if theirs.dockerfile:
        named = directory / theirs.dockerfile
        # Trust is for this directory, and a Dockerfile's folder is what a build gets to see.
        if not (named.is_relative_to(directory) and named.resolve().is_relative_to(directory)):
            raise UsageError(
                f"{config.PROJECT_FILE}: dockerfile {theirs.dockerfile} is outside of {directory}"
            )
        return named, None, ()
    if theirs.image or theirs.variant:
        return None, None, ()
    file, others = devcontainer.find(directory, chosen)
    notes = []
    if others:
        which = "not used" if file else "none is used (--devcontainer NAME chooses)"
        notes.append(f"other development containers: {visible(', '.join(others))}: {which}")
    if file:
        dev = devcontainer.read(file, directory, host.read_regular, model.WORKSPACE)
        shown = file.relative_to(directory).as_posix()
        left_out = ", ".join(dev.left_out)
        if dev.image or dev.dockerfile:
            notes += [f"{shown}: not taken over: {left_out}"] if left_out else []
            return None, dev, tuple(notes)
        because = f" ({left_out})" if left_out else ""
        notes.append(f"{shown} is not used: it names no image and no Dockerfile{because}")
    return images.find_dockerfile(directory), None, tuple(notes)


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(host.read_regular(file)).hexdigest()
    except OSError:  # told where it is to be built
        return ""


def trust_command(directory: Path) -> str:
    """What to type to trust a directory, which may be another than the current one."""
    named = "" if directory == Path.cwd() else f" {shlex.quote(str(directory))}"
    return f"claude-container trust{named}"


def trusted(console: Console, directory: Path, brought: Brought, *, ask: bool) -> bool:
    """Whether the user trusts what a directory brings; the answer to the question is kept."""
    store = config.TrustStore(host.config_dir(os.environ))
    answer = store.answer(directory, brought.things)
    if answer is not None or not brought.things or not ask:
        return bool(answer)
    again = store.said(directory) is not None
    shown = ", ".join(brought.in_words)
    if not console.terminal:
        what = f"{directory} is not trusted yet, and it brings: {shown}"
        if again:
            what = f"{directory} has changed since it was trusted, and it brings: {shown}"
        raise ClaudeContainerError(
            what,
            hint=f"look at it, then: {trust_command(directory)} (for this once: --trust;"
            " to do without: --image IMAGE)",
        )
    changed = ", changed since it was trusted" if again else ""
    console.warn(f"{directory} brings{changed}: {shown}")
    if brought.dockerfile or (brought.dev and brought.dev.dockerfile):
        console.hint("a Dockerfile runs commands as root in a container while it is built")
    yes = console.confirm("Trust this directory, now and later?")
    store.remember(directory, brought.things if yes else False)
    return yes
