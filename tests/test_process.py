"""The two doors through which everything is spawned, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from claude_container import process
from claude_container.process import NOTHING, ProcessError, ProcessTimeout, ProgramMissing
from tests.conftest import TOKEN


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def python(code: str, *args: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *args]


def is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


# run: what it captures


def test_stdout_stderr_and_code_are_kept_apart() -> None:
    done = process.run(sh("echo out; echo err >&2; exit 3"), check=False)
    assert (done.code, done.text, done.error_text) == (3, "out", "err")


def test_input_arrives_as_it_is_and_no_input_is_an_end_of_file() -> None:
    data = bytes(range(256)) * 1000
    assert process.run(["cat"], input=data).stdout == data
    assert process.run(["cat"]).stdout == b""


def test_output_that_is_no_text_is_shown_all_the_same() -> None:
    assert process.run(sh(r"printf 'a\377b'")).text == "a\N{REPLACEMENT CHARACTER}b"


def test_a_failure_carries_command_code_and_both_streams() -> None:
    with pytest.raises(ProcessError) as raised:
        process.run(sh("echo out; echo err >&2; exit 7"))
    error = raised.value
    assert (error.command[0], error.code, error.exit_code) == ("sh", 7, 1)
    assert (error.stdout, error.stderr, error.evidence) == ("out\n", "err\n", "err")


def test_a_death_by_signal_is_a_negative_code() -> None:
    assert process.run(sh("kill -9 $$"), check=False).code == -9


def test_a_program_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing, match="no-such-program is not installed") as raised:
        process.run(["no-such-program"])
    assert raised.value.code is None


@pytest.mark.parametrize("door", [process.run, process.attach])
def test_a_file_that_may_not_be_run_is_no_program(
    door: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is too when a folder on PATH may not be searched."""
    (tmp_path / "docker").touch(mode=0o600)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match="docker is not installed"):
        door(["docker"])  # type: ignore[operator]


def test_a_folder_that_is_missing_is_not_blamed_on_the_program(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        process.run(["true"], cwd=tmp_path / "nowhere")


# run: what a child inherits


def test_variables_can_be_set_and_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "kept")
    monkeypatch.setenv("DROPPED", "dropped")
    shown = process.run(
        sh('echo "$KEPT,${DROPPED-unset},$NEW"'), env={"DROPPED": None, "NEW": "new"}
    )
    assert shown.text == "kept,unset,new"


@pytest.mark.parametrize("name", process.SECRET_VARIABLES)
def test_no_child_inherits_a_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, TOKEN)
    assert TOKEN not in process.run(["env"]).text
    seen = bytearray()
    process.attach(["env"], stdout=seen.extend)
    assert b"PATH=" in seen and TOKEN.encode() not in seen


# run: lines, time and interruption


def test_lines_of_both_streams_come_one_by_one(tmp_path: Path) -> None:
    """The command goes on only after its first line was seen."""
    os.mkfifo(tmp_path / "go")
    seen: list[str] = []

    def on_line(line: str) -> None:
        seen.append(line)
        if line == "one":
            (tmp_path / "go").write_text("\n")

    script = "echo one; read go <go; echo two >&2; printf three"
    done = process.run(sh(script), cwd=tmp_path, on_line=on_line, timeout=20)
    assert seen == ["one", "two", "three"] and done.stdout == b"one\ntwo\nthree"


def test_input_and_lines_go_together() -> None:
    seen: list[str] = []
    process.run(["cat"], input=b"x\n" * 50_000, on_line=seen.append)
    assert seen == ["x"] * 50_000


@pytest.mark.parametrize("lines", [None, lambda line: None])
def test_a_command_that_takes_too_long_is_ended(lines: object, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(ProcessTimeout, match="sh -c gave no answer"):
        process.run(
            sh(f"echo $$ >'{pid}'; exec sleep 60"),
            timeout=0.6,
            on_line=lines,  # type: ignore[arg-type]
        )
    assert not is_alive(pid.read_text())


INTERRUPTED = """
    import sys
    from claude_container import process
    try:
        process.run(["sh", "-c", sys.argv[1]], finish=float(sys.argv[2]))
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize(("finish", "finishes"), [("20", True), ("0", False)])
def test_a_command_gets_its_time_to_finish_after_an_interrupt(
    finish: str, finishes: bool, tmp_path: Path
) -> None:
    """^C reaches the whole foreground group: the command is in none of it."""
    script = "echo $$ >pid; until [ -e go ]; do sleep 0.05; done; sleep 0.6; touch finished"
    with subprocess.Popen(
        python(INTERRUPTED, script, finish),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as launcher:
        deadline = time.monotonic() + 20
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(launcher.pid, signal.SIGINT)
        if finishes:
            (tmp_path / "go").touch()
        assert launcher.communicate(timeout=20)[0] == "interrupted\n"
    assert (tmp_path / "finished").exists() is finishes
    assert not is_alive((tmp_path / "pid").read_text())


# Secrets in errors


def test_a_failure_shows_no_token() -> None:
    with pytest.raises(ProcessError) as raised:
        process.run(sh(f"echo {TOKEN}; echo it was {TOKEN}, >&2; exit 1 # {TOKEN}"))
    error = raised.value
    shown = [error.what, error.stdout, error.stderr, error.evidence, *error.command, str(error)]
    assert "0123456789" not in " ".join(shown)
    assert error.stderr == "it was [token],\n"


@pytest.mark.parametrize("name", process.SECRET_VARIABLES)
def test_a_secret_of_any_shape_is_blanked_where_a_variable_holds_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "of-another-shape")
    assert process.redact("got of-another-shape, twice of-another-shape") == (
        "got [token], twice [token]"
    )


def test_a_value_too_short_for_a_secret_blanks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "e")
    assert process.redact("everything else") == "everything else"


# attach


def test_an_attached_command_ends_with_its_code_and_its_last_words(
    capfd: pytest.CaptureFixture[str],
) -> None:
    ended = process.attach(sh("echo out; echo err >&2; exit 5"))
    assert (ended.code, ended.error_text) == (5, "err")
    assert capfd.readouterr().out == "out\n"


def test_stderr_passes_through_but_for_what_is_held_back(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    # Under pytest sys.stderr is not the real one, so this runs in a process of its own.
    code = """
        from claude_container import process
        script = "printf 'Erase\\nError: no\\nx Error: yes\\nErr' >&2"
        print(process.attach(["sh", "-c", script], hold_back=b"Error").error_text)
    """
    done = subprocess.run(python(code), capture_output=True, text=True, check=True)
    assert done.stderr == "Erase\nx Error: yes\nErr"
    assert done.stdout == "Erase\nError: no\nx Error: yes\nErr\n"


def test_only_the_end_of_a_long_stderr_is_kept() -> None:
    code = """
        from claude_container import process
        text = process.attach(["sh", "-c", "printf %0100000d 0 >&2; printf end >&2"]).error_text
        print(len(text), text[-3:])
    """
    done = subprocess.run(python(code), capture_output=True, text=True, check=True)
    assert (done.stdout, len(done.stderr)) == ("4096 end\n", 100_003)


def test_an_attached_command_reads_our_stdin_unless_it_gets_nothing() -> None:
    code = """
        import sys
        from claude_container import process
        process.attach(["cat"], stdin=None if sys.argv[1] == "ours" else process.NOTHING)
    """
    for whose, read in (("ours", "typed"), ("nothing", "")):
        done = subprocess.run(python(code, whose), input="typed", capture_output=True, text=True)
        assert done.stdout == read


def test_what_it_writes_can_go_to_a_callback() -> None:
    seen = bytearray()
    ended = process.attach(sh("head -c 300000 /dev/zero"), stdin=NOTHING, stdout=seen.extend)
    assert (ended.code, len(seen)) == (0, 300_000)


def test_a_terminal_is_left_as_it_was_found(home: Path) -> None:
    code = """
        import subprocess
        from claude_container import process
        modes = lambda: subprocess.run(["stty", "-g"], stdout=-1).stdout
        before = modes()
        process.attach(["stty", "raw", "-echo"])
        print("the same" if modes() == before else "another")
    """
    program, *args = python(code)
    terminal = pexpect.spawn(program, args, timeout=20)
    assert terminal.expect(["the same", "another"]) == 0


class _Interrupted(subprocess.Popen[bytes]):
    """A Popen that has started its command, and has not returned yet, when ^C comes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_while_a_command_starts_does_not_lose_sight_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is at its end when we are; and what it was to read, it does not wait for any more."""
    monkeypatch.setattr(subprocess, "Popen", _Interrupted)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        process.run(["sh", "-c", f"cat >/dev/null; touch '{tmp_path}/ended'"], input=b"something")
    assert (tmp_path / "ended").exists()
    assert time.monotonic() - begun < 4
