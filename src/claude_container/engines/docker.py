"""Docker, from engine 20.10 on, through whichever client and context the user has."""

from __future__ import annotations

import json
import re

from claude_container.engines.base import (
    EngineError,
    EngineInfo,
    EngineNotAllowed,
    EngineNotRunning,
    EngineUsage,
    ImageInUse,
    ImageMissing,
    NameTaken,
    StoppedShort,
    VolumeInUse,
)
from claude_container.engines.cli_engine import CliEngine


def _says(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


class Docker(CliEngine):
    """Words seen of clients 20.10.24 and 28.2.2 with engine 20.10.24."""

    name = "docker"
    program = "docker"
    install_hint = (
        "install Docker Engine or Docker Desktop (docs.docker.com/get-docker);"
        " on Debian and Ubuntu: sudo apt-get install docker.io"
    )
    failures = (
        (
            _says(r"permission denied while trying to connect|connect: permission denied"),
            EngineNotAllowed,
            "docker does not let this user in",
            "sudo usermod -aG docker $USER, then log in again (or: newgrp docker)",
        ),
        (
            _says(
                r"cannot connect to the docker daemon|error during connect|is the docker daemon"
                r" running|failed to connect to the docker api|unexpected EOF"
            ),
            EngineNotRunning,
            "docker is installed, but no engine answers",
            "start it (Docker Desktop, or: sudo systemctl start docker); if it runs elsewhere,"
            " check `docker context ls` and DOCKER_HOST",
        ),
        (
            _says(r"no such image|pull access denied|manifest.* not found"),
            ImageMissing,
            "the engine does not have the image",
            "",
        ),
        (
            _says(
                r"cannot start a (container that has stopped|stopped process)"
                r"|container process is already dead"
            ),
            StoppedShort,
            "the container was stopped while it started",
            "",
        ),
        (_says(r"conflict: unable to (delete|remove)"), ImageInUse, "the image is in use", ""),
        (_says(r"volume is in use"), VolumeInUse, "the volume is in use", ""),
        (_says(r"container name .* is already in use"), NameTaken, "the name is taken", ""),
        (
            _says(r"^(docker: )?invalid |minimum memory limit|range of cpus"),
            EngineUsage,
            "docker does not accept a value it was given",
            "",
        ),
        (
            _says(r"network \S+ not found"),
            EngineError,
            "the engine has no network of that name",
            "`docker network ls` lists those it has",
        ),
        (
            _says(r"no space left on device"),
            EngineError,
            "the engine's disk is full",
            "`docker system df` shows what takes the room",
        ),
        (
            _says(r'exec: "/bin/sh"|/bin/sh: no such file|exec /bin/sh failed'),
            EngineError,
            "the image has no shell (/bin/sh), and the entrypoint needs one",
            "use an image with a shell, such as one built FROM debian:bookworm-slim",
        ),
        (
            _says(r"bind source path does not exist"),
            EngineError,
            "the engine cannot see a folder that was to be mounted",
            "a remote engine, or a virtual machine that shares only some folders, has files of"
            " its own: share this folder in its settings",
        ),
        (
            _says(r"port is already allocated|address already in use"),
            EngineError,
            "a port to publish is in use on this machine",
            "choose another with --publish HOST:CONTAINER",
        ),
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
