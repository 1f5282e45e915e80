"""What `shell` and `exec` share: into the running session, or into one made for the command."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from claude_container import host
from claude_container.cli import own, planning, settings
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.engines.base import Engine, Streams
from claude_container.sessions import enter, known, lay, model, overlay

_INSIDE = ("/bin/sh", "/run/claude-container/inside", "command")


def run(call: Call, name: str, words: tuple[str, ...], flags: dict[str, Any]) -> int:
    """Run a command in a session, as its user; return its exit code. Raises NoSession."""
    engine = own.engine(flags["engine"])
    model.check_name(name)
    layered = overlay.find(engine, name)
    found = layered or known.need(engine, name)
    with sweeping(call.console, engine):
        if _is_running(engine, name):
            streams = Streams.own(interactive=not host.in_ci(os.environ))
            container = model.container_name(name)
            if flags["ssh"]:
                call.console.warn(
                    f"session {name} runs already: it has the ssh agent if that was started with it"
                )
            return engine.exec_attached(container, [*_INSIDE, *words], streams).code
        here = found.directory if found.directory.is_dir() else settings.working_directory()
        resolved = planning.resolve(call, here, flags)
        planned, _ = planning.plan(call, here, name, flags, resolved, token=False)
        if layered:
            planned = replace(planned, overlay=lay.checked(layered, accept=True), command=words)
        else:
            planned = replace(planned, volume=model.session_volume(name), command=words)
        return enter.enter(engine, planned, call.console)


def _is_running(engine: Engine, name: str) -> bool:
    running = engine.containers({model.SESSION: name}, (model.KIND,))
    kinds = (model.WORKSPACE_KIND, model.OVERLAY_KIND)
    return any(c.state == "running" and c.labels.get(model.KIND) in kinds for c in running)
