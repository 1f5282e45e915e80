"""What `doctor` looks at: whether a launch would work, row by row."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from claude_container import host
from claude_container.engines.base import ContainerSpec, Engine, EngineInfo, Streams
from claude_container.errors import ClaudeContainerError
from claude_container.images import Choice
from claude_container.process import NOTHING
from claude_container.sessions import model, probe

OK, WARN, FAIL = "ok", "warn", "fail"
_GIB = 1 << 20  # in the KiB that df counts in
# One throw-away container answers all that only a container can.
_PROBE = """
echo "claude=$(claude --version 2>/dev/null | head -n 1)"
echo "uid_map=$(while read -r line; do printf '%s;' "$line"; done </proc/self/uid_map)"
echo "free=$(df -Pk / 2>/dev/null | while read -r _ _ _ free _; do echo "$free"; done | tail -n 1)"
"""


@dataclass(frozen=True)
class Check:
    """One row: what was looked at, how it is (ok, warn, fail), what was seen, what to do."""

    name: str
    status: str
    seen: str
    hint: str = ""


def look(
    engine: Engine, choose: Callable[[], Choice], sees: Mapping[str, Callable[[], str]]
) -> list[Check]:
    """All checks, in the order in which a launch depends on them.

    `choose` decides on the image as a launch would do it; each of `sees` tells
    what it sees of the thing it is named for. A check fails with what they raise.
    """
    checks = [_platform(host.platform())]
    info = None
    try:
        info = engine.info()
        checks.append(_engine(info, host.behind(os.environ, engine.name)))
    except ClaudeContainerError as error:
        checks.append(_failed("engine", error))
    for name, see in sees.items():
        try:
            checks.append(Check(name, OK, see()))
        except ClaudeContainerError as error:
            checks.append(_failed(name, error))
    try:
        choice = choose()
        if info:
            checks += _look_inside(engine, choice, info)
    except ClaudeContainerError as error:
        checks.append(_failed("image", error))
    return checks


def _platform(name: str) -> Check:
    seen = f"{name}, Python {platform.python_version()}"
    if name == "wsl 1":
        hint = "it has no Linux kernel to run containers on: wsl --set-version DISTRIBUTION 2"
        return Check("platform", WARN, seen, hint)
    if name == "windows":
        hint = "git sessions need WSL 2 there (docs/platforms.md)"
        return Check("platform", WARN, seen, hint)
    return Check("platform", OK, seen)


def _engine(info: EngineInfo, behind: host.Behind) -> Check:
    seen = f"{info.name} {info.version} (client {info.client_version}), {info.system}"
    if behind.kind and behind.kind not in seen:
        seen += f", {behind.kind}"
    if info.rootless:
        seen += ", rootless"
    if behind.machine:
        hint = "it cannot mount a directory of this machine; claude-container start NAME works"
        return Check("engine", WARN, f"{seen}, on {behind.machine}", hint)
    return Check("engine", OK, seen)


def _failed(name: str, error: ClaudeContainerError) -> Check:
    seen = ": ".join([error.what, *error.evidence.splitlines()[:1]])
    return Check(name, FAIL, seen, error.hint)


def _look_inside(engine: Engine, choice: Choice, info: EngineInfo) -> list[Check]:
    image = engine.image(choice.name)
    if image is None:
        way = "pulls" if choice.pull else "builds"
        also = " (or builds it, from the recipe)" if choice.pull and choice.build else ""
        return [Check("image", WARN, f"{choice.name} is not here yet; a launch {way} it{also}")]
    checks = [Check("image", OK, f"{choice.name} ({image.size / 1e6:.0f} MB), {choice.source}")]
    if not choice.ours:
        found, _ = probe.look(engine, choice, image)
        found.check(choice.name)
        for missing, add in found.missing():
            checks.append(Check("image", WARN, f"it has {missing}", f"add {add}"))
    seen = _probe(engine, choice.name)
    if version := seen.get("claude"):
        checks.append(Check("claude", OK, version))
    elif choice.ours:
        hint = "get the image anew: claude-container image build"
        checks.append(Check("claude", FAIL, f"there is none in {choice.name}", hint))
    else:
        checks.append(Check("claude", OK, "none in the image: a launch brings it"))
    checks.append(_ids(seen.get("uid_map", "").split(";")))
    if free := seen.get("free"):
        checks.append(_disk(int(free), info))
    return checks


def _probe(engine: Engine, image: str) -> dict[str, str]:
    """What an image says of itself, a word to a value."""
    spec = ContainerSpec(
        image=image,
        name=model.throwaway_name(model.DOCTOR_KIND),
        command=("/bin/sh", "-c", _PROBE),
        labels=model.at_work(model.DOCTOR_KIND, image),
        network="none",
    )
    output = bytearray()
    engine.create(spec)
    try:
        engine.attach(spec.name, Streams(stdin=NOTHING, stdout=output.extend))
    except BaseException:
        engine.remove(spec.name)
        raise
    rows = [line.partition("=") for line in output.decode(errors="replace").splitlines()]
    return {name: value.strip() for name, _, value in rows}


def _ids(uid_map: list[str]) -> Check:
    """Whose a file is that claude makes in the workspace (see recipes/entrypoint.sh)."""
    uid, _ = host.user_ids()
    for line in uid_map:
        if not line:
            continue
        first, outside, count = (int(word) for word in line.split())
        if outside <= uid < outside + count:
            return Check(
                "user", OK, f"uid {uid} here is uid {first + uid - outside} in a container"
            )
    hint = "with user-namespace remapping in the engine, files will not be yours"
    return Check("user", WARN, f"uid {uid} is not mapped into containers", hint)


def _disk(free: int, info: EngineInfo) -> Check:
    """Room on the engine's disk; `free` in KiB."""
    seen = f"{free / _GIB:.1f} GiB free for the engine ({info.root})"
    if free < _GIB:
        return Check("disk", FAIL, seen, f"`{info.name} system df` shows what takes the room")
    if free < 5 * _GIB:
        return Check("disk", WARN, seen, "an image and a few sessions may fill it")
    return Check("disk", OK, seen)
