"""The group of verbs, the original's flags, and the way from an error to an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

from claude_container import __version__
from claude_container.cli.console import Console
from claude_container.errors import ClaudeContainerError, Terminated
from claude_container.process import redact

LAUNCH = "launch"
# A verb's module is imported when it is called, so that each costs only itself.
VERBS = {
    "start": "a session of its own: Claude on a copy of this repository",
    "diff": "what a session would bring: commits, files, uncommitted work, risks",
    "merge": "bring a session's commits back: all, none, or selected",
    "push": "bring the host's new commits into a session",
    "list": "the sessions, and what each holds",
    "shell": "a shell in a session",
    "exec": "a command in a session",
    "delete": "delete sessions, if nothing is lost with them",
    "cleanup": "delete all that is done with, after showing it",
    "image": "the images: list, build, pull, update, rm",
    "login": "get a token: nothing but the engine and a browser needed",
    "logout": "remove the saved token",
    "auth": "`auth status`: which token a launch would use, and whether it works",
    "completion": "make your shell complete verbs, options and names",
    "demo": "the whole loop, offline: the real Claude Code against a scripted model",
    "doctor": "check engine, image, token, disk and platform, and say what to do",
    "trust": "trust this directory's own Dockerfile, settings and wish for ignored files",
    "untrust": "forget what was said about trusting this directory",
}
# The original's flags, and the words they are short for.
FLAGS = {
    "--git-session": "start",
    "-g": "start",
    "--diff-session": "diff",
    "--merge-session": "merge",
    "--list-sessions": "list",
    "--delete-session": "delete",
    "--cleanup": "cleanup",
    "--verify": "doctor",
    "-v": "doctor",
}
_WITH_CLAUDE = ("claude-container", "claude-container start")
# The verbs for which there may be words after --.
_PASSING = {LAUNCH, "start", "exec", "diff"}

EPILOG = """What follows -- goes to claude unchanged:

\b
  claude-container start fix              claude, on a copy of this repository
  claude-container                        a conversation about this directory
  claude-container --continue             go on with it
  claude-container -- -p "fix the tests"  one task, no terminal needed
  claude-container ./docker/Dockerfile    in an image of your own
"""


class _Formatter(click.HelpFormatter):
    """Help in which no line ends within a flag or a name, which could not be searched for."""

    # Of the same width, and no end of a word to textwrap.
    _HYPHEN = "\N{NON-BREAKING HYPHEN}"

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", self._HYPHEN))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        kept = [(first, second.replace("-", self._HYPHEN)) for first, second in rows]
        super().write_dl(kept, col_max, col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().replace(self._HYPHEN, "-")


click.Context.formatter_class = _Formatter


class VerbGroup(click.Group):
    """Verbs, and without one a launch: `claude-container [OPTIONS] [DOCKERFILE]`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name != LAUNCH and name not in VERBS:
            return None
        module = importlib.import_module(f"claude_container.cli.{name}")
        command: click.Command = module.command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = _translated(args)
        if ctx.resilient_parsing and not args:
            return super().parse_args(ctx, args)  # a verb may be what is to be completed
        own = {"--help", "-h", "--version", "-V"}
        if not args or args[0] not in VERBS:
            # Wherever --help stands: without a verb it is about all of this.
            asked = [word for word in args if word in own]
            args = asked[:1] or [LAUNCH, *args]
        if args[0] in VERBS and args[0] not in _PASSING and ctx.obj.passed:
            # `trust -- -folder` must not mean this directory.
            raise click.UsageError(f"what follows -- goes to claude, and {args[0]} starts none")
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs, the original's flags, and the options of a launch."""
        from click.shell_completion import CompletionItem

        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            flags = [flag for flag in FLAGS if flag.startswith(incomplete) and FLAGS[flag] in VERBS]
            found += [CompletionItem(flag, help=VERBS[FLAGS[flag]]) for flag in flags]
            launch = self.get_command(ctx, LAUNCH)
            assert launch is not None
            with launch.make_context(LAUNCH, [], parent=ctx, resilient_parsing=True) as inner:
                found += click.Command.shell_complete(launch, inner, incomplete)
        return list({item.value: item for item in found}.values())

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[OPTIONS] [DOCKERFILE] [-- CLAUDE ARGS]")
        formatter.write_usage(ctx.command_path, "VERB …", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        launch = self.get_command(ctx, LAUNCH)
        assert launch is not None
        # Arguments are in the usage line; click 8.5 would list them too, without a word.
        options = [
            p for p in (*launch.params, *self.get_params(ctx)) if isinstance(p, click.Option)
        ]
        rows = [row for option in options if (row := option.get_help_record(ctx))]
        # --help comes from both.
        with formatter.section("Options"):
            formatter.write_dl(list(dict.fromkeys(rows)))
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _translated(args: list[str]) -> list[str]:
    """The original's flags as verbs: `--auto --merge-session NAME` is `merge --auto NAME`."""
    if args and args[0] in VERBS:
        return args
    for at, word in enumerate(args):
        flag, equals, value = word.partition("=")
        # A short one further on may be what another option is to be.
        if flag in FLAGS and (at == 0 or flag.startswith("--")):
            return [FLAGS[flag], *args[:at], *([value] if equals else []), *args[at + 1 :]]
    return args


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.version_option(
    __version__, "-V", "--version", prog_name="claude-container", message="%(prog)s %(version)s"
)
def cli() -> None:
    """Run Claude Code in a container, in the current directory."""


def main(argv: Sequence[str] | None = None) -> int:
    """The whole program; returns the exit code (see errors.py)."""
    words = list(sys.argv[1:] if argv is None else argv)
    # click would take claude's own arguments for ours.
    split = words.index("--") if "--" in words else len(words)
    claude_args = tuple(words[split + 1 :])
    # Started with one of them closed (`>&-`), Python has None for it.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8 shows a ? for a ✓ and no traceback.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console()
    _catch_signals()
    _leave_no_core()
    try:
        code = cli.main(
            words[:split],
            prog_name="claude-container",
            standalone_mode=False,
            obj=Call(console, claude_args, passed="--" in words),
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        console.warn("interrupted")
        return 130
    except Terminated as error:
        return error.exit_code
    except OSError as error:
        if error.errno != errno.ENOSPC:
            console.error(_defect())
            return 3
        # What is still buffered has nowhere to go, and must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        console.error(ClaudeContainerError("the disk is full"))
        return 1
    except click.UsageError as error:
        path = error.ctx.command_path.removesuffix(f" {LAUNCH}") if error.ctx else ""
        where = f" (see: {path} --help)" if path else ""
        hint = ""
        if isinstance(error, click.NoSuchOption) and path in _WITH_CLAUDE:
            hint = "what is for claude goes after --, such as: claude-container -- -p …"
        console.error(ClaudeContainerError(error.format_message() + where, hint=hint))
        return 2
    except ClaudeContainerError as error:
        console.error(error)
        return error.exit_code
    except Exception:
        console.error(_defect())
        return 3


class Call:
    """What every verb is called with."""

    def __init__(self, console: Console, claude_args: tuple[str, ...], *, passed: bool) -> None:
        self.console = console
        self.claude_args = claude_args  # or another verb's words after --
        self.passed = passed


def _defect() -> ClaudeContainerError:
    """The error for a defect of ours, with the traceback in a file of the user's own."""
    import tempfile
    import traceback

    text = redact(f"claude-container {__version__}, Python {sys.version}\n{traceback.format_exc()}")
    last = text.strip().splitlines()[-1]
    try:
        handle, path = tempfile.mkstemp(prefix="claude-container-", suffix=".log")
        with os.fdopen(handle, "w") as log:
            log.write(text)
    except OSError:
        return ClaudeContainerError("a defect in claude-container", evidence=text)
    return ClaudeContainerError(
        "a defect in claude-container", evidence=last, hint=f"please report it with {path}"
    )


def _leave_no_core() -> None:
    """Have the system write no memory of ours to a disk, in which there may be a token."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _catch_signals() -> None:
    """Let TERM, HUP and QUIT unwind the stack as ^C does, so that whatever is open is closed."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise Terminated(signum)

    for name in ("SIGTERM", "SIGHUP", "SIGQUIT"):
        signum = getattr(signal, name, None)
        # HUP is ignored under nohup, and stays so.
        if signum and signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, end)
