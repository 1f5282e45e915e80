"""Tar archives: build contexts, and what goes into a container."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

# (name, mode, content); None for a folder, a path for a file or link as it is there.
Entry = tuple[str, int, bytes | Path | None]


def tar(entries: Iterable[Entry]) -> bytes:
    """An uncompressed archive of these entries, all of them root's."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            _add(archive, *entry)
    return stream.getvalue()


@contextlib.contextmanager
def streamed(entries: Iterable[Entry]) -> Iterator[int]:
    """A file descriptor to read such an archive from while it is being made.

    Raises on leaving what went wrong meanwhile, such as a file that cannot be read.
    """
    reading, writing = os.pipe()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with (
                open(writing, "wb") as stream,
                tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive,
            ):
                for entry in entries:
                    _add(archive, *entry)
        except BrokenPipeError:
            pass  # the reader ended, and has its own reason
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield reading
    finally:
        os.close(reading)
        thread.join()
        if failed:
            # Whoever read a broken archive complains of less.
            raise failed[0]


def _add(archive: tarfile.TarFile, name: str, mode: int, content: bytes | Path | None) -> None:
    if isinstance(content, Path):
        info = archive.gettarinfo(content, name)
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        if info.isreg():
            with open(content, "rb") as file:
                archive.addfile(info, file)
        else:
            archive.addfile(info)
        return
    info = tarfile.TarInfo(name)
    info.mode = mode
    if content is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = len(content)
    archive.addfile(info, io.BytesIO(content or b""))
