"""`image`: the images that there are, and getting, renewing and removing them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from claude_container import engines, host, images, stock
from claude_container.cli import options, settings, table
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.config import Settings
from claude_container.engines.base import Builder, EngineError, ImageInUse
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.images import Choice
from claude_container.stock import Entry, Renewed, Stocked

_VERSION = r"\d+\.\d+\.\d+[0-9A-Za-z.-]*"


@click.group("image", no_args_is_help=False)
def command() -> None:
    """List, build, pull, update and remove images.

    The default image comes in variants: slim is what a launch takes, python, full
    and rust have more in them. A project's own image is built by a launch.
    """


@dataclass(frozen=True)
class Chosen:
    """What a verb here works with: the engine, and what the settings say."""

    engine: Stocked
    settings: Settings
    ca: bytes

    @property
    def variant(self) -> str:
        return self.settings.variant or images.SLIM

    def choice(self, variant: str) -> Choice:
        return images.default(host.proxies(os.environ), self.ca, variant)


def _chosen(call: Call, **flags: Any) -> Chosen:
    flags_as_settings = Settings(**flags)
    chosen = settings.resolve(
        call.console, settings.working_directory(), flags_as_settings, ask=False
    ).settings
    engine = engines.get(chosen.engine)
    if not isinstance(engine, Builder):
        raise ClaudeContainerError(f"{engine.name} keeps no images of its own")
    return Chosen(engine, chosen, images.certificate(chosen.ca_file))


@command.command("list", short_help="the images there are, with size, claude's version and age")
@click.option("--json", "as_json", is_flag=True, help="the rows as JSON")
@options.engine_option
@click.pass_obj
def list_(call: Call, /, as_json: bool, engine: str | None) -> int:
    """Show our images: default ones of any version, and projects' own.

    SIZE counts what images share in each of them. An unnamed image was that of a
    name that a newer one has now, or a stage of a build; `image rm` takes its id.
    """
    chosen = _chosen(call, engine=engine)
    with sweeping(call.console, chosen.engine):
        entries = stock.listed(chosen.engine)
    if as_json:
        call.console.answer(json.dumps([_data(entry) for entry in entries], indent=2))
    elif not entries:
        call.console.hint("there are no images: a launch gets what it needs, or: image pull")
    else:
        call.console.answer("\n".join(_table(entries)))
    return 0


def _table(entries: Sequence[Entry]) -> list[str]:
    body = [
        [e.name, e.kind, e.claude or "?", table.size(e.image.size), table.since(e.image.created)]
        for e in entries
    ]
    return table.rows(["NAME", "KIND", "CLAUDE", "SIZE", "AGE"], body, shrink=(0,), right=(3, 4))


def _data(entry: Entry) -> dict[str, Any]:
    # What is not known is null.
    return {
        "name": entry.name,
        "kind": entry.kind,
        "variant": entry.variant or None,
        "claude": entry.claude or None,
        "size": entry.image.size,
        "created": entry.image.created or None,
        "id": entry.image.id,
    }


@command.command("build", short_help="build a default image from the recipe in this package")
@options.variant_option
@click.option("--claude", metavar="VERSION", help="this claude, and not the one of the recipe")
@options.engine_option
@options.ca_file_option
@click.pass_obj
def build(call: Call, /, claude: str | None, **flags: Any) -> int:
    """Build a default image from the recipe in this package, with the claude it was tested with.

    --claude takes another version, which is also the way back from one that does not work.
    """
    if claude is not None and not re.fullmatch(_VERSION, claude):
        raise UsageError(f"--claude {claude!r} is not a version", hint="such as 2.1.330")
    chosen = _chosen(call, **flags)
    choice = chosen.choice(chosen.variant)
    if claude:
        choice = stock.with_claude(choice, claude)
    with sweeping(call.console, chosen.engine):
        _tell(call, stock.renew(chosen.engine, choice, call.console))
    return 0


@command.command("pull", short_help="get a default image from its registry")
@options.variant_option
@options.engine_option
@click.pass_obj
def pull(call: Call, /, **flags: Any) -> int:
    """Get a default image from its registry, in place of the one that is here."""
    chosen = _chosen(call, **flags)
    choice = chosen.choice(chosen.variant)
    with sweeping(call.console, chosen.engine):
        try:
            renewed = stock.renew(chosen.engine, choice, call.console, pull=True)
        except EngineError as error:
            raise EngineError(
                f"cannot pull {choice.name}",
                evidence=error.evidence,
                hint=error.hint or "claude-container image build makes it from the recipe",
            ) from error
        _tell(call, renewed)
    return 0


@command.command("update", short_help="bring the newest claude into the default images")
@options.variant_option
@options.engine_option
@options.ca_file_option
@click.pass_obj
def update(call: Call, /, **flags: Any) -> int:
    """Build the default images that are here anew, with the newest claude.

    All variants that are here, or the one that is named. Sessions that run go on with
    the claude they have; the next launch takes the new one. The newest is what npm calls
    latest. What was tested with this version of claude-container is what `image build`
    makes and `image pull` gets.
    """
    chosen = _chosen(call, **flags)
    engine = chosen.engine
    named = flags["variant"]
    with sweeping(call.console, engine):
        variants = [named] if named else stock.present(engine) or [chosen.variant]
        version = stock.newest(engine, host.proxies(os.environ), chosen.ca, call.console)
        for variant in variants:
            choice = chosen.choice(variant)
            there = engine.image(choice.name)
            has = there.labels.get(images.CLAUDE_LABEL, "") if there else ""
            if has and not stock.is_newer(version, has):
                newest = "the newest" if has == version else f"and the newest is {version}"
                call.console.done(f"{choice.name} has claude {has}, {newest}")
                continue
            choice = stock.with_claude(choice, version)
            _tell(call, stock.renew(engine, choice, call.console))
        for name in stock.outdated(engine, version):
            call.console.hint(f"{name} has an older claude: --build builds it anew at its launch")
    return 0


def _tell(call: Call, renewed: Renewed) -> None:
    """Say from what to what."""
    before, after = renewed.before, renewed.after
    now = _claude(after.labels)
    size = table.size(after.size)
    if before is None:
        call.console.done(f"{renewed.name}: {now}, {size}")
    elif before.id == after.id:
        call.console.done(f"{renewed.name}: {now}, {size}; it was up to date")
    elif _claude(before.labels) == now:
        call.console.done(f"{renewed.name}: {now} as before, {size}")
    else:
        then = _claude(before.labels)
        call.console.done(f"{renewed.name}: {then} → {now.removeprefix('claude ')}, {size}")
    if renewed.stays and before:
        id = before.id.removeprefix("sha256:")[:12]
        call.console.warn(f"the old image {id} stays: {renewed.stays}")
        if renewed.stays == stock.IN_USE:
            call.console.hint(f"once nothing uses it: claude-container image rm {id}")


def _claude(labels: Mapping[str, str]) -> str:
    return f"claude {labels.get(images.CLAUDE_LABEL) or '(of unknown version)'}"


@command.command("rm", short_help="remove images")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@options.engine_option
@click.pass_obj
def rm(call: Call, /, names: tuple[str, ...], engine: str | None) -> int:
    """Remove images of ours, by the names or ids of `image list`, or a variant's name.

    One that a container uses stays, and so does one that another image was built on.
    """
    chosen = _chosen(call, engine=engine)
    failed = False
    with sweeping(call.console, chosen.engine):
        for name in dict.fromkeys(names):
            try:
                entry = stock.remove(chosen.engine, name)
            except ClaudeContainerError as error:
                if isinstance(error, EngineError) and not isinstance(error, ImageInUse):
                    raise
                call.console.error(error)
                failed = True
            else:
                call.console.done(f"removed {entry.name}")
    return int(failed)
