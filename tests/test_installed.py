"""The wheel in clean environments: with pip on every Python here, with pipx and with uv.

Nothing of this checkout is on the path there. WHEEL=… tries one that was built before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from claude_container import __version__
from tests.conftest import TOKEN, clean_environment
from tests.test_demo import left
from tests.test_release import PYTHONS, tracked

ROOT = Path(__file__).parents[1]
OWN = f"3.{sys.version_info.minor}"
INSTALLERS = {name: Path(sys.executable).with_name(name) for name in ("pipx", "uv")}
pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("image")]


@dataclass(frozen=True)
class User:
    """Somebody with an empty home, who has claude-container's programs in `bin`, or will have."""

    home: Path
    bin: Path

    def run(self, *argv: str | Path, code: int = 0, input: str = "") -> str:
        """What a program says. It must end with this exit code."""
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            argv,
            cwd=self.home / "project",
            env={**clean_environment(self.home), "PATH": path, "UV_PYTHON_DOWNLOADS": "never"},
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        assert ran.returncode == code, f"{argv}: {ran.stdout}"
        return ran.stdout

    def version(self) -> str:
        """What is installed, which says so and nothing else."""
        said = self.run(self.bin / "claude-container", "--version")
        return said.removeprefix("claude-container ").removesuffix("\n")

    def uses_it(self) -> None:
        """All that needs a file of the package, a library, or another program of ours."""
        assert self.version() == __version__
        assert "Usage: claude-container" in self.run("claude-container", "--help")
        for shell in ("bash", "zsh", "fish"):
            assert "claude-container" in self.run("claude-container", "completion", shell)
        self.run("claude-container", "login", "--with-token", input=TOKEN)
        assert "token found" in self.run("claude-container", "auth", "status")
        checkup = self.run("claude-container", "doctor")
        assert "✓ engine" in checkup and "claude-container:: addresses" in checkup
        # git finds the other program on PATH.
        address = "claude-container::cctest-none"
        said = self.run("git", "ls-remote", address, code=128)
        assert "there is no git session cctest-none" in said
        assert "Read every digit of a nap" in self.run("claude-container", "demo")
        assert left() == ""


@pytest.fixture
def user(tmp_path: Path) -> User:
    home = tmp_path / "somebody"
    (home / "project").mkdir(parents=True)
    return User(home, home / ".local" / "bin")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := os.environ.get("WHEEL"):
        return Path(given).resolve(strict=True)
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout, for its version to change."""
    for path in tracked():
        target = tmp_path / "checkout" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target)
    return tmp_path / "checkout"


def python(version: str) -> str | None:
    """A Python of this version: ours, or one on PATH, or one of pyenv's, whose shims hide them."""
    if version == OWN:
        return sys.executable
    pyenv = Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python")
    for program in (f"python{version}", *map(str, pyenv)):
        argv = [shutil.which(program), "-c", "import ensurepip"]
        if argv[0] and subprocess.run(argv, capture_output=True).returncode == 0:
            return argv[0]
    return None


# Found while the real home is known; tests have another one.
FOUND = {version: python(version) for version in PYTHONS}


@pytest.mark.parametrize("version", PYTHONS)
def test_with_pip(version: str, user: User, wheel: Path) -> None:
    program = FOUND[version]
    if program is None:
        pytest.skip(f"no Python {version} here")
    user = User(user.home, user.home / "venv" / "bin")
    user.run(program, "-m", "venv", user.home / "venv")
    user.run(user.bin / "pip", "install", "--quiet", wheel)
    assert f"Python {version}." in user.run("claude-container", "doctor", code=1)
    user.uses_it()
    user.run(user.bin / "pip", "uninstall", "--quiet", "--yes", "claude-container")
    assert list(user.bin.glob("*claude*")) == []


def test_with_the_oldest_dependencies_that_are_allowed(user: User, wheel: Path) -> None:
    program = FOUND[PYTHONS[0]]
    if program is None:
        pytest.skip(f"no Python {PYTHONS[0]} here, which is as old")
    user = User(user.home, user.home / "venv" / "bin")
    user.run(INSTALLERS["uv"], "venv", "--quiet", "--python", program, user.home / "venv")
    install = (INSTALLERS["uv"], "pip", "install", "--python", user.bin / "python")
    oldest = ("--resolution", "lowest-direct", "--requirement", ROOT / "pyproject.toml")
    assert "click==8.1.0\n" in user.run(*install, *oldest)
    user.run(*install, "--no-deps", wheel)
    user.uses_it()


@pytest.mark.parametrize("installer", ["pipx", "uv tool"])
def test_with_an_installer_of_tools(
    installer: str, user: User, wheel: Path, checkout: Path
) -> None:
    name, *rest = installer.split()
    words = [INSTALLERS[name], *rest]
    install = [*words, "install", "--python", sys.executable]
    user.run(*install, wheel)
    user.uses_it()
    user.run(*words, "uninstall", "claude-container")
    assert list(user.bin.iterdir()) == []

    # As in the README, from a checkout, which moves on.
    user.run(*install, checkout)
    assert user.version() == __version__
    source = checkout / "src" / "claude_container" / "__init__.py"
    source.write_text(source.read_text().replace(__version__, "99.0.1"))
    user.run(*words, "upgrade", "claude-container")
    assert user.version() == "99.0.1"
    user.run(*words, "uninstall", "claude-container")

    settings = user.home / ".config" / "claude-container" / "config.toml"
    settings.write_text('token_store = "keyring"\n')
    user.run(*install, wheel)
    assert "keyring is not installed" in user.run("claude-container", "auth", "status", code=1)
    user.run(*words, "uninstall", "claude-container")
    user.run(*install, f"{wheel}[keyring]")
    # There is none on most machines, and an empty one on the others.
    assert "is not installed" not in user.run("claude-container", "auth", "status", code=1)
