"""The machine the launcher runs on: platform, user, folders, CI, proxies, liveness."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

# Set by every GitHub and GitLab runner, and CI by nearly all others.
CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI")
PROXY_VARIABLES = tuple(
    variant
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
    for variant in (name, name.lower())
)
# Where people behind a company's proxy have already named its certificate.
CA_VARIABLES = (
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)
# The user of a default Linux distribution, for a host that has no uids.
_WINDOWS_IDS = (1000, 1000)


def platform(system: str = sys.platform, release: str | None = None) -> str:
    """linux, wsl 1, wsl 2, macos, windows, or the system's own name for itself.

    A release is 4.4.0-19041-Microsoft in WSL 1 and 5.15.153.1-microsoft-standard-WSL2 in
    WSL 2 (github.com/microsoft/WSL/issues/4555); WSL 2 with a kernel of one's own is linux.
    """
    if system.startswith("linux"):
        release = os.uname().release if release is None else release
        if "microsoft" in release.lower():
            return "wsl 1" if release.endswith("-Microsoft") else "wsl 2"
        return "linux"
    return {"darwin": "macos", "win32": "windows", "cygwin": "windows"}.get(system, system)


def user_ids() -> tuple[int, int]:
    """(uid, gid) that files made for this user shall have."""
    if sys.platform == "win32":
        return _WINDOWS_IDS
    return os.getuid(), os.getgid()


def in_ci(environ: Mapping[str, str]) -> bool:
    """Whether this is a job of a CI, where nobody can be asked."""
    return any(environ.get(name, "") not in ("", "0", "false") for name in CI_VARIABLES)


def config_dir(environ: Mapping[str, str]) -> Path | None:
    """Where the user's own files of ours lie, or None where the user has no home."""
    found = config_path(environ, platform(), home())
    return Path(found) if found else None


def config_path(environ: Mapping[str, str], system: str, home: PurePath | None) -> PurePath | None:
    """That folder by the rules of a platform: %APPDATA%, else XDG_CONFIG_HOME, else ~/.config."""
    kind = PureWindowsPath if system == "windows" else PurePosixPath
    if system == "windows" and environ.get("APPDATA"):
        return kind(environ["APPDATA"]) / "claude-container"
    xdg = kind(environ.get("XDG_CONFIG_HOME", ""))
    if xdg.is_absolute():
        return xdg / "claude-container"
    return home / ".config" / "claude-container" if home else None


def home() -> Path | None:
    """The user's home directory, or None where there is none."""
    try:
        found = Path.home()
    except RuntimeError:
        return None
    # A relative HOME is another place in every directory, a repository for example.
    return found if found.is_absolute() else None


def cache_dir() -> Path | None:
    """A folder for short-lived files that engines in a virtual machine can mount too.

    Those share the home directory, but not always /tmp. None where there is no home.
    """
    try:
        folder = Path.home() / ".cache" / "claude-container"
        folder.mkdir(parents=True, exist_ok=True)
    except (RuntimeError, OSError):
        return None
    return folder


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables that are set, under the names they have."""
    return {name: environ[name] for name in PROXY_VARIABLES if environ.get(name)}


def ca_file(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """(path, variable) of the certificate bundle the user's variables name, if one does."""
    for name in CA_VARIABLES:
        if path := environ.get(name):
            return path, name
    return None


def port_is_free(port: int) -> bool:
    """Whether a TCP port of 127.0.0.1 can be listened on; True where only the engine can tell."""
    import socket

    with socket.socket() as listening:
        # As an engine does it: what is merely in TIME_WAIT is free.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def can_write(directory: Path) -> bool:
    """Whether claude can write in a directory: root, too, only where a mode says so.

    In the container it has none of the capabilities that let root write anywhere.
    """
    if not os.access(directory, os.W_OK):
        return False
    if sys.platform == "win32" or os.getuid() != 0:
        return True
    seen = directory.stat()
    return bool(seen.st_mode & (0o200 if seen.st_uid == 0 else 0o020 if seen.st_gid == 0 else 2))


def mounts_below(directory: Path) -> list[str]:
    """The mount points inside of a directory; on Linux alone that is known."""
    try:
        table = os.fsdecode(Path("/proc/self/mountinfo").read_bytes())
    except OSError:
        return []
    points = [line.split(" ")[4] for line in table.splitlines()]
    plain = [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point) for point in points]
    below = f"{str(directory).rstrip('/')}/"
    return sorted({point for point in plain if point.startswith(below)})


def launcher_id() -> str:
    """This process, so that another launcher can tell later whether it still runs."""
    return f"{_machine()}:{os.getpid()}:{_started(os.getpid())}"


def launcher_is_gone(launcher: str) -> bool | None:
    """Whether the launcher of that id has ended; None where that cannot be known from here."""
    machine, _, rest = launcher.partition(":")
    pid, _, started = rest.partition(":")
    if machine != _machine() or not pid.isdigit() or sys.platform == "win32":
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        # Another user's; /proc may hide when it started (hidepid).
        return _started(int(pid)) not in ("", started)
    return _started(int(pid)) != started


def launcher_word() -> str:
    """A word for the name of a file or ref that no other has, and that names this process."""
    return "-".join([*launcher_id().split(":"), os.urandom(4).hex()])


def word_is_left(word: str) -> bool:
    """Whether the process that a launcher_word names has ended for sure, whatever follows it."""
    return bool(launcher_is_gone(":".join(word.split("-")[:3])))


def read_regular(path: Path, limit: int = 1 << 20) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    A file that came with a repository may be a pipe, or a link to a device that
    never ends. Raises OSError.
    """
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return content


def _machine() -> str:
    """A name for this boot of this machine, and for this process namespace.

    A pid means nothing outside of them. Machine ids are missing in containers and
    the same in cloned machines, hence all of these together.
    """
    import hashlib  # 3 ms, which only a launch needs

    parts = ["" if sys.platform == "win32" else os.uname().nodename, _read("/etc/machine-id")]
    parts.append(_read("/proc/sys/kernel/random/boot_id"))
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started (clock ticks after boot), "" if it ended or cannot be seen.

    Fields 3 and 22 of proc(5)'s stat; one in state Z has ended and waits for its parent.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return ""
