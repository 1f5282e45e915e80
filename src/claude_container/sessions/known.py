"""The git sessions that an engine has, as their volumes' labels tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from claude_container import host
from claude_container.engines.base import Engine, Volume
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.git import Repository
from claude_container.refs import our_ref
from claude_container.sessions import model

LABELS = model.VOLUME_LABELS


class NoSession(ClaudeContainerError):
    """There is no git session of that name, or it is not this repository's."""


@dataclass(frozen=True)
class Session:
    """A git session as it began. `id` tells it from others that had its name before.

    `repository` is the common git folder of the user's repository, `directory` the
    working tree it was made from. `branch` is empty where the host's HEAD was detached.
    Where `of_folder`, the directory is no git repository, and the repository one of ours,
    which can be thrown away (home.py).
    """

    name: str
    id: str
    repository: Path
    directory: Path
    branch: str
    base: str
    created: int
    of_folder: bool = False

    def is_of(self, repository: Repository) -> bool:
        """Whether it came from this repository, which may have been moved since."""
        if self.of_folder:
            return False
        if repository.common == self.repository:
            return True
        if self.repository.exists():
            # Where case does not count, one folder has many spellings.
            return self.repository.samefile(repository.common)
        return repository.commit(our_ref(self.name, "base")) is not None


def sessions(volumes: Iterable[Volume]) -> list[Session]:
    """The git sessions among volumes that were listed with LABELS, by name."""
    found = [_session(v) for v in volumes if v.labels.get(model.KIND) == model.WORKSPACE_KIND]
    return sorted(found, key=lambda session: session.name.lower())


def find(engine: Engine, name: str) -> Session | None:
    """The git session of that name, half-made or not. Raises EngineError."""
    volumes = engine.volumes({model.SESSION: name, model.KIND: model.WORKSPACE_KIND}, LABELS)
    return next(iter(sessions(volumes)), None)


def need(engine: Engine, name: str) -> Session:
    """The session of that name. Raises NoSession, and UsageError for what can be no name."""
    model.check_name(name)
    session = find(engine, name)
    if session is None:
        every = sessions(engine.volumes({model.KIND: model.WORKSPACE_KIND}, LABELS))
        known = ", ".join(other.name for other in every[:10])
        hint = f"there are: {known}" if known else "claude-container start NAME makes one"
        raise NoSession(f"there is no git session {name}", hint=hint)
    return session


def check_case(volumes: Iterable[Volume], name: str) -> None:
    """Raise UsageError where there is a session whose name differs in case alone."""
    for volume in volumes:
        other = volume.labels.get(model.SESSION, "")
        if other != name and other.lower() == name.lower():
            raise UsageError(
                f"there is a session {other}, and names are unique whatever the case",
                hint="take that one, or another name",
            )


def check_stands(session: Session, directory: Path) -> None:
    """Raise NoSession unless a directory is the folder of a session, or lies in it."""
    if not session.directory.is_dir():
        raise NoSession(
            f"session {session.name} belongs to {session.directory}, which is gone",
            hint="move it back, or lay a link there to where it is now: ln -s",
        )
    if not host.holds(session.directory, directory):
        raise NoSession(
            f"session {session.name} belongs to the folder {session.directory}",
            hint=f"cd {session.directory}",
        )


def check_belongs(session: Session, repository: Repository | None) -> Repository:
    """The repository, if the session is its own. Raises NoSession with where to go."""
    if repository is None or not session.is_of(repository):
        where = "no git repository" if repository is None else "another repository"
        raise NoSession(
            f"session {session.name} belongs to {session.directory}, and this is {where}",
            hint=f"cd {session.directory}"
            if session.repository.exists()
            else "that repository is gone: go to where it was moved",
        )
    return repository


def _session(volume: Volume) -> Session:
    said = volume.labels
    name, id = said.get(model.SESSION, volume.name), said.get(model.LAUNCH, "")
    of_folder = said.get(model.REPOSITORY) == model.NO_REPOSITORY
    return Session(
        name=name,
        id=id,
        repository=scratch(name, id)
        if of_folder
        else Path(said.get(model.REPOSITORY, "/nonexistent")),
        directory=Path(said.get(model.DIRECTORY, "/nonexistent")),
        branch=said.get(model.BRANCH, ""),
        base=said.get(model.BASE, ""),
        created=model.created(said),
        of_folder=of_folder,
    )


def scratch(name: str, id: str) -> Path:
    """Where the repository of ours lies for a session of a folder."""
    return _scratches() / f"{name}-{id}.git"


def is_scratch(git_dir: Path) -> bool:
    """Whether a repository is one of ours for a session of a folder."""
    return git_dir.parent == _scratches()


def _scratches() -> Path:
    return (host.cache_dir() or Path("/nonexistent")) / "folders"
