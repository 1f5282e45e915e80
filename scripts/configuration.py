"""Write docs/configuration.md from the settings; with --check only say whether it is current."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from claude_container import config, engines, images
from claude_container.cli import launch
from claude_container.config import Settings
from claude_container.sessions.enter import DEFAULT_PIDS
from claude_container.wire import bounds

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
DEFAULTS = {
    "image": f"`{images.DEFAULT}`",
    "variant": f"`{images.SLIM}`",
    "default_image": f"`{images.DEFAULT_REPOSITORY}`",
    "engine": f"`{next(iter(engines.ENGINES))}`",
    "pids_limit": str(DEFAULT_PIDS),
    "token_store": "`file`",
    "ssh": "`false`",
    "fetch_limit": f"{bounds.LIMIT >> 30}g",
    "fetch_timeout": f"{bounds.SILENCE:.0f}",
}
TYPES = {
    "tuple[str, ...]": "list of texts",
    "str": "text",
    "int": "number",
    "str | int": "text or number",
    "str | int | float": "text or number",
    "bool": "`true` or `false`",
    "Literal['file', 'keyring']": "`file` or `keyring`",
}
BEGINNING = f"""# Configuration

Written from the code by `make docs`; a test holds it current.

Nothing has to be configured. What is said more than once is taken from the first of these that
says it; lists add up.

1. A flag.
2. A variable, `CLAUDE_CONTAINER_…`. An empty one says nothing.
3. The project's file, `{config.PROJECT_FILE}`: of the directory where you launch, for `start` at
   the top of the repository, for a session that there is in the directory that it is of.
4. Your own file, `~/.config/claude-container/{config.USER_FILE}` (below `XDG_CONFIG_HOME` if that
   is set; `%APPDATA%\\claude-container\\{config.USER_FILE}` on Windows).

```toml
image = "ghcr.io/me/dev:1"
memory = "8g"
env = ["GITHUB_TOKEN", "MODE=fast"]
mount = ["~/.cargo/registry:/cargo:ro"]
include = [".env.test"]
```

Only launches, `start`, `doctor`, `image` and `trust` read a project's file, and `shell` and `exec`
where they start a container: for all else your own settings count alone.

A key that does not exist, or a value of another type, is an error and names what was meant.

## What a project may say

A project's file comes with a repository, and that may be somebody else's. So it may say only:

- at any time: {{untrusted}}.
  Where the directory is not trusted these fill in what you have not set yourself: a stranger can
  limit a session, and not lift a limit of yours.
- once you trust the directory: {{trusted}}.
  You are asked at the first launch that would use them; `claude-container trust` and `untrust`
  answer beforehand, `--trust` for once. `include` has a [question of its own](#include), when a
  session is made.
- never: all the rest. It is ignored, and you are told.

It is one directory that is trusted, not those in it.

## Behind a company's proxy

`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` and `ALL_PROXY`, in capitals or not, reach every build and
every container. A certificate (see [ca_file](#ca_file)) reaches every container and the default
image's build; a Dockerfile of your own has to bring it along itself.

## All keys

| key | flag | variable | a project's file |
|---|---|---|---|
"""


def said() -> dict[str, str]:
    """What stands below each setting in the code."""
    body = ast.parse(inspect.getsource(Settings)).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        above.target.id: inspect.cleandoc(below.value.value)
        for above, below in zip(body.body, body.body[1:], strict=False)
        if isinstance(above, ast.AnnAssign)
        and isinstance(above.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }


def flags() -> dict[str, str]:
    """How a launch is told each setting that it can be told."""
    typed = {"dockerfile": "`DOCKERFILE`"}
    for option in launch.command.params:
        if isinstance(option, click.Option) and option.name:
            words = [*option.opts, *option.secondary_opts]
            metavar = f" {option.metavar}" if option.metavar else ""
            typed[option.name] = f"`{' / '.join(words)}{metavar}`"
    return typed


def may(name: str) -> str:
    if name in config.PROJECT_MAY:
        return "yes"
    return "if trusted" if name in config.PROJECT_MAY_IF_TRUSTED else "no"


def variable(name: str) -> str:
    """The variable that sets it, if there is one."""
    typed = f"CLAUDE_CONTAINER_{name.upper()}"
    return f"`{typed}`" if config.from_environment({typed: "1"}).named() else ""


def section(item: Field[Any], meaning: str) -> Iterator[str]:
    kind = TYPES[str(item.type).removesuffix(" | None")]
    yield f"### `{item.name}`\n"
    yield f"{meaning}\n"
    yield f"Type: {kind}. Default: {DEFAULTS.get(item.name, 'none')}.\n"


def page() -> str:
    meanings, typed = said(), flags()

    def these(names: frozenset[str]) -> str:
        return ", ".join(f"`{item.name}`" for item in fields(Settings) if item.name in names)

    text = BEGINNING.replace("{untrusted}", these(config.PROJECT_MAY))
    text = text.replace("{trusted}", these(config.PROJECT_MAY_IF_TRUSTED))
    for item in fields(Settings):
        name = item.name
        text += f"| [{name}](#{name}) | {typed.get(name, '')} | {variable(name)}"
        text += f" | {may(name)} |\n"
    parts = [text]
    for item in fields(Settings):
        parts += section(item, meanings[item.name])
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page() and "docs/configuration.md is out of date: make docs")
    PAGE.write_text(page())
