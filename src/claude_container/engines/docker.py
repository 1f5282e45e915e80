"""Docker, from engine 20.10 on, through whichever client and context the user has."""

from __future__ import annotations

import json

from claude_container.engines import words
from claude_container.engines.base import (
    EngineInfo,
    EngineNotAllowed,
    EngineNotRunning,
    StoppedShort,
)
from claude_container.engines.cli_engine import CliEngine
from claude_container.engines.words import Meaning, says


class Docker(CliEngine):
    """Words seen of clients 20.10.24 and 28.2.2 with engine 20.10.24."""

    name = "docker"
    install_hint = (
        "install Docker Engine or Docker Desktop (docs.docker.com/get-docker);"
        " on Debian and Ubuntu: sudo apt-get install docker.io"
    )
    failures = (
        (
            says(r"permission denied while trying to connect|connect: permission denied"),
            Meaning(
                EngineNotAllowed,
                "docker does not let this user in",
                "sudo usermod -aG docker $USER, then log in again (or: newgrp docker)",
            ),
        ),
        (
            says(
                r"cannot connect to the docker daemon|error during connect|is the docker daemon"
                r" running|failed to connect to the docker api|unexpected EOF"
            ),
            Meaning(
                EngineNotRunning,
                "docker is installed, but no engine answers",
                "start it (Docker Desktop, or: sudo systemctl start docker); if it runs"
                " elsewhere, check `docker context ls` and DOCKER_HOST",
            ),
        ),
        (says(r"no such image|pull access denied|manifest.* not found"), words.IMAGE_MISSING),
        (
            says(
                r"cannot start an? (container that has stopped|stopped process"
                r"|already running container)"
                r"|container process is already dead"
            ),
            Meaning(StoppedShort, "the container was stopped while it started"),
        ),
        (says(r"conflict: unable to (delete|remove)"), words.IMAGE_IN_USE),
        (says(r"volume is in use"), words.VOLUME_IN_USE),
        (says(r"container name .* is already in use"), words.NAME_TAKEN),
        (says(r"^(docker: )?invalid |minimum memory limit|range of cpus"), words.VALUE_REFUSED),
        (says(r"network \S+ not found"), words.NO_NETWORK),
        (says(r"no space left on device"), words.DISK_FULL),
        (says(r'exec: "/bin/sh"|/bin/sh: no such file|exec /bin/sh failed'), words.NO_SHELL),
        (says(r"bind source path does not exist"), words.NOT_SEEN),
        (says(r"port is already allocated|address already in use"), words.PORT_IN_USE),
    )

    def info(self) -> EngineInfo:
        client = json.loads(self.call("version", "--format", "{{json .Client}}", timeout=30).stdout)
        shown = json.loads(self.call("info", "--format", "{{json .}}", timeout=30).stdout)
        if errors := shown.get("ServerErrors"):
            raise self.failure("\n".join(errors), "the docker engine does not answer")
        return EngineInfo(
            name=self.name,
            version=shown["ServerVersion"],
            client_version=client["Version"],
            system=f"{shown['OperatingSystem']}, {shown['Architecture']}",
            root=shown["DockerRootDir"],
            rootless=any("rootless" in option for option in shown.get("SecurityOptions") or ()),
        )
