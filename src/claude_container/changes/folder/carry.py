"""Carry out what was planned for a folder: each file is as it was, or as it is to be."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from claude_container import host
from claude_container.changes.folder.plan import Plan, Row
from claude_container.changes.paths import folders
from claude_container.changes.taken import Refused, lines
from claude_container.clone import index
from claude_container.clone.opened import LINK, PROGRAM, Blocked, Opened
from claude_container.clone.plain import STAGING
from claude_container.errors import ClaudeContainerError
from claude_container.git import git
from claude_container.interrupts import held_back
from claude_container.process import ProcessError
from claude_container.terminal import visible

_Face = tuple[int, int, int, int]  # by which a file is known to be the one that was looked at


class Incomplete(ClaudeContainerError):
    """Something came in between: of the plan's rows only `applied` were carried out."""

    def __init__(self, applied: Sequence[Row], left: Sequence[Row], why: BaseException) -> None:
        said = why.strerror if isinstance(why, OSError) and why.strerror else str(why)
        super().__init__(
            f"only {len(applied)} of {len(applied) + len(left)} files were written",
            evidence="\n".join([said or "interrupted", "not written:", *_named(left)]),
            hint="every file is as it was, or as it is to be; the same command completes it",
        )
        self.applied = tuple(applied)
        self.left = tuple(left)
        if isinstance(why, KeyboardInterrupt):
            self.exit_code = 130
        self.exit_code = getattr(why, "exit_code", self.exit_code)


def carry_out(plan: Plan, begin: Callable[[], None] = lambda: None) -> None:
    """Write all rows of a plan into its folder.

    New files are made beside first, so that a full disk is met before anything changes, and
    then put in place one by one. Raises Refused with nothing changed: for a conflict, or
    where the folder is not as it was planned with. Raises Incomplete.
    """
    if plan.conflicts:
        rows = lines(f"{visible(each.path)} {visible(each.why)}" for each in plan.conflicts)
        raise Refused("these files are in conflict, so nothing was written", evidence=rows)
    if not plan.rows:
        return
    try:
        with Opened(plan.folder) as place, _staging(place) as staging:
            _prepare(place, staging, plan)
            faces = _check(place, plan.rows)
            begin()
            _put(place, staging, plan.rows, faces)
    except OSError as error:
        raise Refused(
            f"cannot write into {plan.folder}, so nothing was changed", evidence=str(error)
        ) from error


@contextlib.contextmanager
def _staging(place: Opened) -> Iterator[Opened]:
    """A folder in the folder, for files to be put in place; those of killed merges are removed."""
    mine = f"{STAGING}{host.launcher_word()}"
    for name in os.listdir(place.fd):
        if name.startswith(STAGING) and host.word_is_left(name.removeprefix(STAGING)):
            shutil.rmtree(place.path / name, ignore_errors=True)
    os.mkdir(mine, 0o700, dir_fd=place.fd)
    try:
        with Opened(place.path / mine) as staging:
            yield staging
    finally:
        shutil.rmtree(place.path / mine, ignore_errors=True)


def _prepare(place: Opened, staging: Opened, plan: Plan) -> None:
    """Write the new files, numbered, with the modes and owners that they are to have."""
    wanted = {str(at): row.new for at, row in enumerate(plan.rows) if row.new and not _is_mode(row)}
    tree = index.tree(plan.repository, wanted)
    with index.temporary(plan.repository, tree) as env:
        try:
            git(
                *(f"--git-dir={plan.repository.git_dir}", f"--work-tree={staging.path}"),
                *("-c", "core.symlinks=true", "-c", "core.fileMode=true"),
                *("checkout-index", "--all", "--quiet"),
                cwd=staging.path,
                env=env,
                timeout=None,
            )
        except ProcessError as error:
            raise Refused(
                f"the new files cannot be written into {plan.folder}, so nothing was changed",
                evidence="\n".join(visible(line) for line in error.stderr.splitlines()[-6:]),
                hint="the disk may be full: df there",
            ) from error
    for at, row in enumerate(plan.rows):
        if str(at) in wanted:
            _dress(place, staging, str(at), row)


def _dress(place: Opened, staging: Opened, name: str, row: Row) -> None:
    """Give a new file the owner and mode of the one that it replaces, else of where it goes."""
    before = place.lstat(row.path) if row.old else None
    made = os.stat(name, dir_fd=staging.fd, follow_symlinks=False)
    owner = before
    if owner is None and hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = _above(place, row.path)[1]
    if owner and (owner.st_uid, owner.st_gid) != (made.st_uid, made.st_gid):
        try:
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=staging.fd, follow_symlinks=False)
        except PermissionError as error:
            raise Refused(
                f"{visible(row.path)} is not yours, and would become so; nothing was changed",
                evidence=str(error),
                hint="make it yours, or merge as its owner",
            ) from error
    if before is not None and stat.S_ISREG(before.st_mode) and stat.S_ISREG(made.st_mode):
        os.chmod(name, _mode(before.st_mode, row), dir_fd=staging.fd)
        _copy_attributes(place.path / row.path, staging.path / name)


def _above(place: Opened, path: str) -> tuple[str, os.stat_result]:
    """The innermost folder on the way to a path that is there, "" for the root; and its stat."""
    found = ((up, place.lstat(up)) for up in folders(path))
    there = ((up, told) for up, told in found if told and stat.S_ISDIR(told.st_mode))
    return next(there, ("", os.fstat(place.fd)))


def _copy_attributes(old: Path, new: Path) -> None:
    """Access lists and the like, where the system has them and lets us."""
    if not hasattr(os, "listxattr"):
        return
    with contextlib.suppress(OSError):
        for name in os.listxattr(old, follow_symlinks=False):
            if name == "security.capability":
                continue
            with contextlib.suppress(OSError):
                os.setxattr(new, name, os.getxattr(old, name, follow_symlinks=False))


def _mode(mode: int, row: Row) -> int:
    """A file's mode, changed in nothing but whether it can be run, if that changes."""
    mode = stat.S_IMODE(mode)
    if row.old and row.new and row.old.id != row.new.id:
        mode &= 0o1777  # as the kernel does on a write: new content gets nobody else's rights
    assert row.old is not None and row.new is not None
    if row.old.mode == row.new.mode:
        return mode
    return mode | (mode & 0o444) >> 2 if row.new.mode == PROGRAM else mode & ~0o111


def _is_mode(row: Row) -> bool:
    """Whether nothing but a file's mode changes."""
    if row.old is None or row.new is None:
        return False
    return row.how == "mode" and LINK not in (row.old.mode, row.new.mode)


def _check(place: Opened, rows: Sequence[Row]) -> dict[str, _Face | None]:
    """Raises Refused where the folder is not as it was planned with, or cannot be written in."""
    changed, barred, faces = [], [], {}
    device = os.fstat(place.fd).st_dev
    for row in rows:
        up, told = _above(place, row.path)
        # A file is put in place by a rename.
        elsewhere = row.new is not None and not _is_mode(row) and told.st_dev != device
        if elsewhere or not os.access(place.path / up, os.W_OK):
            barred.append(row.path)
        try:
            faces[row.path] = _face(place, row.path)
            if place.entry(row.path) != row.old:
                changed.append(row.path)
        except Blocked:
            changed.append(row.path)
    if changed:
        raise Refused(
            f"{visible(str(place.path))} changed meanwhile, so nothing was written",
            evidence=lines(map(visible, changed)),
            hint="look at it, and try again",
        )
    if barred:
        raise Refused(
            "these lie on another file system or in folders that cannot be written in, so nothing"
            " was written",
            evidence=lines(map(visible, barred)),
        )
    return faces


def _face(place: Opened, path: str) -> _Face | None:
    told = place.lstat(path)
    if told is None or stat.S_ISDIR(told.st_mode):
        return None
    return told.st_ino, told.st_mtime_ns, told.st_size, told.st_mode


def _put(
    place: Opened, staging: Opened, rows: Sequence[Row], faces: dict[str, _Face | None]
) -> None:
    """Put all in place; deletions last, so that a file that moves is there twice, never gone."""
    written = {row.path for row in rows if row.new}
    above = {up for path in written for up in folders(path)}
    order: list[list[tuple[int, Row]]] = [[], [], []]
    for at, row in enumerate(rows):
        in_the_way = row.path in above or any(up in written for up in folders(row.path))
        order[1 if row.new else 0 if in_the_way else 2].append((at, row))
    waiting = [pair for some in order for pair in some]
    done: list[Row] = []
    try:
        with held_back() as let_act:
            for at, row in waiting:
                if _face(place, row.path) != faces[row.path]:
                    raise Refused(f"{visible(row.path)} changed just now")
                _put_one(place, staging, str(at), row)
                done.append(row)
        let_act()
    except BaseException as error:
        if len(done) == len(waiting) and not isinstance(error, Exception):
            raise
        raise Incomplete(done, [row for _, row in waiting[len(done) :]], error) from error


def _put_one(place: Opened, staging: Opened, prepared: str, row: Row) -> None:
    if row.new is None:
        with place.parent(row.path) as (fd, name):
            os.unlink(name, dir_fd=fd)
        _tidy(place, row.path)
        return
    with place.parent(row.path, make=True) as (fd, name):
        if _is_mode(row):
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
            try:
                os.fchmod(file, _mode(os.fstat(file).st_mode, row))
            finally:
                os.close(file)
            return
        if _is_folder(fd, name):
            _empty(fd, name)
        os.rename(prepared, name, src_dir_fd=staging.fd, dst_dir_fd=fd)


def _is_folder(fd: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _empty(fd: int, name: str) -> None:
    """Remove a folder that holds nothing but folders."""
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
    try:
        for below in os.listdir(inner):
            _empty(inner, below)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=fd)


def _tidy(place: Opened, path: str) -> None:
    """Remove the folders that a deletion left empty, as git does."""
    with contextlib.suppress(OSError):
        for up in folders(path):
            with place.parent(up) as (fd, name):
                os.rmdir(name, dir_fd=fd)


def _named(rows: Sequence[Row], limit: int = 10) -> list[str]:
    more = [f"  … and {len(rows) - limit} more"] if len(rows) > limit else []
    return [*(f"  {visible(row.path)}" for row in rows[:limit]), *more]
