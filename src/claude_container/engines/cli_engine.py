"""An engine driven through its own command line: what docker and podman share.

The command line, and not the API behind it, keeps contexts, credential
helpers and ssh hosts working as the user set them up, and imports nothing.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from claude_container import process
from claude_container.engines import arguments, described, words
from claude_container.engines.base import (
    Build,
    Container,
    ContainerSpec,
    EngineError,
    EngineNotInstalled,
    EngineNotRunning,
    Image,
    Streams,
    Volume,
)
from claude_container.process import Attached, Completed

# Any single key may be one that claude or the user's shell wants, and docker's
# default (Ctrl-P, Ctrl-Q) swallows Ctrl-P. Nobody types this by accident.
_DETACH_KEYS = "ctrl-^,ctrl-@,ctrl-^,ctrl-@"
_REMOVING = 3.0  # seconds that the engine has to remove what ended by itself
_WORD = re.compile(r"[\w./:=-]+")


class CliEngine:
    """The engine contract (base.py) over a docker-like command line."""

    name = "docker"  # of the program, too
    install_hint = ""
    # How the client's word on a container that could not run begins: it is for us to show.
    own_words = b"Error response from daemon"
    # What `create` is told besides: another client's habits that are not docker's.
    create_flags: tuple[str, ...] = ()
    # What kills a container and removes it, at once.
    force_flags: tuple[str, ...] = ("--force",)
    # What the program says, and what it means. Checked in this order.
    failures: tuple[tuple[re.Pattern[str], words.Meaning], ...] = ()

    def call(
        self,
        *args: str,
        input: bytes | None = None,
        env: Mapping[str, str | None] | None = None,
        timeout: float | None = 120.0,
        on_line: Callable[[str], None] | None = None,
        finish: float = 5.0,
        fine: Callable[[Completed], bool] = lambda done: done.code == 0,
    ) -> Completed:
        """One captured call. Raises the error that the engine's words mean, unless `fine`."""
        try:
            done = process.run(
                [self.name, *args],
                input=input,
                env=env,
                timeout=timeout,
                on_line=on_line,
                finish=finish,
                check=False,
            )
        except process.ProgramMissing as error:
            raise EngineNotInstalled(
                f"{self.name} is not installed", hint=self.install_hint
            ) from error
        except process.ProcessTimeout as error:
            raise EngineError(
                error.what, hint="is the engine busy or hung? `claude-container doctor` tells more"
            ) from error
        if not fine(done):
            text = words.evidence(done.error_text or process.redact(done.text))
            verdict = words.verdict(text) if on_line else ""
            raise self.failure(text, f"{self.name} {args[0]} failed", verdict=verdict)
        return done

    def failure(self, text: str, what: str, *, verdict: str = "") -> EngineError:
        """The error that the engine's words `text` mean; `what` failed if they mean nothing.

        `verdict` is the part of `text` that is the engine's own, where not all of it is.
        """
        for pattern, meaning in self.failures:
            if pattern.search(verdict or text):
                hint = meaning.hint.replace("{engine}", self.name)
                return meaning.kind(meaning.what, evidence=text, hint=hint)
        return EngineError(what, evidence=text)

    # Containers

    def create(self, spec: ContainerSpec) -> str:
        argv = ["create", "--pull", "never", "--init", "--interactive", *self.create_flags]
        argv += [] if spec.keep else ["--rm"]
        argv += ["--name", spec.name, "--user", "0:0", "--cap-drop", "ALL"]
        argv += ["--security-opt", "no-new-privileges"]
        # An image's own would run as root, in our working directory and beside our capabilities.
        argv += ["--no-healthcheck"]
        argv += [f"--cap-add={capability}" for capability in spec.capabilities]
        argv += [f"--label={key}={value}" for key, value in spec.labels.items()]
        argv += [f"--publish={port}" for port in spec.publish]
        for flag in ("network", "memory", "cpus", "workdir"):
            if value := getattr(spec, flag):
                argv += [f"--{flag}", value]
        if spec.pids:
            argv += ["--pids-limit", str(spec.pids)]
        for mount in spec.mounts:
            argv += ["--mount", arguments.mount(mount)]
        # AppArmor's profile for containers refuses every mount, whatever the capabilities.
        argv += ["--security-opt", "apparmor=unconfined"] if spec.mounting else []
        argv += ["--tty"] if spec.tty else []
        argv += [] if spec.logged else ["--log-driver", "none"]
        windows = sys.platform == "win32"
        ours = process.environment()
        flags, input, env = arguments.environment(spec.env, ours, windows=windows)
        entry, *rest = spec.command
        argv += [*flags, "--entrypoint", entry, spec.image, *rest]
        return self.call(*argv, input=input, env=env).text.splitlines()[-1]

    def copy_in(self, container: str, archive: bytes) -> None:
        # docker's default; podman's gives everything to the container's user.
        self.call("cp", "--archive=false", "-", f"{container}:/", input=archive)

    def start(self, container: str) -> None:
        self.call("start", container)

    def attach(self, container: str, streams: Streams) -> Attached:
        argv = [self.name, "start", "--attach", "--interactive"]
        argv += ["--detach-keys", _DETACH_KEYS, container]
        done = self._attach(argv, streams)
        # The client's own codes for such ends (1 and 125) can be a program's, too.
        if done.code != 0 and words.never_ran(done.error_text):
            raise self.failure(done.error_text, "the container did not run")
        if words.lost(done.error_text, done.code):
            lost = self.failure(words.verdict(done.error_text), "the engine was lost")
            raise EngineNotRunning(lost.what, evidence=lost.evidence, hint=lost.hint)
        return done

    def _attach(self, argv: Sequence[str], streams: Streams) -> Attached:
        return process.attach(
            argv,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            hold_back=self.own_words,
        )

    def exec(self, container: str, argv: Sequence[str], *, user: str | None = None) -> Completed:
        flags = ["--user", user] if user else []
        return self.call("exec", *flags, container, *argv, fine=_ran)

    def exec_attached(self, container: str, argv: Sequence[str], streams: Streams) -> Attached:
        flags = ["--interactive", *(["--tty"] if streams.tty else [])]
        flags += ["--detach-keys", _DETACH_KEYS]
        done = self._attach([self.name, "exec", *flags, container, *argv], streams)
        if done.code != 0 and words.never_ran(done.error_text):
            raise self.failure(done.error_text, "the command did not run")
        return done

    def remove(self, container: str, *, grace: int = 0, force: bool = True) -> bool:
        if grace:
            stopped = self.call(
                "stop", "-t", str(grace), container, timeout=grace + 60, fine=_done_or_absent
            )
            if stopped.code != 0:
                return False
        until = time.monotonic() + _REMOVING
        argv = ("rm", *(self.force_flags if force else ()), "--volumes", container)
        while True:
            removed = self.call(*argv, fine=lambda d: _done_or_absent(d) or _is_going(d))
            if not _is_going(removed) or time.monotonic() > until:
                break
            time.sleep(0.1)
        # It names what it removed; podman 4.3 and new clients of docker call nothing a success.
        return bool(grace or removed.text)

    def containers(
        self, having: Mapping[str, str | None], labels: Sequence[str]
    ) -> list[Container]:
        listed = self._list(["ps", "--all", "--no-trunc"], ("ID", "Names", "State"), having, labels)
        return [Container(id, name, state, shown) for (id, name, state), shown in listed]

    # Volumes

    def volumes(self, having: Mapping[str, str | None], labels: Sequence[str]) -> list[Volume]:
        listed = self._list(["volume", "ls"], ("Name",), having, labels)
        return [Volume(name, shown) for (name,), shown in listed]

    def _list(
        self,
        command: Sequence[str],
        fields: Sequence[str],
        having: Mapping[str, str | None],
        labels: Sequence[str],
    ) -> Iterator[tuple[list[str], dict[str, str]]]:
        """Of each row that has the labels: the values of `fields`, and of `labels` where set."""
        # A filter's value loses its blanks at both ends (docker), or is a line of CSV (podman
        # before 4.6): one that is more than a word is compared here.
        filters = {
            key: value if value and _WORD.fullmatch(value) else None
            for key, value in having.items()
        }
        argv = [*command, *arguments.filters(filters)]
        for values, held in self._rows(argv, fields, [*labels, *having]):
            # podman 4.3 lists the volumes that have any of the labels.
            if all(k in held and value in (None, held[k]) for k, value in having.items()):
                yield values, {name: held[name] for name in labels if held.get(name)}

    def _rows(
        self, command: Sequence[str], fields: Sequence[str], labels: Sequence[str]
    ) -> Iterator[tuple[list[str], dict[str, str]]]:
        """Of each row that is listed: the values of `fields`, and those of `labels` that it has.

        docker's template shows one that is not set as "".
        """
        shown = [*(f".{name}" for name in fields), *(f'(.Label "{name}")' for name in labels)]
        row = ",".join(f"{{{{json {value}}}}}" for value in shown)
        listed = self.call(*command, "--format", f"[{row}]")
        for values in map(json.loads, listed.text.splitlines()):
            held = dict(zip(labels, values[len(fields) :], strict=True))
            yield values[: len(fields)], held

    def create_volume(
        self, name: str, labels: Mapping[str, str], options: Mapping[str, str]
    ) -> None:
        argv = [f"--label={key}={value}" for key, value in labels.items()]
        argv += [f"--opt={key}={value}" for key, value in options.items()]
        self.call("volume", "create", *argv, name)

    def volume_path(self, name: str) -> str | None:
        shown = self.call("volume", "inspect", name, fine=_done_or_absent)
        return str(json.loads(shown.stdout)[0]["Mountpoint"]) if shown.code == 0 else None

    def remove_volume(self, name: str) -> bool:
        return self.call("volume", "rm", name, fine=_done_or_absent).code == 0

    # Images

    def image(self, name: str) -> Image | None:
        told = self.call("image", "inspect", name, fine=_done_or_absent)
        return described.image(json.loads(told.stdout)[0]) if told.code == 0 else None

    def pull(self, name: str, on_line: Callable[[str], None]) -> None:
        self.call("pull", name, timeout=3600, on_line=on_line, finish=0)

    def build(self, plan: Build, on_line: Callable[[str], None]) -> None:
        argv = ["build", "--tag", plan.tag, "--file", plan.dockerfile]
        argv += [f"--label={key}={value}" for key, value in plan.labels.items()]
        for name, value in plan.arguments.items():
            argv += ["--build-arg", name if value is None else f"{name}={value}"]
        argv += ["--target", plan.target] if plan.target else []
        # Else the classic builder leaves the container of a step that failed.
        argv.append("--force-rm")
        tar = plan.context if isinstance(plan.context, bytes) else None
        self.call(
            *argv,
            plan.context if isinstance(plan.context, str) else "-",
            input=tar,
            env={"BUILDKIT_PROGRESS": "plain"},
            timeout=None,
            on_line=on_line,
            finish=0,
        )

    def images(self, having: Mapping[str, str]) -> list[Image]:
        # A filter's value is read as for containers: what it finds is compared here.
        keys = arguments.filters(dict.fromkeys(having))
        ids = self.call("images", "--quiet", "--no-trunc", *keys).text.split()
        if not ids:
            return []
        # One that went meanwhile is said on stderr, beside those that are shown.
        told = self.call("image", "inspect", *dict.fromkeys(ids), fine=_done_or_absent)
        found = map(described.image, json.loads(told.text or "[]"))
        return [image for image in found if having.items() <= image.labels.items()]

    def remove_image(self, name: str) -> None:
        self.call("image", "rm", name, fine=_done_or_absent)


def _done_or_absent(done: Completed) -> bool:
    return done.code == 0 or words.absent(done.error_text)


def _is_going(done: Completed) -> bool:
    """It ended, and the engine removes it by itself: until it has, its name is not free."""
    return "already in progress" in done.error_text


def _ran(done: Completed) -> bool:
    text = done.error_text
    return done.code == 0 or not (words.never_ran(text) or words.lost(text, done.code))
