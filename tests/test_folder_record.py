"""What a folder has of its session: merges that were cut short, gone on with, and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_container.changes import folder as folders
from claude_container.changes.folder import Incomplete, carry, record
from claude_container.changes.taken import Refused
from claude_container.refs import our_ref
from tests.test_folder import Desk, Files

pytestmark = pytest.mark.git
NAME = "work"
BEGUN = {"a": "1\n", "b": "1\n", "c": "1\n"}


class Session(Desk):
    """A folder's session, as far as the repository of ours knows it."""

    def __init__(self, above: Path) -> None:
        super().__init__(above)
        self.lay(BEGUN)
        self.tip = self._commit(BEGUN)
        self._set(base=self.tip, origin=self.tip)
        self.before = self.held()

    def works(self, files: Files) -> None:
        """What a look finds after the session committed these files."""
        self.tip = self._commit(files, self.tip)
        self._set(head=self.tip)

    def bring(self) -> list[str]:
        """A merge, as the verb does it; the paths that it writes."""
        planned = record.since_last(self.repository, NAME, self.folder)
        if planned.rows:
            record.begin(self.repository, NAME, planned)
            folders.carry_out(planned)
        record.finish(self.repository, NAME, planned.head)
        return [row.path for row in planned.rows]

    def undo(self) -> None:
        folders.carry_out(record.undoing(self.repository, NAME, self.folder))
        record.undone(self.repository, NAME)

    def remaining(self) -> int:
        return len(record.remaining(self.repository, NAME, self.folder))

    def _commit(self, files: Files, *on: str) -> str:
        return self.repository.commit_tree(self.tree(files), "x", ("A", "a@b"), *on)

    def _set(self, **refs: str) -> None:
        self.repository.update_refs({our_ref(NAME, name): id for name, id in refs.items()})


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def cut_short(session: Session, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """A merge that a full disk ends, after some files."""
    real, done = carry._put_one, []

    def put_one(*args: object) -> None:
        if len(done) == after:
            raise OSError(28, "No space left")
        done.append(args)
        real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(carry, "_put_one", put_one)
        with pytest.raises(Incomplete):
            session.bring()


def test_what_was_brought_is_what_the_next_merge_begins_from(session: Session) -> None:
    session.works({**BEGUN, "a": "2\n"})
    assert (session.remaining(), session.bring(), session.remaining()) == (1, ["a"], 0)
    session.works({**BEGUN, "a": "3\n"})
    assert (session.remaining(), session.bring(), session.bring()) == (1, ["a"], [])
    session.undo()
    assert (session.folder / "a").read_text() == "2\n"
    assert session.remaining() == 1
    assert session.bring() == ["a"]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_merge_that_was_cut_short_is_taken_back(
    session: Session, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    session.works({"a": "2\n", "b": "2\n", "d": "2\n"})
    cut_short(session, monkeypatch, after)
    assert session.remaining() == 1
    session.undo()
    assert session.held() == session.before


@pytest.mark.parametrize("after", [0, 1, 2])
def test_it_is_one_merge_with_what_completes_it(
    session: Session, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    session.works({"a": "2\n", "b": "2\n", "d": "2\n"})
    cut_short(session, monkeypatch, after)
    session.works({"a": "2\n", "b": "2\n", "d": "3\n", "e": "3\n"} if after < 2 else {"a": "2\n"})
    session.bring()
    assert session.held() == session.content(f"{session.tip}^{{tree}}")
    session.undo()
    assert session.held() == session.before
    with pytest.raises(Refused, match="no merge"):
        session.undo()


def test_what_the_user_did_after_a_merge_is_not_taken_back(session: Session) -> None:
    session.works({**BEGUN, "a": "2\n"})
    session.bring()
    session.write("a", "mine\n")
    with pytest.raises(Refused, match="in conflict"):
        session.undo()
    assert (session.folder / "a").read_text() == "mine\n"


def test_of_a_folder_that_is_gone_all_is_lost(session: Session) -> None:
    session.works({**BEGUN, "a": "2\n"})
    session.folder.rename(session.folder.with_name("elsewhere"))
    assert session.remaining() == 1
