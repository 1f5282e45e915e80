"""A stand-in for the two hosts that a login takes, for a container of its own.

Beside demo/model.py, whose Messages API it has: `vendor.py TLS.PEM LOG`. What it answers is in
what it is asked: the code `give-N-…` is good for a token of N characters, `give-N-revoked-…` for
one that no request is accepted with; any other code is not accepted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.parse import urlsplit

from claude_container.demo import model

PREFIX = "sk-ant-oat01-made-up-"
REVOKED = f"{PREFIX}revoked-"


def token(code: str) -> str | None:
    """The token that a code is good for."""
    match code.split("-"):
        case ["give", length, "revoked", *_]:
            return (REVOKED + "aB3_-xYz" * 40)[: int(length)]
        case ["give", length, *_]:
            return (PREFIX + "aB3_-xYz" * 40)[: int(length)]
        case _:
            return None


class Handler(model.Handler):
    """Answers for platform.claude.com and api.anthropic.com alike."""

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if path == "/v1/oauth/token":
            given = token(self.read_request().get("code", ""))
            if given is None:
                self.send_json(400, {"error": "invalid_grant"})
            else:
                answer = {"access_token": given, "expires_in": 31536000, "token_type": "Bearer"}
                self.send_json(200, {**answer, "scope": "user:inference"})
        elif path == "/v1/messages" and REVOKED in self.headers["authorization"]:
            self.read_request()
            error = {"type": "authentication_error", "message": "OAuth token has been revoked."}
            self.send_json(401, {"type": "error", "error": error})
        else:
            super().do_POST()

    do_GET = do_HEAD = do_POST


if __name__ == "__main__":
    tls, log = sys.argv[1:]
    script = Path("script.json")
    script.write_text('{"turns": [], "echo": true}')
    model.Handler = Handler  # type: ignore[misc]
    options = {"host": "127.0.0.1", "port": 443, "script": script, "chunk_delay": 0.0}
    server = model.Server(argparse.Namespace(**options, tls=Path(tls), log=Path(log)))
    print("listening", flush=True)
    server.serve_forever()
