"""Draw docs/demo.svg, the README's picture, from a real run of the demo."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ran = subprocess.run(
    [Path(sys.executable).with_name("claude-container"), "demo"],
    env={**os.environ, "CLICOLOR_FORCE": "1", "COLUMNS": "80"},
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    check=True,
)
console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
console.print(Text("$ claude-container demo", style="bold"))
console.print(Text.from_ansi(ran.stdout.partition("That was the real")[0].rstrip()))
svg = console.export_svg(title="claude-container demo")
# The fonts would come from somebody's server: a viewer's own will do.
svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
# Some viewers drop blanks at the edges of a text, even those that may not break.
svg = svg.replace("<text ", '<text xml:space="preserve" ')
Path(__file__).parents[1].joinpath("docs", "demo.svg").write_text(svg)
