"""A launch step by step, over the in-memory engine: what it calls, and what it leaves behind."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from claude_container import host, images
from claude_container.engines.base import (
    Bind,
    Build,
    ContainerSpec,
    EngineError,
    EngineNotRunning,
    ImageMissing,
    Streams,
    VolumeMount,
)
from claude_container.errors import Terminated
from claude_container.process import NOTHING
from claude_container.sessions import leftovers, model
from claude_container.sessions.enter import Launch, enter
from claude_container.sessions.leftovers import SessionBusy
from tests.conftest import TOKEN
from tests.memory import Fault, Memory
from tests.memory_container import Inside, MemoryImage
from tests.progress import Progress

SEEN: list[Inside] = []
USED = f"{model.STATE}/used"


def sh(inside: Inside) -> int:
    """The shell of the image: claude uses its state, and exits with its last argument."""
    if inside.argv[1] == "-c":
        return 0
    SEEN.append(inside)
    inside.write(USED, b"")
    if inside.argv[-1] == "wait":
        return 128 + inside.wait()
    return int(inside.argv[-1])


IMAGE = MemoryImage({"sh": sh})


@pytest.fixture
def engine() -> Memory:
    SEEN.clear()
    return Memory({"claude:1": IMAGE})


@pytest.fixture
def launch(project: Path) -> Launch:
    return Launch(
        directory=project,
        session="talk",
        image=images.Choice("claude:1", "--image", pull=True, ours=True),
        claude_args=("0",),
        token=TOKEN,
        streams=Streams(stdin=NOTHING, stdout=lambda chunk: None),
    )


@pytest.fixture(scope="module")
def dead() -> str:
    """The launcher's id of a process that has ended."""
    code = "from claude_container import host; print(host.launcher_id())"
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


def names(engine: Memory) -> list[str]:
    return [container.name for container in engine.containers({}, ())]


def volumes(engine: Memory) -> list[str]:
    return [volume.name for volume in engine.volumes({}, ())]


CONTAINER, VOLUME = model.container_name("talk"), model.state_volume("talk")


def leave(engine: Memory, launcher: str | None, *, running: bool = False) -> None:
    """What a launch of `talk` that was killed leaves, before or after it started claude."""
    labels = {model.LAUNCH: "killed", model.SESSION: "talk"}
    mine = {} if launcher is None else {**labels, model.LAUNCHER: launcher}
    mounts = (VolumeMount(VOLUME, model.STATE, labels),)
    command = ("/bin/sh", "entrypoint", "wait")
    engine.create(ContainerSpec("claude:1", CONTAINER, command, labels=mine, mounts=mounts))
    if running:
        engine.start(CONTAINER)


# What it does


@pytest.mark.parametrize("code", [0, 1, 42, 130])
@pytest.mark.parametrize("tty", [False, True])
def test_the_exit_code_passes(engine: Memory, launch: Launch, code: int, tty: bool) -> None:
    streams = replace(launch.streams, tty=tty)
    talk = replace(launch, claude_args=(str(code),), streams=streams)
    assert enter(engine, talk, Progress()) == code
    assert (names(engine), volumes(engine)) == ([], [VOLUME])


def test_a_warm_launch_makes_four_calls_with_the_sweep(engine: Memory, launch: Launch) -> None:
    def sweep() -> None:
        leftovers.sweep(engine)

    enter(engine, launch, Progress(), sweep)
    assert engine.calls == ["create", "copy_in", "containers", "attach"]


def test_the_token_lies_where_root_alone_reads_it(engine: Memory, launch: Launch) -> None:
    enter(engine, replace(launch, env={"LANG": "C"}), Progress())
    (inside,) = SEEN
    token = inside.read("/run/claude-container/token")
    assert (token.content.decode(), token.uid, token.mode) == (TOKEN, 0, 0o600)
    assert TOKEN not in repr(inside.container.spec)
    assert inside.env == {"LANG": "C"}


def test_claude_gets_the_directory_and_its_arguments(engine: Memory, launch: Launch) -> None:
    enter(engine, replace(launch, claude_args=("-p", "two words", "0")), Progress())
    (inside,) = SEEN
    given = ["claude", "--dangerously-skip-permissions", "-p", "two words", "0"]
    assert list(inside.argv[2:]) == given
    assert Bind(str(launch.directory), model.WORKSPACE) in inside.container.spec.mounts


def test_a_second_launch_finds_the_state_of_the_first(engine: Memory, launch: Launch) -> None:
    for _ in range(2):
        assert enter(engine, launch, Progress()) == 0
    assert SEEN[0].container.volumes[VOLUME] is SEEN[1].container.volumes[VOLUME]


# What it leaves when it is cut short

STEPS = [(verb, after) for verb in ("create", "copy_in", "attach") for after in (False, True)]
each_step = pytest.mark.parametrize(("verb", "after"), STEPS)
each_error = pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), Terminated(15), EngineNotRunning("gone"), RuntimeError("a defect")],
    ids=lambda error: type(error).__name__,
)


@each_step
@each_error
def test_a_launch_that_is_cut_short_leaves_only_what_claude_used(
    engine: Memory, launch: Launch, error: BaseException, verb: str, after: bool
) -> None:
    engine.fault = Fault(verb, error, after)
    with pytest.raises(type(error)) as raised:
        enter(engine, launch, Progress())
    assert raised.value is error
    claude_ran = (verb, after) == ("attach", True)
    assert (names(engine), volumes(engine)) == ([], [VOLUME] if claude_ran else [])


@each_step
def test_state_from_before_stays_wherever_a_launch_is_cut_short(
    engine: Memory, launch: Launch, verb: str, after: bool
) -> None:
    enter(engine, launch, Progress())
    engine.fault = Fault(verb, KeyboardInterrupt(), after)
    with pytest.raises(KeyboardInterrupt):
        enter(engine, launch, Progress())
    assert (names(engine), volumes(engine)) == ([], [VOLUME])


def test_an_interruption_before_the_start_leaves_nothing(engine: Memory, launch: Launch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enter(engine, launch, Progress(), interrupt)
    assert (names(engine), volumes(engine)) == ([], [])


@each_error
def test_a_claude_that_goes_on_without_its_launcher_is_told_to_end(
    engine: Memory, launch: Launch, error: BaseException
) -> None:
    engine.fault = Fault("attach", error)
    waiting = replace(launch, claude_args=("wait",))
    with pytest.raises(type(error)):
        enter(engine, waiting, Progress(), lambda: engine.start(CONTAINER))
    assert (names(engine), volumes(engine)) == ([], [VOLUME])
    assert SEEN[0].read(USED).content == b""


def test_the_error_is_told_even_if_nothing_can_be_cleaned_up(
    engine: Memory, launch: Launch
) -> None:
    def interrupt() -> None:
        engine.fault = Fault("containers", EngineNotRunning("gone"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enter(engine, launch, Progress(), interrupt)


@pytest.mark.parametrize("tty", [False, True])
def test_an_image_without_a_shell_is_an_error_on_a_terminal_too(
    engine: Memory, launch: Launch, tty: bool
) -> None:
    shellless = Memory({"claude:1": MemoryImage()})
    with pytest.raises(EngineError, match="has no sh"):
        enter(shellless, replace(launch, streams=replace(launch.streams, tty=tty)), Progress())
    # On a terminal it cannot be known for sure, so what could be work stays.
    assert (names(shellless), volumes(shellless)) == ([], [VOLUME] if tty else [])


# What the next command clears after a KILL


def test_a_container_that_never_started_goes_with_its_volume(engine: Memory, dead: str) -> None:
    leave(engine, dead)
    assert [left.session for left in leftovers.sweep(engine)] == ["talk"]
    assert (names(engine), volumes(engine)) == ([], [])


def test_a_running_one_goes_and_leaves_its_volume(engine: Memory, dead: str) -> None:
    leave(engine, dead, running=True)
    assert [left.session for left in leftovers.sweep(engine)] == ["talk"]
    assert (names(engine), volumes(engine)) == ([], [VOLUME])


def test_a_volume_of_another_launch_stays(engine: Memory, launch: Launch, dead: str) -> None:
    enter(engine, launch, Progress())
    leave(engine, dead)
    assert [left.session for left in leftovers.sweep(engine)] == ["talk"]
    assert (names(engine), volumes(engine)) == ([], [VOLUME])


def test_a_volume_that_another_container_has_taken_up_stays(engine: Memory, dead: str) -> None:
    leave(engine, dead)
    mounts = (VolumeMount(VOLUME, "/data"),)
    engine.create(ContainerSpec("claude:1", "other", ("/bin/sh",), mounts=mounts))
    assert [left.session for left in leftovers.sweep(engine)] == ["talk"]
    assert (names(engine), volumes(engine)) == (["other"], [VOLUME])


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("whose", ["a live launcher's", "a foreign one", "another machine's", "?"])
def test_what_may_be_in_use_is_never_touched(
    engine: Memory, dead: str, whose: str, running: bool
) -> None:
    launchers = {
        "a live launcher's": host.launcher_id(),
        "a foreign one": None,
        "another machine's": f"0123456789ab:{dead.partition(':')[2]}",
        "?": "no launcher's id",
    }
    leave(engine, launchers[whose], running=running)
    assert leftovers.sweep(engine) == []
    assert (names(engine), volumes(engine)) == ([CONTAINER], [VOLUME])
    engine.remove(CONTAINER)


# When the name is taken


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("session", ["talk", "Talk"])
def test_a_session_in_use_is_busy_and_stays_as_it_is(
    engine: Memory, launch: Launch, session: str, running: bool
) -> None:
    leave(engine, host.launcher_id(), running=running)
    with pytest.raises(SessionBusy) as raised:
        enter(engine, replace(launch, session=session), Progress())
    assert "--session" in raised.value.hint and CONTAINER in raised.value.hint
    assert (names(engine), volumes(engine)) == ([CONTAINER], [VOLUME])
    engine.remove(CONTAINER)


@pytest.mark.parametrize("running", [False, True])
def test_a_dead_launch_makes_room(engine: Memory, launch: Launch, dead: str, running: bool) -> None:
    leave(engine, dead, running=running)
    assert enter(engine, launch, Progress()) == 0
    assert (names(engine), volumes(engine)) == ([], [VOLUME])
    assert SEEN[-1].argv[-1] == "0"


def test_a_foreign_container_of_the_name_stays(engine: Memory, launch: Launch) -> None:
    leave(engine, None)
    with pytest.raises(SessionBusy, match="not ours") as raised:
        enter(engine, launch, Progress())
    assert "--session" in raised.value.hint
    assert (names(engine), volumes(engine)) == ([CONTAINER], [VOLUME])


# When the image is missing


def buildable(launch: Launch) -> Launch:
    """The launch, its image one that can be pulled or built."""
    (launch.directory / "Dockerfile").write_text("FROM claude:1")
    build = Build("built:1", str(launch.directory), "Dockerfile")
    return replace(
        launch, image=images.Choice("built:1", "a recipe", pull=True, build=build, ours=True)
    )


def test_a_missing_image_is_pulled(engine: Memory, launch: Launch) -> None:
    engine.registry["built:1"] = IMAGE
    assert enter(engine, buildable(launch), Progress()) == 0
    assert engine.calls == ["create", "pull", "create", "copy_in", "attach"]


def test_an_image_that_cannot_be_pulled_is_built(engine: Memory, launch: Launch) -> None:
    progress = Progress()
    assert enter(engine, buildable(launch), progress) == 0
    assert engine.calls == ["create", "pull", "build", "create", "copy_in", "attach"]
    assert progress.said == [
        "pulling built:1",
        "cannot pull it (there is no built:1 to pull); building it from the recipe instead",
        "building built:1 from the recipe",
        "FROM claude:1",
    ]


def test_a_rebuild_builds_what_is_there(engine: Memory, launch: Launch) -> None:
    engine.registry["built:1"] = IMAGE
    assert enter(engine, buildable(replace(launch, rebuild=True)), Progress()) == 0
    assert engine.calls == ["build", "create", "copy_in", "attach"]


def test_an_image_that_cannot_be_had_is_told(launch: Launch) -> None:
    engine = Memory()
    with pytest.raises(EngineError, match="cannot get the image claude:1"):
        enter(engine, launch, Progress())
    with pytest.raises(ImageMissing, match="cannot build the image"):
        enter(engine, buildable(launch), Progress())
    assert (names(engine), volumes(engine)) == ([], [])


# What a listing said may be over by the time it is acted on


def test_a_launch_that_ran_since_it_was_listed_keeps_its_conversation(
    engine: Memory, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(engine, dead)
    stale = engine.containers({model.LAUNCHER: None}, (model.LAUNCHER, model.LAUNCH))
    engine.remove(CONTAINER)  # as the engine does when claude has ended
    monkeypatch.setattr(engine, "containers", lambda having, labels: stale)
    leftovers.sweep(engine)
    assert volumes(engine) == [VOLUME]


def test_a_container_nobody_started_for_long_is_a_leftover_whoever_made_it(engine: Memory) -> None:
    """Its launcher may be on another machine, and it holds a token."""
    labels = {model.LAUNCHER: "elsewhere:1:1", model.LAUNCH: "x", model.SESSION: "talk"}
    for name, created in (("old", "1000000000"), ("new", str(int(time.time())))):
        spec = ContainerSpec("claude:1", name, ("true",), labels={**labels, model.CREATED: created})
        engine.create(spec)
    leftovers.sweep(engine)
    assert names(engine) == ["new"]


@pytest.mark.parametrize("code", [model.FAILED, model.INTERRUPTED])
def test_where_the_entrypoint_did_not_come_to_claude_no_new_volume_stays(
    engine: Memory, launch: Launch, code: int
) -> None:
    ends = contextlib.nullcontext()
    if code == model.INTERRUPTED:
        ends = pytest.raises(KeyboardInterrupt)
    with ends:
        assert enter(engine, replace(launch, claude_args=(str(code),)), Progress()) == 1
    assert (names(engine), volumes(engine)) == ([], [])
