"""A scripted stand-in for the Messages API, so that the real claude runs with no network.

It is copied into a container and run there: ``python3 model.py --script SCRIPT --log LOG``.
Standard library only; nothing of our package may be imported here.

The script is a list of turns, ``{"text": "...", "tool": {"name": ..., "input": {...}}}``,
either key optional, or ``{"turns": [...], "echo": true}``: with echo and no turns the
answer repeats the last prompt, which shows a test what reached the model.

What is said here of the client was seen with Claude Code 2.1.330.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
INTERRUPTED = "[Request interrupted by user for tool use]"
COMPACTING = "CRITICAL: Respond with TEXT ONLY"


def load_script(path: Path) -> Json:
    """Read a script in either form; ValueError for a turn with neither text nor tool."""
    data = json.loads(path.read_text(encoding="utf-8"))
    script: Json = data if isinstance(data, dict) else {"turns": data}
    for number, turn in enumerate(script.get("turns", []), start=1):
        if not turn.get("text") and not turn.get("tool"):
            raise ValueError(f"{path}: turn {number} has neither text nor tool")
    return script


def blocks_of(message: Json) -> list[Json]:
    """A message's content blocks; a bare string is one text block."""
    content = message.get("content") or []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def words_of(message: Json) -> list[str]:
    """A message's text blocks, without the <system-reminder>s that claude adds to them."""
    texts = [block["text"] for block in blocks_of(message) if block["type"] == "text"]
    return [words for text in texts if (words := REMINDER.sub("", text).strip())]


def results_of(message: Json) -> list[Json]:
    """A message's tool results, whose content is shaped as a message's."""
    return [block for block in blocks_of(message) if block["type"] == "tool_result"]


def last_user(request: Json) -> Json:
    """The last user message, {} if none; messages of the role "system" may follow it."""
    users: list[Json] = [m for m in request.get("messages", []) if m["role"] == "user"]
    return users[-1] if users else {}


def last_text(request: Json) -> str:
    """What tools and then the user said in the last user message."""
    message = last_user(request)
    said = [text for result in results_of(message) for text in words_of(result)]
    return "\n".join(said + words_of(message))


def is_prompt(message: Json) -> bool:
    """Whether a person's prompt came in this message.

    Words typed while a tool runs are added to the message with its result, and are no
    prompt; but after Escape during a tool the next prompt comes in that message too.
    """
    words = words_of(message)
    mixed = bool(results_of(message)) and INTERRUPTED not in words
    return message["role"] == "user" and bool(words) and not mixed


def choose_turn(script: Json, request: Json) -> Json:
    """The turn that answers a request, decided from the request alone.

    Claude's own requests take no turn: titles come with an empty tool list, the quota check
    (max_tokens 1) with none; /compact sends the tools, and a text with a fixed beginning.
    For the others the turn is the number of assistant messages since the last prompt, so
    that a request sent twice gets the same answer.
    """
    compacting = any(words.startswith(COMPACTING) for words in words_of(last_user(request)))
    if not request.get("tools") or compacting:
        return {"text": "A short answer."}
    turns: list[Json] = script.get("turns", [])
    if script.get("echo") and not turns:
        return {"text": f"echo: {last_text(request)}"}
    played = 0
    for message in request["messages"]:
        if is_prompt(message):
            played = 0
        elif message["role"] == "assistant":
            played += 1
    return turns[played] if played < len(turns) else {"text": "Done."}


def count_tokens(value: object) -> int:
    """A guess, four characters to a token: claude only adds them up."""
    return max(1, len(json.dumps(value)) // 4)


def build_message(turn: Json, request: Json) -> Json:
    """The whole answer, as it is sent when the request does not ask for a stream."""
    content: list[Json] = []
    if turn.get("text"):
        content.append({"type": "text", "text": turn["text"]})
    if turn.get("tool"):
        content.append({"type": "tool_use", "id": f"toolu_{secrets.token_hex(12)}", **turn["tool"]})
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "scripted"),
        "content": content,
        "stop_reason": "tool_use" if turn.get("tool") else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": count_tokens(request), "output_tokens": count_tokens(content)},
    }


def stream_events(message: Json) -> Iterator[Json]:
    """The same answer as the events of a stream, texts and tool inputs in small pieces."""
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty: Json = {"type": "text", "text": ""}
            kind, key, whole = "text_delta", "text", block["text"]
        else:
            empty = {**block, "input": {}}
            kind, key, whole = "input_json_delta", "partial_json", json.dumps(block["input"])
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for piece in re.findall(r"\s*\S+\s*", whole):
            delta = {"type": kind, key: piece}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": message["usage"]}
    yield {"type": "message_stop"}


class Server(ThreadingHTTPServer):
    """The listening model, with what its handlers need."""

    daemon_threads = True

    def __init__(self, options: argparse.Namespace) -> None:
        """Read the script and listen; requests are answered by serve_forever."""
        self.script = load_script(options.script)
        self.chunk_delay: float = options.chunk_delay
        self._log: Path = options.log
        self._lock = threading.Lock()
        super().__init__((options.host, options.port), Handler)
        if options.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(options.tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def record(self, entry: Json) -> None:
        """Append one line to the log. It holds Authorization headers: made-up tokens only."""
        with self._lock, self._log.open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry) + "\n")


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; every request is logged before it is answered."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Answer a request; claude adds ?beta=true to the paths of the Messages API."""
        request = self.read_request()
        path = urlsplit(self.path).path
        if path == "/v1/messages" and request.get("messages"):
            message = build_message(choose_turn(self.server.script, request), request)
            if request.get("stream"):
                self.send_stream(message)
            else:
                self.send_json(200, message)
        elif path == "/v1/messages/count_tokens":
            self.send_json(200, {"input_tokens": count_tokens(request)})
        elif path == "/":
            self.send_json(200, {"ok": True})
        else:  # the TUI first asks HEAD /api/hello, and does not mind
            error = {"type": "not_found_error", "message": "not part of the scripted model"}
            self.send_json(404, {"type": "error", "error": error})

    do_GET = do_HEAD = do_POST

    def read_request(self) -> Json:
        """Read and log the request; a body that is no JSON object counts as empty."""
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        request: Json = {}
        with contextlib.suppress(ValueError):
            body = json.loads(raw)
            request = body if isinstance(body, dict) else {}
        self.server.record(
            {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "model": request.get("model"),
                "messages": len(request.get("messages", [])),
                "last": last_text(request),
            }
        )
        return request

    def send_json(self, status: int, value: Json) -> None:
        """Send one JSON body; for HEAD its headers only."""
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_stream(self, message: Json) -> None:
        """Send an answer as server-sent events; closing the connection ends it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # after Escape claude hangs up
            for event in stream_events(message):
                if event["type"] == "content_block_delta":
                    time.sleep(self.server.chunk_delay)
                self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on the screen: the log is the record."""


def main() -> None:
    """Listen, say where, and serve until killed."""
    parser = argparse.ArgumentParser(description="A scripted stand-in for the Messages API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free one")
    parser.add_argument("--script", type=Path, required=True, help="JSON: the turns to play")
    parser.add_argument("--log", type=Path, required=True, help="JSON lines, one per request")
    parser.add_argument("--tls", type=Path, help="PEM: a certificate and its key, for https")
    parser.add_argument("--chunk-delay", type=float, default=0.0, help="seconds before a piece")
    options = parser.parse_args()
    server = Server(options)
    print(f"listening on {options.host}:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
