"""A session: its name, and the names and labels of all that belongs to it on an engine."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from claude_container import __version__, host, refs
from claude_container.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

PREFIX = "claude-container."
KIND = PREFIX + "kind"
# Kinds of volumes, and of the containers that claude runs in with them.
WORKSPACE_KIND = "session"
OVERLAY_KIND = "overlay"  # what a session of --dir changed
TOOLS_KIND = "tools"  # of a tool volume, and of the container that fills it
# Of volumes alone.
STATE_KIND = "state"
MERGED_KIND = "overlay-merged"  # what a session of --dir sees; nothing is in it
STRAY_KIND = "stray"  # git found it missing, and the engine made it anew: nothing is in it
# Of containers alone.
DIRECT_KIND = "direct"  # claude in the user's own directory
CREATE_KIND = "create"  # fills a new session's volume
DELETE_KIND = "delete"  # only holds a session's name while that is removed
TRANSPORT_KIND = "transport"  # works on a session's volume for the host
PROBE_KIND = "probe"  # looks at what is in an image, or in a tool volume
LOGIN_KIND = "login"
DOCTOR_KIND = "doctor"
DEMO_KIND = "demo"
SESSION = PREFIX + "session"
DIRECTORY = PREFIX + "directory"
CREATED = PREFIX + "created"
VERSION = PREFIX + "version"
LAUNCHER = PREFIX + "launcher"  # host.launcher_id() of the process that made it
REMOVES = PREFIX + "removes"  # the workspace whose removal a container of DELETE_KIND is for
LAUNCH = PREFIX + "launch"  # one launch: a volume made in a launch that failed goes with it

# How the entrypoint ends when it did not come to claude: claude's own codes are others.
FAILED = 95  # it said why
INTERRUPTED = 96

# What only a git session's volumes say: where it came from.
REPOSITORY = PREFIX + "repository"  # the common git folder of the user's repository
NO_REPOSITORY = "none"  # in its place: the session is of a folder without git
BRANCH = PREFIX + "branch"
BASE = PREFIX + "base"  # the commit it began with; refs/claude-container/NAME/base moves on
# What a volume of MERGED_KIND says: who lays the overlay, ENGINE or CONTAINER.
LAID_BY = PREFIX + "laid-by"
ENGINE, CONTAINER = "engine", "container"
# All that volumes of ours say of themselves.
VOLUME_LABELS = (KIND, SESSION, REPOSITORY, DIRECTORY, BRANCH, BASE, CREATED, LAUNCH, LAID_BY)

WORKSPACE = refs.WORKSPACE
# The ssh agent, where Docker Desktop's documentation has it as well.
AGENT = "/run/host-services/ssh-auth.sock"
STATE = "/var/lib/claude-container/state"
# The layers of an overlay, where a container has them: the user's folder, and the changes.
LOWER, CHANGES = "/run/claude-container-lower", "/run/claude-container-changes"
TOOLS = "/opt/claude-container"


def at_work(kind: str, about: str) -> dict[str, str]:
    """The labels of a container that this process has at work, by which leftovers.py knows it.

    `about` is the session, or what else it works on: an image, a volume.
    """
    return {
        KIND: kind,
        SESSION: about,
        CREATED: str(int(time.time())),
        VERSION: __version__,
        LAUNCHER: host.launcher_id(),
    }


def throwaway_name(kind: str) -> str:
    """A name for a container that is there for one thing of that kind, and unlike any other's."""
    return f"claude-container-{kind}-{os.urandom(6).hex()}"


def created(labels: Mapping[str, str]) -> int:
    """When what has these labels was made, in seconds since 1970; 0: they do not say."""
    said = labels.get(CREATED, "")
    return int(said) if said.isdigit() else 0


def check_name(name: str) -> str:
    """The name, if a session can have it. Raises UsageError."""
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 40 else name[:40] + "…"
        raise UsageError(
            f"{shown!r} cannot be the name of a session",
            hint="letters, digits, - and _, starting with a letter or digit, at most 63",
        )
    return name


def default_name(directory: Path) -> str:
    """The name of a directory's own conversation: readable, and no two directories share one."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", directory.name).strip("-")[:40] or "root"
    return f"{readable}-{hashlib.sha256(str(directory).encode()).hexdigest()[:8]}"


def overlay_name(directory: Path) -> str:
    """The name of a directory's session of --dir, which is not that of its conversation."""
    name, _, digest = default_name(directory).rpartition("-")
    return f"{name}-dir-{digest}"


def state_volume(session: str) -> str:
    """The volume with claude's own folder: the conversation, settings."""
    return f"claude-state-{session}"


def session_volume(session: str) -> str:
    """The volume with a git session's workspace."""
    return f"claude-session-{session}"


def changes_volume(session: str) -> str:
    """The original's name for what a session of --dir changed."""
    return f"session-data-{session}"


def merged_volume(session: str) -> str:
    """The volume that is what claude sees in a session of --dir."""
    return f"claude-overlay-{session}"


def tools_volume(version: str, libc: str) -> str:
    """The volume with claude and what goes with it, for images of that libc."""
    return f"claude-tools-{version}-{libc}"


def container_name(session: str) -> str:
    """One name per session whatever the case, so that the engine keeps a second launch out."""
    return f"claude-container-{session.lower()}"
