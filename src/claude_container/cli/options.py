"""The flags that several verbs have; config files know them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from claude_container import config

F = TypeVar("F", bound=Callable[..., Any])

engine_option = click.option("--engine", metavar="NAME", help="docker (the default) or podman")
variant_option = click.option(
    "--variant",
    type=click.Choice(config.VARIANTS),
    metavar="NAME",
    help=f"of the default image: {', '.join(config.VARIANTS)}",
)
_network = click.option("--network", metavar="NAME", help="the engine's network; none cuts it off")
ca_file_option = click.option(
    "--ca-file", metavar="PEM", help="a company's certificate, for build and run"
)
_ALL = (
    click.option("--image", metavar="IMAGE", help="run in this image, as it is"),
    variant_option,
    click.option(
        "--devcontainer", metavar="NAME", help="which of .devcontainer/NAME/, or none at all"
    ),
    engine_option,
    click.option("--env", multiple=True, metavar="NAME[=VALUE]", help="a variable for claude"),
    click.option("--mount", multiple=True, metavar="SRC:DST[:ro]", help="a folder to mount"),
    click.option("--publish", multiple=True, metavar="[IP:]HOST:PORT", help="a port, on 127.0.0.1"),
    _network,
    click.option("--memory", metavar="SIZE", help="at most this much memory, such as 4g"),
    click.option("--cpus", metavar="N", help="at most this many processors, such as 1.5"),
    click.option("--ssh/--no-ssh", default=None, help="lend your ssh agent to the session"),
    ca_file_option,
)


def launching(command: F) -> F:
    """Add the flags of a launch, which have the names and meanings of Settings."""
    return _with(command, _ALL)


def reaching(command: F) -> F:
    """Add the flags by which a container that is no session reaches claude's hosts."""
    return _with(command, (engine_option, _network, ca_file_option))


def _with(command: F, options: tuple[Callable[[F], F], ...]) -> F:
    for option in reversed(options):
        command = option(command)
    return command
