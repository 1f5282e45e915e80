"""Podman, from 4.3 on, where its command line is not docker's."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from claude_container.engines import arguments, words
from claude_container.engines.base import (
    Build,
    ContainerSpec,
    EngineError,
    EngineInfo,
    EngineNotRunning,
    VolumeMount,
)
from claude_container.engines.cli_engine import CliEngine
from claude_container.engines.words import Meaning, says


class Podman(CliEngine):
    """Words seen of podman 4.3.1; facts of later ones are from its source at 5.8.2.

    Before a container runs `copy_in` unpacks below its volumes: what it holds for one
    arrives there as an image's own files do, which is only where the volume is empty.
    """

    name = "podman"
    install_hint = (
        "install podman (podman.io/docs/installation); on Debian and Ubuntu:"
        " sudo apt-get install podman"
    )
    own_words = b"Error: unable to start container "
    # Else it brings the proxies of our own environment in, unasked.
    create_flags = ("--http-proxy=false",)
    # Else --force tells the container to end, and waits ten seconds.
    force_flags = ("--force", "--time", "0")
    failures = (
        (
            says(
                r"cannot connect to podman|unable to connect to podman|^Error: failed to connect: "
                r"|should restart: "
            ),
            Meaning(
                EngineNotRunning,
                "podman is installed, but no engine answers",
                "start its machine (podman machine start); if it runs elsewhere, check"
                " `podman system connection list` and CONTAINER_HOST",
            ),
        ),
        (
            says(r"container-init binary not found"),
            Meaning(
                EngineError,
                "podman has no init program, and a session needs one",
                "install catatonit (Debian and Ubuntu: sudo apt-get install catatonit)",
            ),
        ),
        (
            says(r"default OCI runtime .* not found"),
            Meaning(
                EngineError,
                "podman has no program that runs containers",
                "install crun or runc, or name one that is there in containers.conf: runtime",
            ),
        ),
        (says(r"image not known"), words.IMAGE_MISSING),
        (says(r"image is in use|image used by|in use by a container"), words.IMAGE_IN_USE),
        (says(r"volume is being used"), words.VOLUME_IN_USE),
        (says(r"container name .* is already in use"), words.NAME_TAKEN),
        (
            says(r"^Error: (invalid (value|argument|reference)|parsing (host|container) port)"),
            words.VALUE_REFUSED,
        ),
        (
            says(r"did not resolve to an alias"),
            Meaning(
                EngineError,
                "podman does not know which registry the image is in",
                "name it in full, with its registry before it, or set"
                " unqualified-search-registries in registries.conf",
            ),
        ),
        (says(r"network not found"), words.NO_NETWORK),
        (says(r"no space left on device"), words.DISK_FULL),
        (says(r'failed to exec pid1: No such file|exec: "/bin/sh"'), words.NO_SHELL),
        (says(r"^Error: statfs .*: no such file"), words.NOT_SEEN),
        (says(r"address already in use"), words.PORT_IN_USE),
    )

    def create(self, spec: ContainerSpec) -> str:
        """As docker does, but the volumes come first, for --mount knows no label of theirs.

        A KILL between the two leaves a new volume, empty, that no container tells of.
        """
        volumes = [mount for mount in spec.mounts if isinstance(mount, VolumeMount)]
        bare = tuple(
            replace(mount, labels={}, bare=False) if isinstance(mount, VolumeMount) else mount
            for mount in spec.mounts
        )
        made = []
        try:
            for volume in volumes:
                if self._make_volume(volume):
                    made.append(volume.name)
            return super().create(replace(spec, mounts=bare))
        except BaseException:
            for name in made:
                with contextlib.suppress(EngineError):
                    self.remove_volume(name)
            raise

    def create_volume(
        self, name: str, labels: Mapping[str, str], options: Mapping[str, str]
    ) -> None:
        self._make_volume(VolumeMount(name, "", labels), options)

    def _make_volume(self, volume: VolumeMount, options: Mapping[str, str] | None = None) -> bool:
        """Make a volume with its labels. False: it was there before."""
        labels = [self._label(f"{key}={value}") for key, value in volume.labels.items()]
        done = self.call(
            "volume",
            "create",
            *(f"--label={label}" for label in labels),
            *(f"--opt={key}={value}" for key, value in (options or {}).items()),
            volume.name,
            fine=lambda done: done.code == 0 or "volume already exists" in done.error_text,
        )
        return done.code == 0

    def _label(self, label: str) -> str:
        """A label as `volume create` reads it: as it is, and before 4.6 as a line of CSV."""
        quoted = arguments.csv_line([label])
        if quoted == label:
            return label
        version = re.search(r"(\d+)\.(\d+)", self.call("--version").text)
        return quoted if version and tuple(map(int, version.groups())) < (4, 6) else label

    def _rows(
        self, command: Sequence[str], fields: Sequence[str], labels: Sequence[str]
    ) -> Iterator[tuple[list[str], dict[str, str]]]:
        # A template's .Label is docker's alone, and its .State here is "Up 2 minutes ago".
        listed = self.call(*command, "--format", "json")
        for row in json.loads(listed.text or "[]"):
            found = {**row, "ID": row.get("Id"), "Names": "".join((row.get("Names") or [])[:1])}
            yield [found[name] for name in fields], row["Labels"] or {}

    def build(self, plan: Build, on_line: Callable[[str], None]) -> None:
        """As docker does, but of a folder alone.

        Of a tar podman would rather take a Dockerfile of that name from the current
        directory, whosever it is, than the one in the tar.
        """
        import tarfile  # slow, and every command imports this module
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            if isinstance(plan.context, bytes):
                with tarfile.open(fileobj=io.BytesIO(plan.context)) as tar:
                    tar.extractall(folder)
                path = str(Path(folder) / plan.dockerfile)
                plan = replace(plan, context=folder, dockerfile=path)
            # Its --file is a list, in a line of CSV.
            file = arguments.csv_line([plan.dockerfile])
            super().build(replace(plan, dockerfile=file), on_line)

    def info(self) -> EngineInfo:
        client = json.loads(self.call("version", "--format", "json", timeout=30).stdout)
        shown = json.loads(self.call("info", "--format", "json", timeout=30).stdout)
        host = shown["host"]
        system = host["distribution"]
        return EngineInfo(
            name=self.name,
            version=shown["version"]["Version"],
            client_version=client["Client"]["Version"],
            system=f"{system['distribution']} {system['version']}, {host['arch']}",
            root=shown["store"]["graphRoot"],
            rootless=host["security"]["rootless"],
        )
