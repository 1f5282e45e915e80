"""What a clone and its origin agree on: where it lies, and our refs in the user's repository."""

from __future__ import annotations

WORKSPACE = "/workspace"  # in any container that claude works in


def our_ref(session: str, name: str) -> str:
    """A ref of ours in the user's repository: no session moves any outside of its own folder.

    base: what the session began with (the snapshot of uncommitted work, where it took
    some); origin: the host's commit that it began from (base, if there was no such
    work); pushed: the host's commit that it was last brought up to; head: what its
    HEAD was when it was last looked at; other/N: its other branches then; look: the
    figures of that look, a JSON blob; merged: what was taken (taken.py); making/ID: a
    session that is being made (create.py). Of a folder without git these are in a
    repository of ours, and there is undo (changes/folder/record.py) in place of merged.
    """
    return f"refs/claude-container/{session}/{name}"
