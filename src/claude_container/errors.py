"""Every error a user can meet, and the exit code it ends with.

An error says what failed, shows the evidence and gives a hint; nothing below
the command line prints. Exit codes: 0; 1 failed; 2 usage; 3 a defect of ours;
130 interrupted, 128 and its number for another signal; the container's own code
when it ran.
"""

from __future__ import annotations


class ClaudeContainerError(Exception):
    """Something failed that the user can understand and act on.

    `what` is one line without a full stop, `evidence` what was seen (another
    program's own words, for example), `hint` what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, evidence: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.evidence = evidence.strip()
        self.hint = hint


class UsageError(ClaudeContainerError):
    """What was typed, or set in a file, cannot be meant like that."""

    exit_code = 2


class Terminated(BaseException):
    """SIGTERM, SIGHUP or SIGQUIT reached the launcher.

    Like KeyboardInterrupt it is no `Exception`: nothing but cleaning up may
    catch it. The exit code is the shell's own: 128 + the signal's number.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum
