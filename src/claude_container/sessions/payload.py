"""What a launch puts into its container: one tar, unpacked before the first process runs."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

from claude_container.sessions import model

_HERE = "run/claude-container"
_MANAGED = "etc/claude-code"


@dataclass(frozen=True)
class Payload:
    """All that the entrypoint needs to know. `ca` is a PEM bundle, empty for none."""

    session: str
    uid: int
    gid: int
    token: str | None = field(repr=False)
    continue_: bool = False
    ca: bytes = b""
    pins: Mapping[str, str] = field(default_factory=dict)

    def archive(self) -> bytes:
        """The tar, everything in it root's; the token for root's eyes only."""
        recipes = resources.files("claude_container") / "recipes"
        entries: list[tuple[str, int, bytes | None]] = [
            (_HERE, 0o755, None),
            (f"{_HERE}/entrypoint", 0o755, (recipes / "entrypoint.sh").read_bytes()),
            (f"{_HERE}/session", 0o755, (recipes / "session.sh").read_bytes()),
            (f"{_HERE}/launch", 0o644, self._launch().encode()),
            (f"{_HERE}/seed.json", 0o644, json.dumps(_SEED).encode()),
            (_MANAGED, 0o755, None),
            (f"{_MANAGED}/managed-settings.json", 0o644, self._managed().encode()),
        ]
        if self.token is not None:
            entries.append((f"{_HERE}/token", 0o600, self.token.encode()))
        if self.ca:
            entries.append((f"{_HERE}/ca.crt", 0o644, self.ca))
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, mode, content in entries:
                info = tarfile.TarInfo(name)
                info.mode = mode
                if content is None:
                    info.type = tarfile.DIRTYPE
                    tar.addfile(info)
                else:
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return archive.getvalue()

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
            "continue": "yes" if self.continue_ else "no",
        }
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())

    def _managed(self) -> str:
        return json.dumps({"env": dict(self.pins), "skipDangerousModePermissionPrompt": True})


_SEED = {
    "hasCompletedOnboarding": True,
    "projects": {model.WORKSPACE: {"hasTrustDialogAccepted": True}},
}
