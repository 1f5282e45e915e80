"""What the in-memory engine (memory.py) understands of a Dockerfile."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from claude_container.engines.base import Build, ContainerSpec, EngineError
from tests.memory_container import File, MemoryContainer, MemoryImage


def build(
    plan: Build, need: Callable[[str], MemoryImage], on_line: Callable[[str], None]
) -> MemoryImage:
    """FROM … AS, COPY of one file, LABEL with $ARGUMENT, RUN of one program."""
    context, lines = _context(plan), list[str]()

    def tell(line: str) -> None:
        lines.append(line)
        on_line(line)

    image, stages, stage = MemoryImage(), dict[str, MemoryImage](), ""
    for line in filter(None, context(plan.dockerfile).decode().splitlines()):
        step, *words = line.split()
        if step == "FROM":
            if stage and stage == plan.target:
                break
            image, stage = stages.get(words[0]) or need(words[0]), words[-1]
        tell(line)
        if step == "COPY":
            image = replace(image, files={**image.files, words[1]: File(context(words[0]))})
        elif step == "LABEL":
            given = [re.sub(r"\$(\w+)", lambda m: plan.arguments.get(m[1]) or "", w) for w in words]
            image = replace(image, labels={**image.labels, **dict(w.split("=") for w in given)})
        elif step == "RUN":
            spec = ContainerSpec(plan.tag, "build", tuple(words))
            ran, inside = MemoryContainer("", spec, image, {}, dict(image.files)).run(words)
            for printed in (inside.stdout + inside.stderr).decode().splitlines():
                tell(printed)
            if ran != 0:
                raise EngineError("build failed", evidence="\n".join(lines))
        stages[stage] = image
    return replace(image, labels={**image.labels, **plan.labels})


def _context(plan: Build) -> Callable[[str], bytes]:
    """A reader of a build's context by path."""
    if isinstance(plan.context, str):
        folder = Path(plan.context)
        return lambda name: (folder / name).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(plan.context)) as tar:
        held = {m.name: f.read() for m in tar if (f := tar.extractfile(m))}
    return lambda name: held[name]
