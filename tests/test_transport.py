"""The remote helper and what it lets through, without an engine: a docker that is a script."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from claude_container import git
from claude_container.changes import trees
from claude_container.engines.base import EngineError
from claude_container.images import DEFAULT
from claude_container.remote_helper import _Progress
from claude_container.sessions import known, model, transport, workspace
from claude_container.sessions.transport import TransportError
from claude_container.wire import bounds
from claude_container.wire.bounds import Bounds, Limits
from claude_container.wire.pack import Meter, Nonsense
from claude_container.wire.packets import Wire
from tests.conftest import PROGRAM, clean_environment
from tests.gitsession import git as run_git
from tests.gitsession import make_repository
from tests.memory import Fault, Memory
from tests.memory_container import Inside, MemoryImage

pytestmark = pytest.mark.git

HELPER = str(Path(PROGRAM).with_name(git.HELPER))


def packet(text: bytes) -> bytes:
    return b"%04x" % (len(text) + 4) + text


# What version 2 begins with.
GREETING = packet(b"version 2\n") + packet(b"agent=x\n") + b"0000"


# Bounds


def broken_by(kept: Bounds, moves: Callable[[], object] = lambda: None) -> str:
    """What a watch stops for, while `moves` is called now and then; "" if for nothing in 1.5 s."""
    stopped = threading.Event()
    with kept.kept(stopped.set):
        deadline = time.monotonic() + 1.5
        while not stopped.wait(0.02) and time.monotonic() < deadline:
            moves()
    return kept.broken


def test_silence_is_broken_off() -> None:
    assert broken_by(Bounds(silence=0.2)) == "nothing came for 0 s"


def test_so_is_a_byte_now_and_then() -> None:
    kept = Bounds(silence=0.1)
    assert broken_by(kept, lambda: kept.moved(1)) == "next to nothing came for 1 s"
    assert kept.why == bounds.LONG


def test_who_sends_enough_may_go_on() -> None:
    kept = Bounds(silence=0.1)
    assert broken_by(kept, lambda: kept.moved(65536)) == ""


def test_time_before_it_starts_and_time_of_our_own_do_not_count() -> None:
    kept = Bounds(silence=0.3)
    time.sleep(0.5)  # an image is built, for example

    def work() -> None:
        with kept.busy():
            time.sleep(0.5)

    assert broken_by(kept, work) == ""


def test_more_may_be_borne_once_something_came() -> None:
    kept = Bounds(silence=0.2, later=60)
    assert kept.came(1)
    assert broken_by(kept) == ""


def test_too_much_is_broken_off_and_stays_so() -> None:
    kept = Bounds(limit=10)
    assert kept.came(10)
    assert not kept.came(1)
    assert broken_by(kept) == "it sent more than 10 bytes"


def test_a_reader_that_went_away_is_seen() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stopped = threading.Event()
    kept = Bounds()
    with kept.kept(stopped.set, reader=writing):
        assert stopped.wait(10)
    os.close(writing)
    assert kept.broken == bounds.NOBODY


# What passes


def in_pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_names_pass_without_what_drives_a_terminal_and_progress_not_at_all(size: int) -> None:
    name = "0" * 40 + " refs/heads/\x1b[31mé\x9b\x07\n"
    ref = packet(name.encode()) + packet(b"\2remote\x1b[2J\r") + b"0001"
    sent = GREETING + ref + packet(b"packfile\n") + packet(b"\1") + b"0000"
    wire = Wire(Meter(1000))
    passed = b"".join(wire.passed(piece) for piece in in_pieces(sent, size))
    shown = name.replace("\x1b", "?").replace("\x9b", "??").replace("\x07", "?")
    safe = packet(shown.encode()) + b"0001" + packet(b"packfile\n") + packet(b"\1")
    assert passed == GREETING + safe + b"0000"


@pytest.mark.parametrize("cut", [0, 3, 9, 30])
def test_a_push_has_its_report_made_safe(cut: int) -> None:
    """Else a refusal could begin a line, and look like our own error and hint."""
    said = packet(b"unpack ok\n") + packet(b"ng refs/x \x1b[2J\n\xe2\x9c\x97 lie\n") + b"0000"
    safe = packet(b"unpack ok\n") + packet(b"ng refs/x ?[2J?\xe2\x9c\x97 lie\n") + b"0000"
    sent, passed = (
        packet(b"\1" + said_or_safe[:cut]) + packet(b"\1" + said_or_safe[cut:]) + b"0000"
        for said_or_safe in (said, safe)
    )
    assert Wire(None).passed(sent) == passed
    assert Wire(None).passed(said) == safe


PACK = packet(b"\1PACK" + bytes(4) + bytes(4))
UNEXPECTED = {
    "among the capabilities": packet(b"version 2\n") + PACK,
    "announced among them": packet(b"version 2\n") + packet(b"packfile\n") + PACK,
    "before version 2": packet(b"0" * 40 + b" HEAD\0side-band-64k\n") + PACK,
    "without a word": GREETING + PACK,
    "after another": GREETING + packet(b"packfile\n") + PACK + b"0000" + PACK,
}


@pytest.mark.parametrize("where", UNEXPECTED)
def test_a_pack_that_git_would_skip_does_not_mislead_the_meter(where: str) -> None:
    with pytest.raises(Nonsense, match="where git expects none"):
        Wire(Meter(1000)).passed(UNEXPECTED[where])


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (packet(b"version 2\n") + packet(b"object-format=sha256\n"), 32),
        (packet(b"0" * 64 + b" HEAD\0ofs-delta object-format=sha256\n"), 32),
        (packet(b"version 2\n") + packet(b"agent=x/object-format=sha256\n"), 20),
        (packet(b"0" * 40 + b" refs/heads/object-format=sha256\0ofs-delta\n"), 20),
        # git takes the first, and refuses one that is not its own.
        (packet(b"object-format=sha1\n") + packet(b"object-format=sha256\n"), 20),
        (GREETING + packet(b"object-format=sha256\n"), 20),
    ],
)
def test_ids_are_as_long_as_git_takes_them_to_be(said: bytes, size: int) -> None:
    meter = Meter(1000)
    Wire(meter).passed(said)
    assert meter.hash_size == size


@pytest.mark.parametrize(
    "sent", [b"zzzz", b"0003", b" 10 ", b"+010", b"\0\0\0\0", packet(b"\1x" * 9)]
)
def test_what_is_no_protocol_is_nonsense(sent: bytes) -> None:
    with pytest.raises(Nonsense):
        Wire(Meter(1000)).passed(sent)


@pytest.mark.parametrize("last", [b"ERR no\n\x1b[2J\xe2\x9c\x97 x", b"\3no\n\x1b[2J\xe2\x9c\x97 x"])
def test_gits_last_word_there_is_one_line(last: bytes) -> None:
    with pytest.raises(Nonsense) as raised:
        Wire(Meter(1000)).passed(packet(last))
    assert raised.value.what == r"git there says: no\n\x1b[2J✗ x"


def test_names_without_end_are_too_many() -> None:
    wire, line = Wire(Meter(1000)), packet(b"0" * 40 + b" refs/heads/x\n") * 1000
    with pytest.raises(Nonsense, match="too many names"):
        for _ in range(1000):
            wire.passed(line)


@pytest.fixture
def packed(tmp_path: Path) -> tuple[bytes, int]:
    """A pack with deltas, and the bytes of what it unpacks to."""
    random.seed(3)
    lines = [f"{random.random()}\n" for _ in range(3000)]
    files = {f"f{n}": "".join(lines[: 2900 + n]) for n in range(20)}
    repository = make_repository(tmp_path / "packed", {**files, "zeros": "\0" * 300_000})
    argv = ["git", "pack-objects", "--all", "--stdout", "-q", "--delta-base-offset"]
    pack = subprocess.run(argv, cwd=repository, input=b"", stdout=subprocess.PIPE, check=True)
    listed = run_git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectsize)")
    return pack.stdout, sum(map(int, listed.split()))


@pytest.mark.parametrize("size", [1, 77, 65515])
def test_a_pack_is_measured_to_the_byte(packed: tuple[bytes, int], size: int) -> None:
    pack, unpacked = packed
    meter = Meter(2 * unpacked)
    for piece in in_pieces(pack + pack[:12], size):  # another may follow it
        meter.feed(piece)
    with pytest.raises(Nonsense, match="unpacks to more than"):
        Meter(unpacked - 1).feed(pack)


def test_a_delta_is_as_large_as_what_it_makes() -> None:
    """A few bytes that stand for terabytes, which git on the host would make room for."""
    delta = b"\x05" + b"\x80\x80\x80\x80\x80\x40" + b"x" * 3
    head = b"PACK" + bytes([0, 0, 0, 2, 0, 0, 0, 1]) + bytes([7 << 4 | len(delta)]) + bytes(20)
    with pytest.raises(Nonsense, match="unpacks to more than"):
        Meter(1 << 40).feed(head + zlib.compress(delta))


@pytest.mark.parametrize("what", ["bomb", "history"])
def test_a_few_trees_that_stand_for_billions_of_paths_are_counted(
    what: str, tmp_path: Path
) -> None:
    folder = make_repository(tmp_path / "bomb")
    program = Path(__file__).parent / "objects.py"
    made = subprocess.run(
        ["python3", str(program), what], cwd=folder, check=True, stdout=subprocess.PIPE
    )
    repository = git.find(folder)
    assert repository
    assert trees.most_paths(repository, made.stdout) > 5_000_000
    assert trees.most_paths(repository, b"HEAD~1\n") == 2


# explained()


def test_the_helpers_own_words_are_told_first() -> None:
    said = "warning: x\n✗ what\n  one\n  two\nhint: do\nfatal: early EOF\n"
    error = transport.explained(said, "else")
    assert (error.what, error.evidence, error.hint) == ("what", "one\ntwo", "do")


def test_what_git_says_is_shown_so_that_nothing_hides() -> None:
    error = transport.explained("fatal: \x1b[2Jx\n" + "y" * 5000, "what failed")
    assert error.what == "what failed"
    assert error.evidence == "fatal: \\x1b[2Jx\n" + "y" * 1000


# The helper


def helper(*args: str, input: bytes = b"", **env: str) -> tuple[int, bytes, str]:
    done = subprocess.run(
        [HELPER, *args],
        input=input,
        capture_output=True,
        timeout=60,
        env={**clean_environment(Path(os.environ["HOME"])), **env},
    )
    return done.returncode, done.stdout, done.stderr.decode()


CONNECT = b"capabilities\nconnect git-upload-pack\n"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "cannot be the name"),
        ("../x", "cannot be the name"),
        ("--upload-pack=x", "cannot be the name"),
        ("a/b", "cannot be the name"),
        ("docker:", "cannot be the name"),
        ("nothing:x", "nothing"),
        ("docker:x:y", "docker:x"),
        ("x" * 100, "at most 63"),
    ],
)
def test_a_bad_address_is_told_of(address: str, told: str) -> None:
    code, out, said = helper("origin", address, input=CONNECT)
    assert (code, out) == (2, b"connect\n\n")
    assert said.startswith("✗ ") and told in said


def test_an_address_without_an_engine_means_the_user_s(home: Path) -> None:
    file = home / ".config" / "claude-container" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('engine = "theirs"\n')
    assert "no engine 'theirs'" in helper("origin", "x", input=CONNECT)[2]
    chosen = {"CLAUDE_CONTAINER_ENGINE": "other"}
    assert "no engine 'other'" in helper("origin", "x", input=CONNECT, **chosen)[2]
    assert "cannot be the name" in helper("origin", "docker:", input=CONNECT)[2]


@pytest.mark.parametrize(
    "input",
    [b"fetch x\n", b"connect git-upload-archive\n", b"connect \n", b"\xff\xfe\n", b"\0" * 99],
)
def test_what_git_does_not_say_is_usage(input: bytes) -> None:
    code, out, said = helper("origin", "x", input=input)
    assert (code, out) == (2, b"")
    assert "is for git to call" in said and "Traceback" not in said


def test_git_that_asks_for_nothing_gets_nothing() -> None:
    assert helper("origin", "x") == (0, b"", "")
    assert helper("origin")[0] == 2


# A docker that has the session x, and whose transport containers do what $1 says.
_DOCKER = """
case $1 in
    volume) case "$*" in *stray*) ;; *) echo 'ROW' ;; esac ;;
    create) cat >/dev/null; echo made >>"$LOG"; echo container ;;
    rm) echo "removed" >>"$LOG"; [ ! -e "$LOG.pid" ] || kill "$(cat "$LOG.pid")" ;;
    start) echo $$ >"$LOG.pid"; DO ;;
    *) exit 9 ;;
esac
"""


_SAID = {model.KIND: model.WORKSPACE_KIND, model.SESSION: "x"}
_ROW = [_SAID.get(label, "0") for label in (*known.LABELS, model.SESSION, model.KIND)]


def docker_that(does: str) -> str:
    return _DOCKER.replace("ROW", json.dumps(["v", *_ROW])).replace("DO", does)


@pytest.fixture
def served(
    fake_docker: Callable[[str], str], tmp_path: Path
) -> Callable[..., tuple[int, str, list[str]]]:
    """Fetch from a session whose container does this; exit code, stderr, what docker did."""

    def run(does: str, **env: str) -> tuple[int, str, list[str]]:
        repository = make_repository(tmp_path / "host")
        log = tmp_path / "log"
        path = fake_docker(docker_that(does))
        done = subprocess.run(
            ["git", "fetch", "--no-tags", "claude-container::x"],
            cwd=repository,
            capture_output=True,
            timeout=60,
            env={
                **clean_environment(Path(os.environ["HOME"])),
                "PATH": f"{Path(PROGRAM).parent}{os.pathsep}{path}",
                "LOG": str(log),
                **env,
            },
        )
        assert run_git(repository, "for-each-ref").count("\n") == 0
        return done.returncode, done.stderr.decode(), log.read_text().split()

    return run


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("exit 137", "✗ session x gave no answer"),
        ("printf 000eversion; exit 137", "✗ session x gave no answer"),
        (r"printf '\033[2Jgarbage'; exec sleep 50", "not git's protocol"),
        ("exec sleep 50", "nothing came for 1 s\nhint: fetch_timeout"),
        ("exec cat /dev/zero", "not git's protocol"),
        (r"""yes "$(printf '0007\002xx')" | tr -d '\n'""", "sent more than 3145728 bytes"),
        (r"printf '\033[2J✗ lie\nhint: x\n' >&2; exit 1", r"\\x1b\[2J✗ lie"),
        (r"printf 'Error response from daemon: \033[2J' >&2; exit 1", r"\\x1b\[2J"),
        ("exec cat /dev/zero >&2", "nothing came for 1 s"),
    ],
)
def test_a_container_that_fails_or_lies_is_told_of_and_removed(
    does: str, told: str, served: Callable[..., tuple[int, str, list[str]]]
) -> None:
    limits = {"CLAUDE_CONTAINER_FETCH_TIMEOUT": "1", "CLAUDE_CONTAINER_FETCH_LIMIT": "3m"}
    code, said, log = served(does, **limits)
    assert code != 0
    assert re.search(told, said), said
    assert "\x1b" not in said and "Traceback" not in said
    assert log[:2] == ["made", "removed"]


def test_the_users_file_bounds_a_plain_fetch(
    served: Callable[..., tuple[int, str, list[str]]], home: Path
) -> None:
    file = home / ".config" / "claude-container" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("fetch_timeout = 1\n")
    _, said, _ = served("exec sleep 50")
    assert "nothing came for 1 s" in said
    file.write_text('fetch_timeout = "soon"\n')
    code, _, said = helper("origin", "x", input=CONNECT)
    assert code == 2 and "no number of seconds" in said


# serve() and run(), with an engine in memory


def engine(program: Callable[[Inside], int]) -> Memory:
    return Memory({DEFAULT: MemoryImage({"sh": program})})


def test_a_program_in_a_workspace_is_bounded_too() -> None:
    def hangs(inside: Inside) -> int:
        inside.wait()
        return 137

    asked = {"progress": _Progress(), "what": "cannot merge"}
    with pytest.raises(workspace.WorkspaceError, match="cannot merge") as raised:
        workspace.run(engine(hangs), "x", "merge", limits=Limits(silence=0.3), **asked)  # type: ignore[arg-type]
    assert raised.value.evidence == "nothing came for 0 s"

    def talks(inside: Inside) -> int:
        inside.stdout.extend(b"x" * 2000)
        return 0

    with pytest.raises(workspace.WorkspaceError) as raised:
        workspace.run(engine(talks), "x", "merge", limits=Limits(1000), **asked)  # type: ignore[arg-type]
    assert raised.value.evidence == "it sent more than 1000 bytes"


def test_an_engine_that_fails_is_told_of_as_such() -> None:
    broken = engine(lambda inside: 0)
    broken.fault = Fault("attach", EngineError("gone", evidence="\x1b[2J"))
    reading, writing = os.pipe()
    with pytest.raises(EngineError) as raised:
        transport.serve(broken, "x", "git-upload-pack", _Progress(), stdin=reading, stdout=writing)
    assert raised.value.evidence == "\\x1b[2J"
    assert broken.containers({}, ()) == []
    os.close(reading)
    os.close(writing)


def test_upload_pack_that_ends_badly_is_told_of() -> None:
    def fails(inside: Inside) -> int:
        inside.stderr.extend(b"fatal: \x1b[2Jbad\n")
        return 128

    reading, writing = os.pipe()
    os.close(writing)
    out, into = os.pipe()
    with pytest.raises(TransportError, match="session x gave no answer") as raised:
        transport.serve(
            engine(fails), "x", "git-upload-pack", _Progress(), stdin=reading, stdout=into
        )
    assert raised.value.evidence == "fatal: \\x1b[2Jbad"
    os.close(out)
    os.close(into)


def test_git_that_dies_in_the_middle_takes_the_container_with_it(
    fake_docker: Callable[[str], str], tmp_path: Path
) -> None:
    """The pipe is full and nobody reads it any more."""
    log = tmp_path / "log"
    line = "0040" + "0" * 60
    path = fake_docker(docker_that(f"exec yes {line} | tr -d '\\n'"))
    with subprocess.Popen(
        [HELPER, "origin", "x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**clean_environment(tmp_path), "PATH": path, "LOG": str(log)},
    ) as helping:
        assert helping.stdin and helping.stdout
        helping.stdin.write(CONNECT)
        helping.stdin.flush()
        assert helping.stdout.read(100)
        helping.stdout.close()
        assert helping.wait(20) == 0
    assert log.read_text().split()[:2] == ["made", "removed"]


def test_a_signal_to_the_helper_removes_the_container(
    fake_docker: Callable[[str], str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    path = fake_docker(docker_that("exec sleep 50"))
    with subprocess.Popen(
        [HELPER, "origin", "x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**clean_environment(tmp_path), "PATH": path, "LOG": str(log)},
    ) as helping:
        assert helping.stdin
        helping.stdin.write(CONNECT)
        helping.stdin.flush()
        while not Path(f"{log}.pid").exists():
            assert helping.poll() is None
            time.sleep(0.02)
        helping.send_signal(signal.SIGTERM)
        assert helping.wait(20) == 143
    assert log.read_text().split()[:2] == ["made", "removed"]
