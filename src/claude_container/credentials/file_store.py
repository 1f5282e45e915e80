"""The token in a file of the user's own, where nobody else can read it or swap it."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from claude_container.credentials import REPLACE, TokenError

FILE_NAME = "token"
_TEMPORARY = ".claude-container-token."
_POSIX = sys.platform != "win32"  # Windows keeps neither owners nor modes of this kind


class FileStore:
    """The file `token` in `folder`; None for a user without a home.

    It is read and written only as ssh would a private key: of mode 600, the user's own, and
    on no way that another user could have laid.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE_NAME if folder else None

    @property
    def place(self) -> str:
        return str(self._path) if self._path else "a home directory, of which there is none"

    def read(self) -> str | None:
        if self._path is None:
            return None
        try:
            seen = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise TokenError(f"cannot read {self._path}", evidence=str(error)) from error
        _check_file(self._path, seen)
        try:
            return self._path.read_text().strip() or None
        except UnicodeDecodeError:
            # The error itself would show the bytes it stumbled over.
            raise TokenError(f"cannot read {self._path}", evidence="not UTF-8 text") from None
        except OSError as error:
            raise TokenError(f"cannot read {self._path}", evidence=str(error)) from error

    def write(self, token: str) -> None:
        with self._temporary() as (handle, temporary, path):
            with os.fdopen(handle, "w") as file:
                file.write(f"{token}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)

    def prepare(self) -> None:
        with self._temporary() as (handle, temporary, _):
            os.close(handle)
            os.unlink(temporary)

    def remove(self) -> bool:
        if self._path is None:
            return False
        try:
            _check_way(self._path)
            # Where a link of the user's own leads: the token is there, and the link stays, as
            # it does in `write`.
            token = Path(os.path.realpath(self._path))
        except TokenError:
            token = self._path  # somebody else's link may lead to anything
        try:
            token.unlink()
            removed = True
        except (FileNotFoundError, NotADirectoryError):
            removed = False
        except OSError as error:
            raise TokenError(f"cannot remove {self._path}", evidence=str(error)) from error
        # Of a process that was killed while it wrote.
        for rest in token.parent.glob(f"{_TEMPORARY}*"):
            with contextlib.suppress(OSError):
                rest.unlink()
                removed = True
        return removed

    def saved(self) -> float | None:
        try:
            return self._path.stat().st_mtime if self._path else None
        except OSError:
            return None

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[tuple[int, str, str]]:
        """(descriptor, path) of a new file of mode 600 beside the token's, and the token's path.

        A link of the user's own in the token's place stays, and leads to the new token.
        """
        if self._path is None:
            raise TokenError("there is no home directory to keep the token in", hint="set HOME")
        temporary = ""
        try:
            _check_way(self._path)
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            target = os.path.realpath(self._path)
            if os.path.isdir(target):
                raise IsADirectoryError(f"{target} is a folder")
            # The folder was there already, as a rule with a mode of 755.
            if _POSIX and self._path.parent.stat().st_mode & 0o077:
                self._path.parent.chmod(0o700)
            handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=_TEMPORARY)
            yield handle, temporary, target
        except OSError as error:
            raise TokenError(
                f"cannot write {self._path}", evidence=error.strerror or str(error)
            ) from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _check_file(path: Path, seen: os.stat_result) -> None:
    """Raise TokenError for what is no file, or not only the user's."""
    if not stat.S_ISREG(seen.st_mode):
        raise TokenError(
            f"{path} is no regular file", hint="put the token, and nothing else, into a file there"
        )
    if not _POSIX:
        return
    if stat.S_IMODE(seen.st_mode) & 0o077:
        raise TokenError(
            f"{path} can be read by others (mode {stat.S_IMODE(seen.st_mode):04o})",
            hint=f"chmod 600 {shlex.quote(str(path))}; or: {REPLACE}",
        )
    # Somebody else's token would hand them what is asked with it; root knows whose home it uses.
    if os.geteuid() and seen.st_uid not in (0, os.geteuid()):
        raise TokenError(f"{path} belongs to another user (uid {seen.st_uid})", hint=REPLACE)


def _check_way(path: Path) -> None:
    """Raise TokenError where another user could have put a link on the way to a file.

    Such a link would take the token to a place of theirs. So each link on the way is the
    user's or root's, and so is each folder, which others cannot write in either (a sticky one
    excepted: in it nobody can replace what is another's). The user's primary group may,
    since many systems give every user a group of their own.
    """
    if not _POSIX:
        return
    own = _trusted_owners()
    for step in {Path(os.path.abspath(path)), Path(os.path.realpath(path))}:
        for place in (step, *step.parents):
            try:
                seen = place.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            theirs = seen.st_uid not in own
            if stat.S_ISLNK(seen.st_mode):
                open_to_all = False
            else:
                own_group = seen.st_gid == os.getegid() and sys.platform != "darwin"  # staff: all
                group = 0 if own_group else stat.S_IWGRP
                writable = stat.S_ISDIR(seen.st_mode) and seen.st_mode & (group | stat.S_IWOTH)
                open_to_all = bool(writable and not seen.st_mode & stat.S_ISVTX)
            if theirs or open_to_all:
                why = f"belongs to uid {seen.st_uid}" if theirs else "can be changed by others"
                mend = "" if theirs else f"chmod go-w {shlex.quote(str(place))}; or "
                raise TokenError(
                    f"the token is not kept in {path.parent}: {place} {why}",
                    hint=f"{mend}set XDG_CONFIG_HOME to a folder of your own",
                )


def _trusted_owners() -> set[int]:
    """The user and root; where the host's root has no number here, the one that stands for it.

    In a user namespace (Toolbx, for one) /home belongs to the "overflow" uid (user_namespaces(7)).
    """
    own = {0, os.geteuid()}
    with contextlib.suppress(OSError, ValueError):
        if Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
            own.add(int(Path("/proc/sys/kernel/overflowuid").read_text()))
    return own
