"""What a session of --dir changed, as commits for `git fast-import`: a program of its own.

It runs in a container of the default image, as the session's user: LOWER is the folder,
UPPER the layer of changes, MERGED what claude sees, BROUGHT what merges brought so far.
Only what is, or may be, different in MERGED is in the commits:

- now: as it is in the folder;
- base: as it was there when the session changed it. Nobody kept that, so where the folder
  has changed since, it is a content that nothing has: git finds a conflict there;
- head: as it is in the session. Its message tells, in JSON, what no commit can hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import stat
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO

_TOLD = 200  # paths of each kind
NOW, BASE, HEAD = b"refs/heads/now", b"refs/heads/base", b"refs/heads/head"
_UNKNOWN = b"nobody kept what was here before\n"
_LIBC = ctypes.CDLL(None)


class Tree:
    """What one side has at the paths that may differ: files, with their modes."""

    def __init__(self, top: bytes) -> None:
        self.top = top
        self.files: dict[bytes, int] = {}
        self.git: set[bytes] = set()
        self.special: list[bytes] = []
        self.unreadable: set[bytes] = set()
        self.empty: set[bytes] = set()

    def add(self, path: bytes) -> None:
        """Take in all that is at a path, if anything is."""
        waiting = [path]
        while waiting:
            path = waiting.pop()
            mode = _mode(self.top, path)
            if stat.S_ISDIR(mode):
                names = self.names(path)
                self.git.update(_below(path, name) for name in names if _is_git(name))
                waiting += [_below(path, name) for name in names if not _is_git(name)]
                if not names:
                    self.empty.add(path)
            elif stat.S_ISLNK(mode):
                self.files[path] = mode
            elif stat.S_ISREG(mode):
                self.files[path] = mode
                if not os.access(_below(self.top, path), os.R_OK):
                    self.unreadable.add(path)
            elif mode:
                self.special.append(path)

    def names(self, path: bytes) -> list[bytes]:
        try:
            return sorted(os.listdir(_below(self.top, path)))
        except PermissionError:
            self.unreadable.add(path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        return []


def _mode(top: bytes, path: bytes) -> int:
    """The mode of what is there, the last link not followed; 0: nothing is, or can be seen."""
    with contextlib.suppress(OSError):
        return os.lstat(_below(top, path)).st_mode
    return 0


def _below(folder: bytes, name: bytes) -> bytes:
    return os.path.join(folder, name) if name else folder


def _is_git(name: bytes) -> bool:
    return name.lower() == b".git"


def differing(lower: Tree, upper: Tree, merged: Tree) -> None:
    """Take into `lower` and `merged` all that may differ.

    Only where the upper layer has a folder. In one that hides the lower's (opaque), or that
    was one's elsewhere (redirected), names differ though the upper layer has none of them:
    so all three are asked, and none of the kernel's own marks, which only root can read.
    """
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        names = [set(tree.names(folder)) for tree in (lower, upper, merged)]
        for name in sorted(set().union(*names)):
            path = _below(folder, name)
            below, above, seen = (name in some for some in names)
            if below == seen and not above:
                continue
            if _is_git(name):
                merged.git.add(path)
            elif all(stat.S_ISDIR(_mode(t.top, path)) for t in (lower, upper, merged)):
                waiting.append(path)
            else:
                lower.add(path)
                merged.add(path)


def changed_since(
    lower: Tree, upper: Tree, brought: dict[bytes, bytes], since: int
) -> Iterator[bytes]:
    """The files of the folder that changed after the session had changed or deleted them.

    Unless it was a merge that changed them: then they are what that brought.
    """
    moved = functools.cache(functools.partial(_moved, lower))
    for path in lower.files:
        whole = _below(lower.top, path)
        if path in brought:
            if brought[path] != _blob(whole):
                yield path
            continue
        changed = max(os.lstat(whole).st_ctime_ns, moved(os.path.dirname(path)))
        if changed > min(since, _began(upper, path)):
            yield path


def _moved(tree: Tree, folder: bytes) -> int:
    """When a folder, or one around it, got its name, in nanoseconds of the epoch; 0: unknown.

    What is in it may be other files since, and as old as they were. It is known as long as
    nothing in the folder itself was made or removed after that.
    """
    last = 0
    while folder:
        found = os.lstat(_below(tree.top, folder))
        if found.st_mtime_ns < found.st_ctime_ns:
            last = max(last, found.st_ctime_ns)
        folder = os.path.dirname(folder)
    return last


def _began(upper: Tree, path: bytes) -> int:
    """Since when the upper layer has its own word on a path, in nanoseconds of the epoch.

    Of a deletion it may be too early, as the kernel links all of them to one file.
    """
    while path and not _mode(upper.top, path):
        path = os.path.dirname(path)
    told = ctypes.create_string_buffer(256)
    # AT_FDCWD, AT_SYMLINK_NOFOLLOW, STATX_BTIME; the answer is linux/stat.h's struct statx.
    if _LIBC.statx(-100, _below(upper.top, path), 0x100, 0x800, told) == 0:
        (known,) = struct.unpack_from("I", told)
        seconds, nanoseconds = struct.unpack_from("qI", told, 80)
        if known & 0x800:
            return int(seconds) * 10**9 + int(nanoseconds)
    return os.lstat(_below(upper.top, path)).st_ctime_ns


def _blob(whole: bytes) -> bytes:
    """The id that git gives to a file or link."""
    if os.path.islink(whole):
        content = os.readlink(whole)
    else:
        with open(os.open(whole, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            content = file.read()
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest().encode()


def _read_brought(file: str) -> dict[bytes, bytes]:
    """Of each path the last id: what the folder got of it."""
    with contextlib.suppress(FileNotFoundError), open(file, "rb") as brought:
        rows = [row.partition(b" ") for row in brought.read().split(b"\0") if row]
        return {path: id for id, _, path in rows}
    return {}


def _commit(out: BinaryIO, ref: bytes, message: str, above: bytes = b"") -> None:
    text = message.encode()
    out.write(b"commit %s\ncommitter layers <layers> 0 +0000\n" % ref)
    out.write(b"data %d\n%s\n" % (len(text), text))
    out.write(b"from %s\n" % above if above else b"")


def _entry(out: BinaryIO, path: bytes, mode: int) -> None:
    quoted = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    out.write(b'M %s inline "%s"\n' % (_git_mode(mode), quoted))


def _all(out: BinaryIO, tree: Tree) -> None:
    for path, mode in tree.files.items():
        _entry(out, path, mode)
        whole = _below(tree.top, path)
        if stat.S_ISLNK(mode):
            content = os.readlink(whole)
            out.write(b"data %d\n%s\n" % (len(content), content))
            continue
        with open(os.open(whole, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            _copy(file, out)


def _copy(file: BinaryIO, out: BinaryIO) -> None:
    left = os.fstat(file.fileno()).st_size
    out.write(b"data %d\n" % left)
    while left:
        chunk = file.read(min(left, 1 << 20))
        if not chunk:
            raise OSError("it got shorter")
        out.write(chunk)
        left -= len(chunk)
    out.write(b"\n")


def _git_mode(mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return b"120000"
    return b"100755" if mode & stat.S_IXUSR else b"100644"


def main() -> None:
    lower, upper, merged = trees = [Tree(os.fsencode(top)) for top in sys.argv[1:4]]
    differing(lower, upper, merged)
    told = {"git": sorted(lower.git | merged.git)}
    # What one side could not read must not look like something that only the other has.
    told["unreadable"] = sorted(set().union(*(tree.unreadable for tree in trees)))
    skip = set(_hidden({*lower.files, *merged.files}, set(told["unreadable"])))
    for path in skip:
        lower.files.pop(path, None)
        merged.files.pop(path, None)
    told["special"] = sorted({*lower.special, *merged.special})
    told["empty"] = sorted(merged.empty - lower.empty - merged.unreadable)
    told["modes"] = [
        path
        for path, mode in merged.files.items()
        if _git_mode(lower.files.get(path, 0)) == _git_mode(mode)
        and (lower.files.get(path, mode) ^ mode) & 0o7777
    ]
    shown = {
        kind: {"count": len(paths), "paths": [os.fsdecode(path) for path in paths[:_TOLD]]}
        for kind, paths in told.items()
        if paths
    }
    out = sys.stdout.buffer
    try:
        _commit(out, NOW, "now")
        _all(out, lower)
        _commit(out, BASE, "base", NOW)
        for path in changed_since(lower, upper, _read_brought(sys.argv[4]), int(sys.argv[5])):
            _entry(out, path, stat.S_IFREG)
            out.write(b"data %d\n%s\n" % (len(_UNKNOWN), _UNKNOWN))
        _commit(out, HEAD, json.dumps(shown), BASE)
        out.write(b"deleteall\n")
        _all(out, merged)
    except OSError as error:
        sys.exit(f"a file changed while it was read: {error}")
    out.write(b"done\n")
    out.flush()


def _hidden(paths: set[bytes], unreadable: set[bytes]) -> Iterator[bytes]:
    """The paths that are, or are in, what cannot be read."""
    for path in paths if unreadable else ():
        parts = path.split(b"/")
        if any(b"/".join(parts[:count]) in unreadable for count in range(len(parts) + 1)):
            yield path


if __name__ == "__main__":
    main()
