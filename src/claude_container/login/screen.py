"""What `claude setup-token` shows, read off a terminal that nobody sees.

As seen of 2.1.330: blanks are cursor moves, redraws only touch what changed, and whatever is
too wide is cut at the last column. So a terminal emulator does the reading, 1000 columns
wide, on which nothing of it wraps.
"""

from __future__ import annotations

import re

import pyte

from claude_container.credentials import SETUP_TOKEN

COLUMNS, ROWS = 1000, 40
_URL = re.compile(r"https://[a-z0-9.-]+/[a-z/]*oauth/authorize\?[\w.~%&=+-]+", re.ASCII)
_ASKS = "Paste code here"
_AGAIN = "Press Enter to retry"
_REFUSED = re.compile(r"\N{HEAVY BALLOT X}\s*(?:OAuth error:\s*)?(.+)")
# With these claude asks for the keyboard's and terminal's kind; pyte 0.8 would show them.
_PRIVATE = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]")
_BEGUN = re.compile(rb"\x1b(\[([<>=][0-9;]*)?)?\Z")
_ANY_TOKEN = re.compile(r"sk-ant-", re.IGNORECASE)


class Screen:
    """The terminal's screen as it is now, and what on it matters to a login."""

    def __init__(self) -> None:
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._rest = b""

    def feed(self, written: bytes) -> None:
        """Bytes that the program wrote to its terminal."""
        written = self._rest + written
        begun = _BEGUN.search(written)
        end = begun.start() if begun else len(written)
        self._rest = written[end:]
        self._stream.feed(_PRIVATE.sub(b"", written[:end]))

    @property
    def lines(self) -> list[str]:
        """The screen's rows, without blanks at either end."""
        return [line.strip() for line in self._screen.display]

    @property
    def url(self) -> str | None:
        """Where to sign in, once the code that is given there can be entered."""
        lines = self.lines
        asked = any(line.startswith(_ASKS) for line in lines)
        found = [line for line in lines if _URL.fullmatch(line) and len(line) < COLUMNS - 1]
        return found[0] if asked and len(found) == 1 else None

    @property
    def refusal(self) -> str | None:
        """Why the code was not accepted, in claude's words; they go with the next key."""
        lines = self.lines
        for at, line in enumerate(lines):
            if match := _REFUSED.fullmatch(line):
                more = lines[at + 1 :]
                more = more[: more.index("")] if "" in more else more
                return " ".join([match[1], *(part for part in more if part != _AGAIN)])
        return None

    @property
    def wants_enter(self) -> bool:
        """Whether claude waits for Enter before it begins anew, with another URL."""
        return _AGAIN in self.lines

    @property
    def token(self) -> str | None:
        """The token, where it cannot be mistaken: whole on a line of its own, and nothing like it.

        Anything else, such as a part of it or a line that it may go on in, is None: it is
        better not to know a token than to keep a wrong one.
        """
        lines = self.lines
        like = [at for at, line in enumerate(lines) if _ANY_TOKEN.search(line)]
        if len(like) != 1:
            return None
        above, token, below = ([""] + lines + [""])[like[0] : like[0] + 3]
        alone = not above and not below and len(token) < COLUMNS - 1
        return token if alone and SETUP_TOKEN.fullmatch(token) else None
