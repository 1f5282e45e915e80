"""`auth status`: which token a launch would use, and whether it works."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from claude_container import credentials
from claude_container.cli import dialogue, options, own, planning, settings, table
from claude_container.cli.main import Call
from claude_container.cli.sweep import sweeping
from claude_container.config import Settings
from claude_container.credentials import NoToken
from claude_container.login import check as checks

_DAY = 86400
_LASTS = 365  # days, as setup-token says (2.1.330)


@click.group("auth", no_args_is_help=False)
def command() -> None:
    """About the token that launches use."""


@command.command("status", short_help="tell where the token comes from, its shape and age")
@click.option("--check", "ask", is_flag=True, help="see if it works: one smallest request")
@options.reaching
@click.option("--json", "as_json", is_flag=True, help="the rows as JSON")
@click.pass_obj
def status(call: Call, /, ask: bool, as_json: bool, **flags: Any) -> int:
    """Tell where the token comes from, its shape and its age; never a part of it.

    Exit code 1 (in CI 2) if there is none, or, with --check, if it is not known to work.
    """
    console = call.console
    chosen = own.settings(Settings(**flags))
    env = settings.environment(chosen.env)
    try:
        token = planning.find_token(env, chosen)
    except NoToken:
        if as_json:
            console.answer(json.dumps({"source": None}, indent=2))
        raise
    if token is None:
        _tell_other(call, planning.other_login(env), as_json=as_json)
        return int(ask)
    store = dialogue.kept(chosen)
    saved = store.saved() if token.source == store.place else None
    rows: dict[str, Any] = {
        "source": token.source,
        "shape": credentials.shape(token.value),
        "saved": None if saved is None else time.strftime("%Y-%m-%d", time.localtime(saved)),
        "days": None if saved is None else max(0, int(time.time() - saved)) // _DAY,
    }
    if ask:
        where = dialogue.place(chosen, env)
        with (
            sweeping(console, where.engine),
            console.task("asking for one answer", quiet=True),
        ):
            verdict = checks.check(where, token.value, console)
        rows |= {"check": verdict.status, "said": verdict.said}
    if as_json:
        console.answer(json.dumps(rows, indent=2))
    else:
        _show(call, rows)
    return int(ask and rows["check"] != checks.WORKS)


def _tell_other(call: Call, name: str | None, *, as_json: bool) -> None:
    """Tell of the variable by which claude logs in without our token; nothing more is known."""
    if as_json:
        call.console.answer(json.dumps({"source": f"--env {name}"}, indent=2))
    else:
        call.console.done(f"claude logs in by {name} (env), and needs no token of ours")


def _show(call: Call, rows: dict[str, Any]) -> None:
    console = call.console
    console.done(f"token found: {rows['source']}")
    console.answer(f"shape  {rows['shape']}")
    if (days := rows["days"]) is None:
        console.answer("age    not known")
    else:
        left = f"; {_LASTS - days} left of its year" if days <= _LASTS else "; a year is over"
        console.answer(f"age    {table.many(days, 'day')} (saved {rows['saved']}){left}")
    if "check" in rows:
        said = f": {rows['said']}" if rows["said"] else ""
        console.answer(f"check  {rows['check']}{said}")
