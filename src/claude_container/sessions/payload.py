"""What a launch puts into its container: one tar, unpacked before the first process runs."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from claude_container.archive import Entry, tar
from claude_container.devcontainer import IN_CONTAINER, DevContainer
from claude_container.git import quoted
from claude_container.host import Agent
from claude_container.images import script
from claude_container.sessions import model
from claude_container.sessions.tools import Tools

_HERE = "run/claude-container"
# By their names there: the files of recipes/ that each is made of.
_SCRIPTS = {
    "entrypoint": ("ids.sh", "entrypoint.sh"),
    "inside": ("ids.sh", "inside.sh"),
    "session": ("session.sh",),
    "overlay": ("ids.sh", "overlay.sh"),
}
# What the loader of any program obeys. An empty entry in such a list is the current directory,
# and others may lead into the workspace as well: so they are for claude, and not for root.
LOADER = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT")
# A drop-in wins over managed-settings.json and the drop-ins before it, and is merged
# with them, so that a company's own policy in an image stays (seen with 2.1.330).
_POLICY = "etc/claude-code"
_DROP_INS = f"{_POLICY}/managed-settings.d"

# Go on with the last conversation: yes, no, or only if there is one.
Continue = Literal["yes", "no", "auto"]


@dataclass(frozen=True)
class Payload:
    """All that the entrypoint needs to know. `ca` is a PEM bundle, empty for none."""

    session: str
    uid: int
    gid: int
    token: str | None = field(repr=False)
    identity: tuple[str, str]
    continue_: Continue = "no"
    git: bool = False  # the workspace is a clone
    overlay: str = ""  # who lays the one that is the workspace, if it is one
    ca: bytes = b""
    agent: Agent | None = None  # an ssh agent whose socket is mounted
    dev: DevContainer | None = None
    env: Mapping[str, str] = field(default_factory=dict)  # what else the container has of ours
    managed_settings: str = "{}"
    tools: Tools | None = None  # a mounted volume with what the image lacks
    loader: Mapping[str, str] = field(default_factory=dict)  # by the names of LOADER

    def archive(self) -> bytes:
        """The tar, everything in it root's; the token for root's eyes only."""
        entries: list[Entry] = [
            (_HERE, 0o755, None),
            *((f"{_HERE}/{name}", 0o755, script(*of).encode()) for name, of in _SCRIPTS.items()),
            (f"{_HERE}/launch", 0o644, self._launch().encode()),
            (f"{_HERE}/seed.json", 0o644, json.dumps(_SEED).encode()),
            (f"{_HERE}/gitconfig", 0o644, self._gitconfig().encode()),
            (_POLICY, 0o755, None),
            (_DROP_INS, 0o755, None),
            (f"{_DROP_INS}/99-claude-container.json", 0o644, self.managed_settings.encode()),
        ]
        if self.token is not None:
            entries.append((f"{_HERE}/token", 0o600, self.token.encode()))
        if self.ca:
            entries.append((f"{_HERE}/ca.crt", 0o644, self.ca))
        if self.agent and self.agent.known_hosts:
            entries.append((f"{_HERE}/known_hosts", 0o644, self.agent.known_hosts))
        if env := _env_script(self.env, self.dev.env if self.dev else {}):
            entries.append((f"{_HERE}/env", 0o644, os.fsencode(env)))
        if self.dev and self.dev.post_create:
            entries.append((f"{_HERE}/post_create", 0o644, _post_create(self.dev).encode()))
        return tar(entries)

    def _launch(self) -> str:
        """Shell assignments that both halves of the entrypoint read."""
        values = {
            "session": self.session,
            "host_uid": str(self.uid),
            "host_gid": str(self.gid),
            "state": model.STATE,
            "workspace": model.WORKSPACE,
            # Claude's own folder for a directory's conversations: the path with - for /.
            "project": model.WORKSPACE.replace("/", "-"),
            "continue": self.continue_,
            "tools": model.TOOLS if self.tools else "",
            "lends_libc": "yes" if self.tools and self.tools.lends_libc else "no",
            **{name.lower(): self.loader.get(name, "") for name in LOADER},
            "git": "yes" if self.git else "no",
            "overlay": self.overlay,
            "lower": model.LOWER,
            "changes": model.CHANGES,
            "agent": model.AGENT if self.agent else "",
            "agent_is_roots": "yes" if self.agent and self.agent.in_vm else "no",
            "remote_user": (self.dev and self.dev.user) or "",
        }
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())

    def _gitconfig(self) -> str:
        """The system's git configuration: who commits, unless the user or repository says."""
        name, email = map(quoted, self.identity)
        return f"[user]\n\tname = {name}\n\temail = {email}\n"


def _env_script(given: Mapping[str, str], theirs: Mapping[str, str | None]) -> str:
    """A script that becomes the program in its arguments, with variables that only it has.

    What was given under a name that our own scripts use: a shell hands a variable on with the
    value that it has by then. And those of a development container, by env, as a name may be
    that of a variable of the shell's own; None is one that goes. "" if there are none.
    """
    ours = "".join(script(*of) for of in _SCRIPTS.values())
    taken = [name for name in given if name.islower() and re.search(rf"\b{name}\b", ours)]
    lines = [f"export {name}={shlex.quote(given[name])}\n" for name in taken]
    words = [f"-u {name}" for name, value in theirs.items() if value is None]
    words += [f"{name}={_shell_word(value)}" for name, value in theirs.items() if value is not None]
    if not lines and not words:
        return ""
    env = ["/usr/bin/env", *words] if words else []
    return "".join(lines) + " ".join(["exec", *env, '"$@"\n'])


def _shell_word(value: str) -> str:
    """A value as a word of the shell's, with ${containerEnv:NAME} for it to fill in."""
    parts = IN_CONTAINER.split(value)
    # split: literal, name, literal, name, …, literal
    words = [f'"${{{part}-}}"' if odd % 2 else shlex.quote(part) for odd, part in enumerate(parts)]
    return "".join(word for word in words if word != "''") or "''"


def _post_create(dev: DevContainer) -> str:
    """Calls of session.sh's `create`, one for each command."""
    return "".join(f"create {shlex.join((c.label, *c.words))}\n" for c in dev.post_create)


_SEED = {
    "hasCompletedOnboarding": True,
    "projects": {model.WORKSPACE: {"hasTrustDialogAccepted": True}},
}
