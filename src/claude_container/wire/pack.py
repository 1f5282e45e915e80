"""How much a pack holds once it is unpacked, told while it passes by.

A few megabytes can unpack to terabytes, and git on the host has no limit of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator

from claude_container.errors import ClaudeContainerError

_OFS_DELTA, _REF_DELTA = 6, 7
_EACH = 64  # bytes: about what git itself keeps in memory of each object
_BLOCK = 65536

Steps = Generator[None, bytes, None]


class Nonsense(ClaudeContainerError):
    """What a session sends is not what git sends, or is too much (`much`)."""

    much = False


class Meter:
    """Follows the packs of gitformat-pack(5) that it is fed, to the byte.

    `hash_size` is 20 bytes, for SHA-256 it is to be set to 32. Raises Nonsense once the
    objects are more than `limit` bytes, by what they say of themselves before they come.
    """

    def __init__(self, limit: int) -> None:
        self.hash_size = 20
        self._limit = limit
        self._total = 0
        self._data = b""
        self._at = 0
        self._steps = self._packs()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        """Follow what came next. Raises Nonsense."""
        if data:
            self._steps.send(data)

    def _packs(self) -> Steps:
        while True:
            head = yield from self._take(12)
            if head[:4] != b"PACK":
                raise Nonsense("it sent what is no pack")
            for _ in range(int.from_bytes(head[8:], "big")):
                yield from self._object()
            yield from self._take(self.hash_size)

    def _object(self) -> Steps:
        byte = yield from self._byte()
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = yield from self._byte()
            size |= (byte & 0x7F) << shift
            shift += 7
            if shift > 64:
                raise Nonsense("it sent an object without a size")
        if kind == _OFS_DELTA:
            while (yield from self._byte()) & 0x80:
                pass
        elif kind == _REF_DELTA:
            yield from self._take(self.hash_size)
        self._count(size + _EACH)
        start = yield from self._inflate(size)
        if kind in (_OFS_DELTA, _REF_DELTA):
            _, rest = _number(start)
            self._count(_number(rest)[0])

    def _count(self, size: int) -> None:
        self._total += size
        if self._total > self._limit:
            error = Nonsense(f"it unpacks to more than {self._limit} bytes")
            error.much = True
            raise error

    def _byte(self) -> Generator[None, bytes, int]:
        if self._at == len(self._data):
            self._data, self._at = (yield), 0
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, count: int) -> Generator[None, bytes, bytes]:
        taken = b""
        while True:
            piece = self._data[self._at : self._at + count - len(taken)]
            taken += piece
            self._at += len(piece)
            if len(taken) == count:
                return taken
            self._data, self._at = (yield), 0

    def _inflate(self, size: int) -> Generator[None, bytes, bytes]:
        """Go on to the end of a zlib stream of `size` bytes; return how its content begins."""
        stream, left, start = zlib.decompressobj(), size, b""
        while not stream.eof:
            if self._at == len(self._data):
                self._data, self._at = (yield), 0
            # No more than it can need: what is left over is copied each time.
            end = self._at + min(left + 64, _BLOCK)
            piece = self._data[self._at : end]
            try:
                out = stream.decompress(piece, min(left + 1, _BLOCK))
            except zlib.error as error:
                raise Nonsense("it sent a broken pack") from error
            # At the end both can hold what follows (seen with Python 3.11).
            more = stream.unused_data if stream.eof else stream.unconsumed_tail
            self._at += len(piece) - len(more)
            left -= len(out)
            if left < 0:
                raise Nonsense("it sent an object that is larger than it says")
            if len(start) < 20:
                start += out[:20]
        return start


def _number(data: bytes) -> tuple[int, bytes]:
    """A size as a delta begins with two of them, and what follows it."""
    value = shift = 0
    for at, byte in enumerate(data):
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, data[at + 1 :]
    raise Nonsense("it sent a broken delta")
