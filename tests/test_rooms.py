"""The rooms of ARCHITECTURE.md: who may import whom, and how large a module may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import claude_container
from tests.conftest import PROGRAM

ROOT = Path(claude_container.__file__).parent
PACKAGE = ROOT.name
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.py")
    if not path.is_relative_to(ROOT / "demo" / "repo")
)
# Each room may use those in the rows above its own.
ROWS = (
    {"errors", "archive", "refs", "terminal", "interrupts", "passing"},
    {"process"},
    {"config", "devcontainer", "host", "git", "engines", "wire"},
    {"images", "credentials"},
    {"clone", "stock"},
    {"changes"},
    {"sessions"},
    {"demo", "login"},
    {"cli", "remote_helper"},
    {"start"},
)
RANK = {room: rank for rank, row in enumerate(ROWS) for room in row}
BELOW_CLI = [m for m in MODULES if m.split("/")[0] != "cli" and m != "start.py"]
# Programs of their own, which run in a container and are imported by nobody.
PROGRAMS = {"demo/model.py", "recipes/layers.py"}


def room(module: str) -> str:
    """cli/main.py and claude_container.cli.main alike are in the room cli."""
    return module.removesuffix(".py").split("/")[0]


def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[tuple[str, str]]:
    """(module, name) of all imports in a module, at its top or inside a function."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def rooms_used(module: str) -> set[str]:
    used = set()
    for source, name in imports(module):
        if source == PACKAGE and not name.startswith("__"):
            used.add(name)
        elif source.startswith(f"{PACKAGE}."):
            used.add(source.split(".")[1])
    return used


@pytest.mark.parametrize("module", MODULES)
def test_a_module_uses_only_its_own_room_and_the_rows_above_it(module: str) -> None:
    own = room(module)
    if own == "__init__" or module in PROGRAMS:
        assert rooms_used(module) == set()
        return
    assert own in RANK, f"{module} is in no row: give it one, here and in ARCHITECTURE.md"
    wrong = {used for used in rooms_used(module) - {own} if RANK[used] >= RANK[own]}
    assert wrong == set()


def test_every_row_is_used_by_another() -> None:
    """The reader of imports sees something at all."""
    used = set().union(*(rooms_used(module) - {room(module)} for module in MODULES))
    assert used == set(RANK) - {"start", "remote_helper"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"process.py"}))
def test_only_process_spawns(module: str) -> None:
    spawning = {"subprocess", "multiprocessing", "pty", "asyncio.subprocess"}
    wrong = [
        (source, name)
        for source, name in imports(module)
        if source in spawning and not (source == "subprocess" and name.isupper())
    ]
    calls = [
        node.attr
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr.startswith(("system", "popen", "fork", "exec", "spawn", "posix_spawn"))
    ]
    assert (wrong, calls) == ([], [])


@pytest.mark.parametrize("module", BELOW_CLI)
def test_nothing_below_cli_knows_click(module: str) -> None:
    drawing = {"click", "rich", "questionary"}
    assert {source.split(".")[0] for source, _ in imports(module)} & drawing == set()


@pytest.mark.parametrize("module", sorted(set(BELOW_CLI) - PROGRAMS))
def test_nothing_below_cli_prints(module: str) -> None:
    prints = [
        node.lineno
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"print", "input"}
    ]
    assert prints == []


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_a_program_for_the_container_needs_nothing_of_ours(program: str) -> None:
    assert rooms_used(program) == set()


def test_a_script_drops_privileges_in_one_place() -> None:
    scripts = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "recipes").glob("*.sh")}
    assert [name for name, text in scripts.items() if "--bounding-set" in text] == ["ids.sh"]
    assert [name for name, text in scripts.items() if "exec setpriv" in text] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_at_most_300_lines(module: str) -> None:
    """The engine contract, engines/base.py, among them: it is read at one go."""
    lines = len((ROOT / module).read_text(encoding="utf-8").splitlines())
    assert lines <= 300


def test_the_engine_contract_is_one_file_that_imports_no_engine() -> None:
    assert rooms_used("engines/base.py") == {"errors", "process"}
    assert not [source for source, _ in imports("engines/base.py") if ".engines" in source]


def test_version_imports_nothing_that_draws_or_parses() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", PROGRAM, "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert PACKAGE in imported and "click" in imported
    assert imported & {"rich", "msgspec", "questionary", "tomllib", "asyncio"} == set()
