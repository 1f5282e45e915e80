"""What a launch puts into its container: one tar, unpacked before the first process runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from claude_container.archive import Entry, tar
from claude_container.git import quoted
from claude_container.host import Agent
from claude_container.images import RECIPES
from claude_container.sessions import model
from claude_container.sessions.tools import Tools

_HERE = "run/claude-container"
# What the loader of any program obeys. An empty entry in such a list is the current directory,
# and others may lead into the workspace as well: so they are for claude, and not for root.
LOADER = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT")
# A drop-in wins over managed-settings.json and the drop-ins before it, and is merged
# with them, so that a company's own policy in an image stays (seen with 2.1.330).
_POLICY = "etc/claude-code"
_DROP_INS = f"{_POLICY}/managed-settings.d"


@dataclass(frozen=True)
class Payload:
    """All that the entrypoint needs to know. `ca` is a PEM bundle, empty for none."""

    session: str
    uid: int
    gid: int
    token: str | None = field(repr=False)
    identity: tuple[str, str]
    continue_: str = "no"
    git: bool = False  # the workspace is a clone
    ca: bytes = b""
    agent: Agent | None = None  # an ssh agent whose socket is mounted
    managed_settings: str = "{}"
    tools: Tools | None = None  # a mounted volume with what the image lacks
    loader: Mapping[str, str] = field(default_factory=dict)  # by the names of LOADER

    def archive(self) -> bytes:
        """The tar, everything in it root's; the token for root's eyes only."""
        entries: list[Entry] = [
            (_HERE, 0o755, None),
            (f"{_HERE}/entrypoint", 0o755, (RECIPES / "entrypoint.sh").read_bytes()),
            (f"{_HERE}/inside", 0o755, (RECIPES / "inside.sh").read_bytes()),
            (f"{_HERE}/session", 0o755, (RECIPES / "session.sh").read_bytes()),
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
            "agent": model.AGENT if self.agent else "",
            "agent_is_roots": "yes" if self.agent and self.agent.in_vm else "no",
        }
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())

    def _gitconfig(self) -> str:
        """The system's git configuration: who commits, unless the user or repository says."""
        name, email = map(quoted, self.identity)
        return f"[user]\n\tname = {name}\n\temail = {email}\n"


_SEED = {
    "hasCompletedOnboarding": True,
    "projects": {model.WORKSPACE: {"hasTrustDialogAccepted": True}},
}
