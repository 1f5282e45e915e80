"""What `list` shows, how little it asks for it, and how it looks on a narrow terminal."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from claude_container import images
from claude_container.changes import figures
from claude_container.changes.figures import Figures
from claude_container.cli import listed, table
from claude_container.engines.base import Container, ContainerSpec, Volume, VolumeMount
from claude_container.errors import UsageError
from claude_container.refs import our_ref
from claude_container.sessions import asking, home, listing, model
from claude_container.sessions.asking import Listed
from claude_container.sessions.known import Session
from claude_container.sessions.listing import Entry
from tests.conftest import PROGRAM, Cli, Ran, clean_environment, sh
from tests.gitsession import GitSession, git, git_session, make_repository, remove, unique
from tests.memory import Memory
from tests.memory_container import MemoryImage

engine_test = pytest.mark.engine


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repo")


@pytest.fixture
def session(cli: Cli, repository: Path, image: str) -> Iterator[GitSession]:
    with git_session(cli, repository) as made:
        yield made


def row(ran: Ran, name: str) -> dict[str, object]:
    """The row of one session, of an engine on which there may be others."""
    assert ran.code in (0, 1), ran.stderr
    found: list[dict[str, object]] = [r for r in json.loads(ran.stdout) if r["name"] == name]
    assert len(found) == 1
    return found[0]


# On a real engine


@engine_test
def test_a_session_is_shown_as_its_last_look_found_it(cli: Cli, session: GitSession) -> None:
    fresh = row(cli("list", "--json"), session.name)
    assert fresh["kind"] == "session"
    assert fresh["repository"] == str(session.repository / ".git")
    assert (fresh["branch"], fresh["running"], fresh["failed"]) == ("main", False, None)
    assert (fresh["commits"], fresh["uncommitted"], fresh["seen"]) == (None, None, None)
    assert time.time() - int(str(fresh["created"])) < 60

    session.commit("new.txt", "x", "New")
    session.inside("echo x >more.txt")
    seen = row(cli("list", "--json", "--refresh", "--size"), session.name)
    assert (seen["commits"], seen["uncommitted"], seen["failed"]) == (1, 1, None)
    assert int(str(seen["size"])) > 4096
    session.inside("rm more.txt")
    again = row(cli("list", "--json"), session.name)
    assert (again["uncommitted"], again["seen"]) == (1, seen["seen"])


@engine_test
def test_quiet_names_each_on_a_line(cli: Cli, session: GitSession) -> None:
    assert session.name in cli("list", "--quiet").stdout.splitlines()
    assert session.name in cli("--list-sessions", "-q").stdout.splitlines()


@engine_test
def test_a_failure_to_look_is_told_in_its_row(
    cli: Cli, session: GitSession, repository: Path
) -> None:
    with git_session(cli, repository) as other:
        session.inside("rm -rf .git")
        ran = cli("list", "--refresh", "--json")
        assert ran.code == 1
        assert row(ran, session.name)["failed"]
        assert row(ran, other.name)["failed"] is None
        assert row(ran, other.name)["seen"]


@engine_test
def test_a_repository_that_is_gone_is_told(cli: Cli, session: GitSession) -> None:
    shutil.rmtree(session.repository)
    assert row(cli("list", "--json"), session.name)["repository_gone"] is True
    assert f"{session.repository} (gone)" in cli("list").stdout
    assert "is gone" in str(row(cli("list", "--refresh", "--json"), session.name)["failed"])


@engine_test
def test_looks_side_by_side_in_one_repository(cli: Cli, repository: Path, image: str) -> None:
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(git_session(cli, repository)) for _ in range(6)]
        for number, each in enumerate(made):
            each.commit("new.txt", str(number), f"Change {number}")
        ran = cli("list", "--refresh", "--json")
        for each in made:
            assert row(ran, each.name)["failed"] is None
            assert row(ran, each.name)["commits"] == 1
        assert "incoming" not in git(repository, "for-each-ref")


_COUNTING = """echo "$1" >>"$COUNT"; exec {docker} "$@" """


@engine_test
def test_two_engine_calls_however_many_sessions(
    cli: Cli, session: GitSession, fake_docker: Callable[[str], str], tmp_path: Path
) -> None:
    path = fake_docker(_COUNTING.format(docker=shutil.which("docker")))
    cli("list", PATH=path, COUNT=str(tmp_path / "count"))
    assert sorted((tmp_path / "count").read_text().split()) == ["ps", "volume"]


@engine_test
def test_a_list_while_a_session_is_made_shows_it_or_not(
    cli: Cli, repository: Path, image: str
) -> None:
    name = unique()
    making = threading.Thread(target=lambda: cli("start", name, "--no-enter", cwd=repository))
    making.start()
    try:
        while making.is_alive():
            ran = cli("list", "--json")
            assert (ran.code, ran.stderr) == (0, "")
        making.join()
        assert row(cli("list", "--json"), name)["kind"] == "session"
    finally:
        making.join()
        remove(name)


@engine_test
def test_what_a_killed_look_left_goes_and_is_told(cli: Cli, session: GitSession) -> None:
    labels = {
        model.KIND: model.TRANSPORT_KIND,
        model.SESSION: session.name,
        model.LAUNCHER: _dead_launcher(),
        model.CREATED: str(int(time.time())),
    }
    words = [f"--label={key}={value}" for key, value in labels.items()]
    volume = f"{model.session_volume(session.name)}:/workspace"
    sh("docker", "run", "-d", "--init", *words, "-v", volume, "--entrypoint", "sleep",
       images.DEFAULT, "600")  # fmt: skip
    ran = cli("list")
    look = f"a look at session {session.name} that was cut short"
    assert ran.stderr == f"→ removed what {look} had left\n"
    label = f"label={model.SESSION}={session.name}"
    assert sh("docker", "ps", "-aq", "-f", label) == ""
    assert session.volumes()
    assert cli("list").stderr == ""


def _dead_launcher() -> str:
    code = "from claude_container import host; print(host.launcher_id())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_list_imports_nothing_that_draws(home: Path, fake_docker: Callable[[str], str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", PROGRAM, "list"],
        env={**clean_environment(home), "PATH": fake_docker("exit 0")},
        capture_output=True,
        text=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "claude_container.sessions.listing" in imported
    heavy = {"rich", "msgspec", "questionary", "tarfile", "claude_container.sessions.look"}
    assert imported & heavy == set()


# What belongs together: on an engine in memory, or none


def test_two_calls_are_made(tmp_path: Path) -> None:
    memory = Memory({images.DEFAULT: MemoryImage()})
    for number in range(20):
        labels = {model.KIND: "session", model.SESSION: f"s{number}"}
        mount = VolumeMount(model.session_volume(f"s{number}"), "/x", labels)
        memory.remove(memory.create(ContainerSpec(images.DEFAULT, "x", ("y",), mounts=(mount,))))
    memory.calls.clear()
    assert len(listing.entries(asking.listed(memory))) == 20
    assert sorted(memory.calls) == ["containers", "volumes"]


def volume(name: str, kind: str = "", session: str = "", **labels: str) -> Volume:
    said = {model.KIND: kind, model.SESSION: session}
    said.update({model.PREFIX + key: value for key, value in labels.items()})
    return Volume(name, {key: value for key, value in said.items() if value})


def test_each_name_is_of_one_kind() -> None:
    found = listing.entries(
        Listed(
            [
                volume("claude-state-fix", "state", "fix", directory="/r"),
                volume("claude-session-fix", "session", "fix", repository="/r/.git", created="7"),
                volume("claude-state-Talk", "state", "Talk", directory="/d"),
                volume("claude-session-old"),
                volume("claude-state-old"),
                volume("session-data-older"),
                volume("claude-session-used", "session", "used"),
                volume("claude-state-used"),  # the original's, in which a session of ours went on
                volume("claude-session-"),
                volume("postgres"),
                volume("my-claude-session-x"),
                volume("claude-session-lost", "stray", "lost"),
            ],
            [
                Container("1", "claude-container-talk", "running", {}),
                Container("2", "claude-container-fix", "created", {}),
                Container("3", "claude-container-old", "running", {}),
                Container("4", "claude-container-used", "running", {model.KIND: "create"}),
            ],
        )
    )
    assert [(e.kind, e.name, e.volumes, e.running) for e in found] == [
        ("session", "fix", ("claude-session-fix", "claude-state-fix"), ""),
        ("session", "used", ("claude-session-used", "claude-state-used"), "making"),
        ("conversation", "Talk", ("claude-state-Talk",), "running"),
        ("original", "old", ("claude-session-old", "claude-state-old"), ""),
        ("original", "older", ("session-data-older",), ""),
    ]


def entry(repository: Path, name: str = "fix", id: str = "1") -> Entry:
    common = repository / ".git"
    session = Session(name, id, common, repository, "main", "", int(time.time()) - 7200)
    return Entry(name, "session", (), session=session, created=session.created)


def look(repository: Path, name: str, id: str) -> None:
    """Note figures of a look at a session."""
    seen = Figures(int(time.time()) - 300, id, "0" * 40, "main", (), 2, ahead=3)
    here = home.at(repository / ".git")
    assert here
    here.update_refs({our_ref(name, "look"): figures.write(here, seen)})


def test_figures_are_those_of_the_same_session(repository: Path, tmp_path: Path) -> None:
    look(repository, "fix", "1")
    look(repository, "again", "an earlier session of that name")
    named = [entry(repository), entry(repository, "again"), entry(repository, "never")]
    found = listing.with_figures([*named, entry(tmp_path / "no")])
    assert [e.figures.ahead if e.figures else None for e in found] == [3, None, None, None]
    assert [e.gone for e in found] == [False, False, False, True]


def test_a_look_that_cannot_be_read_is_none(repository: Path) -> None:
    look(repository, "fix", "1")
    for name, content in (("a", b"not json"), ("b", b'{"x":1}\n'), ("c", b"")):
        here = home.at(repository / ".git")
        assert here
        here.update_refs({our_ref(name, "look"): here.write_blob(content)})
    names = ("a", "missing", "b", "c", "fix")
    found = listing.with_figures([entry(repository, name) for name in names])
    assert [bool(e.figures) for e in found] == [False, False, False, False, True]


def test_a_row_fits_80_columns(
    repository: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    look(repository, "fix", "1")
    monkeypatch.setenv("COLUMNS", "80")
    long = entry(home / "src" / ("folder" * 20) / "app", "a" * 30)
    lines = listed.tables(listing.with_figures([entry(repository), long]))
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == [
        "NAME", "REPOSITORY", "BRANCH", "AGE", "RUNNING", "COMMITS", "UNCOMMITTED", "SEEN",
    ]  # fmt: skip
    assert lines[1].split()[3:] == ["2h", "-", "3", "2", "5m"]
    assert "…" in lines[2]


def test_kinds_are_told_apart(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    talk = Entry("talk", "conversation", ("claude-state-talk",), directory=f"{home}/src/app")
    old = Entry("old", "original", ("claude-session-old",))
    layer = Entry("layer", "overlay", ("session-data-layer",), directory=f"{home}/notes")
    lines = listed.tables([talk, layer, old])
    assert [line for line in lines if line.endswith(":")] == list(listed._HEADINGS.values())
    assert any("~/src/app" in line for line in lines)


def test_nothing_in_a_cell_drives_the_terminal() -> None:
    lines = table.rows(["A"], [["x\x1b[2J\u202e"]], shrink=(), right=())
    assert lines[1] == "x\\x1b[2J\\u202e"


def test_wide_characters_take_two_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "16")
    lines = table.rows(["NAME", "B"], [["漢字" * 9, "1"], ["é", "2"]], shrink=(0,), right=())
    assert lines[1].endswith("1") and lines[1].startswith("…")
    assert lines[2].index("2") == 15


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (86400 * 20, "20d"), (86400 * 30, "4w")],
)
def test_ages(seconds: int, shown: str) -> None:
    assert table.age(seconds) == shown


def test_lengths_of_time() -> None:
    assert [table.duration(word) for word in ("5m", "12h", "7d", "2w")] == [
        300, 43200, 604800, 1209600,
    ]  # fmt: skip
    for word in ("7", "d", "7 days", "-1d", ""):
        with pytest.raises(UsageError):
            table.duration(word)


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (4096, "4.1 kB"), (70_000_000, "70 MB"), (3e12, "3.0 TB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert table.size(int(count)) == shown


def test_side_by_side_keeps_the_order_and_raises_the_first() -> None:
    def slow(number: int) -> int:
        time.sleep(0.02 * (5 - number))
        if number > 2:
            raise ValueError(number)
        return number * 2

    assert listing.side_by_side(slow, range(3)) == [0, 2, 4]
    assert listing.side_by_side(slow, []) == []
    with pytest.raises(ValueError, match="3"):
        listing.side_by_side(slow, [0, 1, 2, 3])


def test_a_repository_inside_another_is_not_taken_for_it(tmp_path: Path) -> None:
    outer = make_repository(tmp_path / "outer")
    inner = make_repository(outer / "inner")
    assert home.at(inner / ".git") is not None
    shutil.rmtree(inner / ".git")
    os.mkdir(inner / ".git")
    assert home.at(inner / ".git") is None
    assert home.at(inner / "nothing") is None
