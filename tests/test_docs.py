"""The documentation says what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from claude_container import images
from claude_container.cli.main import FLAGS, VERBS
from claude_container.config import Settings

ROOT = Path(__file__).parents[1]


def test_the_command_reference_is_current() -> None:
    argv = [sys.executable, str(ROOT / "scripts" / "commands.py"), "--check"]
    checked = subprocess.run(argv, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme_or_the_changelog(verb: str) -> None:
    assert f"{verb}" in (ROOT / "README.md").read_text() + (ROOT / "CHANGELOG.md").read_text()


def test_every_setting_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in Settings.__dataclass_fields__ if name not in readme] == []


def test_what_an_image_needs_is_what_is_looked_for() -> None:
    named = re.search(r"^\| `(cat .*?)` \|", (ROOT / "docs" / "own-images.md").read_text(), re.M)
    looked_for = re.search(r"for program in (cat .*?);", (images.RECIPES / "look.sh").read_text())
    assert named and looked_for
    assert named[1] == looked_for[1]


def test_the_originals_flags_lead_to_verbs() -> None:
    assert set(FLAGS.values()) <= set(VERBS)
