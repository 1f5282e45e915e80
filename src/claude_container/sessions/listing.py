"""All that there is of ours on an engine: sessions, conversations, volumes of the original."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from claude_container.changes import figures
from claude_container.changes.figures import Figures
from claude_container.engines.base import Container, Volume
from claude_container.git import NAMED, git
from claude_container.refs import our_ref
from claude_container.sessions import known, model, overlay
from claude_container.sessions.asking import Listed
from claude_container.sessions.known import Session
from claude_container.sessions.overlay import Overlay

SESSION, OVERLAY, CONVERSATION, ORIGINAL = "session", "overlay", "conversation", "original"
TOOLS = "tools"
_WORKERS = 4
# The bash original's volumes carry no labels; the last is of its deprecated --dir.
_PREFIXES = ("claude-session-", "claude-state-", "session-data-")
# What a container that holds a session's name is there for, if not to run it.
_DOING = {model.CREATE_KIND: "making", model.DELETE_KIND: "deleting"}
_AT_REST = ("created", "exited", "dead", "removing")

Item = TypeVar("Item")
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """A name, and the volumes that belong to it. `kind` is one of those above.

    `running` is its container's state or what is done with it, "" at rest; `volumes`
    are in the order in which they are to be removed; `directory` is what a
    conversation is about, or what an overlay lies over.
    """

    name: str
    kind: str
    volumes: tuple[str, ...]
    running: str = ""
    created: int = 0  # seconds since the epoch; 0: unknown
    directory: str = ""
    session: Session | None = None
    overlay: Overlay | None = None
    figures: Figures | None = None  # of the last look
    gone: bool = False  # its repository is not where it was
    failed: str = ""  # why a look at it failed
    size: int | None = None  # bytes in its workspace

    @property
    def work(self) -> str:
        """The volume that its work is in: with it gone the rest is of no use. "" for none."""
        if self.overlay:
            return model.changes_volume(self.name)
        return model.session_volume(self.name) if self.session else ""


def entries(listed: Listed) -> list[Entry]:
    """What there is of ours, by kind and name."""
    holders = {container.name: container for container in listed.containers}
    held = {volume.name: volume for volume in listed.volumes}
    found = [*_labelled(held), *_originals(held)]
    order = (SESSION, OVERLAY, CONVERSATION, ORIGINAL)
    found.sort(key=lambda entry: (order.index(entry.kind), entry.name.lower()))
    return [
        entry if entry.kind == ORIGINAL else replace(entry, running=_running(holders, entry.name))
        for entry in found
    ]


def tools(listed: Listed) -> list[Entry]:
    """The tool volumes, which are no work of anybody's."""
    return [
        Entry(volume.name, TOOLS, (volume.name,), created=model.created(volume.labels))
        for volume in sorted(listed.volumes, key=lambda volume: volume.name)
        if volume.labels.get(model.KIND) == model.TOOLS_KIND
    ]


def with_figures(entries: Sequence[Entry]) -> list[Entry]:
    """Add what the last looks found, in one call of git for each repository."""
    commons = list(dict.fromkeys(e.session.repository for e in entries if e.session))
    looks = dict(zip(commons, side_by_side(_looks, commons), strict=True))

    def add(entry: Entry) -> Entry:
        if entry.session is None:
            return entry
        session = entry.session
        found = looks[session.repository]
        if session.of_folder:
            # What is known of it can be thrown away; the folder is what counts.
            found = found or {}
            entry = replace(entry, gone=not session.directory.is_dir())
        if found is None:
            return replace(entry, gone=True)
        seen = found.get(entry.name)
        # A name can have been used before.
        return replace(entry, figures=seen) if seen and seen.session == session.id else entry

    return [add(entry) for entry in entries]


def side_by_side(do: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
    """do(item) of each, a few at a time, in order; raises what the first that failed raised.

    No ThreadPoolExecutor: its threads are waited for when Python ends, so ^C would wait for
    a look that hangs; and its import takes `list` 4 ms.
    """
    waiting = list(enumerate(items))[::-1]
    if len(waiting) == 1:
        return [do(waiting[0][1])]
    done: dict[int, T] = {}
    failed: dict[int, BaseException] = {}

    def work() -> None:
        while True:
            try:
                at, item = waiting.pop()
            except IndexError:
                return
            try:
                done[at] = do(item)
            except BaseException as error:
                failed[at] = error
                waiting.clear()

    threads = [threading.Thread(target=work, daemon=True) for _ in waiting[:_WORKERS]]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        waiting.clear()  # ^C: begin no more
        raise
    if failed:
        raise failed[min(failed)]
    return [done[at] for at in sorted(done)]


def _labelled(held: dict[str, Volume]) -> Iterable[Entry]:
    for session in known.sessions(held.values()):
        name = session.name
        volumes = (model.session_volume(name), model.state_volume(name))
        yield Entry(
            name,
            SESSION,
            tuple(volume for volume in volumes if volume in held),
            created=session.created,
            directory=str(session.directory),
            session=session,
        )
    layered = {found.name: found for found in overlay.overlays(held.values())}
    for name, found in layered.items():
        yield Entry(
            name,
            OVERLAY,
            tuple(v for v in (*found.volumes, model.state_volume(name)) if v in held),
            created=found.created,
            directory=str(found.directory),
            overlay=found,
        )
    for volume in held.values():
        said = volume.labels
        name = said.get(model.SESSION, "")
        if said.get(model.KIND) != model.STATE_KIND or name in layered:
            continue
        if _kind(held, model.session_volume(name)):
            continue
        yield Entry(
            name,
            CONVERSATION,
            (volume.name,),
            created=model.created(volume.labels),
            directory=said.get(model.DIRECTORY, ""),
        )


def _originals(held: dict[str, Volume]) -> Iterable[Entry]:
    by_name: dict[str, list[str]] = {}
    for prefix in _PREFIXES:
        for volume in held.values():
            name = volume.name.removeprefix(prefix)
            # What is not labelled may still be in use by a session of ours.
            if name == volume.name or not name or volume.labels.get(model.KIND):
                continue
            if not (prefix == "claude-state-" and _kind(held, model.session_volume(name))):
                by_name.setdefault(name, []).append(volume.name)
    for name, volumes in by_name.items():
        yield Entry(name, ORIGINAL, tuple(volumes))


def _kind(held: dict[str, Volume], volume: str) -> bool:
    """Whether there is a git session of ours in this volume."""
    return volume in held and held[volume].labels.get(model.KIND) == model.WORKSPACE_KIND


def _running(holders: dict[str, Container], name: str) -> str:
    holder = holders.get(model.container_name(name))
    if holder is None:
        return ""
    doing = _DOING.get(holder.labels.get(model.KIND, ""))
    return doing or ("" if holder.state in _AT_REST else holder.state)


def _looks(common: Path) -> dict[str, Figures] | None:
    """The figures of all last looks in a repository, by session; None: it is gone."""
    if not common.is_dir():
        return None
    looks = our_ref("*", "look")
    # A third of what cat-file --batch takes. A git before 2.34 has no %(raw), and tells nothing.
    form = "--format=%(raw:size) %(refname)%0a%(raw)"
    asked = git(*NAMED, "for-each-ref", form, looks, cwd=common, check=False)
    if asked.code != 0:
        return None if "not a git repository" in asked.error_text else {}
    found = {}
    rest = asked.stdout
    while rest:
        line, _, rest = rest.partition(b"\n")
        size, _, ref = line.decode(errors="replace").partition(" ")
        if seen := figures.parse(rest[: int(size)]):
            found[ref.split("/")[2]] = seen
        rest = rest[int(size) + 1 :]
    return found
