"""What a merge would bring, and how: found out, and refused, before anything is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from claude_container.changes import automerge, own, ready, squash, target
from claude_container.changes.commits import Commit
from claude_container.changes.taken import Pick, Record, Refused, lines, read, settle
from claude_container.clone import snapshot
from claude_container.clone.submodules import in_submodule
from claude_container.errors import UsageError
from claude_container.git import Repository
from claude_container.terminal import visible

NOTHING, FAST_FORWARD, REPLAY, SQUASH, MERGE = (
    "nothing",
    "fast-forward",
    "replay",
    "squash",
    "merge",
)


@dataclass(frozen=True)
class Options:
    """What was asked for. `chosen` and `ranges` name commits; without them: all that is new."""

    into: str | None = None
    squash: bool = False
    merge: bool = False
    with_snapshot: bool = False
    message: str | None = None  # of a squash or a merge
    ranges: tuple[str, ...] = ()  # as typed
    chosen: tuple[str, ...] | None = None  # ids


@dataclass(frozen=True)
class Warn:
    """Something that will not come along as one may think."""

    kind: str
    path: str
    why: str


@dataclass(frozen=True)
class Plan:
    """What would happen. Subjects, authors and paths are an agent's: see visible()."""

    session: str
    kind: str
    branch: str  # a full ref
    before: str  # its tip, or where it would be made
    head: str
    since: str  # what the session began with, or was last brought up to
    commits: tuple[Commit, ...]  # to bring
    picks: tuple[Pick, ...] = ()
    created: bool = False  # the branch is not there yet
    in_place: bool = False  # it is the one checked out here
    snapshot: str | None = None  # to be committed first
    offer: str | None = None  # one that --with-snapshot may commit
    message: str | None = None
    taken: tuple[Commit, ...] = ()  # left out: brought before
    equal: tuple[Commit, ...] = ()  # left out: the branch has the same change
    record: Record | None = None
    warnings: tuple[Warn, ...] = ()
    touched: ready.Touched | None = field(default=None, repr=False)

    @property
    def branch_name(self) -> str:
        """The branch, as users call it."""
        return self.branch.removeprefix("refs/heads/")

    @property
    def tip(self) -> str | None:
        """What the branch has to be at for this plan to be carried out."""
        return None if self.created else self.before


def plan(repository: Repository, session: str, options: Options = Options()) -> Plan:
    """Find out what a merge would do. Raises Refused or UsageError.

    Nothing changes, but the record, where an earlier merge was cut short.
    """
    _check_options(options)
    where = own.refs(repository, session)
    record = read(repository, session)
    if under_way := ready.ours(record):
        raise Refused(
            f"an earlier merge of session {session} is not at its end",
            evidence=lines(ready.commands(under_way)),
            hint=f"end it with one of these, or: claude-container merge {session} --undo",
        )
    record = settle(repository, session)
    branch, tip = target.find(repository, options.into)
    before = tip or where.origin
    in_place = branch == _here(repository)
    found = own.sort(repository, where, [before], record.taken if record else ())
    chosen = _chosen(repository, where, found, options)
    new = {commit.id for commit in found.new}
    # A merge brings all there is, so it takes what was brought under another id once more.
    wanted = tuple(c for c in found.own if c.id not in found.there) if options.merge else chosen
    base = Plan(
        session=session,
        kind=NOTHING,
        branch=branch,
        before=before,
        head=where.head,
        since=_since(repository, where),
        commits=wanted if new or options.ranges or options.chosen is not None else (),
        created=tip is None,
        in_place=in_place,
        offer=where.snapshot if in_place and before == where.origin else None,
        message=options.message,
        taken=tuple(c for c in found.own if c.id in found.taken - found.there),
        equal=tuple(c for c in found.own if c.id in found.equal - found.taken - found.there),
        record=record,
    )
    planned = _how(repository, where, found, base, options)
    if planned.kind != NOTHING:
        planned = _looked_at(repository, planned)
        check(repository, planned)
    return planned


def _check_options(options: Options) -> None:
    if options.squash and options.merge:
        raise UsageError("--squash and --merge are two ways: choose one")
    if options.merge and (options.ranges or options.chosen is not None):
        raise UsageError("--merge brings all of a session: it goes with no choice of commits")
    if options.message is not None and not (options.squash or options.merge):
        raise UsageError("-m is for the commit that --squash or --merge makes")
    if options.with_snapshot and (options.squash or options.merge or options.into):
        raise UsageError("--with-snapshot fast-forwards the branch that is checked out")


def _here(repository: Repository) -> str | None:
    return f"refs/heads/{repository.branch}" if repository.branch else None


def _since(repository: Repository, where: own.Refs) -> str:
    pushed = where.pushed
    return pushed if pushed and repository.is_ancestor(pushed, where.head) else where.base


def _chosen(
    repository: Repository, where: own.Refs, found: own.Sorted, options: Options
) -> tuple[Commit, ...]:
    """The commits to bring: what was named, else all that is new."""
    if options.chosen is None and not options.ranges:
        return found.new
    words = [*options.ranges, *(options.chosen or ())]
    ids = own.named(repository, where, found.own, words) - found.there
    return tuple(commit for commit in found.own if commit.id in ids)


def _how(
    repository: Repository, where: own.Refs, found: own.Sorted, base: Plan, options: Options
) -> Plan:
    if options.with_snapshot:
        base = _with_snapshot(repository, where, base)
    if not base.commits and base.snapshot is None:
        return base
    if not options.squash and not repository.is_ancestor(where.base, where.head):
        raise Refused(
            "this session rewrote what it began with, so its commits are not yours to tell apart",
            evidence=f"it began with {where.base[:10]}, which {where.head[:10]} does not build on",
            hint="--squash brings the difference as one commit",
        )
    apart = _count(repository, where.head, f"^{base.snapshot or base.before}")
    behind = _count(repository, base.snapshot or base.before, f"^{where.head}")
    all_chosen = behind == 0 and apart == len(base.commits)
    same = tuple(Pick(commit.id, (commit.id,)) for commit in base.commits)
    if all_chosen and not options.squash and not options.merge:
        return replace(base, kind=FAST_FORWARD, picks=same)
    if options.with_snapshot:
        raise Refused(
            "--with-snapshot is for all of a session that builds on the snapshot",
            hint="leave it out: the session's commits are then replayed",
        )
    kept, _ = automerge.split(repository, base.commits, _hosts(where, base))
    if not kept and not options.merge:
        return replace(base, commits=())
    if options.squash:
        # A difference of trees holds all that is in between.
        known = found.there | found.taken
        named = options.ranges or options.chosen is not None
        all_new = tuple(commit for commit in found.own if commit.id not in known)
        chosen = base.commits if named else all_new
        pick = squash.of(
            repository, base.session, where, found, chosen, base.record, options.message
        )
        return replace(base, kind=SQUASH, commits=chosen, picks=(pick,))
    if options.merge:
        if where.snapshot and not repository.is_ancestor(where.snapshot, base.before):
            raise Refused(
                "--merge would bring your own uncommitted work, which this session began with",
                evidence=f"{where.snapshot[:10]} is its snapshot",
                hint="leave --merge out, or use --squash",
            )
        return replace(base, kind=MERGE, picks=same)
    if merges := [commit for commit in kept if len(commit.parents) > 1]:
        raise Refused(
            "this session made merge commits, which cannot be replayed",
            evidence=lines(f"{c.id[:10]} {visible(c.subject)}" for c in merges),
            hint="--merge keeps them, in a merge of your own; --squash makes one commit",
        )
    picks = tuple(Pick(commit.id, (commit.id,)) for commit in kept)
    return replace(base, kind=REPLAY, commits=kept, picks=picks)


def _hosts(where: own.Refs, base: Plan) -> list[str]:
    return [base.before, *([where.pushed] if where.pushed else [])]


def _with_snapshot(repository: Repository, where: own.Refs, base: Plan) -> Plan:
    why = None
    if where.snapshot is None:
        why = "this session began with no uncommitted work"
    elif base.before != where.origin:
        why = f"{base.branch_name} is no longer at {where.origin[:10]}, where the session began"
    else:
        ready.check_operation(repository)
        if not _held(repository, where.snapshot):
            why = "your uncommitted work is no longer what the session began with"
    if why:
        raise Refused(
            "--with-snapshot cannot commit what the session began with",
            evidence=why,
            hint="commit or stash your own work, and leave --with-snapshot out",
        )
    return replace(base, snapshot=where.snapshot)


def _held(repository: Repository, commit: str) -> bool:
    """Whether a snapshot is what the working tree still holds."""
    tree = repository.git("rev-parse", f"{commit}^{{tree}}").text
    return snapshot.tree(repository) == tree


def _looked_at(repository: Repository, planned: Plan) -> Plan:
    """With the paths that would change, and what to know of submodules."""
    if planned.kind in (REPLAY, SQUASH):
        touched = ready.touched(repository, [pick.id for pick in planned.picks])
    elif planned.kind == MERGE:
        fork = repository.git("merge-base", planned.before, planned.head, check=False).text
        touched = ready.between(repository, fork.split("\n")[0] or planned.before, planned.head)
    else:
        touched = ready.between(repository, planned.snapshot or planned.before, planned.head)
    return replace(planned, touched=touched, warnings=tuple(_missing(repository, touched)))


def _missing(repository: Repository, touched: ready.Touched) -> Sequence[Warn]:
    """Submodules that are to be at a commit which the user does not have."""
    found = []
    for path, commit in touched.gitlinks.items():
        if not in_submodule(repository.top / path, commit):
            why = f"is to be at {commit[:10]}, which is not in your repository of it"
            found.append(Warn("submodule", path, why))
    return found


def check(repository: Repository, planned: Plan) -> None:
    """Raises Refused if the branch moved, or work of the user's is in the way."""
    tip = repository.refs(planned.branch).get(planned.branch)
    if tip != planned.tip:
        raise Refused(f"{planned.branch_name} moved in the meantime", hint="try again")
    if not planned.in_place:
        return
    ready.check_operation(repository)
    ready.check_twins(repository, planned.snapshot or planned.before, _touched(planned))
    if planned.snapshot:
        ready.check_overlap(repository, ready.Work((), ()), _touched(planned))
        return
    found = ready.work(repository)
    try:
        if planned.kind != FAST_FORWARD:
            ready.check_staged(found)
        ready.check_overlap(repository, found, _touched(planned))
    except Refused as error:
        if planned.offer and _held(repository, planned.offer):
            error.hint += "; or commit it as the session got it: --with-snapshot"
        raise


def _touched(planned: Plan) -> ready.Touched:
    assert planned.touched is not None
    return planned.touched


def _count(repository: Repository, *revisions: str) -> int:
    return int(repository.git("rev-list", "--count", *revisions).text)
