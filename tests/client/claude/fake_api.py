"""A model that is none: answers as the Messages API does, on loopback, so that the real Claude Code
runs without a network; what the model would have been shown is kept.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Blocks = list[dict[str, Any]]
_numbers = itertools.count(1)


class FakeModel:
    """Answers each request with what `answer` gives for its body: blocks of content."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Blocks] = lambda body: [text("All right.")]
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def shown(self) -> str:
        """All that a model was shown by now, request after request."""
        with self._lock:
            return "\n".join(_shown(body) for body in self.seen)

    def shown_with(self, words: str) -> list[str]:
        """What each request shows that has these words, such as one session's prompt."""
        with self._lock:
            return [shown for shown in map(_shown, self.seen) if words in shown]

    def keep(self, body: dict[str, Any]) -> None:
        with self._lock:
            self.seen.append(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    id = f"toolu_{next(_numbers)}"
    return {"type": "tool_use", "id": id, "name": tool, "input": arguments}


def results(body: dict[str, Any]) -> list[str]:
    """What a request shows the model of the tools that it has called, in order."""
    found = [
        block["content"]
        for message in body["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "tool_result"
    ]
    return [
        content if isinstance(content, str) else "".join(part["text"] for part in content)
        for content in found
    ]


def _shown(body: dict[str, Any]) -> str:
    return json.dumps(body["messages"], ensure_ascii=False)


def _handler(model: FakeModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self.reply(b"", "text/plain")

        def do_GET(self) -> None:
            self.reply(b"{}", "application/json")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
                self.reply(b'{"input_tokens":100}', "application/json")
                return
            model.keep(body)
            blocks = model.answer(body)
            if body.get("stream"):
                self.reply(b"".join(_events(blocks)), "text/event-stream")
            else:
                whole = {**_HEAD, "content": blocks, "stop_reason": _reason(blocks)}
                self.reply(json.dumps(whole).encode(), "application/json")

        def reply(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


_HEAD = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "fake",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def _reason(blocks: Blocks) -> str:
    return "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"


def _events(blocks: Blocks) -> Iterator[bytes]:
    yield _event("message_start", message=_HEAD)
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            empty, delta = text(""), {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ends = {"stop_reason": _reason(blocks), "stop_sequence": None}
    yield _event("message_delta", delta=ends, usage={"output_tokens": 1})
    yield _event("message_stop")


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
