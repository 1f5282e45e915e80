"""Where the repository is now that a session came from."""

from __future__ import annotations

import os
from pathlib import Path

from claude_container.clone import plain
from claude_container.git import NAMED, Repository, git
from claude_container.refs import our_ref
from claude_container.sessions.known import Session


def find(session: Session, elsewhere: Repository | None = None) -> Repository | None:
    """The repository of a session: where it was, else `elsewhere`; None: gone, or another one.

    That of a folder is made anew where it is missing; a look fetches what belongs into it.
    """
    if session.of_folder:
        return of_folder(session)
    for repository in (at(session.repository), elsewhere):
        if repository is not None and knows(repository, session):
            return repository
    return None


def of_folder(session: Session) -> Repository:
    """The repository of ours for a session of a folder."""
    return plain.scratch(session.repository, session.directory)


def at(common: Path) -> Repository | None:
    """The repository whose common git folder this is, with whatever worktrees it has."""
    if not common.is_dir():
        return None
    words = ("rev-parse", "--path-format=absolute", "--git-common-dir")
    asked = git(*NAMED, *words, cwd=common, check=False)
    found = os.fsdecode(asked.stdout).rstrip("\n")
    # An empty folder inside of another repository is part of that one.
    if asked.code != 0 or not common.samefile(found):
        return None
    return Repository(top=common, git_dir=common, common=common, branch=None, head=None)


def knows(repository: Repository, session: Session) -> bool:
    """Whether a repository has what a session began with: another may have taken its place."""
    base = our_ref(session.name, "base")
    return bool(repository.commit(base) or (session.base and repository.commit(session.base)))
