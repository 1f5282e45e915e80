"""What git in a session sends, packet by packet, made fit for the host's git to read.

git prints much of it as it comes: progress, errors, names of refs. All of it may be an
agent's, who can run programs beside the git in there and write in its place.
"""

from __future__ import annotations

import re

from claude_container.terminal import visible
from claude_container.wire.pack import Meter, Nonsense

# Of everything but packs. A thousand branches with long names are 300 kB.
_TEXT = 8 << 20
_SIZE = re.compile(rb"[0-9a-fA-F]{4}")
# Controls but for the line's end, and the NUL before capabilities; C1 controls as UTF-8.
_CONTROLS = re.compile(rb"[\x01-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
_DATA, _PROGRESS, _FATAL = b"\1", b"\2", b"\3"  # the bands of side-band-64k


class Wire:
    """One direction of gitprotocol-pack(5), out of a session, and what may pass of it.

    Packs pass as they are, measured by `meter`. Progress does not pass, and of text
    nothing that could drive a terminal. Without a meter there can be no packs: a push.
    """

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self.packed = False  # a pack came, to its end
        self._in_pack = False
        self._rest = b""
        self._text = 0

    def passed(self, chunk: bytes) -> bytes:
        """What may be passed on of all that came. Raises Nonsense, also for git's own last word."""
        data, at, parts = self._rest + chunk, 0, []
        while len(data) - at >= 4:
            size = _size(data[at : at + 4])
            if len(data) - at < size:
                break
            parts.append(self._packet(data[at : at + size]))
            at += size
        self._rest = data[at:]
        return b"".join(parts)

    def _packet(self, packet: bytes) -> bytes:
        band = packet[4:5]
        if band == _DATA and self._meter:
            self._in_pack = True
            self._meter.feed(packet[5:])
            return packet
        if packet == b"0000" and self._in_pack:
            self.packed = True
        self._text += len(packet)
        if self._text > _TEXT:
            raise Nonsense("it sent too many names or messages")
        if band == _PROGRESS:
            return b""
        if band == _FATAL or packet[4:8] == b"ERR ":
            raise Nonsense(f"git there says: {_shown(packet[5:].removeprefix(b'RR '))}")
        if self._meter and b"object-format=sha256" in packet:
            self._meter.hash_size = 32
        start = 5 if band == _DATA else 4
        safe = _CONTROLS.sub(lambda found: b"?" * len(found[0]), packet[start:])
        return packet[:start] + safe


def _size(digits: bytes) -> int:
    """How long a packet is, its four digits included. Raises Nonsense."""
    # int() takes blanks and signs as well; 0 to 2 end a message or a part of it.
    size = int(digits, 16) if _SIZE.fullmatch(digits) else 3
    if size == 3:
        raise Nonsense("it sent what is not git's protocol")
    return max(size, 4)


def _shown(text: bytes) -> str:
    return visible(text.decode(errors="replace").strip("\0\n "))[:1000]
