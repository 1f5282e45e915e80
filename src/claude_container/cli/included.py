"""Ignored files that a repository wants along into a session: they come once the user said so."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from claude_container import config, host
from claude_container.cli import brought
from claude_container.cli.console import Console
from claude_container.cli.settings import Resolved
from claude_container.clone import luggage
from claude_container.errors import UsageError
from claude_container.git import Repository
from claude_container.terminal import visible

_NAMED = 20


@dataclass(frozen=True)
class Asked:
    """What a directory asks for, as patterns of gitignore(5), and which files of it ask."""

    patterns: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def things(self) -> Mapping[str, str]:
        """What config.TrustStore keeps: all as a whole, as a pattern can take back another's."""
        whole = json.dumps(self.patterns).encode()
        return {"patterns": hashlib.sha256(whole).hexdigest()} if self.patterns else {}


def asked(directory: Path, include: tuple[str, ...]) -> Asked:
    """What the directory's own files ask for; `include` is that of its project file.

    Raises UsageError for a file that cannot be read.
    """
    files = (config.PROJECT_FILE,) if include else ()
    file = directory / luggage.INCLUDE_FILE
    if not file.is_file():
        return Asked(include, files)
    try:
        content = host.read_regular(file)
    except OSError as error:
        raise UsageError(f"cannot read {file}", evidence=str(error)) from error
    lines = content.decode(errors="surrogateescape").splitlines()
    named = tuple(line for line in lines if line.strip() and not line.startswith("#"))
    return Asked((*named, *include), (*((luggage.INCLUDE_FILE,) if named else ()), *files))


def trusted_as(directory: Path) -> Path:
    """What the answer is kept under: apart from that about what else the directory brings."""
    return directory / luggage.INCLUDE_FILE


def patterns(
    console: Console, repository: Repository, chosen: Resolved, *, trust: bool
) -> tuple[str, ...]:
    """The patterns that count: the user's own, and the repository's if the user says so.

    On a terminal that is asked once, with the names of the files.
    """
    own, wanted = chosen.settings.include, asked(repository.top, chosen.include)
    both = (*wanted.patterns, *own)
    store = config.TrustStore(host.config_dir(os.environ))
    answer = False if store.said(repository.top) is False else None
    if answer is None:
        answer = store.answer(trusted_as(repository.top), wanted.things)
    if trust or answer or not wanted.patterns:
        return both
    mine = set(luggage.included(repository, own))
    names = [name for name in luggage.included(repository, both) if name not in mine]
    if not names:
        return own
    asks = " and ".join(wanted.files)
    shown = ", ".join(map(visible, names[:_NAMED]))
    if len(names) > _NAMED:
        shown += f" and {len(names) - _NAMED} more"
    if answer is None and console.terminal:
        console.warn(f"{asks} wants ignored files in the session: {shown}")
        answer = console.confirm("Let them come along, now and later?")
        store.remember(trusted_as(repository.top), wanted.things if answer else False)
        return both if answer else own
    console.warn(f"not in the session, though {asks} names it: {shown}")
    let = brought.trust_command(repository.top)
    console.hint(f"{let} lets such files come along (for this once: --trust)")
    return own
