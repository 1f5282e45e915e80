"""The demo: a launch like any other, but offline, and the model follows a script.

Two containers share one network namespace that has nothing but a loopback: the
model's, and the one that the launch makes. What changed is shown by the model's
container too, where the repository is mounted read-only: no git of the host's
runs in a tree that an agent wrote.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from claude_container import git, host, images
from claude_container.archive import tar
from claude_container.engines.base import Bind, ContainerSpec, Engine, EngineError, Streams
from claude_container.errors import ClaudeContainerError
from claude_container.process import NOTHING
from claude_container.sessions import enter, model

_HERE = Path(__file__).parent
PROMPT = "A test fails. Find out why, fix it, and commit."
SESSION = "demo-of-claude-container"
_MADE_UP_TOKEN = "sk-ant-oat01-made-up-for-the-demo-000000000000"
_FILES = ("model.py", "script.json")
_PORT = 8080
_PLACE = "run/claude-container-demo"
_MODEL_COMMAND = (
    *("python3", f"/{_PLACE}/model.py", "--port", str(_PORT)),
    *("--script", f"/{_PLACE}/script.json", "--log", "/dev/null"),
)
_GIT = ("git", "-c", f"safe.directory={model.WORKSPACE}", "-C", model.WORKSPACE, "--no-pager")
_WAIT = """
import socket, time
for _ in range(300):
    try:
        socket.create_connection(("127.0.0.1", %d)).close()
        break
    except OSError:
        time.sleep(0.1)
else:
    raise SystemExit("the scripted model does not listen")
"""
Event = dict[str, Any]


def play(
    engine: Engine,
    image: images.Choice,
    progress: images.Progress,
    on_event: Callable[[Event], None],
    *,
    delay: float = 0.0,
) -> str:
    """Play the demo; return the commit that claude made, as `git show` prints it.

    `on_event` is called with each event of claude's stream-json output, `delay`
    is the pause in seconds before each word of the model's. Nothing of it stays:
    no container, volume or folder. Raises ClaudeContainerError.
    """
    with _repository() as folder, _model(engine, image.name, folder, delay) as container:
        lines = _Lines(on_event)
        launch = enter.Launch(
            directory=folder,
            session=SESSION,
            image=image,
            claude_args=("-p", PROMPT, "--output-format", "stream-json", "--verbose"),
            token=_MADE_UP_TOKEN,
            streams=Streams(stdin=NOTHING, stdout=lines.feed),
            env={
                "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{_PORT}",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            },
            network=f"container:{container}",
        )
        try:
            code = enter.enter(engine, launch, progress)
        finally:
            # In use by another demo, if that is why this one could not begin.
            with suppress(EngineError):
                engine.remove_volume(model.state_volume(SESSION))
        if code != 0:
            raise ClaudeContainerError(f"claude ended with exit code {code} in the demo")
        return _show_commit(engine, container)


@contextmanager
def _repository() -> Iterator[Path]:
    """A new copy of the little repository, with one commit in it; gone afterwards."""
    cache = host.cache_dir()
    folder = Path(tempfile.mkdtemp(prefix="claude-container-demo-", dir=cache))
    try:
        shutil.copytree(_HERE / "repo", folder, dirs_exist_ok=True)
        who = (
            "-c",
            "user.name=You",
            "-c",
            "user.email=you@example.com",
            "-c",
            "commit.gpgSign=false",
        )
        git.git("init", "--quiet", "--initial-branch=main", cwd=folder)
        git.git("add", ".", cwd=folder)
        git.git(*who, "commit", "--quiet", "--message", "How long to nap", cwd=folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _model(engine: Engine, image: str, folder: Path, delay: float) -> Iterator[str]:
    """A container in which the scripted model listens; yields its name."""
    name = model.throwaway_name(model.DEMO_KIND)
    spec = ContainerSpec(
        image=image,
        name=name,
        command=(*_MODEL_COMMAND, "--chunk-delay", str(delay)),
        labels=model.at_work(model.DEMO_KIND, SESSION),
        mounts=(Bind(str(folder), model.WORKSPACE, read_only=True),),
        network="none",
    )
    try:
        engine.create(spec)
        files = [(f"{_PLACE}/{file}", 0o644, (_HERE / file).read_bytes()) for file in _FILES]
        engine.copy_in(name, tar(files))
        engine.start(name)
        waited = engine.exec(name, ["python3", "-c", _WAIT % _PORT])
        if waited.code != 0:
            raise ClaudeContainerError("the demo's model did not start", evidence=waited.error_text)
        yield name
    finally:
        engine.remove(name)


def _show_commit(engine: Engine, container: str) -> str:
    shown = engine.exec(
        container,
        [*_GIT, "show", "--no-ext-diff", "--no-textconv", "--format=%h %an: %s", "-U1", "HEAD"],
    )
    if shown.code != 0:
        raise ClaudeContainerError("the demo made no commit", evidence=shown.error_text)
    return shown.text


class _Lines:
    """Bytes in, one event out for every whole line of JSON; other lines are not ours."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                self._on_event(json.loads(line))
