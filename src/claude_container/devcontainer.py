"""devcontainer.json: what of a repository's development container a launch takes over.

Pure reading of a file that counts only once its directory is trusted. What reaches the
host (mounts, runArgs, privileges, commands there) is not read; see docs/devcontainer.md.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from claude_container.errors import UsageError
from claude_container.terminal import visible

_FOLDER = ".devcontainer"
_NAME = "devcontainer.json"
_LIMIT = 1 << 18
_HARMLESS = re.compile(
    r"\$schema|name|customizations|extensions|settings|devPort|(otherP|p)ortsAttributes|init"
    r"|updateRemoteUserUID|overrideCommand|shutdownAction|userEnvProbe|waitFor|secrets"
)
# The launcher's own, and what could lead the token elsewhere or code into claude.
_OURS = re.compile(
    r"(CLAUDE|ANTHROPIC|LD|BUN)_.*|(HTTPS?|NO|ALL)_PROXY|NODE_(OPTIONS|EXTRA_CA_CERTS)"
    r"|NODE_TLS_REJECT_UNAUTHORIZED|SSL_CERT_\w+|IS_SANDBOX|HOME|USER|LOGNAME|SSH_AUTH_SOCK",
    re.IGNORECASE,
)
_VARIABLE = re.compile(
    r"\$\{(?:(?P<known>(?:local|container)WorkspaceFolder(?:Basename)?|devcontainerId)"
    r"|(?P<kind>localEnv|env|containerEnv):(?P<name>[^:{}]*)(?::(?P<default>[^{}]*))?)\}"
)
# A string, whose end is "" where it has none, or a comment.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*("|\Z)|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
IN_CONTAINER = re.compile(r"\$\{containerEnv:([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Command:
    """A command to run once the container is there: what to call it, and its words."""

    label: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class DevContainer:
    """What is taken over, checked. Without image and dockerfile there is nothing to use.

    A value in `env` may hold ${containerEnv:NAME}, for the shell to fill in; None takes a
    variable away. `left_out` names what is not taken over.
    """

    file: Path
    digest: str
    image: str | None = None
    dockerfile: Path | None = None
    context: Path | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    user: str | None = None
    env: Mapping[str, str | None] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    post_create: tuple[Command, ...] = ()
    left_out: tuple[str, ...] = ()

    def in_words(self) -> str:
        """What it would do, for whoever is asked about it."""
        said = {
            "image": self.image or "",
            "user": self.user or "",
            "variables": " ".join(self.env),
            "ports": " ".join(map(str, self.ports)),
        }
        parts = [_short(f"{kind} {what}") for kind, what in said.items() if what]
        return visible(", ".join([*parts, *(command.label for command in self.post_create)]))


def find(directory: Path, chosen: str | None) -> tuple[Path | None, tuple[str, ...]]:
    """The file that counts, and the names of those in .devcontainer/ that do not.

    `chosen` is the name of one of these, or none. Raises UsageError for one that is not there.
    """
    folder = directory / _FOLDER
    try:
        names = tuple(sorted(path.parent.name for path in folder.glob(f"*/{_NAME}")))
        mains = [m for m in (folder / _NAME, directory / f".{_NAME}") if m.is_file()]
    except OSError as error:
        raise _Bad(f"cannot read {_FOLDER}", error.strerror or str(error)) from error
    if chosen == "none":
        return None, ()
    if chosen in names:
        return folder / chosen / _NAME, ()
    if chosen is not None:
        hint = f"there is: {', '.join(map(visible, names))}" if names else ""
        raise UsageError(f"there is no {_FOLDER}/{chosen}/{_NAME}", hint=hint)
    if mains:
        return mains[0], names
    return (folder / names[0] / _NAME, ()) if len(names) == 1 else (None, names)


def read(
    file: Path, directory: Path, read: Callable[[Path, int], bytes], workspace: str
) -> DevContainer:
    """The file, which lies in `directory`, for a container that has it at `workspace`.

    Raises UsageError for one that cannot be read, is not valid, or leads out of the directory.
    """
    shown = file.relative_to(directory).as_posix()
    if not _within(file, directory):
        raise _Bad(f"{shown} is a link out of {directory}")
    try:
        raw = read(file, _LIMIT)
    except OSError as error:
        raise _Bad(f"cannot read {shown}", error.strerror or str(error)) from error
    return _Reader(shown, file.parent, directory, workspace).all(file, raw, _decoded(raw, shown))


def _short(text: str) -> str:
    return text if len(text) <= 57 else f"{text[:56]}…"


def _within(path: Path, directory: Path) -> bool:
    """Whether it lies in there both by its name and in truth."""
    real = Path(os.path.realpath(path))
    return path.is_relative_to(directory) and real.is_relative_to(os.path.realpath(directory))


class _Bad(UsageError):
    def __init__(self, what: str, said: str = "") -> None:
        without = "--devcontainer none does without it"
        super().__init__(visible(what), evidence=visible(said), hint=without)


_Value = str | bool | int | float
_Lines = str | list[str]


@dataclass(frozen=True)
class _Build:
    """`build` of the file, in its own words."""

    dockerfile: str | None = None
    context: str | None = None
    args: dict[str, _Value] = field(default_factory=dict)
    target: str | None = None


@dataclass(frozen=True)
class _File:
    image: str | None = None
    build: _Build = field(default_factory=_Build)
    dockerFile: str | None = None
    context: str | None = None
    remoteUser: str | None = None
    containerUser: str | None = None
    containerEnv: dict[str, _Value] = field(default_factory=dict)
    remoteEnv: dict[str, _Value | None] = field(default_factory=dict)
    forwardPorts: list[int | str] = field(default_factory=list)
    postCreateCommand: _Lines | dict[str, _Lines] | None = None


def _decoded(raw: bytes, shown: str) -> dict[str, Any]:
    import jsonc  # type: ignore[import-untyped]  # 25 ms, with msgspec below

    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode()
        # The library takes quadratic time to find out.
        if any(found[1] == "" for found in _STRING.finditer(text)):
            raise ValueError("a string does not end")
        data = jsonc.loads(text)
        text = json.dumps(data, ensure_ascii=False)
        text.encode()
    except json.JSONDecodeError as error:
        near = error.doc[max(0, error.pos - 30) : error.pos + 30]
        raise _Bad(f"{shown} is not valid JSON", f"{error.msg}, near: {near}") from error
    except (ValueError, RecursionError) as error:
        raise _Bad(f"{shown} is not valid JSON", str(error)) from error
    if "\\u0000" in text:
        raise _Bad(f"{shown} holds a NUL character")
    if isinstance(data, dict):
        return data
    raise _Bad(f"{shown} is not valid: it holds no object")


class _Reader:
    """One reading; what is not taken over is gathered on the way."""

    def __init__(self, shown: str, folder: Path, directory: Path, workspace: str) -> None:
        self._shown, self._folder, self._directory = shown, folder, directory
        self._left_out: list[str] = []
        self._known = {
            "localWorkspaceFolderBasename": directory.name,
            "containerWorkspaceFolder": workspace,
            "containerWorkspaceFolderBasename": workspace.rpartition("/")[2],
        }

    def all(self, file: Path, raw: bytes, data: dict[str, Any]) -> DevContainer:
        import msgspec

        try:
            said = msgspec.convert(data, _File)
        except msgspec.ValidationError as error:
            raise _Bad(f"{self._shown} is not valid", str(error)) from error
        self._name_the_rest(data)
        dockerfile = said.build.dockerfile or said.dockerFile
        context = said.build.context or said.context or "."
        return DevContainer(
            file=file,
            digest=hashlib.sha256(raw).hexdigest(),
            image=None if dockerfile or not said.image else self._filled("image", said.image),
            dockerfile=self._path("build.dockerfile", dockerfile) if dockerfile else None,
            context=self._path("build.context", context) if dockerfile else None,
            args={n: v or "" for n, v in self._variables("build.args", said.build.args)},
            target=said.build.target and self._filled("build.target", said.build.target),
            user=self._user(said),
            env={
                **dict(self._variables("containerEnv", said.containerEnv)),
                **dict(self._variables("remoteEnv", said.remoteEnv, inside=True)),
            },
            ports=tuple(dict.fromkeys(self._ports(said.forwardPorts))),
            post_create=tuple(self._commands(said.postCreateCommand)),
            left_out=tuple(visible(name) for name in dict.fromkeys(self._left_out)),
        )

    def _name_the_rest(self, data: dict[str, Any]) -> None:
        for prefix, kind, held in ("", _File, data), ("build.", _Build, data.get("build") or {}):
            taken = {item.name for item in fields(kind)}
            names = [name for name, value in held.items() if value and name not in taken]
            self._left_out += [prefix + name for name in names if not _HARMLESS.fullmatch(name)]

    def _filled(self, key: str, value: str, *, inside: bool = False) -> str:
        """`value` with its variables; one that is not for a repository to ask for is empty."""

        def fill(match: re.Match[str]) -> str:
            if (known := match["known"]) in self._known:
                return self._known[known]
            if inside and IN_CONTAINER.fullmatch(match[0]):
                return match[0]
            self._left_out.append(f"{match[0]} in {key}")
            return match["default"] or ""

        return _VARIABLE.sub(fill, value)

    def _path(self, key: str, value: str) -> Path:
        path = Path(os.path.abspath(self._folder / self._filled(key, value)))
        # Trust is for this directory, and a build gets to see all of its context.
        if not _within(path, self._directory):
            raise _Bad(f"{self._shown}: {key} {value} is outside of {self._directory}")
        return path

    def _variables(
        self, key: str, said: Mapping[str, Any], *, inside: bool = False
    ) -> Iterator[tuple[str, str | None]]:
        for name, value in said.items():
            if not (name.isascii() and name.isidentifier()):
                raise _Bad(f"{self._shown}: {key}: {name!r} is not the name of a variable")
            if key != "build.args" and _OURS.fullmatch(name):
                self._left_out.append(f"{key}.{name}")
                continue
            before = len(self._left_out)
            text = value if isinstance(value, str | None) else json.dumps(value)
            filled = text and self._filled(f"{key}.{name}", text, inside=inside)
            # Unset, and not emptied: --env, or the Dockerfile's ARG, may have a value.
            if filled or len(self._left_out) == before:
                yield name, filled

    def _user(self, said: _File) -> str | None:
        user = said.remoteUser or said.containerUser
        user = user and self._filled("remoteUser", user)
        if not user or (user != "root" and re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.-]*", user)):
            return user
        self._left_out.append(f"remoteUser {user} (claude has your own uid, and no privilege)")
        return None

    def _ports(self, said: list[int | str]) -> Iterator[int]:
        for port in said:
            # On another host it is a service of a compose file.
            ours = re.fullmatch(r"(?:(?:localhost|127\.0\.0\.1):)?([0-9]{1,5})", str(port))
            if ours and 0 < int(ours[1]) < 1 << 16:
                yield int(ours[1])
            else:
                self._left_out.append(f"forwardPorts {port}")

    def _commands(self, said: _Lines | dict[str, _Lines] | None) -> Iterator[Command]:
        key = "postCreateCommand"
        for name, line in said.items() if isinstance(said, dict) else [("", said)]:
            if not line:
                continue
            words = ["/bin/sh", "-c", line] if isinstance(line, str) else line
            filled = tuple(self._filled(key, word) for word in words)
            text = _short(visible(filled[2] if isinstance(line, str) else shlex.join(filled)))
            yield Command(f"{key}{f' {_short(visible(name))}' if name else ''}: {text}", filled)
