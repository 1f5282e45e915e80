"""Does a token work? One smallest request, by claude itself, in a container of its own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from claude_container import images
from claude_container.engines.base import Streams
from claude_container.login.container import Place, container
from claude_container.process import redact
from claude_container.terminal import visible

WORKS, REFUSED, UNKNOWN = "works", "refused", "unknown"
_SECONDS = 60
# The token comes on standard input, an anonymous pipe in there, and is never in a file or
# variable. Without tools a request is some 2,500 tokens long, of the smallest model; without
# retries an unreachable host takes 0.3 s and not three minutes (2.1.330).
_SCRIPT = f"""
exec 3<&0 </dev/null
export CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR=3 CLAUDE_CODE_MAX_RETRIES=0
exec timeout {_SECONDS} claude -p 'Say ok.' --model haiku --tools '' --output-format json \
    --no-session-persistence --strict-mcp-config
"""
_REFUSAL = 401  # and not 403, which is what a company's proxy says, too


@dataclass(frozen=True)
class Verdict:
    """What came of it: works, refused, or unknown; and claude's words where it is not the first."""

    status: str
    said: str = ""


def check(place: Place, token: str, progress: images.Progress) -> Verdict:
    """Ask for one answer with this token. Raises EngineError."""
    output = bytearray()
    with container(place, ("/bin/sh", "-c", _SCRIPT), progress, tty=False) as name:
        reading, writing = os.pipe()
        os.write(writing, token.encode())  # at most 4 KiB, which a pipe holds
        os.close(writing)
        try:
            streams = Streams(stdin=reading, stdout=output.extend, stderr=output.extend)
            code = place.engine.attach(name, streams).code
        finally:
            os.close(reading)
    return read(code, output.decode(errors="replace"), token)


def read(code: int, output: str, token: str) -> Verdict:
    """What claude's `--output-format json` says of a token: api_error_status, result."""
    for line in output.splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if not isinstance(answer, dict) or "is_error" not in answer:
            continue
        if not answer["is_error"]:
            return Verdict(WORKS)
        said = visible(redact(str(answer.get("result", "")).replace(token, "[token]")))
        status = REFUSED if answer.get("api_error_status") == _REFUSAL else UNKNOWN
        return Verdict(status, said)
    if code == 124:
        return Verdict(UNKNOWN, f"no answer within {_SECONDS} s")
    last = (output.strip().splitlines() or [f"claude ended with exit code {code}"])[-1]
    return Verdict(UNKNOWN, visible(redact(last.replace(token, "[token]"))))
