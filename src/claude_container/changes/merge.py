"""Carry out a merge that was planned, in the user's repository, with the user's git."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass

from claude_container.changes import ready, taken, undo, worktree
from claude_container.changes.commits import Commit
from claude_container.changes.plan import FAST_FORWARD, MERGE, NOTHING, Plan, check
from claude_container.changes.taken import DONE, STARTED, Pick, Record, Refused, lines
from claude_container.errors import ClaudeContainerError
from claude_container.git import Repository, git
from claude_container.process import Completed
from claude_container.refs import our_ref
from claude_container.terminal import visible

# A message as it is, and no checkout of submodules, whatever the user's own settings.
_AS_IT_IS = ("-c", "commit.cleanup=verbatim", "-c", "submodule.recurse=false")


@dataclass(frozen=True)
class Outcome:
    """What became of a plan. Paths and subjects are an agent's: show them through visible()."""

    kind: str
    branch: str  # a full ref
    before: str
    after: str
    commits: tuple[Commit, ...]  # those brought or, after a conflict, to be brought
    created: bool = False
    new_ids: bool = False
    dropped: int = 0  # the branch had their change already
    conflicts: tuple[str, ...] = ()  # paths
    stopped: Commit | None = None  # the commit that conflicts
    left: tuple[Commit, ...] = ()  # those after it
    commands: tuple[str, ...] = ()  # what ends it, for the user to type

    @property
    def finished(self) -> bool:
        """Whether nothing is left for the user to end."""
        return not self.commands


def apply(repository: Repository, planned: Plan, *, no_conflicts: bool = False) -> Outcome:
    """Do it. Raises Refused where nothing was done, and puts back what was begun in vain.

    A conflict is an outcome, with git in the usual state; with `no_conflicts` or on a
    branch that is not checked out it is refused. Cut short by ^C, the record says
    what was going on: undo() takes it back, and the next plan() counts what was done.
    """
    if planned.kind == NOTHING:
        return _outcome(planned, planned.before)
    check(repository, planned)
    if planned.in_place:
        return _here(repository, planned, no_conflicts=no_conflicts)
    if planned.kind == FAST_FORWARD:
        after, dropped = planned.head, 0
    else:
        after, dropped = _aside(repository, planned)
    done = taken.make(repository, planned.session, _done(_record(planned), after))
    merged = our_ref(planned.session, "merged")
    refs = [(planned.branch, after, planned.tip), (merged, done.id, done.previous)]
    taken.move(repository, refs, _why(planned))
    return _outcome(planned, after, dropped=dropped)


def _why(planned: Plan) -> str:
    return f"merge session {planned.session}"


def _record(planned: Plan) -> Record:
    before = planned.record
    return Record(
        state=STARTED,
        kind=planned.kind,
        branch=planned.branch,
        before=planned.before,
        head=planned.head,
        picks=planned.picks,
        earlier=tuple(sorted(before.taken)) if before else (),
        created=planned.created,
        snapshot=planned.snapshot,
        previous=before.id if before else None,
    )


def _done(record: Record, after: str) -> Record:
    brought = tuple(id for pick in record.picks for id in pick.stands_for)
    return dataclasses.replace(record, state=DONE, after=after, brought=brought)


def _outcome(planned: Plan, after: str, **more: object) -> Outcome:
    outcome = Outcome(
        kind=planned.kind,
        branch=planned.branch,
        before=planned.before,
        after=after,
        commits=planned.commits,
        created=planned.created,
        new_ids=planned.kind not in (NOTHING, FAST_FORWARD, MERGE),
    )
    return dataclasses.replace(outcome, **more)  # type: ignore[arg-type]


def _here(repository: Repository, planned: Plan, *, no_conflicts: bool) -> Outcome:
    """In the user's own working tree."""
    record = dataclasses.replace(_record(planned), place=str(repository.git_dir))
    if planned.snapshot:
        record = dataclasses.replace(record, index=repository.git("write-tree").text)
    record = taken.write(repository, planned.session, record, old=record.previous)
    dropped = 0
    if planned.kind == FAST_FORWARD:
        ran = _fast_forward(repository, planned)
    elif planned.kind == MERGE:
        ran = _merge(repository, planned)
    else:
        ran, dropped = _pick(repository, planned.picks)
    if ran.code == 0:
        after = repository.git("rev-parse", "HEAD").text
        taken.write(repository, planned.session, _done(record, after), old=record.id)
        return _outcome(planned, after, dropped=dropped)
    conflicts = _conflicts(repository, ran)
    if conflicts is None or no_conflicts:
        undo.abort(repository, planned.session, record)
        raise _failed(planned, ran, conflicts)
    return _stopped(repository, planned, conflicts, dropped)


def _fast_forward(repository: Repository, planned: Plan) -> Completed:
    if planned.snapshot:
        done = repository.git("reset", "--quiet", planned.snapshot, check=False)
        if done.code != 0:
            return done
    words = ("merge", "--ff-only", "--commit", "--no-squash", "--no-autostash", "--quiet")
    return _run(repository, *words, planned.head)


def _merge(repository: Repository, planned: Plan, settings: Sequence[str] = ()) -> Completed:
    message = planned.message or f"Merge session {planned.session}"
    words = ("merge", "--no-ff", "--commit", "--no-squash", "--no-autostash", "--quiet")
    return _run(repository, *settings, *words, "-m", message, planned.head)


def _pick(
    repository: Repository, picks: Sequence[Pick], settings: Sequence[str] = ()
) -> tuple[Completed, int]:
    """Replay commits; also how many were left out, for their change was there already."""
    todo = "".join(f"{pick.id}\n" for pick in picks).encode()
    words = ("cherry-pick", "--allow-empty", "--allow-empty-message", "--stdin")
    ran = _run(repository, *settings, *words, input=todo)
    dropped = 0
    while ran.code != 0 and b"cherry-pick is now empty" in ran.stdout + ran.stderr:
        dropped += 1
        ran = _run(repository, *settings, "cherry-pick", "--skip")
    return ran, dropped


def _run(repository: Repository, *words: str, input: bytes | None = None) -> Completed:
    # However many commits there are, and however long each takes.
    return git(*_AS_IT_IS, *words, cwd=repository.top, check=False, input=input, timeout=None)


def _conflicts(repository: Repository, ran: Completed) -> tuple[str, ...] | None:
    """The paths in conflict, or None if git stopped for another reason.

    With rerere.autoUpdate all may be resolved, and still be for the user to commit.
    """
    shown = repository.git("diff", "--name-only", "--diff-filter=U", "-z", "--no-ext-diff")
    paths = tuple(os.fsdecode(path) for path in shown.stdout.split(b"\0") if path)
    said = ran.stdout + ran.stderr
    conflict = b"could not apply" in said or b"Automatic merge failed" in said
    return paths if paths or conflict else None


def _failed(planned: Plan, ran: Completed, conflicts: Sequence[str] | None) -> ClaudeContainerError:
    if conflicts is None:
        return Refused("git refused this merge, so nothing changed", evidence=ran.error_text)
    hint = ""
    if not planned.in_place:
        hint = f"check it out and merge there: git switch {planned.branch_name}"
    return Refused(
        f"this conflicts with {planned.branch_name}, so nothing changed",
        evidence=lines(map(visible, conflicts)),
        hint=hint,
    )


def _stopped(
    repository: Repository, planned: Plan, conflicts: tuple[str, ...], dropped: int
) -> Outcome:
    stopped: Commit | None = None
    left: tuple[Commit, ...] = ()
    if planned.kind != MERGE:
        at = repository.commit("CHERRY_PICK_HEAD")
        ids = [pick.id for pick in planned.picks]
        if at in ids and len(ids) == len(planned.commits):
            index = ids.index(at)
            stopped, left = planned.commits[index], planned.commits[index + 1 :]
    return _outcome(
        planned,
        repository.git("rev-parse", "HEAD").text,
        dropped=dropped,
        conflicts=conflicts,
        stopped=stopped,
        left=left,
        commands=ready.commands("merge" if planned.kind == MERGE else "cherry-pick"),
    )


def _aside(repository: Repository, planned: Plan) -> tuple[str, int]:
    """Replay or merge on a branch that no working tree shows: its new tip, and what was dropped."""
    with worktree.empty(repository, planned.session, planned.before) as here:
        dropped = 0
        if planned.kind == MERGE:
            ran = _merge(here, planned, worktree.SPARSE)
        else:
            ran, dropped = _pick(here, planned.picks, worktree.SPARSE)
        if ran.code != 0:
            raise _failed(planned, ran, _conflicts(here, ran))
        return here.git("rev-parse", "HEAD").text, dropped
