"""Looking at a session: one fetch, into refs of ours, checked before any of them moves."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
from collections.abc import Sequence

from claude_container import host, images
from claude_container.changes import figures, own, trees
from claude_container.changes.figures import Figures, Other
from claude_container.changes.folder import record
from claude_container.engines.base import Engine
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository
from claude_container.process import ProcessError
from claude_container.refs import our_ref
from claude_container.sessions import transport
from claude_container.sessions.known import Session
from claude_container.terminal import visible
from claude_container.wire.bounds import Limits

_NOTHING_ELSE = (
    "fetch.fsckObjects=true",
    "fetch.writeCommitGraph=false",
    "transfer.bundleURI=false",
    "protocol.fd.allow=always",
    "protocol.claude-container.allow=always",
)
_TOLD = 4 << 20  # bytes that a session can tell of itself
_PATHS = 5_000_000
# What no old repository holds by accident, and what git on another system could fall for.
_HARMFUL = re.compile("hasDot|gitmodules|gitattributes|fullPathname")
_FSCK = re.compile(r"object ([0-9a-f]{40,64}): (\w+): (.*)")


class Unfit(ClaudeContainerError):
    """What the session holds is not taken into the repository."""


def look(
    engine: Engine,
    repository: Repository,
    session: Session,
    progress: images.Progress,
    *,
    limits: Limits,
    counted: bool = True,
) -> Figures:
    """Bring what the session holds into refs/claude-container/NAME/*; return its figures.

    Within `limits`, packed and unpacked alike. Unless `counted`, what a merge
    would bring is left for the caller to count and keep. Raises Unfit and
    TransportError, with the refs as they were.
    """
    # Of this process and this call: another look at the same session may be under way.
    incoming = f"{_incoming(session)}{host.launcher_word()}"
    try:
        known = _known(repository, session)
        wanted = [f"+refs/claude-container/look:{incoming}"]
        if session.of_folder and our_ref(session.name, "base") not in repository.refs(
            our_ref(session.name, "base")
        ):
            # Our repository was thrown away. An id is an id, whoever gives the object.
            wanted += [f"+{session.base}:{our_ref(session.name, n)}" for n in ("base", "origin")]
        _fetch(engine, repository, session, wanted, known, progress, limits)
        head, others, told = _read(repository, session, incoming)
        _check_paths(repository, session, [head, *others], known)
        seen = _figures(session, head, others, told)
        new: dict[str, str | None] = {incoming: None, our_ref(session.name, "head"): head}
        for old in repository.refs(our_ref(session.name, "other/"), _incoming(session)):
            if old.startswith(our_ref(session.name, "other/")) or _is_left(session, old):
                new[old] = None
        for number, commit in enumerate(others, 1):
            new[our_ref(session.name, f"other/{number}")] = commit
        _set(repository, session, new)
    except BaseException:
        with contextlib.suppress(ProcessError):
            repository.update_refs({incoming: None})
        raise
    return count(repository, session, seen) if counted else seen


def count(repository: Repository, session: Session, seen: Figures) -> Figures:
    """The figures with the commits that a merge would bring now, kept."""
    branches = ["HEAD", *([f"refs/heads/{session.branch}"] if session.branch else [])]
    if session.of_folder:
        ahead = len(record.remaining(repository, session.name, session.directory))
    else:
        ahead = len(own.remaining(repository, session.name, branches=branches))
    return keep(repository, session, dataclasses.replace(seen, ahead=ahead))


def keep(repository: Repository, session: Session, seen: Figures) -> Figures:
    """Keep figures as those of the last look, for `list`; and return them."""
    blob = figures.write(repository, seen)
    _set(repository, session, {our_ref(session.name, "look"): blob})
    return seen


def _set(repository: Repository, session: Session, new: dict[str, str | None]) -> None:
    """Set refs, all or none, unless the session was deleted meanwhile. Raises Unfit."""
    base = our_ref(session.name, "base")
    try:
        repository.update_refs(new, old={base: repository.refs(base).get(base, "gone")})
    except ProcessError as error:
        if repository.refs(base):
            raise
        what = f"this repository knows no session {session.name} any more"
        raise Unfit(what, hint="it was deleted just now, or made from another clone") from error


def _known(repository: Repository, session: Session) -> list[str]:
    """What of the session's history is here already."""
    ours = repository.refs(our_ref(session.name, "").rstrip("/"))
    names = [our_ref(session.name, name) for name in ("base", "head")]
    return [ours[name] for name in names if name in ours]


def _fetch(
    engine: Engine,
    repository: Repository,
    session: Session,
    wanted: Sequence[str],
    known: list[str],
    progress: images.Progress,
    limits: Limits,
) -> None:
    tips = [repository.head, *known]
    serving = transport.Serving(engine, session.name, progress, limits)
    try:
        with serving:
            repository.git(
                *(word for setting in _NOTHING_ELSE for word in ("-c", setting)),
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-auto-maintenance",
                "--no-write-fetch-head",
                "--no-prune",
                *(f"--negotiation-tip={tip}" for tip in dict.fromkeys(filter(None, tips))),
                serving.address,
                *wanted,
                timeout=None,
                env=serving.env,
                pass_fds=serving.fds,
                # ^C: what is in the middle of coming is of no use.
                finish=0.2,
            )
    except ProcessError as error:
        raise _refused(session, error.stderr, serving.failed) from error


def _refused(
    session: Session, said: str, failed: ClaudeContainerError | None
) -> ClaudeContainerError:
    """What a fetch failed by: git here, or what served it."""
    if found := _FSCK.search(said):
        object, check, why = found.groups()
        return Unfit(
            f"git refuses what session {session.name} holds: {check}",
            evidence=f"object {object}: {visible(why)}",
            hint=f"git commit --amend in it, or begin anew: claude-container shell {session.name}"
            if _HARMFUL.match(check)
            else f"to take such objects all the same: git config fetch.fsck.{check} warn",
        )
    if session.of_folder and "not our ref" in said + (failed.evidence if failed else ""):
        return Unfit(
            f"what session {session.name} began with is neither in it any more nor here",
            evidence=f"commit {session.base}",
            hint=f"git clone claude-container::{session.name} FOLDER brings what it holds now",
        )
    return failed or transport.explained(said, f"cannot fetch from session {session.name}")


def _read(repository: Repository, session: Session, incoming: str) -> tuple[str, list[str], bytes]:
    """What workspace.sh made for us: HEAD, the other tips, and what it tells of them."""
    names = f"{incoming}\n{incoming}:look\n".encode()
    sizes = repository.git("cat-file", "--batch-check=%(objectsize)", input=names).text.split()
    if sizes[:1] == [incoming]:  # "… missing": git took nothing, and called that a success
        raise Unfit(
            f"the history of session {session.name} is cut off where yours is not",
            hint=f"claude-container shell {session.name}, and look at .git/shallow there",
        )
    if not all(size.isdecimal() and int(size) < _TOLD for size in sizes):
        raise _nonsense(session)
    (_, commit), (_, told) = trees.objects(repository, names)
    parents = re.findall(r"^parent (\w+)$", commit.partition(b"\n\n")[0].decode(), re.MULTILINE)
    if len(parents) == told.partition(b"\n\n")[0].count(b"\n") - 1:
        raise Unfit(
            f"session {session.name} has no commit at its HEAD",
            hint=f"claude-container shell {session.name}, and look at git status there",
        )
    if not parents:
        raise _nonsense(session)
    return parents[0], parents[1:], told


def _check_paths(
    repository: Repository, session: Session, tips: list[str], known: list[str]
) -> None:
    """Raise Unfit where a few trees stand for more files than git can compare."""
    here = ["--not", "--branches", "--remotes", "--tags", *known]
    try:
        new = repository.git("rev-list", *tips, *here).stdout
        paths = trees.most_paths(repository, new) if new else 0
    except ProcessError as error:
        raise Unfit(
            f"git cannot read what session {session.name} holds", evidence=visible(error.what)
        ) from error
    if paths > _PATHS:
        raise Unfit(f"session {session.name} holds a commit of {paths:,} paths: git cannot cope")


def _figures(session: Session, head: str, others: Sequence[str], told: bytes) -> Figures:
    """Read what workspace.sh told; all of it is an agent's."""
    try:
        top, _, rest = told.partition(b"\n\n")
        branch, unseen, *rows = top.split(b"\n")
        count, _, listed = rest.partition(b"\n")
        names = [os.fsdecode(row.split(b" ", 1)[1]) for row in rows]
        pending = [row.decode(errors="replace") for row in listed.split(b"\0") if row]
        return Figures(
            time=int(time.time()),
            session=session.id,
            head=head,
            branch=branch.decode(errors="replace") or None,
            pending=tuple(pending[:1000]),
            pending_count=max(-1, int(count)),
            others=tuple(map(Other, names, others)),
            unseen=max(0, int(unseen)),
        )
    except (ValueError, IndexError) as error:
        raise _nonsense(session) from error


def _nonsense(session: Session) -> Unfit:
    return Unfit(f"session {session.name} tells nonsense of itself")


def _incoming(session: Session) -> str:
    return our_ref(session.name, "incoming/")


def _is_left(session: Session, ref: str) -> bool:
    """Whether a ref is of a look that was killed."""
    return host.word_is_left(ref.removeprefix(_incoming(session)))
