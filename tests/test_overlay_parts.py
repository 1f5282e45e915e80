"""--dir without an engine: what is refused at once, and a making that is cut short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from claude_container import host, images
from claude_container.engines.base import EngineNotRunning, Volume
from claude_container.sessions import lay, model, overlay
from tests.conftest import Cli, PlainProgress
from tests.memory import Fault, Memory
from tests.memory_container import Inside, MemoryImage

KEY = ("--env", "ANTHROPIC_API_KEY=x")


@pytest.fixture
def no_docker(fake_docker: Callable[[str], str]) -> dict[str, str]:
    """The environment of an engine that must not be asked."""
    return {"PATH": fake_docker("echo 'it was asked' >&2; exit 1")}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--dir", "absent"), "--dir: there is no folder absent"),
        (("-d", "file"), "--dir: file is no folder"),
        (("--dir", "."), "holds claude-container's own settings"),
        (("--dir", "../home"), "holds claude-container's own settings"),
        (("--dir", "folder", "--session", "-x"), "cannot be the name of a session"),
        (("--accept-privileged",), "--accept-privileged goes with --dir"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_engine_is_asked(
    cli: Cli, home: Path, no_docker: dict[str, str], flags: tuple[str, ...], told: str
) -> None:
    (home / "file").touch()
    (home / "folder").mkdir()
    done = cli(*flags, *KEY, cwd=home, **no_docker)
    assert (done.code, done.stdout) == (2, "")
    assert told in done.stderr and "it was asked" not in done.stderr


def test_an_engine_on_another_machine_has_not_the_folder(
    cli: Cli, project: Path, no_docker: dict[str, str]
) -> None:
    done = cli("--dir", ".", *KEY, DOCKER_HOST="ssh://there.example", **no_docker)
    assert done.code == 2 and f"would mount that machine's {project}" in done.stderr


def test_a_link_is_the_folder_that_it_points_to(tmp_path: Path) -> None:
    from claude_container.cli.overlay import _folder

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert _folder(str(tmp_path / "link")) == tmp_path / "real"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(Exception, match="there is no folder"):
        _folder(str(tmp_path / "loop"))


def test_its_name_is_not_that_of_the_folder_s_conversation() -> None:
    names = [model.overlay_name(Path("/a/notes")), model.default_name(Path("/a/notes"))]
    assert names[0] != names[1] and all(name.startswith("notes-") for name in names)
    assert model.check_name(model.overlay_name(Path(f"/{'long ' * 30}")))


def test_a_path_is_written_so_that_the_kernel_reads_one() -> None:
    assert lay.escaped("/a,b:c\\d e'\"") == "/a\\,b\\:c\\\\d e'\""


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="Linux")
def test_mount_points_below_are_found() -> None:
    assert "/proc" in host.mounts_below(Path("/"))
    assert host.mounts_below(Path("/proc/self/fd")) == []


def engine() -> Memory:
    def runs(inside: Inside) -> int:
        return 0

    return Memory({images.DEFAULT: MemoryImage(programs={"sh": runs})})


def test_made_it_is_found_with_its_folder(tmp_path: Path) -> None:
    memory = engine()
    made = lay.make(memory, "notes", tmp_path, PlainProgress())
    assert overlay.find(memory, "notes") == made
    assert (made.directory, made.laid_by) == (tmp_path, model.ENGINE)
    assert memory.containers({}, ()) == []


# What a making asks of the engine, before it lets go of the session's name.
CALLS = ["create", "volumes", "attach", "volume_path", "info", "create_volume", "create", "attach"]


def test_a_making_asks_for_nothing_else(tmp_path: Path) -> None:
    memory = engine()
    lay.make(memory, "notes", tmp_path, PlainProgress())
    assert memory.calls == [*CALLS, "remove"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, len(CALLS) + 1))
@pytest.mark.parametrize("error", [KeyboardInterrupt(), EngineNotRunning("it is gone")])
def test_a_making_that_is_cut_short_leaves_nothing(
    tmp_path: Path, at: int, error: BaseException, after: bool
) -> None:
    memory = engine()
    memory.fault = Fault(at, error, after)
    with pytest.raises(type(error)):
        lay.make(memory, "notes", tmp_path, PlainProgress())
    assert memory.fault is None, "the call did not come"
    assert (memory.volumes({}, ()), memory.containers({}, ())) == ([], [])


def test_one_without_what_is_seen_is_half_made_and_finished_by_the_next(tmp_path: Path) -> None:
    memory = engine()
    made = lay.make(memory, "notes", tmp_path, PlainProgress())
    memory.remove_volume(model.merged_volume("notes"))
    found = overlay.find(memory, "notes")
    assert found is not None and found.laid_by == ""
    with pytest.raises(overlay.CannotUse, match="half-made"):
        lay.checked(found, accept=True)
    memory.fault = Fault("create_volume", KeyboardInterrupt(), after=True)
    with pytest.raises(KeyboardInterrupt):
        lay.make(memory, "notes", tmp_path, PlainProgress())
    # What it held before is not the second's to remove.
    assert [v.name for v in memory.volumes({}, ())] == [model.changes_volume("notes")]
    assert lay.make(memory, "notes", tmp_path, PlainProgress()) == made


def test_a_volume_of_that_name_that_is_not_ours_stays_as_it_is(tmp_path: Path) -> None:
    memory = engine()
    memory.create_volume(model.changes_volume("notes"), {"theirs": "yes"}, {})
    with pytest.raises(lay.CannotLay, match="not of this tool"):
        lay.make(memory, "notes", tmp_path, PlainProgress())
    there = memory.volumes({}, ["theirs"])
    assert there == [Volume(model.changes_volume("notes"), {"theirs": "yes"})]


def test_layers_within_each_other_are_refused(tmp_path: Path) -> None:
    memory = engine()
    memory.volume_path = lambda name: f"{tmp_path}/volumes/{name}"  # type: ignore[method-assign]
    with pytest.raises(lay.CannotLay, match="holds the engine's volumes"):
        lay.make(memory, "notes", tmp_path, PlainProgress(), accept=True)
    assert memory.volumes({}, ()) == []
