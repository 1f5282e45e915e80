"""What a runner does with an action: its expressions, its steps, and the log it reads.

After actions/runner: ActionCommand.cs for what a command is, and the metadata syntax of
composite actions. Only what our action.yml uses; anything else is an error.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_COMMAND = re.compile(r"\s*::([^\s:]+)(?: [^:]*)?::")
_OLD_COMMAND = re.compile(r"##\[(\S+?)(?: [^\]]*)?\]")


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return data


def documented() -> list[Any]:
    """The YAML in docs/ci.md, block by block."""
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    return [YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]


@dataclass
class Ran:
    """How an action ended. `commands` are those that its log gave to the runner."""

    code: int
    log: str
    outputs: dict[str, str]
    step_outputs: dict[str, str]
    summary: str

    @property
    def commands(self) -> list[str]:
        return list(commands(self.log))


def commands(log: str) -> Iterator[str]:
    """The lines that the runner takes for commands. A lone carriage return ends a line, too."""
    stopped = None
    for line in re.split(r"\r\n|\r|\n", log):
        found = _COMMAND.match(line) or _OLD_COMMAND.search(line)
        if stopped and found and found[1] == stopped:
            stopped = None
        elif stopped is None and found:
            yield line
            if found[1] == "stop-commands":
                stopped = line.rpartition("::")[2]


@dataclass
class Runner:
    """A runner with a checkout and an event: what a job's steps have in common."""

    checkout: Path
    environ: Mapping[str, str]
    files: Path
    steps: int = field(default=0)

    def start(self, *, action: Path = ACTION, **inputs: str) -> Iterator[Job]:
        """The steps of the action, one after another, each when it is asked for."""
        declared = load(action)
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert set(given) <= set(declared["inputs"]), "no such input"
        values = {name: str(i.get("default", "")) for name, i in declared["inputs"].items()}
        context: dict[str, str] = {
            f"inputs.{name}": value for name, value in {**values, **given}.items()
        }
        for step in declared["runs"]["steps"]:
            yield Job(self, step, context, declared)

    def run(self, **inputs: str) -> Ran:
        """All steps, as far as they succeed."""
        log = ""
        for job in self.start(**inputs):
            ran = job.finish(job.begin())
            log += ran.log
            if ran.code:
                break
        return Ran(ran.code, log, ran.outputs, ran.step_outputs, ran.summary)


@dataclass
class Job:
    """One step of the action, ready to run."""

    runner: Runner
    step: dict[str, Any]
    context: dict[str, str]
    declared: dict[str, Any]

    def value(self, text: str) -> str:
        return _EXPRESSION.sub(lambda found: self.context.get(found[1], ""), text)

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the step's shell on its script, in a file, and with nothing to read."""
        assert self.step["shell"] == "bash"
        assert "${{" not in self.step["run"], "an expression in a script is an injection"
        self.runner.steps += 1
        self.folder = self.runner.files / f"step-{self.runner.steps}"
        self.folder.mkdir(parents=True)
        script = self.folder / "script.sh"
        script.write_text(self.step["run"])
        own = {name: self.value(str(value)) for name, value in self.step.get("env", {}).items()}
        files = {
            "GITHUB_OUTPUT": self.folder / "output",
            "GITHUB_STEP_SUMMARY": self.folder / "summary",
            "GITHUB_ENV": self.folder / "env",
            "GITHUB_PATH": self.folder / "path",
        }
        for file in files.values():
            file.touch()
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [*_SHELL, str(script)],
                cwd=self.runner.checkout / self.value(self.step.get("working-directory", ".")),
                env={**self.runner.environ, **{n: str(f) for n, f in files.items()}, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self, process: subprocess.Popen[bytes]) -> Ran:
        """Wait for its end, and read what it wrote."""
        code = process.wait(timeout=240)
        assert (self.folder / "env").read_text() == (self.folder / "path").read_text() == ""
        step_outputs = dict(outputs((self.folder / "output").read_text()))
        for name, value in step_outputs.items():
            self.context[f"steps.{self.step['id']}.outputs.{name}"] = value
        declared = self.declared["outputs"].items()
        return Ran(
            code,
            os.fsdecode(self.log.read_bytes()),
            {name: self.value(output["value"]) for name, output in declared},
            step_outputs,
            (self.folder / "summary").read_text(encoding="utf-8"),
        )


def outputs(text: str) -> Iterator[tuple[str, str]]:
    """What an output file says: NAME=VALUE, or NAME<<WORD, lines, WORD."""
    lines = iter(text.splitlines())
    for line in lines:
        name, heredoc, word = line.partition("<<")
        if heredoc and "=" not in name:
            value = []
            while (row := next(lines)) != word:
                value.append(row)
            yield name, "\n".join(value)
        else:
            name, equals, single = line.partition("=")
            assert equals, line
            yield name, single
