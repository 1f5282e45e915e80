"""When the tool volume is made, waited for, made again and removed, over the engine in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from claude_container import host, images
from claude_container.engines.base import Build, ContainerSpec, EngineError, VolumeMount
from claude_container.sessions import model, probe, tools
from claude_container.sessions.probe import ImageLacks
from claude_container.sessions.tools import CannotMakeTools, Tools
from tests.memory import Fault, Memory
from tests.memory_container import File, Inside, MemoryImage
from tests.progress import Progress

GLIBC, MUSL = "claude-tools-2.1.330-glibc", "claude-tools-2.1.330-musl"
WHOLE = f"{model.TOOLS}/whole"
FULL = {"claude": "/c", "bash": "/b", "ps": "/p", "setpriv": "/s", "libc": "glibc"}
DEBIAN = {**FULL, "claude": "", "git": "/g", "certificates": "/pem", "glibc": "2.36"}


def shell(has: dict[str, str], fills: Callable[[Inside], int] | None = None) -> MemoryImage:
    """An image whose shell answers look.sh with `has`, and tools.sh by `fills`."""

    def sh(inside: Inside) -> int:
        what = inside.argv[3]
        if what == "look":
            inside.stdout += "".join(f"{name}={value}\n" for name, value in has.items()).encode()
            return 0
        if what == "tools":
            return (fills or fill)(inside)
        try:
            inside.read(WHOLE)
        except OSError:
            return 1
        return 0

    return MemoryImage({"sh": sh})


def fill(inside: Inside) -> int:
    inside.write(WHOLE, b"")
    return 0


@pytest.fixture
def engine() -> Memory:
    ours = shell({**FULL, "version": "2.1.330 (Claude Code)"})
    return Memory({images.DEFAULT: ours, "theirs": shell(DEBIAN)})


def need(engine: Memory, name: str = "theirs", told: Progress | None = None) -> Tools | None:
    told = told or Progress()
    found = probe.need(engine, images.named(name, "--image"), told)
    return tools.needed(engine, found, told, ca=b"")


def volumes(engine: Memory) -> list[str]:
    return sorted(volume.name for volume in engine.volumes({}, ()))


def made(version: str, libc: str = "glibc", **labels: str) -> VolumeMount:
    wanted = {model.KIND: model.TOOLS_KIND, model.LAUNCH: "an earlier one", **labels}
    return VolumeMount(model.tools_volume(version, libc), model.TOOLS, wanted)


def put(engine: Memory, mount: VolumeMount, *, whole: bool, launcher: str | None = None) -> None:
    """A volume, and with `launcher` the container of its that fills it."""
    spec = tools._spec("theirs", tools._container(mount.name), "tools", mount, ("/bin/sh",))
    labels = {**spec.labels, model.LAUNCHER: launcher or ""}
    id = engine.create(ContainerSpec(spec.image, spec.name, spec.command, labels, mounts=(mount,)))
    if whole:
        engine._volumes[mount.name].files["whole"] = File(b"")
    if launcher is None:
        engine.remove(id)


def test_an_image_that_has_all_gets_nothing(engine: Memory) -> None:
    engine._images["theirs"] = shell({**FULL, "git": "/g", "certificates": "/pem"})
    told = Progress()
    assert need(engine, told=told) is None
    assert (volumes(engine), told.said) == ([], [])


def test_it_is_made_once_and_then_neither_made_nor_looked_at(engine: Memory) -> None:
    assert need(engine) == Tools(GLIBC, lends_libc=False)
    assert volumes(engine) == [GLIBC]
    engine.calls.clear()
    assert need(engine) == Tools(GLIBC, lends_libc=False)
    assert engine.calls == ["image", "image", "volumes"]


def test_with_the_cache_lost_it_is_looked_at_and_kept(engine: Memory) -> None:
    need(engine)
    before = engine.volumes({}, (model.LAUNCH,))
    cache = host.cache_dir()
    assert cache is not None
    for content in ("", "[]", '{"x": 1}', '{"x": {"y": 2}}'):
        (cache / "images.json").write_text(content)
        assert need(engine) == Tools(GLIBC, lends_libc=False)
        assert engine.volumes({}, (model.LAUNCH,)) == before


def test_where_nothing_can_be_remembered_it_still_works(
    engine: Memory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in (None, tmp_path / "not there"):
        monkeypatch.setattr(host, "cache_dir", lambda folder=folder: folder)
        assert need(engine) == need(engine) == Tools(GLIBC, lends_libc=False)


def test_one_that_is_not_whole_is_made_anew(engine: Memory) -> None:
    put(engine, made("2.1.330"), whole=False)
    assert need(engine) == Tools(GLIBC, lends_libc=False)
    assert engine.volumes({model.LAUNCH: "an earlier one"}, ()) == []


def test_one_that_another_made_whole_is_used(engine: Memory) -> None:
    put(engine, made("2.1.330"), whole=True)
    need(engine)
    assert [v.name for v in engine.volumes({model.LAUNCH: "an earlier one"}, ())] == [GLIBC]


def test_while_another_makes_it_it_is_waited_for(
    engine: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(engine, made("2.1.330"), whole=False, launcher=host.launcher_id())
    slept = []

    def end(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            engine._volumes[GLIBC].files["whole"] = File(b"")

    monkeypatch.setattr(tools.time, "sleep", end)
    told = Progress()
    assert need(engine, told=told) == Tools(GLIBC, lends_libc=False)
    assert told.said == [f"another command makes {GLIBC}: waiting for it"]
    assert len(engine.volumes({model.LAUNCH: "an earlier one"}, ())) == 1


def test_it_is_not_waited_for_for_ever(engine: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    put(engine, made("2.1.330"), whole=False, launcher=host.launcher_id())
    monkeypatch.setattr(tools, "_PATIENCE", -1.0)
    with pytest.raises(CannotMakeTools) as raised:
        need(engine)
    assert "memory rm --force claude-container-tools-2.1.330-glibc" in raised.value.hint


def test_what_a_dead_command_left_is_cleared_and_made_anew(
    engine: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(engine, made("2.1.330"), whole=False, launcher=host.launcher_id())
    monkeypatch.setattr(host, "launcher_is_gone", lambda launcher: True)
    monkeypatch.setattr(tools.time, "sleep", lambda seconds: None)
    assert need(engine) == Tools(GLIBC, lends_libc=False)
    assert engine.volumes({model.LAUNCH: "an earlier one"}, ()) == []


def test_an_empty_volume_that_a_mount_made_is_no_obstacle(engine: Memory) -> None:
    """A launch whose volume was removed between its look and its start."""
    mount = Tools(GLIBC, lends_libc=False).mount()
    put(engine, mount, whole=False)
    assert need(engine) == Tools(GLIBC, lends_libc=False)
    assert engine.volumes({model.KIND: model.STRAY_KIND}, ()) == []


def test_a_volume_that_is_not_ours_is_left_alone(engine: Memory) -> None:
    put(engine, VolumeMount(GLIBC, "/x"), whole=False)
    with pytest.raises(CannotMakeTools, match="that is not ours"):
        need(engine)
    assert volumes(engine) == [GLIBC]
    assert engine.containers({}, ()) == []


def test_one_that_cannot_be_filled_is_told_and_does_not_stay(engine: Memory) -> None:
    def fails(inside: Inside) -> int:
        inside.stderr += b"cp: No space left on device"
        return 1

    engine._images[images.DEFAULT] = shell({**FULL, "version": "2.1.330"}, fails)
    with pytest.raises(CannotMakeTools) as raised:
        need(engine)
    assert "No space left" in raised.value.evidence
    assert "full" in raised.value.hint
    assert (volumes(engine), engine.containers({}, ())) == ([], [])


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), EngineError("no")], ids=["^C", "engine"])
def test_one_that_is_cut_short_does_not_stay(
    engine: Memory, error: BaseException, after: bool
) -> None:
    # So that the images are known, and the container that fills it is the first.
    need(engine)
    engine.remove_volume(GLIBC)
    engine.fault = Fault("attach", error, after=after)
    with pytest.raises(type(error)):
        need(engine)
    assert (volumes(engine), engine.containers({}, ())) == ([], [])


def test_older_ones_go_unless_they_are_in_use(engine: Memory) -> None:
    for version in ("2.1.99", "2.1.400", "1.0.0"):
        put(engine, made(version), whole=True)
    put(engine, made("2.1.99", "musl"), whole=True)
    put(engine, made("1.0.0"), whole=True, launcher=host.launcher_id())
    need(engine)
    left = ["1.0.0-glibc", "2.1.330-glibc", "2.1.400-glibc", "2.1.99-musl"]
    assert volumes(engine) == [f"claude-tools-{name}" for name in left]


def test_on_a_rootless_engine_it_is_not_mounted_read_only(
    engine: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rootless = replace(engine.info(), rootless=True)
    monkeypatch.setattr(engine, "info", lambda: rootless)
    for cached in (False, True):
        found = need(engine)
        assert found == Tools(GLIBC, lends_libc=False, read_only=False), cached
        assert found.mount().read_only is False


def test_musl_gets_its_own_from_an_image_made_for_it(
    engine: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine._images["theirs"] = shell({**DEBIAN, "libc": "musl", "glibc": ""})
    built: list[Build] = []

    def build(plan: Build, on_line: object) -> None:
        built.append(plan)
        engine._images[plan.tag] = engine._images[images.DEFAULT]

    monkeypatch.setattr(engine, "build", build)
    assert need(engine) == need(engine) == Tools(MUSL, lends_libc=False)
    [plan] = built
    assert plan.arguments["LIBC"] == "-musl"
    assert plan.arguments["CLAUDE_VERSION"] == "2.1.330"
    assert plan.tag not in engine._images


@pytest.mark.parametrize(
    ("has", "volume", "lends"),
    [
        ({"libc": "musl", "claude": "/usr/bin/claude", "ps": ""}, GLIBC, False),
        ({"libc": "", "glibc": ""}, GLIBC, True),
        ({"setpriv": ""}, GLIBC, False),
    ],
    ids=["its own claude", "no libc", "no setpriv"],
)
def test_what_is_brought_fits_the_image(
    engine: Memory, has: dict[str, str], volume: str, lends: bool
) -> None:
    engine._images["theirs"] = shell({**DEBIAN, **has})
    assert need(engine) == Tools(volume, lends_libc=lends)


@pytest.mark.parametrize(
    ("has", "said", "hint"),
    [
        ({"lacks": " find sed stat"}, "lacks find, sed and stat", "findutils, sed and coreutils"),
        ({"lacks": " cat"}, "lacks cat", "add coreutils,"),
        ({"glibc": "2.17"}, "the glibc of theirs is 2.17", "newer base image"),
    ],
)
def test_what_nobody_can_bring_is_named_each_time(
    engine: Memory, has: dict[str, str], said: str, hint: str
) -> None:
    engine._images["theirs"] = shell({**DEBIAN, **has})
    for _ in range(2):
        with pytest.raises(ImageLacks, match=said) as raised:
            need(engine)
        assert hint in raised.value.hint
    assert volumes(engine) == []


def test_an_image_without_a_shell_is_told_by_its_name(engine: Memory) -> None:
    engine._images["theirs"] = MemoryImage()
    with pytest.raises(ImageLacks, match=r"the image theirs has no shell \(/bin/sh\)"):
        need(engine)


def test_an_old_glibc_does_not_matter_to_an_image_with_its_own_claude(engine: Memory) -> None:
    engine._images["theirs"] = shell({**FULL, "glibc": "2.17"})
    assert need(engine) is None


def test_what_claude_may_miss_is_told_once(engine: Memory) -> None:
    engine._images["theirs"] = shell({**DEBIAN, "git": "", "certificates": ""})
    told, again = Progress(), Progress()
    need(engine, told=told)
    need(engine, told=again)
    assert told.said[:2] == [
        "theirs has no git, so Claude cannot commit: add git",
        "theirs has no CA certificates, so git and curl trust no host: add ca-certificates",
    ]
    assert again.said == []


def test_an_image_is_looked_at_again_when_it_changed(engine: Memory) -> None:
    need(engine)
    engine._images["theirs"] = shell(FULL)
    assert need(engine) is None


def test_what_an_image_says_is_bounded(engine: Memory) -> None:
    engine._images["theirs"] = shell({"nonsense": "x" * (1 << 20), **DEBIAN})
    there = engine.image("theirs")
    assert there is not None
    assert probe.look(engine, images.named("theirs", "--image"), there) == (probe.Found(), True)


def test_a_missing_image_is_pulled_first(engine: Memory) -> None:
    engine.registry["late"] = shell(DEBIAN)
    told = Progress()
    assert need(engine, "late", told) == Tools(GLIBC, lends_libc=False)
    assert told.said[0] == "pulling late"
