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
# Controls but for the NUL before capabilities; C1 controls as UTF-8.
_CONTROLS = re.compile(rb"[\x01-\x1f\x7f]|\xc2[\x80-\x9f]")
_HASH = b"object-format="
_DATA, _PROGRESS, _FATAL = b"\1", b"\2", b"\3"  # the bands of side-band-64k


class Wire:
    """One direction of gitprotocol-pack(5), out of a session, and what may pass of it.

    Packs pass as they are, measured by `meter`, and only where git takes one: what it skips
    would mislead the meter. Progress does not pass, and of text nothing that could drive a
    terminal, or begin a line there. Without a meter there can be no packs: a push.
    """

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self._report = _Report()
        self.packed = False  # a pack came, to its end
        self._in_pack = False
        self._version: bytes | None = None  # of the protocol
        self._greeted = False  # the capabilities came, to their end
        self._announced = False  # git knows that a pack comes
        self._hash_known = False
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
            if not self._announced:
                raise Nonsense("it sent a pack where git expects none")
            self._in_pack = True
            self._meter.feed(packet[5:])
            return packet
        if self._version is None:
            self._version = b"2" if packet[4:].rstrip(b"\n") == b"version 2" else b"0"
        if packet == b"0000":
            self.packed = self.packed or self._in_pack
            self._greeted = True
            # Before version 2 a pack comes after acknowledgements, and anything else is an error.
            self._announced = self._version != b"2"
        elif self._greeted and packet[4:] == b"packfile\n":
            self._announced = True
        self._text += len(packet)
        if self._text > _TEXT:
            raise Nonsense("it sent too many names or messages")
        if band == _PROGRESS:
            return b""
        if band == _FATAL or packet[4:8] == b"ERR ":
            raise Nonsense(f"git there says: {_shown(packet[5:].removeprefix(b'RR '))}")
        if not self._greeted:
            self._capability(packet[4:])
        if band == _DATA:
            return packet[:5] + self._report.safe(packet[5:])
        text, end = (packet[:-1], b"\n") if packet.endswith(b"\n") else (packet, b"")
        return text[:4] + _plain(text[4:]) + end

    def _capability(self, line: bytes) -> None:
        """Take the ids' length from where git takes it, which fails if it is not its own."""
        _, _, listed = line.rstrip(b"\n").partition(b"\0")  # version 0: after the first ref
        for word in listed.split(b" ") if listed else [line.rstrip(b"\n")]:
            if word.startswith(_HASH) and self._meter and not self._hash_known:
                self._hash_known = True
                self._meter.hash_size = 32 if word == _HASH + b"sha256" else 20


class _Report:
    """The lines in which a push is answered: packets that come in pieces, within the others."""

    def __init__(self) -> None:
        self._digits = b""
        self._left = 0  # bytes of the line that is being read

    def safe(self, piece: bytes) -> bytes:
        """The piece, as long as it was, without what drives a terminal or begins a line."""
        plain = bytearray(_plain(piece))
        for at, byte in enumerate(piece):
            if self._left:
                self._left -= 1
                if byte == 10 and not self._left:
                    plain[at] = byte
            else:
                self._digits += piece[at : at + 1]
                if len(self._digits) == 4:
                    self._left, self._digits = _size(self._digits) - 4, b""
        return bytes(plain)


def _plain(text: bytes) -> bytes:
    return _CONTROLS.sub(lambda found: b"?" * len(found[0]), text)


def _size(digits: bytes) -> int:
    """How long a packet is, its four digits included. Raises Nonsense."""
    # int() takes blanks and signs as well; 0 to 2 end a message or a part of it.
    size = int(digits, 16) if _SIZE.fullmatch(digits) else 3
    if size == 3:
        raise Nonsense("it sent what is not git's protocol")
    return max(size, 4)


def _shown(text: bytes) -> str:
    return visible(text.decode(errors="replace").strip("\0\n "))[:1000]
