"""Tar archives in memory: build contexts, and what goes into a container."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

# (name, mode, content); None for a folder.
Entry = tuple[str, int, bytes | None]


def tar(entries: Iterable[Entry]) -> bytes:
    """An uncompressed archive of these entries, all of them root's."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, mode, content in entries:
            info = tarfile.TarInfo(name)
            info.mode = mode
            if content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content or b""))
    return stream.getvalue()
