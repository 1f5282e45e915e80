"""Looking at a session: one fetch, into refs of ours, checked before any of them moves."""

from __future__ import annotations

import dataclasses
import os
import re
import time

from claude_container import images
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from claude_container.process import ProcessError
from claude_container.sessions import figures, model, own, transport
from claude_container.sessions.figures import Figures, Other
from claude_container.sessions.known import Session

# Tells our remote helper that it is us who fetch, and how many bytes may come.
VARIABLE = "CLAUDE_CONTAINER_LOOK"
_NOTHING_ELSE = (
    "fetch.fsckObjects=true",
    "fetch.writeCommitGraph=false",
    "transfer.bundleURI=false",
    "protocol.claude-container.allow=always",
)
_FSCK = re.compile(r"object ([0-9a-f]{40,64}): (\w+): (.*)")


class Unfit(ClaudeContainerError):
    """What the session holds is not taken into the repository."""


def look(
    engine: Engine,
    repository: Repository,
    session: Session,
    progress: images.Progress,
    *,
    limit: int = transport.LIMIT,
) -> Figures:
    """Bring what the session holds into refs/claude-container/NAME/*; return its figures.

    At most `limit` bytes, packed and unpacked alike. Raises Unfit and TransportError,
    with the refs as they were.
    """
    incoming = model.ref(session.name, "incoming")
    try:
        _fetch(engine, repository, session, incoming, limit)
        came = repository.refs(f"{incoming}/")
        head = came.get(f"{incoming}/head")
        if head is None:
            raise Unfit(
                f"session {session.name} has no commit at its HEAD",
                hint=f"claude-container shell {session.name}, and look at git status there",
            )
        others = _others(came, incoming)
        _check_size(repository, session, [head, *others.values()], limit)
        told = repository.git("cat-file", "blob", came[f"{incoming}/claude-container/look"])
    except BaseException:
        _drop(repository, incoming)
        raise
    seen = _figures(session, head, told.stdout, others)
    new: dict[str, str | None] = dict.fromkeys(came)
    new.update(dict.fromkeys(repository.refs(model.ref(session.name, "other/"))))
    for number, commit in others.items():
        new[model.ref(session.name, f"other/{number}")] = commit
    new[model.ref(session.name, "head")] = head
    repository.update_refs(new)
    return count(repository, session, seen)


def count(repository: Repository, session: Session, seen: Figures) -> Figures:
    """The figures with the commits that a merge would bring now; kept as those of the last look."""
    branches = ["HEAD", *([f"refs/heads/{session.branch}"] if session.branch else [])]
    ahead = len(own.remaining(repository, session.name, branches=branches))
    seen = dataclasses.replace(seen, ahead=ahead)
    blob = figures.write(repository, seen)
    repository.update_refs({model.ref(session.name, "look"): blob})
    return seen


def _fetch(
    engine: Engine, repository: Repository, session: Session, incoming: str, limit: int
) -> None:
    tips = [repository.head, *repository.refs(model.ref(session.name, "base")).values()]
    tips += repository.refs(model.ref(session.name, "head")).values()
    try:
        repository.git(
            *(word for setting in _NOTHING_ELSE for word in ("-c", setting)),
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--no-write-fetch-head",
            "--no-prune",
            "--atomic",
            *(f"--negotiation-tip={tip}" for tip in dict.fromkeys(filter(None, tips))),
            f"claude-container::{engine.name}:{session.name}",
            f"+HEAD:{incoming}/head",
            f"+refs/claude-container/*:{incoming}/claude-container/*",
            env={VARIABLE: str(limit)},
            timeout=None,
        )
    except ProcessError as error:
        raise _refused(session, error.stderr) from error


def _refused(session: Session, said: str) -> ClaudeContainerError:
    """What git, or our own helper in between, said of a fetch that failed."""
    if found := _FSCK.search(said):
        object, check, why = found.groups()
        return Unfit(
            f"git refuses what session {session.name} holds: {check}",
            evidence=f"object {object}: {why}",
            hint=f"to take such objects all the same: git config fetch.fsck.{check} warn",
        )
    return transport.explained(said, f"cannot fetch from session {session.name}")


def _others(came: dict[str, str], incoming: str) -> dict[int, str]:
    prefix = f"{incoming}/claude-container/other/"
    return {int(n[len(prefix) :]): id for n, id in came.items() if n.startswith(prefix)}


def _check_size(repository: Repository, session: Session, tips: list[str], limit: int) -> None:
    """Raise Unfit where the new objects are more bytes than `limit`, however well packed."""
    known = ["--not", "--branches", "--remotes", "--tags"]
    known += repository.refs(model.ref(session.name, "base")).values()
    known += repository.refs(model.ref(session.name, "head")).values()
    new = repository.git("rev-list", "--objects", "--no-object-names", *tips, *known)
    sizes = repository.git("cat-file", "--batch-check=%(objectsize)", input=new.stdout)
    total = sum(int(size) for size in sizes.stdout.split())
    if total > limit:
        raise Unfit(
            f"session {session.name} brings {total / 1e9:.1f} GB: more than {limit / 1e9:.1f}",
            hint='fetch_limit = "20g" in your config file allows more',
        )


def _drop(repository: Repository, incoming: str) -> None:
    try:
        repository.update_refs(dict.fromkeys(repository.refs(f"{incoming}/")))
    except ProcessError:
        return  # the next look overwrites them


def _figures(session: Session, head: str, told: bytes, others: dict[int, str]) -> Figures:
    """Read what workspace.sh told; all of it is an agent's."""
    try:
        top, _, rest = told.partition(b"\n\n")
        branch, total, *rows = top.split(b"\n")
        count, _, listed = rest.partition(b"\n")
        names = {n: os.fsdecode(row.split(b" ", 1)[1]) for n, row in enumerate(rows, 1)}
        pending = [row.decode(errors="replace") for row in listed.split(b"\0") if row]
        return Figures(
            time=int(time.time()),
            session=session.id,
            head=head,
            branch=branch.decode(errors="replace") or None,
            pending=tuple(pending[:1000]),
            pending_count=int(count),
            others=tuple(Other(names[n], id) for n, id in sorted(others.items())),
            unseen=max(0, int(total) - len(rows)),
        )
    except (ValueError, IndexError, KeyError) as error:
        raise Unfit(f"session {session.name} tells nonsense of itself") from error
